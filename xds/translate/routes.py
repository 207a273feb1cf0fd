"""One tenant on one gateway: its scopes (SRDS), its route table (RDS), the clusters it needs.

Each tenant has a table of its own, so a change of one costs Envoy one small table and resets nobody else's rate limit.
Routes that come to the same for many tenants are built once (`_entries`).
"""

from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message

from tenants.documents import Route as RouteDocument
from tenants.effective import TenantView
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
from xds.translate.uses import Specs, specs_of

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
_OFF = object()
"""What a route says about a policy in place of a value: what the tenant's whole table says; or, against it, none."""


def tenant(view: TenantView) -> tuple[tuple[Built, ...], frozenset[ClusterSpec]]:
    """Scopes and route table, and the clusters they need. Nothing for a tenant that no request can name here."""
    name = view.tenant.id
    keys = view.tenant.hosts if view.gateway.tenant.source == "host" else (name,)
    if not keys:
        return (), frozenset()
    specs = specs_of(view)
    table = _table(view, specs)
    used = frozenset(spec.name for one in specs for spec, _weight in one)
    scopes = tuple(Built("SRDS", key, _scope(key, name), frozenset({name}), owner=name) for key in keys)
    return (*scopes, Built("RDS", name, table, used, owner=name)), frozenset(spec for one in specs for spec, _ in one)


def _scope(key: str, table: str) -> Message:
    """Named by its key: a host that moves to another tenant is one resource that changes, never two that clash."""
    fragments = ScopeKey(fragments=[ScopeFragment(string_key=key)])
    return ScopedRouteConfiguration(name=key, route_configuration_name=table, key=fragments)


def _table(view: TenantView, specs: Specs) -> Message:
    routes = [answers.suspended(view.tenant.id)] if view.tenant.status == "suspended" else _routes(view, specs)
    configs = {} if view.tenant.status == "suspended" else _shared(view.policies)
    everywhere = VirtualHost(name=view.tenant.id, domains=["*"], routes=routes, typed_per_filter_config=configs)
    return RouteConfiguration(
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
        mine = zip(_NAMES, _values(route.policies), strict=True)
        said = tuple(
            _beside(theirs[name], value, name in apart) if name in _FILTERED else value for name, value in mine
        )
        routes.extend(_entries(route.route, tuple((spec.name, weight) for spec, weight in one), said))
    return [*routes, _last(view.policies)]


def _beside(theirs: Any, value: Any, apart: bool) -> Any:
    """A route's value beside its tenant's. What an override names (`apart`) is the route's own: a bucket of its own."""
    if value is None:
        return None if theirs is None else _OFF
    return _AS_TENANT if not apart and (value is theirs or value == theirs) else value


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
    if policies["cors"] in (None, _OFF) or not (match.methods or match.headers or policies["required_headers"]):
        return []
    own = {CORS: configs[CORS]} if CORS in configs else None
    return [Route(name=document.id, match=preflights(match), route=action, typed_per_filter_config=own)]


def _configs(policies: dict[str, Any]) -> dict[str, Message]:
    said = ((row, policies[row.policy]) for row in BY_FILTER)
    return {
        row.filter: config_of(row.policy, None if value is _OFF else value)
        for row, value in said
        if value is not None and value is not _AS_TENANT
    }


def _edits(policies: dict[str, Any]) -> Edits:
    """The header changes of all policies in force; `cors` needs no value for its own."""
    said = ((row, policies[row.policy]) for row in BY_EDITS)
    found = [row.edits(value) for row, value in said if row.edits and value is not None and value is not _OFF]
    return Edits(*(tuple(chain.from_iterable(part)) for part in zip(*found, strict=True))) if found else Edits()


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
