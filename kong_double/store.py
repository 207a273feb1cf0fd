"""What the double holds: entities by kind and id, with unique keys, references and cascades as a database keeps them.

Changed by `admin` and `dbless` alone. Entities are never changed in place, and `tables` is an immutable map of all of
them: the data plane keeps it as a picture of a moment.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import immutables

from kong_double import refusals
from kong_double.refusals import Json
from kong_sync.entities import KINDS, Kind

Table = immutables.Map[str, Json]
Tables = immutables.Map[str, Table]
EMPTY: Tables = immutables.Map({name: immutables.Map() for name in KINDS})


def reference(entity: Mapping[str, Any], field: str) -> str:
    """The id of the entity that a field refers to, "" if none."""
    return str((entity.get(field) or {}).get("id") or "")


class Store:
    """The database. `tables` is what is in it now."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.tables = EMPTY
        self._order: dict[str, list[str]] = defaultdict(list)
        self._keys: dict[tuple[Any, ...], str] = {}
        self._children: dict[tuple[str, str], dict[tuple[str, str, str], None]] = defaultdict(dict)

    # -- reading ----------------------------------------------------------------------------------------------------

    def get(self, kind: str, id_: str) -> Json | None:
        return self.tables[kind].get(id_)

    def find(self, kind: Kind, values: Mapping[str, Any]) -> Json | None:
        """The entity that holds these values of one of the kind's unique keys."""
        fields = next(fields for fields in kind.unique if set(fields) == set(values))
        id_ = self._keys.get((kind.name, *fields, *_values(fields, values)))
        return self.tables[kind.name][id_] if id_ else None

    def all(self, kind: str) -> Iterator[Json]:
        """In the order of ids."""
        table = self.tables[kind]
        return (table[id_] for id_ in self._order[kind])

    def after(self, kind: str, id_: str) -> Iterator[Json]:
        """Those whose ids are larger."""
        order, table = self._order[kind], self.tables[kind]
        return (table[one] for one in order[bisect_right(order, id_) :])

    def children(self, kind: str, id_: str, child: str, field: str) -> list[Json]:
        """Entities of one kind that refer to this one by this field, in the order of ids."""
        found = [row for row in self._children.get((kind, id_), ()) if row[0] == child and row[1] == field]
        return [self.tables[child][one] for _kind, _field, one in sorted(found)]

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, kind: Kind, entity: Json) -> None:
        """Create or replace by id. Raises Refusal for a reference to nothing and for a key that another has."""
        self._check_references(kind, entity)
        self._check_unique(kind, entity)
        old = self.get(kind.name, entity["id"])
        if old:
            self._unlink(kind, old)
        else:
            insort(self._order[kind.name], entity["id"])
        self._link(kind, entity)
        self._set(kind.name, self.tables[kind.name].set(entity["id"], entity))

    def drop(self, kind: Kind, id_: str) -> None:
        """Delete, with all that goes with it. Raises Refusal if something that does not go with it refers to it."""
        entity = self.get(kind.name, id_)
        if entity is None:
            return
        users = list(self._children.get((kind.name, id_), ()))
        for child, field, _one in users:
            if field not in KINDS[child].cascades:
                raise refusals.referenced(child, kind.name)
        for child, _field, one in users:
            self.drop(KINDS[child], one)
        self._unlink(kind, entity)
        self._order[kind.name].remove(id_)
        self._set(kind.name, self.tables[kind.name].delete(id_))

    def load(self, entities: Iterable[tuple[Kind, Json]]) -> None:
        """Replace everything, at once for whoever looks at `tables`."""
        fresh = Store()
        tables: dict[str, Any] = {name: {} for name in KINDS}
        for kind, entity in entities:
            tables[kind.name][entity["id"]] = entity
            fresh._link(kind, entity)
        fresh._order.update({name: sorted(table) for name, table in tables.items()})
        self._order, self._keys, self._children = fresh._order, fresh._keys, fresh._children
        self.tables = immutables.Map({name: immutables.Map(table) for name, table in tables.items()})

    def _set(self, kind: str, table: Table) -> None:
        self.tables = self.tables.set(kind, table)

    def _check_references(self, kind: Kind, entity: Json) -> None:
        for field, other in kind.foreign.items():
            id_ = reference(entity, field)
            if id_ and id_ not in self.tables[other]:
                raise refusals.dangling(field, other, id_)

    def _check_unique(self, kind: Kind, entity: Json) -> None:
        for fields, key in _keys(kind, entity):
            if self._keys.get(key, entity["id"]) != entity["id"]:
                raise refusals.taken({field: entity.get(field) for field in fields})

    def _link(self, kind: Kind, entity: Json) -> None:
        for _fields, key in _keys(kind, entity):
            self._keys[key] = entity["id"]
        for other, id_, row in _links(kind, entity):
            self._children[other, id_][row] = None

    def _unlink(self, kind: Kind, entity: Json) -> None:
        for _fields, key in _keys(kind, entity):
            self._keys.pop(key, None)
        for other, id_, row in _links(kind, entity):
            self._children[other, id_].pop(row, None)


def _values(fields: tuple[str, ...], entity: Mapping[str, Any]) -> list[Any]:
    return [reference(entity, one) if isinstance(entity.get(one), dict) else entity.get(one) for one in fields]


def _keys(kind: Kind, entity: Json) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """The unique keys of an entity. A single field that is null is no key; of several, null is a value like others."""
    for fields in kind.unique:
        values = _values(fields, entity)
        if len(values) > 1 or values[0] is not None:
            yield fields, (kind.name, *fields, *values)


def _links(kind: Kind, entity: Json) -> Iterator[tuple[str, str, tuple[str, str, str]]]:
    for field, other in kind.foreign.items():
        if id_ := reference(entity, field):
            yield other, id_, (kind.name, field, entity["id"])
