"""What one tenant comes to in a Kong, without one: `GET /tenants/{id}/resources` and `gatecast translate --to kong`.

As if the tenant were the only one: what tenants share has no others here, and is named as where nobody shares it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from immutables import Map

from kong_sync import model
from kong_sync.entities import KINDS, Entity, label
from kong_sync.model import World
from kong_sync.summary import HIDDEN, secret
from kong_sync.translate import translate
from tenants.catalog import Catalog
from tenants.documents import Gateway, Tenant
from tenants.effective import serves, view
from tenants.keysets.source import Source
from tenants.store import redacted
from xds.translate import settings

TRANSFORMERS = ("request-transformer", "response-transformer")


class Own(NamedTuple):
    """One entity. `entity` is as it is written to Kong, with secrets hidden."""

    kind: str
    name: str
    entity: dict[str, Any]


def entities(catalog: Catalog, gateway: Gateway, tenant: Tenant, keys: Mapping[Source, str]) -> tuple[Own, ...]:
    """All that a tenant needs on a gateway, but for what is there without any tenant. `keys`: those of issuers, as far
    as they are known; without them there are no credentials.
    """
    if not gateway.kong or not serves(gateway, tenant):
        return ()
    world = World(gateway, catalog.services, catalog.routes)
    for source, text in keys.items():
        built = settings.key_set(source, text)
        world = world.with_shared(built.name, model.shared(built.message.SerializeToString()))
    said = settings.tenant(view(catalog, gateway, tenant), frozenset())
    told = {one.name: model.tenant(one.message.SerializeToString()) for one in said}
    alone, nobody = translate(world.with_tenants(told)).entities, translate(world).entities
    return tuple(_shown(alone, nobody))


def _shown(found: Map[tuple[str, str], Entity], without: Map[tuple[str, str], Entity]) -> Iterator[Own]:
    for kind in KINDS.values():
        rows = ((label(kind, row), row) for key, row in found.items() if key[0] == kind.name and key not in without)
        for name, row in sorted(rows, key=lambda one: one[0]):
            yield Own(kind.name, name, {field: _quiet(kind.name, row, field) for field in row})


def _quiet(kind: str, row: Entity, field: str) -> Any:
    """A field without what is secret in it."""
    value = row[field]
    if field in KINDS[kind].secrets:
        return HIDDEN
    if kind == "plugins" and field == "config":
        headers = row["name"] in TRANSFORMERS
        return {name: HIDDEN if secret(name) and one is not None else _values(one) if headers else one
                for name, one in value.items()}  # fmt: skip
    return value


def _values(change: Any) -> Any:
    """`add: {headers: ["name:value"]}`: the values of headers that carry secrets are hidden."""
    if not isinstance(change, Mapping):
        return change
    return {part: [_value(one) for one in listed] for part, listed in change.items()}


def _value(text: str) -> str:
    name, colon, value = text.partition(":")
    return f"{name}:{redacted({name: value})[name]}" if colon else text
