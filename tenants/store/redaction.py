"""Takes secrets out of JSON before it is shown or written down: diffs, audit details. Pure.

What counts as a secret goes by what a value is, not by where we expect it: a `SecretStr` or `SecretBytes`, whatever
stands under a name like `authorization` or `api_key` (a header that is set, a context value), the secret part of a JSON
Web Key, a private key in PEM, a password in a URL.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr

HIDDEN = "(secret)"

_NAMES = re.compile(
    r"authorization|cookie|secret|passw(or)?d|passphrase|credentials?$|api[-_]?key|private[-_]?key|access[-_]?key"
    r"|(^|[-_])(auth|token|dsn)$",
    re.IGNORECASE,
)
_KEY_PARTS = frozenset({"k", "d", "p", "q", "dp", "dq", "qi", "oth"})  # RFC 7518: symmetric, and private halves
_PRIVATE = "PRIVATE KEY-----"  # PEM
_USERINFO = re.compile(r"(?<=://)[^/\s@]*:[^/\s]*@")


def redacted(value: Any) -> Any:
    """The JSON with every secret hidden. Numbers and booleans are no secrets."""
    match value:
        case SecretStr() | SecretBytes():
            return HIDDEN
        case str():
            return HIDDEN if _PRIVATE in value else _USERINFO.sub(f"{HIDDEN}@", value)
        case Mapping():
            return {name: hidden(item) if _secret(name, value) else redacted(item) for name, item in value.items()}
        case list() | tuple():
            return [redacted(item) for item in value]
        case _:
            return value


def hidden(value: Any) -> Any:
    """The shape of a value that is a secret as a whole."""
    match value:
        case Mapping():
            return {name: hidden(item) for name, item in value.items()}
        case list() | tuple():
            return [hidden(item) for item in value]
        case None | bool() | int() | float():
            return value
        case _:
            return HIDDEN


def _secret(name: Any, among: Mapping[Any, Any]) -> bool:
    return bool(_NAMES.search(str(name))) or ("kty" in among and name in _KEY_PARTS)
