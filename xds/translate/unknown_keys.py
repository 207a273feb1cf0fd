"""An access logger that tells the control plane which tenant was shown a token of an unknown key. Called by
`access_logs`; `xds.reports` receives it.

A proxy has the keys inlined and never asks an issuer, so nobody else would know that an issuer signs with a new key
before its set is due to be fetched again.
"""

from google.protobuf.message import Message

from xds import messages
from xds.bootstrap import XDS_CLUSTER

_LOG = "envoy.config.accesslog.v3."
_GRPC = "envoy.extensions.access_loggers.grpc.v3."
AccessLogFilter = messages.message(_LOG + "AccessLogFilter")
EnvoyAccessLog = messages.message(_LOG + "AccessLog")
ExtensionFilter = messages.message(_LOG + "ExtensionFilter")
ExpressionFilter = messages.message("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter")
HttpGrpcAccessLogConfig = messages.message(_GRPC + "HttpGrpcAccessLogConfig")
CommonGrpcAccessLogConfig = messages.message(_GRPC + "CommonGrpcAccessLogConfig")
CustomTag = messages.message("envoy.type.tracing.v3.CustomTag")
GrpcService = messages.message("envoy.config.core.v3.GrpcService")
EnvoyGrpc = messages.message("envoy.config.core.v3.GrpcService.EnvoyGrpc")

NAME = "gatecast.unknown_keys"
TENANT = "tenant"
UNKNOWN = "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}"
"""Envoy's details of such an answer."""


def unknown_keys() -> Message:
    """The logger: nothing but requests that were refused for an unknown key, each with its tenant ("" if none yet)."""
    tenant = CustomTag(tag=TENANT, value="%CEL(has(xds.virtual_host_name) ? xds.virtual_host_name : '')%")
    common = CommonGrpcAccessLogConfig(
        log_name=NAME,
        grpc_service=GrpcService(envoy_grpc=EnvoyGrpc(cluster_name=XDS_CLUSTER)),
        transport_api_version="V3",
        custom_tags=[tenant],
    )
    config = messages.pack(HttpGrpcAccessLogConfig(common_config=common))
    return EnvoyAccessLog(name="envoy.access_loggers.http_grpc", filter=_refused_for_it(), typed_config=config)


def _refused_for_it() -> Message:
    condition = messages.pack(ExpressionFilter(expression=f'response.code_details == "{UNKNOWN}"'))
    extension = ExtensionFilter(name="envoy.access_loggers.extension_filters.cel", typed_config=condition)
    return AccessLogFilter(extension_filter=extension)
