"""Nobody gets a connection upgraded, or a tunnel: what goes through one passes no policy. Called by `listeners`.

Envoy 1.40 refuses that by itself where a request has its table from the start. Where a filter finds the table later,
upgrades would be passed on, and a tunnel would wait for its end in the filter that measures bodies: a first filter
refuses both.
"""

from google.protobuf.message import Message

from tenants.documents import Gateway
from xds import messages
from xds.translate.matches import header
from xds.translate.on_demand import late

_RBAC = "envoy.config.rbac.v3."
HttpFilter = messages.message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
RbacFilter = messages.message("envoy.extensions.filters.http.rbac.v3.RBAC")
Rbac = messages.message(_RBAC + "RBAC")
RbacPolicy = messages.message(_RBAC + "Policy")
Permission = messages.message(_RBAC + "Permission")
Principal = messages.message(_RBAC + "Principal")

NAME = "gatecast.upgrades"
REFUSED = "upgrade"
"""Why the filter refuses: the name of its policy, which Envoy tells in the details of the response."""


def refusing(gateway: Gateway) -> list[Message]:
    """The filter, where it is needed."""
    return [_FILTER] if late(gateway) else []


_ASKING = [Permission(header=header("upgrade")), Permission(header=header(":method", exact="CONNECT"))]
_POLICY = RbacPolicy(permissions=_ASKING, principals=[Principal(any=True)])
_FILTER = HttpFilter(
    name=NAME, typed_config=messages.pack(RbacFilter(rules=Rbac(action="DENY", policies={REFUSED: _POLICY})))
)
