"""One tenant on one gateway: its scopes (SRDS), its route table (RDS), the clusters it needs. Called by `xds.builder` and the CLI.

Each tenant has a table of its own, so a change of one costs Envoy one small table and resets nobody else's rate limit.
Routes that come to the same for many tenants are built once (`_entries`).
"""

from functools import lru_cache
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message

from tenants.documents import Route as RouteDocument
from tenants.effective import RouteView, TenantView
from tenants.policies import Policies
from xds import messages
from xds.translate import answers
from xds.translate.actions import Targets, rewrite, to
from xds.translate.built import Built, ClusterSpec
from xds.translate.edits import Edits
from xds.translate.filters import BY_ACTION, BY_EDITS, BY_FILTER, CORS, ROWS, config_of
from xds.translate.matches import everything, preflights, takes
from xds.translate.selectors import HOST_HEADER
from xds.translate.support import unenforced

_ROUTE = "envoy.config.route.v3."
Route = messages.message(_ROUTE + "Route")
RouteAction = messages.message(_ROUTE + "RouteAction")
RouteConfiguration = messages.message(_ROUTE + "RouteConfiguration")
VirtualHost = messages.message(_ROUTE + "VirtualHost")
ScopedRouteConfiguration = messages.message(_ROUTE + "ScopedRouteConfiguration")
ScopeKey = messages.message(_ROUTE + "ScopedRouteConfiguration.Key")
ScopeFragment = messages.message(_ROUTE + "ScopedRouteConfiguration.Key.Fragment")
UInt32Value = messages.message("google.protobuf.UInt32Value")

BODY_BYTES = 16_384
"""The longest answer a route may give; the longest our documents can ask for is below it."""

_NAMES = tuple(name for name, row in ROWS.items() if row.elsewhere != "clusters")
_values = attrgetter(*_NAMES)
_FILTERED = frozenset(row.policy for row in BY_FILTER)
_AS_TENANT = object()
"""Stands for a policy that the tenant's whole table has already."""


def tenant(view: TenantView) -> tuple[tuple[Built, ...], frozenset[ClusterSpec]]:
    """Scopes and route table, and the clusters they need. Nothing for a tenant that no request can name here."""
    name = view.tenant.id
    keys = view.tenant.hosts if view.gateway.tenant.source == "host" else (name,)
    if not keys:
        return (), frozenset()
    specs = _specs(view)
    table = _table(view, specs)
    used = frozenset(spec.name for one in specs for spec, _weight in one)
    scopes = tuple(Built("SRDS", key, _scope(key, name), frozenset({name}), owner=name) for key in keys)
    return (*scopes, Built("RDS", name, table, used, owner=name)), frozenset(spec for one in specs for spec, _ in one)


def _scope(key: str, table: str) -> Message:
    """Named by its key, so that a host which moves to another tenant is one resource that changes, never two that clash."""
    fragments = ScopeKey(fragments=[ScopeFragment(string_key=key)])
    return ScopedRouteConfiguration(name=key, route_configuration_name=table, key=fragments)  # type: ignore[no-any-return]


Specs = tuple[tuple[tuple[ClusterSpec, int], ...], ...]
"""For each route, its clusters and their shares."""


def _specs(view: TenantView) -> Specs:
    if view.tenant.status == "suspended":
        return ()
    found = tuple(
        tuple((_spec(view, route, backend.service), backend.weight) for backend in route.backends) for route in view.routes
    )
    return _told_apart(view, found)


def _spec(view: TenantView, route: RouteView, service: str) -> ClusterSpec:
    limits, outlier = route.policies.circuit_breaker, route.policies.outlier
    if limits is None and outlier is None:
        return ClusterSpec(service)
    own = "circuit_breaker" in route.own or "outlier" in route.own
    return ClusterSpec(service, view.tenant.id if own else "", limits, outlier)


def _told_apart(view: TenantView, found: Specs) -> Specs:
    """Of several own clusters of one service, the one with the tenant's general limits keeps the plain name."""
    owned = {spec for one in found for spec, _weight in one if spec.owner}
    if len(owned) < 2:
        return found
    several = {spec.service for spec in owned if sum(other.service == spec.service for other in owned) > 1}
    plain = (view.policies.circuit_breaker, view.policies.outlier)

    def named(spec: ClusterSpec) -> ClusterSpec:
        further = spec in owned and spec.service in several and (spec.circuit_breaker, spec.outlier) != plain
        return ClusterSpec(spec.service, spec.owner, spec.circuit_breaker, spec.outlier, further)

    return tuple(tuple((named(spec), weight) for spec, weight in one) for one in found)


