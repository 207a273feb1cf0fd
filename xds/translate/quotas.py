"""`rate_limit` as one tenant has it: counted by each proxy, or with `scope: global` by one rate limit service for all.

A route tells the service who is asking (a domain for each tenant of a gateway, and descriptors); how many are allowed
is told to the service by us (RLS), so a new number changes nothing on a proxy. Each domain is a resource of its own,
and the service keeps its counts by domain and descriptor: a change of one tenant resets nobody's. The one thing that
Envoy 1.40 has in the filter alone is what happens when the service gives no answer: hence two filters, as in `authz`.
Without a service (`Gateway.rate_limit_service`) each proxy counts for itself. Called by `filters` and `routes`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from google.protobuf.message import Message

from protos import ratelimit_pb2
from tenants.documents import Gateway, RateLimitService
from tenants.effective import TenantView
from tenants.policies import RateLimit
from xds import messages
from xds.translate.built import Built
from xds.translate.matches import header_key
from xds.translate.rate_limits import rate_limit, unlimited

_FILTER = "envoy.extensions.filters.http.ratelimit.v3."
_CORE = "envoy.config.core.v3."
_ROUTE = "envoy.config.route.v3.RateLimit"
RateLimitFilter = messages.message(_FILTER + "RateLimit")
RateLimitPerRoute = messages.message(_FILTER + "RateLimitPerRoute")
RateLimitServiceConfig = messages.message("envoy.config.ratelimit.v3.RateLimitServiceConfig")
GrpcService = messages.message(_CORE + "GrpcService")
EnvoyGrpc = messages.message(_CORE + "GrpcService.EnvoyGrpc")
RouteRateLimit = messages.message(_ROUTE)
Action = messages.message(_ROUTE + ".Action")
GenericKey = messages.message(_ROUTE + ".Action.GenericKey")
RemoteAddress = messages.message(_ROUTE + ".Action.RemoteAddress")
RequestHeaders = messages.message(_ROUTE + ".Action.RequestHeaders")
HttpStatus = messages.message("envoy.type.v3.HttpStatus")

LOCAL = "envoy.filters.http.local_ratelimit"
DENY = "gatecast.rate_limit.deny"
ALLOW = "gatecast.rate_limit.allow"
SHARED = (DENY, ALLOW)
"""The filters that ask the service, by what they do with a request when it gives no answer."""

CLIENT = "remote_address"
"""The entry that Envoy makes of the client's address."""

HEADER = "header"
"""The entry that we have it make of a header's value. A request without the header has none."""

_UNITS = {"second": "SECOND", "minute": "MINUTE", "hour": "HOUR", "day": "DAY"}


@dataclass(frozen=True, slots=True)
class Shared:
    """A limit that the service counts. `route`: the route that has it for itself; "": all of the tenant's together."""

    policy: RateLimit
    domain: str
    tenant: str
    route: str = ""

    def of(self, route: str) -> "Shared":
        """The same for a route that counts for itself."""
        return replace(self, route=route)

    @property
    def counted(self) -> tuple[str, str]:
        """The first entry of the descriptor: what is counted."""
        return ("route", self.route) if self.route else ("tenant", self.tenant)


Limit = RateLimit | Shared


def limit(policy: RateLimit, view: TenantView) -> Limit:
    """The policy as this tenant has it on this gateway."""
    if policy.scope == "local" or view.gateway.rate_limit_service is None:
        return policy
    return Shared(policy, f"{view.gateway.id}/{view.tenant.id}", view.tenant.id)


def unsupported(policy: RateLimit, gateway: Gateway) -> str:
    """What of the policy is not enforced on this gateway as it stands."""
    if policy.scope == "local":
        return ""
    if gateway.rate_limit_service is None:
        return f"the gateway {gateway.id!r} has no `rate_limit_service`, so each proxy enforces the limit by itself"
    return "a shared limit is counted by the clock, so `burst` is left out" if policy.burst else ""


