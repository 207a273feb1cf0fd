"""`on_demand` of a Gateway: a proxy fetches a tenant's table when the first request names it. Called by `listeners` and
`routes`.

Scopes, which say what tenants there are, come as always: a name that is nobody's is answered by the proxy alone. What
the first request meets are the filters of a request without a table, and Envoy keeps these for one that has a body; so
here as where a filter finds the table, all filters are on from the start (`filters.chain`).
"""

from google.protobuf.message import Message

from tenants.documents import Gateway
from xds import messages
from xds.translate.selectors import selection

HttpFilter = messages.message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
OnDemand = messages.message("envoy.extensions.filters.http.on_demand.v3.OnDemand")


def late(gateway: Gateway) -> bool:
    """Whether a request may have no table until a filter has found or fetched it."""
    return gateway.on_demand or selection(gateway.tenant).late


def fetching(gateway: Gateway) -> list[Message]:
    """The filter in which a request waits for its table. It stands behind those that find out which one."""
    if not gateway.on_demand:
        return []
    return [HttpFilter(name="envoy.filters.http.on_demand", typed_config=messages.pack(OnDemand()))]
