"""What a tenant's settings come to: the merge of all documents that speak about it. Called by checks and translation.

`Gateway.policies` < `Organisation.policies` < `Route.policies` < `Tenant.policies` < `Tenant.routes[route].policies`,
by RFC 7396 on each policy: objects merge, lists replace, null switches off. Merges are kept by content in bounded
caches, so 10,000 tenants that share a gateway merge its part once.

A document is accepted only if what it says merges. It can stop merging later, when a document it inherits from changes;
then the most specific layers are left out until the rest is valid, and if the policy keeps somebody out (jwt, access,
authz) the route answers 503 instead: closed, never opened. The problem is listed either way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from immutables import Map
from pydantic import TypeAdapter, ValidationError

from tenants.documents import Gateway, Key, Organisation, Override, Route, Tenant
from tenants.faults import Fault, policy_faults
from tenants.matching import ordered
from tenants.policies import POLICIES, Maintenance, Policies
from tenants.served import Served

Given = Map[str, Any]
_NONE: Given = Map()
_ADAPTERS = {name: TypeAdapter[Any](cast(Any, field.annotation)) for name, field in Policies.model_fields.items()}
_CLOSED = Maintenance(status=503, message="The settings of this path are being corrected.")


@dataclass(frozen=True, slots=True)
class Backend:
    """A service and its share of the requests, in percent."""

    service: str
    weight: int


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route as one tenant has it. `own` names the policies that the Tenant document itself speaks about."""

    route: Route
    backends: tuple[Backend, ...]
    policies: Policies
    own: frozenset[str]


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant on one gateway; `policies` is what holds where no route matches; routes are most specific first."""

    gateway: Gateway
    tenant: Tenant
    policies: Policies
    routes: tuple[RouteView, ...]
    organisation: Organisation | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy merged: its value (None: there is none), and the faults of the whole merge, if it has any."""

    value: Any
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """What everybody shares on one route: the layers by policy, most specific last, and what they come to.

    `faulty` are the policies that do not merge.
    """

    layers: Given
    policies: Policies
    faulty: frozenset[str]


def view(catalog: Served, gateway: Gateway, tenant: Tenant) -> TenantView:
    """The tenant's settings on this gateway, with every route."""
    inherited = _inherited(catalog, tenant)
    policies = _policies(gateway.policies, inherited, _NONE, tenant.policies, _NONE)
    routes = tuple(_routes(catalog, gateway, tenant, inherited))
    return TenantView(gateway, tenant, policies, routes, catalog.organisations.get(tenant.organisation or ""))


def _routes(catalog: Served, gateway: Gateway, tenant: Tenant, inherited: Given) -> list[RouteView]:
    views, own = [], frozenset(tenant.policies)
    seen: dict[Given, Policies] = {}  # most routes say the same about policies: nothing
    for route in ordered(catalog.routes):
        override = tenant.routes.get(route.id)
        if override is None:
            if route.policies not in seen:
                seen[route.policies] = _policies(gateway.policies, inherited, route.policies, tenant.policies, _NONE)
            views.append(RouteView(route, _shares(route), seen[route.policies], own))
            continue
        policies = _policies(gateway.policies, inherited, route.policies, tenant.policies, override.policies)
        named = own | frozenset(override.policies)
        views.append(RouteView(route, backends(route, override), policies, named))
    return views


def backends(route: Route, override: Override | None) -> tuple[Backend, ...]:
    """The services that answer, in the order they are written."""
    said = override if override is not None and (override.service or override.split) else route
    if said.split:
        return tuple(Backend(share.service, share.weight) for share in said.split)
    return (Backend(said.service or "", 100),)


@lru_cache(maxsize=4096)
def _shares(route: Route) -> tuple[Backend, ...]:
    return backends(route, None)


def _inherited(catalog: Served, tenant: Tenant) -> Given:
    organisation = catalog.organisations.get(tenant.organisation) if tenant.organisation else None
    return organisation.policies if organisation else _NONE


def _policies(gateway: Given, organisation: Given, route: Given, tenant: Given, override: Given) -> Policies:
    shared = base(gateway, organisation, route)
    if not tenant and not override:
        return shared.policies
    merged = {
        name: outcome(name, layers(name, shared, tenant, override)) for name in frozenset(tenant) | frozenset(override)
    }
    faulty = (shared.faulty - merged.keys()).union(name for name, one in merged.items() if one.faults)
    return _closed(shared.policies.model_copy(update={name: one.value for name, one in merged.items()}), faulty)