def configs(mine: Limit | None, theirs: Limit | None) -> dict[str, Message]:
    """The per-route configurations. `theirs`: what the whole table says, against which a route says its own."""
    found = {} if theirs is None else {_filter(theirs): _OFF[_filter(theirs)]}
    return found if mine is None else found | {_filter(mine): _on(mine)}


def _filter(one: Limit) -> str:
    if isinstance(one, RateLimit):
        return LOCAL
    return DENY if one.policy.on_failure == "deny" else ALLOW


_NOTHING = messages.pack(RateLimitPerRoute())
_OFF: Mapping[str, Message] = MappingProxyType(
    {LOCAL: messages.pack(unlimited()), DENY: _NOTHING, ALLOW: _NOTHING}
)  # fmt: skip


def _on(one: Limit) -> Message:
    return messages.pack(rate_limit(one) if isinstance(one, RateLimit) else _asked(one))


def _asked(one: Shared) -> Message:
    """What the service is asked: the domain, and a descriptor of what is counted, and of whom if they count apart."""
    key, value = one.counted
    actions = [Action(generic_key=GenericKey(descriptor_key=key, descriptor_value=value)), *_apart(one.policy)]
    return RateLimitPerRoute(domain=one.domain, rate_limits=[RouteRateLimit(actions=actions)])


def _apart(policy: RateLimit) -> list[Message]:
    if policy.by == "client_ip":
        return [Action(remote_address=RemoteAddress())]
    if policy.header is None:
        return []
    name = header_key(policy.header)
    return [Action(request_headers=RequestHeaders(header_name=name, descriptor_key=HEADER, skip_if_absent=True))]


def resource(limits: Iterable[Shared]) -> tuple[Built, ...]:
    """All limits of one tenant, as the service is told them; nothing where it has none."""
    found = sorted(set(limits), key=lambda one: one.counted)
    if not found:
        return ()
    domain, tenant = found[0].domain, found[0].tenant
    config = ratelimit_pb2.RateLimitConfig(name=domain, domain=domain, descriptors=map(_counted, found))
    return (Built("RLS", domain, config, owner=tenant),)


def _counted(one: Shared) -> ratelimit_pb2.RateLimitDescriptor:
    """An entry without a value counts each value apart. Requests without the header stop at the entry above."""
    key, value = one.counted
    policy = ratelimit_pb2.RateLimitPolicy(unit=_UNITS[one.policy.per], requests_per_unit=one.policy.requests)
    apart = {"tenant": (), "client_ip": (CLIENT,)}.get(one.policy.by, (HEADER,))
    inner = [ratelimit_pb2.RateLimitDescriptor(key=name, rate_limit=policy) for name in apart]
    together = None if one.policy.by == "client_ip" else policy
    return ratelimit_pb2.RateLimitDescriptor(key=key, value=value, rate_limit=together, descriptors=inner)


@lru_cache(maxsize=64)
def filters(said: RateLimitService | None) -> Mapping[str, Message]:
    """The filters that ask the service, where a gateway has one. They ask nothing until a table says what."""
    if said is None:
        return MappingProxyType({})
    return MappingProxyType({name: _filter_asking(said, deny=name == DENY) for name in SHARED})


def _filter_asking(said: RateLimitService, *, deny: bool) -> Message:
    timeout = messages.duration(said.timeout)
    grpc = GrpcService(envoy_grpc=EnvoyGrpc(cluster_name=said.service), timeout=timeout)
    return RateLimitFilter(
        domain="gatecast",  # Envoy wants one; tables name their own
        timeout=timeout,
        failure_mode_deny=deny,
        status_on_error=HttpStatus(code="ServiceUnavailable"),
        rate_limit_service=RateLimitServiceConfig(grpc_service=grpc, transport_api_version="V3"),
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        enable_retry_after_header=True,
        disable_x_envoy_ratelimited_header=True,
    )
