"""The short form of an entity: what is said beyond the defaults of this Kong. Pure; two entities that mean the same
have the same short form.

Called where a desired state or a mirror is made. The defaults are those of `/schemas/<kind>` and
`/schemas/plugins/<name>`, so what an older setting left behind shows as a difference, and what Kong fills in does not.
Never a difference: stamps, fields that no schema names (the flat `redis_*` twins), the order of sets, a null where the
default is null, the `algorithm` that `hash_on` brings, the `snis` of a certificate (they are entities of their own).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kong_sync.entities import STAMPS, Entity, Kind
from tenants.errors import Refused

Fields = Mapping[str, Mapping[str, Any]]
"""Of a record: what its schema says about each field."""
NEVER_COMPARED: Mapping[str, frozenset[str]] = MappingProxyType({"certificates": frozenset({"snis"})})
ALWAYS_STATED: Mapping[str, Mapping[str, Any]] = MappingProxyType({"targets": MappingProxyType({"weight": 100})})
"""Kong's PUT of a target changes only what is stated."""


def fields_of(schema: Mapping[str, Any]) -> Fields:
    """The fields of a record in the words of `/schemas`, where they are a list of single entries."""
    return {name: about for entry in schema.get("fields") or () for name, about in entry.items()}


@dataclass(frozen=True, slots=True)
class Schemas:
    """What this Kong says of its entities: kind -> fields, and plugin -> fields."""

    kinds: Mapping[str, Fields] = field(default_factory=dict)
    plugins: Mapping[str, Fields] = field(default_factory=dict)

    @classmethod
    def read(cls, kinds: Mapping[str, Mapping[str, Any]], plugins: Mapping[str, Mapping[str, Any]]) -> "Schemas":
        """From the answers of `Admin.schema` and `Admin.plugin_schema`, by name."""
        common = fields_of(kinds.get("plugins", {}))
        made = {name: {**common, **fields_of(schema)} for name, schema in plugins.items()}
        return cls({name: fields_of(schema) for name, schema in kinds.items()}, made)

    def fields(self, kind: Kind, entity: Entity) -> Fields:
        """Raises Refused for what this Kong does not have."""
        found = self.plugins.get(entity["name"]) if kind.name == "plugins" else self.kinds.get(kind.name)
        if found is None:
            wanted = f"the plugin {entity['name']!r}" if kind.name == "plugins" else f"the kind {kind.name}"
            raise Refused(f"no schema of {wanted} was read from this Kong")
        return found

    def wanted(self, kind: Kind, entity: Entity) -> Entity:
        """The short form of an entity that we want. What its schema does not know stays: Kong will say so."""
        made = _finished(kind, dict(_beyond(self.fields(kind, entity), entity, unknown=True)))
        return entity if made == entity else made

    def held(self, kind: Kind, entity: Entity) -> Entity:
        """The short form of an entity as Kong told it."""
        return _finished(kind, dict(_beyond(self.fields(kind, entity), entity, unknown=False)))


def _finished(kind: Kind, entity: dict[str, Any]) -> Entity:
    if entity.get("hash_on", "none") != "none" and entity.get("algorithm") == "consistent-hashing":
        entity.pop("algorithm")
    for name in (*STAMPS, *NEVER_COMPARED.get(kind.name, ())):
        entity.pop(name, None)
    for name in kind.sets:
        if isinstance(found := entity.get(name), list | tuple) and found != (made := sorted(set(found))):
            entity[name] = made
    return {**ALWAYS_STATED.get(kind.name, {}), **entity}


def _beyond(fields: Fields, value: Mapping[str, Any], *, unknown: bool) -> Iterator[tuple[str, Any]]:
    """The fields of a record that are not as their defaults."""
    for name, given in value.items():
        about = fields.get(name)
        if about is None:
            yield from ((name, given),) if unknown else ()
        elif about["type"] == "record" and isinstance(given, Mapping):
            inner = dict(_beyond(fields_of(about), given, unknown=unknown))
            yield from ((name, inner),) if inner else ()
        elif (said := _said(about, given)) != _said(about, about.get("default")):
            yield name, said


def _said(about: Mapping[str, Any], value: Any) -> Any:
    """A value so that equal ones look equal."""
    if isinstance(value, list | tuple):
        items = [_item(about.get("elements") or {}, one) for one in value]
        made = sorted(set(items)) if about["type"] == "set" else items
        return value if value == made else made  # tens of thousands stay in memory: no copy of what is right
    if about["type"] != "foreign" or not isinstance(value, Mapping):
        return value
    return value if len(value) == 1 else {"id": value["id"]}


def _item(about: Mapping[str, Any], value: Any) -> Any:
    if about.get("type") == "record" and isinstance(value, Mapping):
        return dict(_beyond(fields_of(about), value, unknown=True))
    return value
