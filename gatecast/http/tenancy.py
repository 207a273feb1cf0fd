"""Routes about one tenant: the settings in force with where they come from, its resources, and parity."""

import asyncio
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Response

from gatecast.answers import answer
from gatecast.faults import Error
from gatecast.http.described import fails
from gatecast.kong_entities import entities
from gatecast.offline import resources as built
from gatecast.plane import Plane
from gatecast.views import View, quiet
from kong_sync.plugins import ROWS as KONG
from tenants.catalog import Catalog
from tenants.documents import Gateway, Tenant
from tenants.effective import RouteView, TenantView, provenance, serves, view
from tenants.keysets.source import Source
from tenants.policies import POLICIES
from tenants.store import redacted
from xds import messages
from xds.translate.parity import Level, Parity, parity

Scope = Annotated[str, Query(max_length=200, description="`gateway.<id>`; `*` stands for any part of the id")]


class EffectiveField(View):
    """One field of one policy, with the document that says it."""

    path: str
    value: Any
    kind: str
    id: str


class EffectiveRoute(View):
    """What holds for a tenant on one route. `services` have their share in percent."""

    route: str
    services: Mapping[str, int]
    policies: Mapping[str, Any]
    fields: tuple[EffectiveField, ...]


class EffectiveGateway(View):
    """What holds for a tenant on one gateway, the most special route first."""

    gateway: str
    routes: tuple[EffectiveRoute, ...]


class Effective(View):
    """What holds for a tenant, and who says so. `revision` is that of the settings in force."""

    tenant: str
    revision: int
    gateways: tuple[EffectiveGateway, ...]


class OwnResource(View):
    """One resource of Envoy in Envoy's own JSON form."""

    gateway: str
    type: str
    name: str
    resource: dict[str, Any]


class OwnEntity(View):
    """One entity of Kong as it is written to its Admin API; `kind` is Kong's own name of it."""

    gateway: str
    kind: str
    name: str
    entity: dict[str, Any]


class OwnResources(View):
    """What a tenant comes to: its own resources, and the clusters that it uses. `entities`: what it needs in a Kong, as
    if it were the only tenant there.
    """

    tenant: str
    revision: int
    resources: tuple[OwnResource, ...]
    entities: tuple[OwnEntity, ...]


class ParityView(View):
    """How one policy in force is enforced by one proxy: `exact`, `approximate` or `unsupported`, and why."""

    gateway: str
    proxy: str
    policy: str
    parity: str
    why: str
    routes: tuple[str, ...]


class ParityPage(View):
    """Every policy in force of a tenant."""

    tenant: str
    revision: int
    policies: tuple[ParityView, ...]


def routes(plane: Plane) -> APIRouter:
    """Of this plane."""
    router = APIRouter(tags=["tenants"])

    @router.get("/tenants/{id}/effective", response_model=Effective, responses=fails(404))
    async def effective(id: str, route: str = "") -> Response:
        """The settings in force for a tenant, each field with the document that says it."""
        return _shown(plane.catalog, id, route, "*")

    @router.get("/settings/effective", response_model=Effective, responses=fails(404))
    async def scoped(tenant: str, scope: Scope = "gateway.*", route: str = "") -> Response:
        """The same, for the gateways of `scope`."""
        kind, dot, pattern = scope.partition(".")
        if kind != "gateway" or not dot:
            raise Error(422, "invalid_parameter", f"scope: {scope!r} is not known: gateway.<id>, or gateway.*")
        return _shown(plane.catalog, tenant, route, pattern)

    @router.get("/tenants/{id}/resources", response_model=OwnResources, responses=fails(404))
    async def resources(id: str) -> Response:
        """The resources of Envoy and the entities of Kong that a tenant comes to; secrets are not shown."""
        catalog, keys = plane.catalog, plane.supplies.keys
        one = _tenant(catalog, id)
        found = await asyncio.to_thread(lambda: tuple(_resources(catalog, one)))
        there = await asyncio.to_thread(lambda: tuple(_entities(catalog, one, keys)))
        return answer(OwnResources(tenant=id, revision=catalog.revision, resources=found, entities=there))

    @router.get("/tenants/{id}/parity", response_model=ParityPage, responses=fails(404))
    async def likeness(id: str) -> Response:
        """How each policy in force is enforced by each gateway."""
        catalog = plane.catalog
        one = _tenant(catalog, id)
        found = [row for gateway in _gateways(catalog, one) for row in _parity(view(catalog, gateway, one))]
        return answer(ParityPage(tenant=id, revision=catalog.revision, policies=tuple(found)))

    return router


