"""The policy table: one function and one row for each policy of `tenants.policies`. `routes` and `listeners` read it.

To add a policy: a function here (or in a file beside, if it is long) and a row in `ROWS`. Every filter that a row uses
stands in `FILTERS` from the start, switched off: a tenant's change is then a change of its routes, never of a listener.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

from google.protobuf.message import Message

from tenants.documents import Gateway
from tenants.effective import TenantView
from tenants.policies import Access, Cors
from tenants.values import IpNetwork
from xds import messages
from xds.translate import actions, authz, body_limits, edits, jwt, quotas, tokens
from xds.translate.body_limits import ARRIVED, BUFFER
from xds.translate.edits import Edits
from xds.translate.matches import text_matcher
from xds.translate.pages import PAGES, pages
from xds.translate.rate_limits import unlimited
from xds.translate.sources import ExtensionConfigSource, by_ecds

_HTTP = "envoy.extensions.filters.http."
HttpFilter = messages.message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
Buffer = messages.message(_HTTP + "buffer.v3.Buffer")
CorsFilter = messages.message(_HTTP + "cors.v3.Cors")
CorsPolicy = messages.message(_HTTP + "cors.v3.CorsPolicy")
RbacFilter = messages.message(_HTTP + "rbac.v3.RBAC")
RbacPerRoute = messages.message(_HTTP + "rbac.v3.RBACPerRoute")
Router = messages.message(_HTTP + "router.v3.Router")
Rbac = messages.message("envoy.config.rbac.v3.RBAC")
RbacPolicy = messages.message("envoy.config.rbac.v3.Policy")
Permission = messages.message("envoy.config.rbac.v3.Permission")
Principal = messages.message("envoy.config.rbac.v3.Principal")
Principals = messages.message("envoy.config.rbac.v3.Principal.Set")
CidrRange = messages.message("envoy.config.core.v3.CidrRange")
FractionalPercent = messages.message("envoy.type.v3.FractionalPercent")
RuntimeFractionalPercent = messages.message("envoy.config.core.v3.RuntimeFractionalPercent")
BoolValue = messages.message("google.protobuf.BoolValue")
UInt32Value = messages.message("google.protobuf.UInt32Value")

CORS = "envoy.filters.http.cors"
RBAC = "envoy.filters.http.rbac"
ROUTER = "envoy.filters.http.router"


def all_supported(_value: Any, _gateway: Gateway) -> str:
    """Most rows: Envoy is told all that the policy says."""
    return ""


@dataclass(frozen=True, slots=True)
class Row:
    """How one policy becomes Envoy's.

    `filter` and `config`: the per-route configuration of that HTTP filter; `off`: the one that lets everything pass.
    `demand`: the value as one tenant has it, where that is more than the policy says. `configs`: in place of a filter,
    the configurations of several filters by name, from the route's value and the one of the tenant's whole table, which
    it stands against (either may be None). `named`: what a route says under its own name, whatever its table says.
    `edits`: headers to change on a route. `action`: fields of the route's action. `elsewhere`: the module that handles
    it otherwise. `unsupported` says what of a value cannot be had on a gateway ("": all can).
    """

    policy: str
    filter: str = ""
    config: Callable[[Any], Message] | None = None
    off: Callable[[], Message] | None = None
    demand: Callable[[Any, TenantView], Any] | None = None
    configs: Callable[[Any, Any], Mapping[str, Message]] | None = None
    named: Callable[[Any, str], Mapping[str, Message]] | None = None
    edits: Callable[[Any], Edits] | None = None
    action: Callable[[Any], Mapping[str, Any]] | None = None
    elsewhere: str = ""
    unsupported: Callable[[Any, Gateway], str] = all_supported


def cors(policy: Cors) -> Message:
    """Envoy answers every preflight itself; an origin that is not listed gets no permission in it."""
    return CorsPolicy(
        allow_origin_string_match=[_origin(origin) for origin in policy.origins],
        allow_methods=", ".join(policy.methods),
        allow_headers=", ".join(policy.headers),
        expose_headers=", ".join(policy.expose),
        max_age="" if policy.max_age is None else str(int(policy.max_age.total_seconds())),
        allow_credentials=BoolValue(value=policy.credentials),
        forward_not_matching_preflights=BoolValue(value=False),
    )


def _origin(origin: str) -> Message:
    pattern = origin.removeprefix("regex:")
    return text_matcher(exact=origin) if pattern == origin else text_matcher(regex=pattern)


def access(policy: Access) -> Message:
    """Allowed is who is in `allow` (if there is one) and not in `deny`, by the address of the connection."""
    ids = [_any_of(policy.allow)] if policy.allow else [Principal(any=True)]
    if policy.deny:
        ids.append(Principal(not_id=_any_of(policy.deny)))
    who = RbacPolicy(permissions=[Permission(any=True)], principals=[Principal(and_ids=Principals(ids=ids))])
    return RbacPerRoute(rbac=RbacFilter(rules=Rbac(action="ALLOW", policies={"access": who})))


def _any_of(networks: Iterable[IpNetwork]) -> Message:
    ranges = (
        CidrRange(address_prefix=str(network.network_address), prefix_len=UInt32Value(value=network.prefixlen))
        for network in networks
    )
    return Principal(or_ids=Principals(ids=[Principal(remote_ip=one) for one in ranges]))


_NEVER = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=0))

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        row.policy: row
        for row in (
            Row("cors", CORS, config=cors, off=lambda: CorsPolicy(filter_enabled=_NEVER), edits=edits.cors),
            Row("access", RBAC, config=access, off=RbacPerRoute),
            Row("rate_limit", demand=quotas.limit, configs=quotas.configs, unsupported=quotas.unsupported),
            Row("body_limit", demand=body_limits.limit, configs=body_limits.configs),
            Row("correlation_id", edits=edits.correlation_id),
            Row("headers", edits=edits.headers),
            Row("timeout", action=actions.timeout),
            Row("retry", action=actions.retry),
            Row("required_headers", elsewhere="answers"),
            Row("maintenance", elsewhere="answers"),
            Row("circuit_breaker", elsewhere="clusters"),
            Row("outlier", elsewhere="clusters"),
            Row("jwt", demand=tokens.guard, configs=tokens.configs),
            Row("authz", configs=authz.configs, named=authz.named),
        )
    }
)

BY_FILTER = tuple(row for row in ROWS.values() if row.filter or row.configs)
GUARDS = frozenset({RBAC, tokens.BINDING, *jwt.SHARD_NAMES, *authz.FILTERS})
"""The filters that keep somebody out: what a route answers itself is behind them too."""

BY_NAME = tuple(row for row in BY_FILTER if row.named)
BY_EDITS = tuple(row for row in ROWS.values() if row.edits)
BY_ACTION = tuple(row for row in ROWS.values() if row.action)


_NONE: Mapping[str, Message] = MappingProxyType({})


# In the order requests pass them: name, configuration or where it comes from, whether it is off until a table says so.
# None: there is such a filter only where the gateway brings its configuration.
FILTERS: tuple[tuple[str, Callable[[], Message] | None, bool], ...] = (
    (CORS, CorsFilter, False),
    (PAGES, pages, True),
    (RBAC, RbacFilter, True),
    *((name, partial(by_ecds, jwt.TYPE_URL), True) for name in jwt.SHARD_NAMES),
    (tokens.CLAIMS, tokens.claims, True),
    (tokens.BINDING, RbacFilter, True),
    (authz.DENY, authz.deny, True),
    (authz.ALLOW, authz.allow, True),
    *((name, None, True) for name in quotas.SHARED),
    (quotas.LOCAL, unlimited, True),
    (ARRIVED, None, True),
    (BUFFER, lambda: Buffer(max_request_bytes=UInt32Value(value=1)), True),
    (ROUTER, Router, False),
)


def chain(late: bool = False, brought: Mapping[str, Message] = _NONE) -> list[Message]:
    """The HTTP filters of every listener; what is off is switched on by the configuration of a route or a tenant.

    Envoy looks for that once, before the first filter. Where a filter finds the table (`late`), all of them are on and
    let everything pass, but for the buffer: what has no table may have no body, and tables say otherwise (`open_late`).
    """
    made = [(name, make() if make else brought.get(name), off) for name, make, off in FILTERS]
    return [_filter(name, config, disabled=off and not late) for name, config, off in made if config is not None]


def _filter(name: str, config: Message, *, disabled: bool) -> Message:
    if isinstance(config, ExtensionConfigSource):  # type: ignore[arg-type]
        return HttpFilter(name=name, config_discovery=config, disabled=disabled)
    return HttpFilter(name=name, typed_config=messages.pack(config), disabled=disabled)


def open_late() -> dict[str, Message]:
    """What the table of every tenant says where it is found late, unless the tenant says more."""
    return {**configs_of("body_limit", None), **authz.OFF}


@lru_cache(maxsize=16384)
def configs_of(policy: str, value: Any, theirs: Any = None) -> Mapping[str, Message]:
    """The packed per-route configurations, by filter, of a policy that a table has, or a route against its table.

    None switches off what `theirs` switched on.
    """
    row = ROWS[policy]
    return row.configs(value, theirs) if row.configs else {row.filter: config_of(policy, value)}


@lru_cache(maxsize=16384)
def config_of(policy: str, value: Any) -> Message:
    """The packed per-route configuration of a policy's filter; None switches an inherited one off."""
    row = ROWS[policy]
    if value is None:
        assert row.off is not None, policy
        return messages.pack(row.off())
    assert row.config is not None, policy
    return messages.pack(row.config(value))


@lru_cache(maxsize=4096)
def action_of(policy: str, value: Any) -> Mapping[str, Any]:
    """The fields of a route's action that come from a policy."""
    action = ROWS[policy].action
    return action(value) if action else {}
