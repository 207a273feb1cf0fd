"""One tenant on one gateway: its scopes (SRDS), its route table (RDS), the clusters it needs.

Each tenant has a table of its own, so a change of one costs Envoy one small table and resets nobody else's rate limit.
Routes that come to the same for many tenants are built once (`_entries`).
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message

from tenants.documents import Route as RouteDocument
from tenants.effective import TenantView
from tenants.policies import Authz, Cors, Policies
from xds import messages
from xds.translate import answers, authz, quotas
from xds.translate.actions import Targets, rewrite, to
from xds.translate.body_limits import ARRIVED_HEADER
from xds.translate.built import Built, ClusterSpec
from xds.translate.edits import Edits
from xds.translate.filters import (
    BY_ACTION,
    BY_EDITS,
    BY_FILTER,
    BY_NAME,
    CORS,
    GUARDS,
    ROWS,
    action_of,
    configs_of,
    open_late,
)
from xds.translate.jwt import Provider
from xds.translate.marks import mark
from xds.translate.matches import everything, preflights, taken
from xds.translate.on_demand import late, patience
from xds.translate.pages import readable
from xds.translate.quotas import Shared
from xds.translate.selectors import selection
from xds.translate.tokens import Guard, unclaimed
from xds.translate.uses import Needs, Specs, specs_of

_ROUTE = "envoy.config.route.v3."
Route = messages.message(_ROUTE + "Route")
RouteAction = messages.message(_ROUTE + "RouteAction")
RouteConfiguration = messages.message(_ROUTE + "RouteConfiguration")
ScopedRouteConfiguration = messages.message(_ROUTE + "ScopedRouteConfiguration")
ScopeKey = messages.message(_ROUTE + "ScopedRouteConfiguration.Key")
ScopeFragment = messages.message(_ROUTE + "ScopedRouteConfiguration.Key.Fragment")
UInt32Value = messages.message("google.protobuf.UInt32Value")

# The longest answer a route may give; Envoy's 4 KiB is less than documents can ask for.
_BODY_BYTES = UInt32Value(value=16_384)

_FILTERED = tuple(row.policy for row in BY_FILTER)
_PLAIN = tuple(name for name, row in ROWS.items() if row not in BY_FILTER and row.elsewhere != "clusters")
_NAMES = _FILTERED + _PLAIN
_NAMED = frozenset(row.policy for row in BY_NAME)
_LIMIT = _FILTERED.index("rate_limit")
_filtered = attrgetter(*_FILTERED)
_plain = attrgetter(*_PLAIN)
_AS_TENANT = object()
"""What a route says about a policy in place of a value: what the tenant's whole table says."""


@dataclass(frozen=True, slots=True)
class _Against:
    """What a route says against its tenant's table: another value, or None for none."""

    value: Any
    theirs: Any


Said = Mapping[str, Any]
"""What a route says, by policy."""


def tenant(view: TenantView) -> tuple[tuple[Built, ...], Needs]:
    """Scopes and route table, and what they need. Nothing for a tenant that no request can name here."""
    name = view.tenant.id
    keys = view.tenant.hosts if view.gateway.tenant.source == "host" else (name,)
    if not keys:
        return (), Needs()
    specs, demands = specs_of(view), _Demands(view)
    table = _table(view, specs, demands)
    clusters = frozenset(spec for one in specs for spec, _weight in one) | frozenset(map(ClusterSpec, demands.asked))
    needs = Needs(clusters, demands.providers)
    used = frozenset(spec.name for spec in needs.clusters) | frozenset(one.part for one in needs.providers)
    lazy = view.gateway.on_demand
    scopes = tuple(Built("SRDS", key, scope(key, name, on_demand=lazy), frozenset({name}), owner=name) for key in keys)
    return (*scopes, Built("RDS", name, table, used, owner=name), *quotas.resource(demands.limits)), needs


