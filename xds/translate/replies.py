"""JSON bodies for the errors that Envoy makes up itself: one row each. Called by `listeners`.

A response of a service never passes here: Envoy applies this to its own answers alone. An answer that a route gives
(`direct_response`) has its JSON already, so the first row hands it on as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from xds import messages
from xds.translate.body_limits import TOO_LARGE
from xds.translate.edits import header
from xds.translate.errors import CODES
from xds.translate.marks import NOBODY
from xds.translate.on_demand import UNANSWERED
from xds.translate.tokens import AMBIGUOUS, WRONG_TENANT
from xds.translate.upgrades import REFUSED as NO_UPGRADE

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
class When:
    """A condition on an answer: as the filter that Envoy asks, and `said` in the language of expressions."""

    said: str
    filter: Callable[[], Message]


@dataclass(frozen=True, slots=True)
class Reply:
    """Which of Envoy's own answers get which error; `reason`: what its details say of the cause.

    `status` is one to give in place of Envoy's, `challenge` a `www-authenticate` header.
    """

    code: str
    when: When
    reason: str = ""
    status: int | None = None
    challenge: str = ""


def _status(status: int) -> When:
    value = RuntimeUInt32(default_value=status, runtime_key=f"gatecast.status_{status}")
    by_status = StatusCodeFilter(comparison=ComparisonFilter(value=value))
    return When(f"response.code == {status}", lambda: AccessLogFilter(status_code_filter=by_status))


def _flag(flag: str, detail: str) -> When:
    by_flag = ResponseFlagFilter(flags=[flag])
    said = f"response.code_details.contains('{detail}')"
    return When(said, lambda: AccessLogFilter(response_flag_filter=by_flag))


def _detail(detail: str) -> When:
    return _when(f"response.code_details == '{detail}'")


def _when(condition: str) -> When:
    expression = messages.pack(ExpressionFilter(expression=condition))
    name = "envoy.access_loggers.extension_filters.cel"
    by_expression = ExtensionFilter(name=name, typed_config=expression)
    return When(condition, lambda: AccessLogFilter(extension_filter=by_expression))


_FLAGS = "%RESPONSE_FLAGS%"
"""The short names Envoy has for what went wrong."""

_SAID = "%LOCAL_REPLY_BODY%"
"""What an authorization server said: it refused without a content type, so that is no answer for a client yet."""

_DETAILS = "%RESPONSE_CODE_DETAILS%"
"""Which check a token failed."""


def _token(fault: str) -> When:
    return _detail(f"jwt_authn_access_denied{{{fault}}}")


def _binding(policy: str) -> When:
    return _detail(f"rbac_access_denied_matched_policy[{policy}]")


# The second is a provider that the proxy does not have: the order of changes prevents that, and if not, nobody gets in.
_NO_KEYS = (
    "response.code_details == 'jwt_authn_access_denied{Jwks_remote_fetch_is_failed}'"
    " || response.code_details.startsWith('jwt_authn_access_denied{Wrong_requirement_name')"
)
_INVALID = 'Bearer error="invalid_token"'

# A claim with a line break, which no header can carry.
_UNFIT_CLAIM = "response.code_details.startsWith('filter_removed_required_request_headers{invalid_header_value')"

_REFUSED = "response.code_details == 'ext_authz_denied'"

# CONNECT, and `*` in place of a path: no route takes these, the last one of a tenant's table neither.
_NO_PATH = f"response.code == 404 && has(xds.virtual_host_name) && xds.virtual_host_name != '{NOBODY}'"

REPLIES = (
    Reply("not_authorized", _when(_REFUSED), reason=_SAID),
    Reply("authz_unavailable", _when("response.code_details in ['ext_authz_error', 'ext_authz_invalid']"), status=503),
    Reply("rate_limit_unavailable", _detail("rate_limiter_error"), status=503),
    Reply("token_missing", _token("Jwt_is_missing")),
    Reply("token_expired", _token("Jwt_is_expired")),
    Reply("token_not_for_this_audience", _token("Audiences_in_Jwt_are_not_allowed")),
    Reply("keys_unavailable", _when(_NO_KEYS), status=503, challenge="Bearer"),
    Reply("wrong_tenant", _binding(WRONG_TENANT)),
    Reply("token_invalid", _binding(AMBIGUOUS), reason=_DETAILS, status=401, challenge=_INVALID),
    Reply("token_invalid", _when(_UNFIT_CLAIM), reason=_DETAILS, status=401, challenge=_INVALID),
    Reply("token_invalid", _status(401), reason=_DETAILS),
    Reply("tenant_unavailable", _when(UNANSWERED), status=503),
    Reply("upgrade_refused", _detail("upgrade_failed")),
    Reply("upgrade_refused", _binding(NO_UPGRADE)),
    Reply("bad_request", _status(400)),
    Reply("body_too_large", _when(f"response.code_details.contains('{TOO_LARGE}')"), status=413),
    Reply("bad_request", _detail("http1.https_url_on_plaintext_connection"), status=400),
    Reply("access_denied", _status(403)),
    Reply("not_found", _when(_NO_PATH)),
    Reply("unknown_tenant", _status(404)),  # all other 404s are answers of routes: a tenant's table ends with one
    Reply("request_timeout", _status(408)),
    Reply("unknown_tenant", _when("response.code == 413 && !has(xds.route_name)"), status=404),  # see filters.chain
    Reply("body_too_large", _status(413)),
    Reply("upgrade_refused", _status(426)),
    Reply("rate_limited", _status(429)),
    Reply("headers_too_large", _status(431)),
    Reply("not_implemented", _status(501)),
    Reply("bad_gateway", _status(502), reason=_FLAGS),
    Reply("overloaded", _flag("UO", "overflow"), reason=_FLAGS),
    Reply("no_healthy_upstream", _flag("UH", "no_healthy_upstream"), reason=_FLAGS),
    Reply("upstream_unavailable", _status(503), reason=_FLAGS),
    Reply("upstream_timeout", _status(504), reason=_FLAGS),
)


def local_replies() -> Message:
    """The `local_reply_config` of every listener."""
    as_it_is = SubstitutionFormatString(
        text_format_source=DataSource(inline_string="%LOCAL_REPLY_BODY%"), content_type="application/json"
    )
    given = (_detail("direct_response"), _when(f"{_REFUSED} && 'content-type' in response.headers"))
    mappers = [ResponseMapper(filter=when.filter(), body_format_override=as_it_is) for when in given]
    return LocalReplyConfig(mappers=[*mappers, *map(_mapper, REPLIES)], body_format=_format("error", _FLAGS))


_ID = header("x-request-id", "%UNIQUE_ID%", "ADD_IF_ABSENT")


def _challenge(said: str) -> Message:
    return header("www-authenticate", said, "OVERWRITE_IF_EXISTS_OR_ADD")


def _mapper(row: Reply) -> Message:
    """A request that is no HTTP gets no id from Envoy; its answer has one all the same."""
    return ResponseMapper(
        filter=row.when.filter(),
        status_code=None if row.status is None else UInt32Value(value=row.status),
        body_format_override=_format(row.code, row.reason),
        headers_to_add=[_ID, _challenge(row.challenge)] if row.challenge else [_ID],
    )


def _format(code: str, reason: str) -> Message:
    details = {"status": "%RESPONSE_CODE%"} | ({"reason": reason} if reason else {})
    return SubstitutionFormatString(
        json_format=_struct({"error": {"code": code, "message": CODES[code], "details": details}})
    )


def _struct(value: dict[str, Any]) -> Message:
    return messages.from_dict(value, Struct())
