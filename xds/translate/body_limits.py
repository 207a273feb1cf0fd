"""`body_limit` as Envoy's buffer. A row of `filters.ROWS` calls it.

The buffer counts what comes after it was set up. Where a request waits for its table (`on_demand`), a part of the body
is there already, and would pass uncounted: so the filter that waits is followed by one that writes down how much has
arrived, and a refusal of more than the limit stands in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from tenants.effective import TenantView
from tenants.policies import BodyLimit
from xds import messages
from xds.translate.edits import header

_HTTP = "envoy.extensions.filters.http."
HttpFilter = messages.message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
Buffer = messages.message(_HTTP + "buffer.v3.Buffer")
BufferPerRoute = messages.message(_HTTP + "buffer.v3.BufferPerRoute")
HeaderMutationFilter = messages.message(_HTTP + "header_mutation.v3.HeaderMutation")
Mutations = messages.message(_HTTP + "header_mutation.v3.Mutations")
HeaderMutation = messages.message("envoy.config.common.mutation_rules.v3.HeaderMutation")
RbacFilter = messages.message(_HTTP + "rbac.v3.RBAC")
RbacPerRoute = messages.message(_HTTP + "rbac.v3.RBACPerRoute")
Rbac = messages.message("envoy.config.rbac.v3.RBAC")
RbacPolicy = messages.message("envoy.config.rbac.v3.Policy")
Permission = messages.message("envoy.config.rbac.v3.Permission")
Principal = messages.message("envoy.config.rbac.v3.Principal")
HeaderMatcher = messages.message("envoy.config.route.v3.HeaderMatcher")
Int64Range = messages.message("envoy.type.v3.Int64Range")
UInt32Value = messages.message("google.protobuf.UInt32Value")

BUFFER = "envoy.filters.http.buffer"
ARRIVED = "gatecast.arrived"
"""The filter that refuses what has arrived, where requests wait for their tables."""

ARRIVED_HEADER = "x-gatecast-arrived"
"""How many bytes of the body were there when the table was. Our own: written over, and taken off before services."""

TOO_LARGE = "arrived_body_too_large"
"""The name of the refusal, by which `replies` knows it."""

_MOST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Limit:
    """The policy on one gateway. `waited`: requests may wait for their table there."""

    max: int
    waited: bool


def limit(policy: BodyLimit, view: TenantView) -> Limit:
    """What a tenant's table demands."""
    return Limit(policy.max, view.gateway.on_demand)


def configs(mine: Limit | None, theirs: Limit | None) -> Mapping[str, Message]:
    """The whole body is buffered before the service sees it; one that is too large is 413."""
    size = BufferPerRoute(disabled=True) if mine is None else _buffer(mine)
    found = {BUFFER: messages.pack(size)}
    if any(one is not None and one.waited for one in (mine, theirs)):
        found[ARRIVED] = messages.pack(RbacPerRoute() if mine is None else _refusal(mine))
    return found


def _buffer(one: Limit) -> Message:
    return BufferPerRoute(buffer=Buffer(max_request_bytes=UInt32Value(value=one.max)))


def _refusal(one: Limit) -> Message:
    more = HeaderMatcher(name=ARRIVED_HEADER, range_match=Int64Range(start=one.max + 1, end=_MOST))
    policy = RbacPolicy(permissions=[Permission(header=more)], principals=[Principal(any=True)])
    return RbacPerRoute(rbac=RbacFilter(rules=Rbac(action="DENY", policies={TOO_LARGE: policy})))


def counting() -> Message:
    """The filter that writes down how much of the body has arrived."""
    counted = header(ARRIVED_HEADER, "%BYTES_RECEIVED%", "OVERWRITE_IF_EXISTS_OR_ADD")
    config = HeaderMutationFilter(mutations=Mutations(request_mutations=[HeaderMutation(append=counted)]))
    return HttpFilter(name="envoy.filters.http.header_mutation", typed_config=messages.pack(config))