def _closed(policies: Policies, faulty: frozenset[str]) -> Policies:
    """The policies, closed to everyone if one of them should keep somebody out and cannot."""
    if not any(POLICIES[name].guards for name in faulty):
        return policies
    return policies.model_copy(update={"maintenance": _CLOSED})


def layers(name: str, shared: Base, tenant: Given, override: Given) -> tuple[Any, ...]:
    """Everything said about one policy, most specific last."""
    said: tuple[Any, ...] = shared.layers.get(name, ())
    if name in tenant:
        said = (*said, tenant[name])
    return (*said, override[name]) if name in override else said


@lru_cache(maxsize=4096)
def base(gateway: Given, organisation: Given, route: Given) -> Base:
    """The part of the merge that tenants share."""
    names = frozenset(gateway) | frozenset(organisation) | frozenset(route)
    said = {name: tuple(layer[name] for layer in (gateway, organisation, route) if name in layer) for name in names}
    merged = {name: outcome(name, layers) for name, layers in said.items()}
    policies = Policies().model_copy(update={name: one.value for name, one in merged.items()})
    faulty = frozenset(name for name, one in merged.items() if one.faults)
    return Base(Map(said), _closed(policies, faulty) if faulty else policies, faulty)


@lru_cache(maxsize=32768)
def outcome(name: str, layers: tuple[Any, ...]) -> Outcome:
    """One policy from its layers; with faults, the value is that of as many layers as are valid."""
    value: Any = None
    for layer in layers:
        value = patched(value, layer) if isinstance(layer, Map) else plain(layer)
    if value is None:
        return Outcome(None)
    try:
        return Outcome(_ADAPTERS[name].validate_python(value))
    except ValidationError as error:
        return Outcome(outcome(name, layers[:-1]).value, policy_faults(name, error))


def patched(value: Any, patch: Given) -> dict[str, Any]:
    """RFC 7396: plain JSON with a frozen patch laid over it."""
    merged = dict(value) if isinstance(value, dict) else {}
    for name, item in patch.items():
        if isinstance(item, Map):
            merged[name] = patched(merged.get(name), item)
        elif item is not None:
            merged[name] = plain(item)
        else:
            merged.pop(name, None)
    return merged


def plain(value: Any) -> Any:
    """Frozen JSON as dicts and tuples, which pydantic reads several times faster than Maps."""
    if isinstance(value, Map):
        return {name: plain(item) for name, item in value.items()}
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


def serves(gateway: Gateway, tenant: Tenant) -> bool:
    """Whether the gateway serves the tenant: it names nobody, or the tenant, or its organisation."""
    if not gateway.tenants and not gateway.organisations:
        return True
    return tenant.id in gateway.tenants or tenant.organisation in gateway.organisations


def gateway_of(catalog: Served, node_cluster: str) -> Gateway | None:
    """The gateway a proxy belongs to: the one its `node.cluster` names, or the only one there is."""
    if len(catalog.gateways) == 1:
        return next(iter(catalog.gateways.values()))
    return catalog.gateways.get(node_cluster)


def provenance(catalog: Served, gateway_id: str, tenant_id: str, route_id: str) -> Mapping[str, Key]:
    """For each policy field in force ("rate_limit.requests") the document that set it; empty if an id is unknown."""
    gateway, tenant = catalog.gateways.get(gateway_id), catalog.tenants.get(tenant_id)
    route = catalog.routes.get(route_id)
    if gateway is None or tenant is None or route is None:
        return {}
    organisation = catalog.organisations.get(tenant.organisation) if tenant.organisation else None
    override = tenant.routes.get(route_id)
    said = [(document.key, document.policies) for document in (gateway, organisation, route, tenant) if document]
    if override:
        said.append((tenant.key, override.policies))
    found: dict[str, Key] = {}
    for key, policies in said:
        for name in sorted(policies):
            _trace(found, name, policies[name], key)
    return dict(sorted(found.items()))


def _trace(found: dict[str, Key], path: str, value: Any, key: Key) -> None:
    inner = isinstance(value, Map) and path not in found
    if inner:
        for name in sorted(value):
            _trace(found, f"{path}.{name}", value[name], key)
        return
    for old in [name for name in found if name == path or name.startswith(f"{path}.")]:
        del found[old]
    if isinstance(value, Map):
        _trace(found, path, value, key)
    elif value is not None:
        found[path] = key
