"""`tracing` of a Gateway: spans to an OpenTelemetry collector, by OTLP over gRPC. Called by `listeners`.

Whether a request is traced is decided by its trace id alone (`sample` percent of them): a client that says it is
sampled cannot make the proxies trace everything. Its trace is continued all the same.
"""

from google.protobuf.message import Message

from tenants.documents import Gateway
from tenants.observed import Tracing
from xds import messages
from xds.translate.built import ClusterSpec
from xds.translate.marks import REVISION, ROUTE, TENANT

_TRACE = "envoy.config.trace.v3."
_CORE = "envoy.config.core.v3."
_TRACING = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing"
HcmTracing = messages.message(_TRACING)
CustomTag = messages.message("envoy.type.tracing.v3.CustomTag")
Provider = messages.message(_TRACE + "Tracing.Http")
OpenTelemetryConfig = messages.message(_TRACE + "OpenTelemetryConfig")
RatioSampler = messages.message("envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig")
GrpcService = messages.message(_CORE + "GrpcService")
EnvoyGrpc = messages.message(_CORE + "GrpcService.EnvoyGrpc")
TypedExtensionConfig = messages.message(_CORE + "TypedExtensionConfig")
FractionalPercent = messages.message("envoy.type.v3.FractionalPercent")
Percent = messages.message("envoy.type.v3.Percent")
BoolValue = messages.message("google.protobuf.BoolValue")

TAGS = {
    "gatecast.tenant": TENANT,
    "gatecast.route": ROUTE,
    "gatecast.revision": REVISION,
    "http.url": "%REQ(:scheme)%://%REQ(:authority):256%%PATH(NQ:ORIG_OR_PATH):2048%",  # Envoy's own has the query
}
"""What every span says besides what Envoy says by itself."""

MILLIONTHS = 10_000  # of a percent


def tracing(gateway: Gateway) -> Message | None:
    """The `tracing` of every listener of a gateway."""
    said = gateway.tracing
    if said is None:
        return None
    collector = GrpcService(envoy_grpc=EnvoyGrpc(cluster_name=ClusterSpec(said.service).name))
    config = OpenTelemetryConfig(grpc_service=collector, service_name=gateway.id, sampler=_sampler(said))
    all_of_them = Percent(value=100)
    return HcmTracing(
        provider=Provider(name="envoy.tracers.opentelemetry", typed_config=messages.pack(config)),
        client_sampling=Percent(value=0),  # `x-client-trace-id` from outside asks for nothing
        random_sampling=all_of_them,  # the sampler decides
        overall_sampling=all_of_them,
        custom_tags=[CustomTag(tag=tag, value=value) for tag, value in TAGS.items()],
    )


def _sampler(said: Tracing) -> Message:
    share = FractionalPercent(numerator=round(said.sample * MILLIONTHS), denominator="MILLION")
    name = "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based"
    return TypedExtensionConfig(name=name, typed_config=messages.pack(RatioSampler(sampling_percentage=share)))