def _table(view: TenantView, specs: Specs) -> Message:
    routes = [answers.suspended(view.tenant.id)] if view.tenant.status == "suspended" else _routes(view, specs)
    configs = {} if view.tenant.status == "suspended" else _shared(view.policies)
    everywhere = VirtualHost(name=view.tenant.id, domains=["*"], routes=routes, typed_per_filter_config=configs)
    return RouteConfiguration(  # type: ignore[no-any-return]
        name=view.tenant.id,
        virtual_hosts=[everywhere],
        request_headers_to_remove=[HOST_HEADER] if view.gateway.tenant.source == "host" else [],
        max_direct_response_body_size_bytes=UInt32Value(value=BODY_BYTES),
    )


def _shared(policies: Policies) -> dict[str, Message]:
    """What the whole table has: one rate limit for all routes of the tenant is one bucket."""
    said = ((row, getattr(policies, row.policy)) for row in BY_FILTER)
    return {row.filter: config_of(row.policy, value) for row, value in said if value is not None}


def _routes(view: TenantView, specs: Specs) -> list[Message]:
    theirs = dict(zip(_NAMES, _values(view.policies), strict=True))
    selector = view.gateway.tenant
    routes = [answers.wrong_tenant(selector.name or "", view.tenant.id)] if selector.source == "header" else []
    for route, one in zip(view.routes, specs, strict=True):
        override = view.tenant.routes.get(route.route.id)
        apart = frozenset(override.policies) if override else frozenset()
        said = tuple(
            _AS_TENANT if name in _FILTERED and name not in apart and _same(value, theirs[name]) else value
            for name, value in zip(_NAMES, _values(route.policies), strict=True)
        )
        routes.extend(_entries(route.route, tuple((spec.name, weight) for spec, weight in one), said))
    return [*routes, _last(view.policies)]


def _same(one: Any, other: Any) -> bool:
    return one is other or one == other


@lru_cache(maxsize=16384)
def _entries(document: RouteDocument, targets: Targets, said: tuple[Any, ...]) -> tuple[Message, ...]:
    """A route with what stands ahead of it."""
    policies = dict(zip(_NAMES, said, strict=True))
    configs = _configs(policies)
    edits = _edits(policies)
    open_to = {name: config for name, config in configs.items() if name == ROWS["access"].filter}
    if missing := unenforced(policies):
        return (answers.closed(document.id, takes(document.match), missing, edits),)
    if policies["maintenance"] is not None:
        match = takes(document.match)
        return (answers.maintenance(document.id, match, policies["maintenance"], open_to, edits),)
    action = RouteAction(**to(targets), **rewrite(document.rewrite, document.match), **_fields(policies))
    real = Route(
        name=document.id, match=takes(document.match), route=action, typed_per_filter_config=configs, **edits._asdict()
    )
    required = policies["required_headers"] or ()
    return (
        *_preflights(document, policies, action, configs),
        *answers.refusals(document.id, document.match, required, open_to, edits),
        real,
    )


def _preflights(
    document: RouteDocument, policies: dict[str, Any], action: Message, configs: dict[str, Message]
) -> list[Message]:
    """A route for preflights alone, where the real one would not take them, or a refusal would.

    Envoy's CORS filter answers them before they are sent anywhere, but works on routes that send somewhere only.
    """
    match = document.match
    if policies["cors"] is None or not (match.methods or match.headers or policies["required_headers"]):
        return []
    own = {CORS: configs[CORS]} if CORS in configs else None
    return [Route(name=document.id, match=preflights(match), route=action, typed_per_filter_config=own)]


def _configs(policies: dict[str, Any]) -> dict[str, Message]:
    return {
        row.filter: config_of(row.policy, policies[row.policy])
        for row in BY_FILTER
        if policies[row.policy] is not _AS_TENANT
    }


def _edits(policies: dict[str, Any]) -> Edits:
    found = [row.edits(policies[row.policy]) for row in BY_EDITS if row.edits and policies[row.policy] is not None]
    return Edits(*(sum(part, ()) for part in zip(*found, strict=True))) if found else Edits()


def _fields(policies: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for row in BY_ACTION:
        if row.action and policies[row.policy] is not None:
            fields |= row.action(policies[row.policy])
    return fields


@lru_cache(maxsize=4096)
def _last(policies: Policies) -> Message:
    said = dict(zip(_NAMES, _values(policies), strict=True))
    if policies.maintenance is not None:
        return answers.maintenance("maintenance", everything(), policies.maintenance, {}, _edits(said))
    return answers.not_found(_edits(said))
