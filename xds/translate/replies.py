"""JSON bodies for the errors that Envoy makes up itself: one row each. Called by `listeners`.

A response of a service never passes here: Envoy applies this to its own answers alone. An answer that a route gives
(`direct_response`) has its JSON already, so the first row hands it on as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from xds import messages
from xds.translate.edits import header
from xds.translate.errors import CODES

_CORE = "envoy.config.core.v3."
_LOG = "envoy.config.accesslog.v3."
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3."
LocalReplyConfig = messages.message(_HCM + "LocalReplyConfig")
ResponseMapper = messages.message(_HCM + "ResponseMapper")
SubstitutionFormatString = messages.message(_CORE + "SubstitutionFormatString")
DataSource = messages.message(_CORE + "DataSource")
RuntimeUInt32 = messages.message(_CORE + "RuntimeUInt32")
AccessLogFilter = messages.message(_LOG + "AccessLogFilter")
ComparisonFilter = messages.message(_LOG + "ComparisonFilter")
ExtensionFilter = messages.message(_LOG + "ExtensionFilter")
ResponseFlagFilter = messages.message(_LOG + "ResponseFlagFilter")
StatusCodeFilter = messages.message(_LOG + "StatusCodeFilter")
ExpressionFilter = messages.message("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter")
Struct = messages.message("google.protobuf.Struct")
UInt32Value = messages.message("google.protobuf.UInt32Value")


@dataclass(frozen=True, slots=True)
class Reply:
    """Which of Envoy's own answers get which error; `reason`: with the short names Envoy has for what went wrong.

    `status` is one to give in place of Envoy's.
    """

    code: str
    when: Callable[[], Message]
    reason: bool = False
    status: int | None = None


def _status(status: int) -> Callable[[], Message]:
    value = RuntimeUInt32(default_value=status, runtime_key=f"gatecast.status_{status}")
    return lambda: AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(value=value)))


def _flag(*flags: str) -> Callable[[], Message]:
    return lambda: AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=flags))


def _detail(detail: str) -> Callable[[], Message]:
    return _when(f"response.code_details == '{detail}'")


def _when(condition: str) -> Callable[[], Message]:
    expression = messages.pack(ExpressionFilter(expression=condition))
    name = "envoy.access_loggers.extension_filters.cel"
    return lambda: AccessLogFilter(extension_filter=ExtensionFilter(name=name, typed_config=expression))


REPLIES = (
    Reply("upgrade_refused", _detail("upgrade_failed")),
    Reply("bad_request", _status(400)),
    Reply("access_denied", _status(403)),
    Reply("unknown_tenant", _status(404)),  # all other 404s are answers of routes: a tenant's table ends with one
    Reply("request_timeout", _status(408)),
    Reply("unknown_tenant", _when("response.code == 413 && !has(xds.route_name)"), status=404),  # see filters.chain
    Reply("body_too_large", _status(413)),
    Reply("upgrade_refused", _status(426)),
    Reply("rate_limited", _status(429)),
    Reply("headers_too_large", _status(431)),
    Reply("not_implemented", _status(501)),
    Reply("bad_gateway", _status(502), reason=True),
    Reply("overloaded", _flag("UO"), reason=True),
    Reply("no_healthy_upstream", _flag("UH"), reason=True),
    Reply("upstream_unavailable", _status(503), reason=True),
    Reply("upstream_timeout", _status(504), reason=True),
)


def local_replies() -> Message:
    """The `local_reply_config` of every listener."""
    as_it_is = SubstitutionFormatString(
        text_format_source=DataSource(inline_string="%LOCAL_REPLY_BODY%"), content_type="application/json"
    )
    given = ResponseMapper(filter=_detail("direct_response")(), body_format_override=as_it_is)
    return LocalReplyConfig(mappers=[given, *map(_mapper, REPLIES)], body_format=_format("error", True))


def _mapper(row: Reply) -> Message:
    """A request that is no HTTP gets no id from Envoy; its answer has one all the same."""
    return ResponseMapper(
        filter=row.when(),
        status_code=None if row.status is None else UInt32Value(value=row.status),
        body_format_override=_format(row.code, row.reason),
        headers_to_add=[header("x-request-id", "%UNIQUE_ID%", "ADD_IF_ABSENT")],
    )


def _format(code: str, reason: bool) -> Message:
    details = {"status": "%RESPONSE_CODE%"} | ({"reason": "%RESPONSE_FLAGS%"} if reason else {})
    return SubstitutionFormatString(
        json_format=_struct({"error": {"code": code, "message": CODES[code], "details": details}})
    )


def _struct(value: dict[str, Any]) -> Message:
    return messages.from_dict(value, Struct())
