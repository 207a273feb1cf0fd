"""A table for preflights that name no tenant: browsers send them without the header or the token that would.

What the gateway's own `cors` says is the answer; the requests that follow name their tenant, and its own holds for
them. Nothing is sent anywhere from here: whoever names this table himself finds no route in it. `xds.builder` calls it.
"""

from google.protobuf.message import Message
from immutables import Map

from tenants.documents import Gateway
from tenants.effective import base
from tenants.paths import Match
from tenants.policies import Cors
from xds import messages
from xds.translate.built import Built
from xds.translate.filters import CORS, config_of
from xds.translate.marks import NOBODY, mark
from xds.translate.matches import preflights
from xds.translate.routes import scope
from xds.translate.selectors import UNNAMED, selection

_ROUTE = "envoy.config.route.v3."
Route = messages.message(_ROUTE + "Route")
RouteAction = messages.message(_ROUTE + "RouteAction")
RouteConfiguration = messages.message(_ROUTE + "RouteConfiguration")
VirtualHost = messages.message(_ROUTE + "VirtualHost")

_NOWHERE = "gatecast.nowhere"
"""Envoy's CORS filter works on routes that send somewhere only, and sends nothing there."""


def unnamed(gateway: Gateway) -> tuple[Built, ...]:
    """The table and its scope; nothing where preflights name their tenant, or the gateway itself has no `cors`."""
    policy = base(gateway.policies, Map(), Map()).policies.cors
    if policy is None or not selection(gateway.tenant).unnamed:
        return ()
    table = _table(policy)
    return (
        Built("SRDS", UNNAMED, scope(UNNAMED, UNNAMED, on_demand=False), frozenset({UNNAMED})),
        Built("RDS", UNNAMED, table),
    )


def _table(policy: Cors) -> Message:
    only = Route(
        name="preflights",
        match=preflights(Match(prefix="/")),
        route=RouteAction(cluster=_NOWHERE),
        typed_per_filter_config={CORS: config_of("cors", policy)},
    )
    host = VirtualHost(name=NOBODY, domains=["*"], routes=[only])
    table = RouteConfiguration(name=UNNAMED, virtual_hosts=[host])
    mark(table)
    return table
