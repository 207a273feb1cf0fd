"""The one body of errors, where Kong can be made to give it: the same codes and words as on Envoy. Called by `plugins`
and `lua`. A test compares the words with those of `xds`, which this floor may not import.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        "access_denied": "The client's address may not call this path.",
        "bad_tenant_header": "The header that names the tenant is given twice, or does not name it alone.",
        "closed": "A check that this path needs cannot be made yet, so nobody is let in.",
        "invalid_header": "A required header does not have the form this path demands.",
        "maintenance": "The path is under maintenance.",
        "missing_header": "A header this path requires is missing.",
        "not_found": "The tenant has no such path.",
        "rate_limited": "Too many requests.",
        "tenant_suspended": "The tenant is suspended.",
        "token_expired": "The token has expired.",
        "token_invalid": "The token is not valid here.",
        "token_missing": "This path needs a token: Authorization: Bearer.",
        "token_not_for_this_audience": "The token is for another audience.",
        "unknown_tenant": "The request names no tenant that is served here.",
        "wrong_tenant": "The token belongs to another tenant.",
    }
)
JSON = "application/json; charset=utf-8"


def body(code: str, message: str = "", **details: str | int) -> str:
    """The error as JSON text; without a message of its own, the one of the table."""
    error = {"code": code, "message": message or CODES[code], "details": details}
    return json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