class _Demands:
    """What the rows demand of one tenant's requests, the token providers and authorization servers that takes, and the
    limits that somebody else counts. Lives as long as one call.
    """

    def __init__(self, view: TenantView) -> None:
        self.providers: frozenset[Provider] = frozenset()
        self.asked: frozenset[str] = frozenset()
        self.limits: set[Shared] = set()
        self._view = view
        self._seen: dict[int, tuple[Any, ...]] = {}  # by identity: most routes have the very same policies

    def of(self, policies: Policies) -> tuple[Any, ...]:
        """The values of the rows with filters, each as this tenant has it."""
        if id(policies) not in self._seen:
            said = zip(BY_FILTER, _filtered(policies), strict=True)
            values = [row.demand(one, self._view) if row.demand and one is not None else one for row, one in said]
            self.providers |= {one.provider for one in values if isinstance(one, Guard)}
            self.asked |= {one.service for one in values if isinstance(one, Authz)}
            self._seen[id(policies)] = tuple(values)
        return self._seen[id(policies)]

    def own(self, values: tuple[Any, ...], route: str) -> tuple[Any, ...]:
        """What a route says; a shared limit that it has for itself is counted under its name."""
        said = values[_LIMIT]
        if not isinstance(said, _Against) or not isinstance(said.value, Shared):
            return values
        mine = said.value.of(route)
        self.limits.add(mine)
        return (*values[:_LIMIT], _Against(mine, said.theirs), *values[_LIMIT + 1 :])


def scope(key: str, table: str, *, on_demand: bool) -> Message:
    """Named by its key: a host that moves to another tenant is one resource that changes, never two that clash."""
    fragments = ScopeKey(fragments=[ScopeFragment(string_key=key)])
    return ScopedRouteConfiguration(name=key, route_configuration_name=table, key=fragments, on_demand=on_demand)


def _table(view: TenantView, specs: Specs, demands: _Demands) -> Message:
    suspended = view.tenant.status == "suspended"
    routes = [answers.suspended(view.tenant.id)] if suspended else _routes(view, specs, demands)
    shared = {} if suspended else _shared(demands.of(view.policies)) | unclaimed(view)
    table: Any = RouteConfiguration(
        name=view.tenant.id,
        request_headers_to_remove=_ours(view),
        max_direct_response_body_size_bytes=_BODY_BYTES,
        typed_per_filter_config=authz.identity(view.tenant) if demands.asked else {},
    )
    # Built in place: a message that is handed to a constructor is copied with all that is in it.
    table.virtual_hosts.add(
        name=view.tenant.id,
        domains=["*"],
        routes=routes,
        typed_per_filter_config=_late(view) | dict(authz.OFF if demands.asked else {}) | shared,
    )
    mark(table)
    return table  # type: ignore[no-any-return]


def _ours(view: TenantView) -> list[str]:
    """Our own headers, which no service sees."""
    chosen = selection(view.gateway.tenant)
    return [chosen.header] * chosen.ours + [ARRIVED_HEADER] * view.gateway.on_demand


def _late(view: TenantView) -> dict[str, Message]:
    return open_late() if late(view.gateway) else {}


def _shared(values: tuple[Any, ...]) -> dict[str, Message]:
    """What the whole table has: one rate limit for all routes of the tenant is one bucket."""
    found: dict[str, Message] = {}
    for row, value in zip(BY_FILTER, values, strict=True):
        if value is not None:
            found |= configs_of(row.policy, value)
    return found


def _routes(view: TenantView, specs: Specs, demands: _Demands) -> list[Message]:
    theirs = demands.of(view.policies)
    demands.limits |= {one for one in theirs if isinstance(one, Shared)}
    selector = view.gateway.tenant
    own = _named(dict(zip(_FILTERED, theirs, strict=True)), "")
    routes = [answers.wrong_tenant(selector.name or "", view.tenant.id, own)] if selector.source == "header" else []
    same = tuple(map(_beside, _FILTERED, theirs, theirs, repeat(())))
    for route, one in zip(view.routes, specs, strict=True):
        override = view.tenant.routes.get(route.route.id)
        apart = override.policies if override else ()
        mine = demands.of(route.policies)
        filtered = same if mine == theirs and not apart else tuple(map(_beside, _FILTERED, theirs, mine, repeat(apart)))
        targets = tuple([(spec.name, weight) for spec, weight in one])
        said = demands.own(filtered, route.route.id)
        values, waits = said + _plain(route.policies), view.gateway.on_demand
        routes.extend(_entries(_Same(route.route), targets, values, _pages(route.policies), waits))
    return [*routes, *_last(view.policies)]


def _pages(policies: Policies) -> Cors | None:
    """Whose pages may read what a route answers itself, where it may answer at all."""
    return policies.cors if policies.maintenance is not None or policies.required_headers else None


