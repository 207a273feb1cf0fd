"""What the proxies tell of each request: a line of JSON, and counts of each tenant. Called by `listeners`.

Tenant, route, revision and error are those of our own tables, never what a client or a service said. A tenant whose
table was not found has no name here, so clients cannot make up lines or counters of others.
"""

from typing import Any

from google.protobuf.message import Message

from tenants.documents import Gateway
from tenants.observed import AccessLog
from xds import messages
from xds.translate.marks import REVISION, ROUTE, TENANT
from xds.translate.tenant_stats import ERROR, counters
from xds.translate.unknown_keys import unknown_keys

_LOGGERS = "envoy.extensions.access_loggers."
EnvoyAccessLog = messages.message("envoy.config.accesslog.v3.AccessLog")
FileAccessLog = messages.message(_LOGGERS + "file.v3.FileAccessLog")
StdoutAccessLog = messages.message(_LOGGERS + "stream.v3.StdoutAccessLog")
SubstitutionFormatString = messages.message("envoy.config.core.v3.SubstitutionFormatString")
Struct = messages.message("google.protobuf.Struct")

FIELDS = {
    "time": "%START_TIME%",
    "tenant": TENANT,
    "route": ROUTE,
    "revision": REVISION,
    "request_id": "%REQ(x-request-id)%",
    "trace_id": "%TRACE_ID%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "host": "%REQ(:authority):256%",
    "method": "%REQ(:method):32%",
    "path": "%PATH(NQ:ORIG_OR_PATH):2048%",
    "protocol": "%PROTOCOL%",
    "user_agent": "%REQ(user-agent):256%",
    "status": "%RESPONSE_CODE%",
    "error": f"%CEL({ERROR})%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "upstream_ms": "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:ms)%",
    "request_bytes": "%BYTES_RECEIVED%",
    "response_bytes": "%BYTES_SENT%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",
    "endpoint": "%UPSTREAM_HOST%",
}
"""Of every line. What is not known of a request is null."""

QUERY = "%PATH(WQ:ORIG_OR_PATH):8192%"


def access_logs(gateway: Gateway) -> list[Message]:
    """The `access_log` of every listener of a gateway."""
    lines = [_lines(gateway.id, gateway.access_log)] if gateway.access_log else []
    reports = [unknown_keys()] if gateway.report_unknown_keys else []
    return lines + (counters() if gateway.tenant_stats else []) + reports


def _lines(gateway: str, said: AccessLog) -> Message:
    fields = {"gateway": gateway, **FIELDS} | ({"path": QUERY} if said.query else {})
    form = SubstitutionFormatString(json_format=messages.from_dict(fields, Struct()))
    if said.path is None:
        return logger("envoy.access_loggers.stdout", StdoutAccessLog(log_format=form))
    return logger("envoy.access_loggers.file", FileAccessLog(path=said.path, log_format=form))


def logger(name: str, config: Any) -> Message:
    """One access logger of Envoy's."""
    return EnvoyAccessLog(name=name, typed_config=messages.pack(config))
