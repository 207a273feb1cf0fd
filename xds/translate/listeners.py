"""A gateway's listeners (LDS). They know how a request names its tenant, and nothing about any tenant.

Everything a tenant can change is in its routes, so these change only with the Gateway document: an update of a listener
closes connections. The defaults are those Envoy's own guide gives for a proxy at the edge, where they do not surprise.
"""

from datetime import timedelta

from google.protobuf.message import Message

from tenants.documents import Gateway
from tenants.documents import Listener as ListenerDocument
from xds import messages
from xds.translate.access_logs import access_logs
from xds.translate.built import Built
from xds.translate.filters import chain
from xds.translate.needs import gateway_needs
from xds.translate.on_demand import brought, fetching, idle, late
from xds.translate.quotas import filters
from xds.translate.replies import local_replies
from xds.translate.secrets import downstream
from xds.translate.selectors import selection
from xds.translate.sources import ADS
from xds.translate.tracing import tracing
from xds.translate.upgrades import refusing

_CORE = "envoy.config.core.v3."
_LISTENER = "envoy.config.listener.v3."
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3."
Listener = messages.message(_LISTENER + "Listener")
FilterChain = messages.message(_LISTENER + "FilterChain")
NetworkFilter = messages.message(_LISTENER + "Filter")
Address = messages.message(_CORE + "Address")
SocketAddress = messages.message(_CORE + "SocketAddress")
HttpProtocolOptions = messages.message(_CORE + "HttpProtocolOptions")
Http2ProtocolOptions = messages.message(_CORE + "Http2ProtocolOptions")
HttpConnectionManager = messages.message(_HCM + "HttpConnectionManager")
ScopedRoutes = messages.message(_HCM + "ScopedRoutes")
ScopedRds = messages.message(_HCM + "ScopedRds")
BoolValue = messages.message("google.protobuf.BoolValue")
UInt32Value = messages.message("google.protobuf.UInt32Value")

SERVER = "gatecast"
HANDSHAKE = timedelta(seconds=10)
"""How long a client may take for TLS, and wait for a certificate that an Envoy without delta is never told of."""

_YES = BoolValue(value=True)


def listeners(gateway: Gateway, lacking: frozenset[str] = frozenset()) -> tuple[Built, ...]:
    """All listeners of a gateway; each takes every tenant's table.

    `lacking`: files of authorities that are not there; who asks for certificates of these is not opened.
    """
    used = frozenset(spec.name for spec in gateway_needs(gateway))
    open_ = [one for one in gateway.listeners if one.tls is None or one.tls.client_ca not in lacking]
    return tuple(Built("LDS", one.name, _listener(one, gateway), used) for one in open_)


def _listener(document: ListenerDocument, gateway: Gateway) -> Message:
    # "::" is every address of either family, as everywhere else.
    address = SocketAddress(address=document.address, port_value=document.port, ipv4_compat=document.address == "::")
    manager = messages.pack(_manager(document.name, gateway))
    http = NetworkFilter(name="envoy.filters.network.http_connection_manager", typed_config=manager)
    found = FilterChain(filters=[http])
    if document.tls:
        patience = messages.duration(HANDSHAKE)
        socket = downstream(document.tls)
        found.MergeFrom(FilterChain(transport_socket=socket, transport_socket_connect_timeout=patience))
    return Listener(name=document.name, address=Address(socket_address=address), filter_chains=[found])


def _manager(name: str, gateway: Gateway) -> Message:
    chosen = selection(gateway.tenant)
    first = [*refusing(gateway), *chosen.filters(), *fetching(gateway)]
    return HttpConnectionManager(
        stat_prefix=name,
        scoped_routes=ScopedRoutes(
            name=name,
            scope_key_builder=chosen.key_builder(),
            rds_config_source=ADS,
            scoped_rds=ScopedRds(scoped_rds_config_source=ADS),
        ),
        early_header_mutation_extensions=chosen.early(),
        http_filters=[*first, *chain(late(gateway), {**filters(gateway.rate_limit_service), **brought(gateway)})],
        local_reply_config=local_replies(),
        access_log=access_logs(gateway),
        tracing=tracing(gateway),
        # The client's address is that of the connection: a header from outside is not believed.
        use_remote_address=_YES,
        always_set_request_id_in_response=True,
        server_name=SERVER,
        strip_trailing_host_dot=True,
        # One path has one spelling, or prefixes and access lists could be passed by another. Encoded slashes are 400.
        normalize_path=_YES,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        # Many services read x_tenant_id as x-tenant-id.
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=messages.duration(timedelta(hours=1)), headers_with_underscores_action="DROP_HEADER"
        ),
        http2_protocol_options=_http2(),
        stream_idle_timeout=messages.duration(idle(gateway)),
        request_headers_timeout=messages.duration(timedelta(seconds=10)),
    )


def _http2() -> Message:
    """Envoy's guide for the edge: a client cannot make it hold much."""
    return Http2ProtocolOptions(
        max_concurrent_streams=UInt32Value(value=100),
        initial_stream_window_size=UInt32Value(value=65_536),
        initial_connection_window_size=UInt32Value(value=1_048_576),
    )
