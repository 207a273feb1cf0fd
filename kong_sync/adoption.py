"""Which entity in Kong is the one we want: by its natural key first, then by id. Pure; called by `diff`.

Keys before ids: an entity that is there is never deleted and made anew because we would choose another id today (its
counters hang on it, and a key that two ask for in turn would collide on the way). An id that is found under another
key is renamed in place, unless its key names a place (a plugin's route, a group's consumer): that is another entity.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID, uuid5

from kong_sync.answers import CODE
from kong_sync.entities import KINDS, Entity, Kind, label, tenant
from kong_sync.gates import GATES
from kong_sync.states import Key, State, reference, references, unique
from tenants.errors import Problem


class Match:
    """The desired entities and those in Kong, brought together. Remembers what it found; owned by one plan."""

    def __init__(self, desired: State, actual: State) -> None:
        self._desired, self._actual = desired, actual
        self._ids: dict[Key, str] = {}
        self._back: dict[Key, str] = {}

    @property
    def looked(self) -> int:
        return len(self._ids) + len(self._back)

    def id(self, kind: str, id_: str) -> str:
        """The id in Kong of a desired entity, there or to be made."""
        found = self._ids.get((kind, id_))
        if found is None:
            found = self._ids[kind, id_] = self._find(KINDS[kind], id_)
        return found

    def wanted(self, kind: str, id_: str) -> str:
        """The desired entity that one in Kong is, "" if it is none."""
        found = self._back.get((kind, id_))
        if found is None:
            found = self._back[kind, id_] = self._wanted(KINDS[kind], id_)
        return found

    def same(self, key: Key) -> bool:
        """Whether Kong has just this entity by this id: then nothing more is to be looked at."""
        entity = self._desired.rows[key]
        if self._actual.rows.get(key) != entity:
            return False
        if any(self.id(*other) != other[1] for other in references(KINDS[key[0]], entity)):
            return False
        self._ids[key] = self._back[key] = key[1]
        return True

    def entity(self, kind: str, id_: str) -> Entity:
        """A desired entity in the ids of Kong."""
        entity = self._desired.rows[kind, id_]
        changed: dict[str, Any] = {}
        for field, other in KINDS[kind].foreign.items():
            if (old := reference(entity, field)) and (new := self.id(other, old)) != old:
                changed[field] = {"id": new}
        if (mine := self.id(kind, id_)) != id_:
            changed["id"] = mine
        return {**entity, **changed} if changed else entity

    def _find(self, kind: Kind, id_: str) -> str:
        entity = self._desired.get(kind.name, id_)
        if entity is None:
            return id_
        natural = self._natural(kind, entity, self.id)
        if found := self._actual.find(natural):
            return found
        old = self._actual.get(kind.name, id_)
        if old is None or natural is None:
            return id_
        places = any(field in kind.foreign for field in kind.unique[0])
        if not places and not self._desired.find(unique(kind, old, kind.unique[0])):
            return id_
        return self._fresh(kind, id_, natural)

    def _fresh(self, kind: Kind, id_: str, natural: tuple[Any, ...]) -> str:
        while self._actual.get(kind.name, id_):
            id_ = str(uuid5(UUID(id_), repr(natural)))
        return id_

    def _wanted(self, kind: Kind, id_: str) -> str:
        entity = self._actual.rows[kind.name, id_]
        natural = self._natural(kind, entity, self._theirs)
        found = self._desired.find(natural) or id_
        known = self._desired.get(kind.name, found) is not None
        return found if known and self.id(kind.name, found) == id_ else ""

    def _theirs(self, kind: str, id_: str) -> str:
        """The desired id of a reference in Kong; one that is not wanted is nobody's."""
        return self.wanted(kind, id_) or f"not wanted: {id_}" if (kind, id_) in self._actual.rows else id_

    def _natural(self, kind: Kind, entity: Entity, translated: Any) -> tuple[Any, ...] | None:
        if not kind.unique:
            return None
        fields = kind.unique[0]
        changed = {
            field: {"id": translated(kind.foreign[field], old)}
            for field in fields
            if field in kind.foreign and (old := reference(entity, field))
        }
        return unique(kind, {**entity, **changed} if changed else entity, fields)


# -- what cannot be -----------------------------------------------------------------------------------------------


def faults(desired: State, match: Match, others: State, keys: Iterable[Key]) -> Iterator[tuple[Key, Problem]]:
    """Of these desired entities: names that others have, ids that others have, references to nothing, twins."""
    for kind_name, id_ in keys:
        kind, entity = KINDS[kind_name], desired.rows[kind_name, id_]
        for said in _said(desired, others, kind, entity, match):
            name = label(kind, entity)
            yield (kind_name, id_), Problem(CODE, kind.name, name, "", said[0], said[1], tenant=tenant(entity))


def _said(desired: State, others: State, kind: Kind, entity: Entity, match: Match) -> Iterator[tuple[str, str]]:
    for other, id_ in references(kind, entity):
        if (other, id_) not in desired.rows:
            yield f"refers to the {other} {id_}, which is not wanted", "say what it refers to, or leave it out"
    for fields in kind.unique:
        key = unique(kind, entity, fields)
        twin = desired.find(key)
        if twin and twin != entity["id"]:
            yield f"has the same {_named(fields)} as {_who(kind, desired.rows[kind.name, twin])}", "rename one of them"
        if found := others.find(key):
            foreign = _who(kind, others.rows[kind.name, found])
            hint = "rename one of them, or tag the other as ours"
            yield f"has the same {_named(fields)} as {foreign}, which is not ours and is not touched", hint
    foreign_row = others.get(kind.name, match.id(kind.name, entity["id"])) if len(others) else None
    if foreign_row is not None:
        hint = "tag it as ours, or delete it"
        yield f"has the id of {_who(kind, foreign_row)}, which is not ours and is not touched", hint


def _named(fields: tuple[str, ...]) -> str:
    return " and ".join(fields)


def _who(kind: Kind, entity: Entity) -> str:
    tags = ", ".join(entity.get("tags") or ()) or "none"
    return f"{kind.name}/{label(kind, entity)} ({entity['id']}; tags: {tags})"


# -- what waits for what cannot be --------------------------------------------------------------------------------


def closed_over(desired: State, held: Iterable[Key]) -> frozenset[Key]:
    """With all that must not be done without them: what refers to them, and what they protect or carry."""
    found: set[Key] = set()
    todo = [key for key in held if key in desired.rows]
    while todo:
        key = todo.pop()
        if key not in found:
            found.add(key)
            todo.extend(one for one in _dependants(desired, key) if one not in found)
    return frozenset(found)


def _dependants(desired: State, key: Key) -> Iterator[Key]:
    kind, entity = key[0], desired.rows[key]
    yield from desired.referring(*key)
    if kind == "plugins":
        yield from (one for one in references(KINDS[kind], entity) if one[0] != "services")
        if entity["name"] in GATES and not any(references(KINDS[kind], entity)):  # it stands before all routes
            yield from (one for one in desired.rows if one[0] == "routes")
        if service := reference(entity, "service"):
            yield from (user for user in desired.referring("services", service) if user[0] == "routes")
    if kind == "targets":
        yield "upstreams", reference(entity, "upstream")
    if kind == "upstreams":
        rows = desired.rows.items()
        yield from (one for one, row in rows if one[0] == "services" and row.get("host") == entity["name"])