def _shown(catalog: Catalog, tenant: str, route: str, pattern: str) -> Response:
    one = _tenant(catalog, tenant)
    if route and route not in catalog.routes:
        raise Error(404, "not_found", f"there is no route {route!r} in force")
    found = [_effective(catalog, gateway, one, route) for gateway in _gateways(catalog, one, pattern)]
    return answer(Effective(tenant=tenant, revision=catalog.revision, gateways=tuple(found)))


def _tenant(catalog: Catalog, id: str) -> Tenant:
    found = catalog.tenants.get(id)
    if found is None:
        raise Error(404, "not_found", f"there is no tenant {id!r} in force")
    return found


def _gateways(catalog: Catalog, tenant: Tenant, pattern: str = "*") -> Iterator[Gateway]:
    for name in sorted(catalog.gateways):
        if fnmatchcase(name, pattern) and serves(catalog.gateways[name], tenant):
            yield catalog.gateways[name]


def _effective(catalog: Catalog, gateway: Gateway, tenant: Tenant, route: str) -> EffectiveGateway:
    seen = view(catalog, gateway, tenant)
    wanted = [one for one in seen.routes if route in ("", one.route.id)]
    return EffectiveGateway(gateway=gateway.id, routes=tuple(_route(catalog, gateway, tenant, one) for one in wanted))


def _route(catalog: Catalog, gateway: Gateway, tenant: Tenant, one: RouteView) -> EffectiveRoute:
    said = one.policies.model_dump(mode="json", by_alias=True, exclude_none=True)
    shown = redacted(said)
    found = provenance(catalog, gateway.id, tenant.id, one.route.id)
    fields = tuple(
        EffectiveField(path=path, value=_at(shown, path), kind=key.kind, id=key.id) for path, key in found.items()
    )
    services = {backend.service: backend.weight for backend in one.backends}
    return EffectiveRoute(route=one.route.id, services=services, policies=shown, fields=fields)


def _at(value: Any, path: str) -> Any:
    """The value under a dotted path; the names of headers may have dots themselves. None for what does not merge."""
    if not path or not isinstance(value, Mapping):
        return value if not path else None
    parts = path.split(".")
    ends = range(1, len(parts) + 1)
    name, end = next(((".".join(parts[:end]), end) for end in ends if ".".join(parts[:end]) in value), ("", 0))
    return _at(value[name], ".".join(parts[end:])) if end else None


def _resources(catalog: Catalog, tenant: Tenant) -> Iterator[OwnResource]:
    for gateway in _gateways(catalog, tenant):
        for one in built(catalog, gateway, tenant):
            body = quiet(messages.to_dict(one.message))
            yield OwnResource(gateway=gateway.id, type=one.kind, name=one.name, resource=body)


def _entities(catalog: Catalog, tenant: Tenant, keys: Mapping[Source, str]) -> Iterator[OwnEntity]:
    for gateway in _gateways(catalog, tenant):
        for one in entities(catalog, gateway, tenant, keys):
            yield OwnEntity(gateway=gateway.id, kind=one.kind, name=one.name, entity=one.entity)


def _parity(seen: TenantView) -> Iterator[ParityView]:
    """A row for each policy and each way it is enforced, with the routes where it is so."""
    found: dict[tuple[str, str, Parity], list[str]] = {}
    proxies = ("envoy", "kong") if seen.gateway.kong else ("envoy",)
    for one, policy, proxy in product(seen.routes, POLICIES, proxies):
        if (value := getattr(one.policies, policy)) is not None:
            how = parity(policy, value, seen.gateway) if proxy == "envoy" else _in_kong(policy)
            found.setdefault((proxy, policy, how), []).append(one.route.id)
    for (proxy, policy, how), names in found.items():
        yield ParityView(
            gateway=seen.gateway.id, proxy=proxy, policy=policy, parity=how.level, why=how.why, routes=tuple(names)
        )  # fmt: skip


def _in_kong(policy: str) -> Parity:
    level, _, why = KONG[policy].parity.partition(": ")
    return Parity(cast(Level, level), why)
