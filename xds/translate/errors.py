"""The one body of every error that Envoy answers itself. `answers` gives it to routes, `replies` to listeners.

`{"error": {"code": "...", "message": "...", "details": {...}}}`: codes are stable, and listed in `CODES`.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        "access_denied": "The client's address may not call this path.",
        "authz_unavailable": "Whether the request is allowed cannot be found out at the moment.",
        "bad_gateway": "The service answered with something that is not HTTP.",
        "bad_request": "The request is not valid HTTP, or its path is ambiguous.",
        "bad_tenant_header": "The header that names the tenant is given twice, or does not name it alone.",
        "body_too_large": "The request body is larger than this path allows.",
        "closed": "A check that this path needs cannot be made yet, so nobody is let in.",
        "error": "Any other error that the gateway answers.",
        "headers_too_large": "The request headers are too large.",
        "invalid_header": "A required header does not have the form this path demands.",
        "keys_unavailable": "The keys to check the token with are not available at the moment.",
        "maintenance": "The path is under maintenance.",
        "missing_header": "A header this path requires is missing.",
        "no_healthy_upstream": "No endpoint of the service is healthy.",
        "not_authorized": "The request is not allowed.",
        "not_found": "The tenant has no such path.",
        "not_implemented": "The gateway does not support this.",
        "overloaded": "The service has as many requests as its limits allow.",
        "rate_limit_unavailable": "Whether there are too many requests cannot be found out at the moment.",
        "rate_limited": "Too many requests.",
        "request_timeout": "The request took too long to arrive.",
        "tenant_suspended": "The tenant is suspended.",
        "tenant_unavailable": "The settings of the tenant cannot be fetched at the moment.",
        "token_expired": "The token has expired.",
        "token_invalid": "The token is not valid here.",
        "token_missing": "This path needs a token: Authorization: Bearer.",
        "token_not_for_this_audience": "The token is for another audience.",
        "unknown_tenant": "The request names no tenant that is served here.",
        "upgrade_refused": "The connection cannot be upgraded.",
        "upstream_timeout": "The service took too long to answer.",
        "upstream_unavailable": "The service cannot be reached.",
        "wrong_tenant": "The token belongs to another tenant.",
    }
)


@lru_cache(maxsize=4096)
def code_of(text: str) -> str:
    """The code of an error that `body` made."""
    return str(json.loads(text)["error"]["code"])


def body(code: str, message: str = "", **details: str | int) -> str:
    """The error as JSON text; without a message of its own, the one of the table."""
    error = {"code": code, "message": message or CODES[code], "details": details}
    return json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
