"""Envoy's API as protobuf (upb) message classes: what `xds.translate` builds and `xds.snapshot` encodes.

Build by constructor (`messages.Cluster(name=..., connect_timeout=messages.duration(...))`): a misspelt field raises
at once. Maps are encoded sorted (`encode`), also inside `Any` (`pack`), so equal messages have equal bytes in every
process. The schema is envoy-data-plane's: see `xds.descriptors`.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.message import Message

from protos import ratelimit_pb2, settings_pb2
from xds import descriptors

ROOTS = (
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.core.v3.TypedExtensionConfig",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.FilterConfig",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.route.v3.ScopedRouteConfiguration",
    "envoy.config.trace.v3.OpenTelemetryConfig",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
    "envoy.extensions.access_loggers.stats.v3.Config",
    "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "envoy.extensions.clusters.dns.v3.DnsCluster",
    "envoy.extensions.filters.http.buffer.v3.Buffer",
    "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
    "envoy.extensions.filters.http.cors.v3.Cors",
    "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
    "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute",
    "envoy.extensions.filters.http.on_demand.v3.OnDemand",
    "envoy.extensions.filters.http.rbac.v3.RBAC",
    "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.http.set_filter_state.v3.Config",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.formatter.cel.v3.Cel",
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3.SNI",
    "envoy.extensions.transport_sockets.tls.cert_mappers.static_name.v3.StaticName",
    "envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config",
    "envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "envoy.service.accesslog.v3.StreamAccessLogsMessage",
    "envoy.service.status.v3.ClientStatusRequest",
    "envoy.service.status.v3.ClientStatusResponse",
)
POOL = descriptors.pool(ROOTS)
OTHERS: Mapping[str, Callable[..., Message]] = MappingProxyType(
    {
        "ratelimit.config.ratelimit.v3.RateLimitConfig": ratelimit_pb2.RateLimitConfig,
        "gatecast.settings.v1.SharedDocument": settings_pb2.SharedDocument,
        "gatecast.settings.v1.TenantSettings": settings_pb2.TenantSettings,
    }
)
"""Messages that are not Envoy's, by the name they travel under."""


def message(name: str) -> Callable[..., Message]:
    """The class of a message by its full name, e.g. `envoy.config.route.v3.Route`; KeyError if no root reaches it."""
    return OTHERS.get(name) or message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


Any_ = message("google.protobuf.Any")
Duration = message("google.protobuf.Duration")


def duration(value: timedelta) -> Message:
    """A protobuf Duration of `value`, exact to the microsecond."""
    return Duration(seconds=value.days * 86400 + value.seconds, nanos=value.microseconds * 1000)


def encode(value: Message) -> bytes:
    """The deterministic bytes of a message: maps sorted by key, fields by number."""
    return value.SerializeToString(deterministic=True)


def type_url(value: Message) -> str:
    """`type.googleapis.com/<full name>` of a message."""
    return "type.googleapis.com/" + value.DESCRIPTOR.full_name


def pack(value: Message) -> Message:
    """`value` in a `google.protobuf.Any`, its bytes deterministic too."""
    return Any_(type_url=type_url(value), value=encode(value))


SECRET = frozenset({"private_key", "password", "session_ticket_keys", "generic_secret"})
"""Fields of Envoy's messages that nobody is shown."""


def to_dict(value: Message) -> dict[str, Any]:
    """The JSON form an operator reads and Envoy's own files use: snake_case names, enum names, `Any` opened up.

    What is secret is left out here, so that nobody who shows a message can forget to.
    """
    found: dict[str, Any] = _shown(
        json_format.MessageToDict(value, preserving_proto_field_name=True, descriptor_pool=POOL)
    )
    return found


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: "[redacted]" if name in SECRET else _shown(item) for name, item in value.items()}


def from_dict(value: dict[str, Any], into: Message) -> Message:
    """Fill `into` from the JSON form; `json_format.ParseError` names what does not fit."""
    return json_format.ParseDict(value, into, descriptor_pool=POOL)
