"""`on_demand` of a Gateway: a proxy fetches a tenant's table when the first request names it. Called by `listeners` and
`routes`.

Scopes, which say what tenants there are, come as always: a name that is nobody's is answered by the proxy alone. What
the first request meets are the filters of a request without a table, and Envoy keeps these for one that has a body; so
here as where a filter finds the table, all filters are on from the start (`filters.chain`).
"""

from datetime import timedelta

from google.protobuf.message import Message

from tenants.documents import Gateway
from xds import messages
from xds.translate import body_limits
from xds.translate.actions import STREAM_IDLE, Fields
from xds.translate.selectors import selection

_HTTP = "envoy.extensions.filters.http."
HttpFilter = messages.message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
OnDemand = messages.message(_HTTP + "on_demand.v3.OnDemand")
RbacFilter = messages.message(_HTTP + "rbac.v3.RBAC")

PATIENCE = timedelta(seconds=15)
"""How long a request waits for its table while no control plane answers; then it is 503 `tenant_unavailable`.

It is as long as a service may take by itself: Envoy starts a request without a body afresh when its table is there, and
then counts by this, not by what the route says, until the first byte of the answer.
"""

UNANSWERED = "response.code_details == 'stream_idle_timeout' && !has(xds.route_name)"


def late(gateway: Gateway) -> bool:
    """Whether a request may have no table until a filter has found or fetched it."""
    return gateway.on_demand or selection(gateway.tenant).late


def fetching(gateway: Gateway) -> list[Message]:
    """The filter in which a request waits for its table, behind those that find out which one, and what it needs."""
    if not gateway.on_demand:
        return []
    wait = HttpFilter(name="envoy.filters.http.on_demand", typed_config=messages.pack(OnDemand()))
    return [wait, body_limits.counting()]


def idle(gateway: Gateway) -> timedelta:
    """How long a request may be without a byte where its table says nothing, or is not there."""
    return PATIENCE if gateway.on_demand else STREAM_IDLE


def patience() -> Fields:
    """What routes say of that: they are not as short of time as a request without a table."""
    return {"idle_timeout": messages.duration(STREAM_IDLE)}


def brought(gateway: Gateway) -> dict[str, Message]:
    """The filters of `filters.FILTERS` that stand there only where requests wait."""
    return {body_limits.ARRIVED: RbacFilter()} if gateway.on_demand else {}