def _beside(name: str, theirs: Any, value: Any, apart: Container[str]) -> Any:
    """A route's value beside its tenant's. What an override names (`apart`) is the route's own: a bucket of its own."""
    if value is None:
        return None if theirs is None else _Against(None, theirs)
    if name not in apart and name not in _NAMED and (value is theirs or value == theirs):
        return _AS_TENANT
    return _Against(value, theirs)


class _Same:
    """A document as a key: the very same object. Hashing what is in it costs more than the rest of the look-up."""

    __slots__ = ("document",)

    def __init__(self, document: RouteDocument) -> None:
        self.document = document

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.document is other.document


@lru_cache(maxsize=16384)
def _entries(
    same: _Same, targets: Targets, values: tuple[Any, ...], pages: Cors | None, waits: bool
) -> tuple[Message, ...]:
    """A route with what stands ahead of it; `waits`: its requests may wait for the table."""
    document = same.document
    said = dict(zip(_NAMES, values, strict=True))
    configs, edits, match = _configs(said) | _named(said, document.id), _edits(said), taken(document.match)
    answered = {name: config for name, config in configs.items() if name in GUARDS}
    fields = {**(patience() if waits else {}), **_fields(said)}
    action = RouteAction(**to(targets), **rewrite(document.rewrite, document.match), **fields)
    asked = _preflights(document, said, action, configs)
    if said["maintenance"] is not None:
        closed = answers.maintenance(document.id, match, said["maintenance"], answered, edits)
        return (*asked, *readable([closed], pages))
    refused = answers.refusals(document.id, document.match, said["required_headers"] or (), answered, edits)
    return (
        *asked,
        *readable(refused, pages),
        Route(name=document.id, match=match, route=action, typed_per_filter_config=configs, **edits._asdict()),
    )


def _preflights(document: RouteDocument, said: Said, action: Message, configs: Mapping[str, Message]) -> list[Message]:
    """A route for preflights alone, where the real one would not take them, or a refusal would.

    Envoy's CORS filter answers them before they are sent anywhere, but works on routes that send somewhere only. The
    guards are there for whatever it might not take for a preflight.
    """
    match = document.match
    hidden = match.methods or match.headers or said["required_headers"] or said["maintenance"] is not None
    if _value(said["cors"]) is None or not hidden:
        return []
    own = {name: config for name, config in configs.items() if name == CORS or name in GUARDS}
    return [Route(name=document.id, match=preflights(match), route=action, typed_per_filter_config=own)]


def _configs(said: Said) -> dict[str, Message]:
    """The configurations a route does not share with its tenant's table."""
    found: dict[str, Message] = {}
    for row in BY_FILTER:
        one = said[row.policy]
        if isinstance(one, _Against):
            found |= configs_of(row.policy, one.value, one.theirs)
    return found


def _named(said: Said, route: str) -> dict[str, Message]:
    """The configurations that say which route it is; "": what no route takes."""
    found: dict[str, Message] = {}
    for row in BY_NAME:
        value = _value(said[row.policy])
        if row.named and value is not None:
            found |= row.named(value, route)
    return found


def _value(said: Any) -> Any:
    return said.value if isinstance(said, _Against) else said


def _edits(said: Said) -> Edits:
    """The header changes of all policies in force; `cors` needs no value for its own."""
    return _together(tuple(_value(said[row.policy]) for row in BY_EDITS))


@lru_cache(maxsize=4096)
def _together(values: tuple[Any, ...]) -> Edits:
    said = zip(BY_EDITS, values, strict=True)
    found = [row.edits(value) for row, value in said if row.edits and value is not None]
    return Edits(*(tuple(chain.from_iterable(part)) for part in zip(*found, strict=True))) if found else Edits()


def _fields(said: Said) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for row in BY_ACTION:
        if said[row.policy] is not None:
            fields |= action_of(row.policy, said[row.policy])
    return fields


@lru_cache(maxsize=4096)
def _last(policies: Policies) -> tuple[Message, ...]:
    """What no route takes."""
    said = dict(zip(_NAMES, (*_filtered(policies), *_plain(policies)), strict=True))
    configs = _named(said, "")
    if policies.maintenance is not None:
        closed = answers.maintenance("maintenance", everything(), policies.maintenance, configs, _edits(said))
        return readable([closed], policies.cors)
    return readable([answers.not_found(configs, _edits(said))], policies.cors)
