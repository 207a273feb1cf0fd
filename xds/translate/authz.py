"""`authz` as Envoy's ext_authz: an authorization server of the tenant's choice is asked before a request goes on.

A route names the server, how long to wait for it, and what to tell it; so none of that touches a listener. The one
thing that Envoy 1.40 has in the filter alone is what happens when there is no answer: hence two filters, one that then
refuses and one that lets pass, of which a route has at most one. What is told comes from three places: who the tenant
is from its table, the route and the document's `context` from the route. Envoy lays them over each other, so a route
says all of its `context`, and models refuse in it the names that are ours. Called by `filters` and `routes`.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from math import ceil
from types import MappingProxyType

from google.protobuf.message import Message

from tenants.documents import Tenant
from tenants.policies import Authz
from tenants.values import OUR_HEADERS
from xds import messages

_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3."
_CORE = "envoy.config.core.v3."
ExtAuthz = messages.message(_AUTHZ + "ExtAuthz")
ExtAuthzPerRoute = messages.message(_AUTHZ + "ExtAuthzPerRoute")
CheckSettings = messages.message(_AUTHZ + "CheckSettings")
BufferSettings = messages.message(_AUTHZ + "BufferSettings")
GrpcService = messages.message(_CORE + "GrpcService")
EnvoyGrpc = messages.message(_CORE + "GrpcService.EnvoyGrpc")
BackoffStrategy = messages.message(_CORE + "BackoffStrategy")
RetryPolicy = messages.message(_CORE + "RetryPolicy")
ListStringMatcher = messages.message("envoy.type.matcher.v3.ListStringMatcher")
StringMatcher = messages.message("envoy.type.matcher.v3.StringMatcher")
HeaderMutationRules = messages.message("envoy.config.common.mutation_rules.v3.HeaderMutationRules")
HttpStatus = messages.message("envoy.type.v3.HttpStatus")
BoolValue = messages.message("google.protobuf.BoolValue")
UInt32Value = messages.message("google.protobuf.UInt32Value")

DENY = "gatecast.authz.deny"
ALLOW = "gatecast.authz.allow"
FILTERS = (DENY, ALLOW)
"""The filters, by what they do with a request when the server gives no answer."""

CLAIMS = "envoy.filters.http.jwt_authn"
"""Where the claims of a verified token stand; the server is told them."""

_BY_FAILURE: Mapping[str, str] = MappingProxyType({"deny": DENY, "allow": ALLOW})
_UNHEARD = "connect-failure,refused-stream,reset-before-request"


def deny() -> Message:
    """The filter for `on_failure: deny`."""
    return ExtAuthz(
        # Envoy crashes without a server here, though every route names its own. This one is nowhere.
        grpc_service=_server("gatecast.nowhere", timedelta(milliseconds=1)),
        transport_api_version="V3",
        status_on_error=HttpStatus(code="ServiceUnavailable"),
        metadata_context_namespaces=[CLAIMS],
        disallowed_headers=ListStringMatcher(patterns=[StringMatcher(prefix=OUR_HEADERS)]),
        # Headers that are no headers are refused, and nobody is sent elsewhere than what was decided about.
        validate_mutations=True,
        decoder_header_mutation_rules=HeaderMutationRules(disallow_system=BoolValue(value=True)),
    )


def allow() -> Message:
    """The filter for `on_failure: allow`."""
    made = deny()
    made.failure_mode_allow = True  # type: ignore[attr-defined]
    return made


OFF: Mapping[str, Message] = MappingProxyType(
    {name: messages.pack(ExtAuthzPerRoute(disabled=True)) for name in FILTERS}
)
"""What a table says where some of its routes ask and others do not."""


def identity(tenant: Tenant) -> dict[str, Message]:
    """What a table tells of its tenant, for all its routes that ask. Without a server of their own they are closed."""
    told = {"tenant": tenant.id} | ({"organisation": tenant.organisation} if tenant.organisation else {})
    made = messages.pack(ExtAuthzPerRoute(check_settings=CheckSettings(context_extensions=told)))
    return dict.fromkeys(FILTERS, made)


def configs(mine: Authz | None, theirs: Authz | None) -> dict[str, Message]:
    """Which filter is on. `theirs`: what the whole table says, against which a route says its own."""
    found = {} if theirs is None else {_filter(theirs): OFF[_filter(theirs)]}
    return found if mine is None else found | {_filter(mine): _ask(mine, {})}


@lru_cache(maxsize=16384)
def named(policy: Authz, route: str) -> Mapping[str, Message]:
    """What a route asks and tells; "": what no route takes."""
    told = dict(policy.context) | ({"route": route} if route else {})
    return MappingProxyType({_filter(policy): _ask(policy, told)})


def _filter(policy: Authz) -> str:
    return _BY_FAILURE[policy.on_failure]


def _ask(policy: Authz, told: Mapping[str, str]) -> Message:
    """Envoy takes the server and the body from the most specific place alone, the context from all."""
    settings = CheckSettings(
        grpc_service=_server(policy.service, policy.timeout),
        context_extensions=told,
        # Never a part of a body: what was not seen could hide behind it.
        with_request_body=BufferSettings(max_request_bytes=policy.body) if policy.body else None,
    )
    return messages.pack(ExtAuthzPerRoute(check_settings=settings))


def _server(cluster: str, timeout: timedelta) -> Message:
    """Asked once more, within the time, if the question surely was not heard.

    Envoy gives each attempt ten times the pause between them: with a tenth of the time, each has all of it.
    """
    pause = messages.duration(timedelta(milliseconds=ceil(timeout / timedelta(milliseconds=10))))
    again = RetryPolicy(
        retry_on=_UNHEARD,
        num_retries=UInt32Value(value=1),
        retry_back_off=BackoffStrategy(base_interval=pause),
    )
    grpc = EnvoyGrpc(cluster_name=cluster)
    return GrpcService(envoy_grpc=grpc, timeout=messages.duration(timeout), retry_policy=again)
