"""A set of entities with what a plan asks of it: by id, by unique key, who refers to whom, whose they are. A value.

The desired state is one, what a Kong holds of ours is another, what others have there a third. All entities are in
their short form (`forms`). A change makes a new state and costs what it changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from immutables import Map

from kong_sync.entities import KINDS, Entity, Kind, tenant

Key: TypeAlias = tuple[str, str]
"""Kind and id."""
SHARED = ""
"""Owner of what belongs to no tenant and to no class."""


def reference(entity: Entity, field: str) -> str:
    """The id a field refers to, "" if none."""
    found = entity.get(field)
    return found["id"] if found else ""


def references(kind: Kind, entity: Entity) -> Iterator[Key]:
    for field, other in kind.foreign.items():
        if id_ := reference(entity, field):
            yield other, id_


def owner(entity: Entity) -> str:
    """`tenant:<id>`, `class:<hash>` or SHARED, by the tags."""
    if one := tenant(entity):
        return f"tenant:{one}"
    return next((tag for tag in entity.get("tags") or () if tag.startswith("class:")), SHARED)


def unique(kind: Kind, entity: Entity, fields: tuple[str, ...]) -> tuple[Any, ...] | None:
    """What nobody else may have. A single field that is null is no key; of several, null is a value like others."""
    if len(fields) == 1:
        return (kind.name, fields, one) if (one := entity.get(fields[0])) is not None else None
    foreign = kind.foreign
    return (kind.name, fields, *[reference(entity, one) if one in foreign else entity.get(one) for one in fields])


@dataclass(frozen=True, slots=True)
class State:
    """Entities by key; who holds a unique key; who refers to an entity; the keys of an owner."""

    rows: Map[Key, Entity]
    holders: Map[tuple[Any, ...], str]
    users: Map[Key, Map[Key, None]]
    owners: Map[str, Map[Key, None]]

    @classmethod
    def of(cls, entities: Iterable[tuple[str, Entity]]) -> "State":
        """From (kind, entity), all at once."""
        rows: dict[Key, Entity] = {}
        holders: dict[tuple[Any, ...], str] = {}
        users: dict[Key, dict[Key, None]] = defaultdict(dict)
        owners: dict[str, dict[Key, None]] = defaultdict(dict)
        for name, entity in entities:
            kind, key = KINDS[name], (name, entity["id"])
            rows[key] = entity
            owners[owner(entity)][key] = None
            holders.update((one, key[1]) for one in _keys(kind, entity))
            for other in references(kind, entity):
                users[other][key] = None
        return cls(Map(rows), Map(holders), _maps(users), _maps(owners))

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, kind: str, id_: str) -> Entity | None:
        return self.rows.get((kind, id_))

    def find(self, key: tuple[Any, ...] | None) -> str:
        """The id of the entity that holds this key (see `unique`), "" if nobody does."""
        return self.holders.get(key, "") if key else ""

    def referring(self, kind: str, id_: str) -> Iterable[Key]:
        return self.users.get((kind, id_), ())

    def owned(self, name: str) -> Iterable[Key]:
        return self.owners.get(name, ())

    def changed(self, put: Iterable[tuple[str, Entity]] = (), drop: Iterable[Key] = ()) -> "State":
        """With these entities, and without those."""
        state = self
        for key in drop:
            state = state._without(key)
        for name, entity in put:
            state = state._without((name, entity["id"]))._with(KINDS[name], entity)
        return state

    def _with(self, kind: Kind, entity: Entity) -> "State":
        key = (kind.name, str(entity["id"]))
        holders = self.holders.update(dict.fromkeys(_keys(kind, entity), key[1]))
        users = self.users
        for other in references(kind, entity):
            users = users.set(other, users.get(other, Map()).set(key, None))
        mine = owner(entity)
        owners = self.owners.set(mine, self.owners.get(mine, Map()).set(key, None))
        return State(self.rows.set(key, entity), holders, users, owners)

    def _without(self, key: Key) -> "State":
        entity = self.rows.get(key)
        if entity is None:
            return self
        kind, holders = KINDS[key[0]], self.holders
        for one in _keys(kind, entity):
            if holders.get(one) == key[1]:
                holders = holders.delete(one)
        users = self.users
        for other in references(kind, entity):
            users = _less(users, other, key)
        return State(self.rows.delete(key), holders, users, _less(self.owners, owner(entity), key))


def _maps(index: Mapping[Any, dict[Key, None]]) -> Map[Any, Map[Key, None]]:
    return Map((at, Map(found.items())) for at, found in index.items())


def _keys(kind: Kind, entity: Entity) -> Iterator[tuple[Any, ...]]:
    for fields in kind.unique:
        if one := unique(kind, entity, fields):
            yield one


def _less(index: Map[Any, Map[Key, None]], at: Any, key: Key) -> Map[Any, Map[Key, None]]:
    left = index[at].delete(key) if key in index.get(at, ()) else index.get(at, Map())
    return index.set(at, left) if left else index.delete(at) if at in index else index


EMPTY = State.of(())
