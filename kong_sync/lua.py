"""The Lua of our functions: fixed texts, and constants before them. Called by `plugins` and `translate`.

A run-time error of the guard is a 500 for every request of the Kong, so nothing here is made of what documents say but
quoted constants, and no text uses more than the sandbox has: `kong`, `ngx.req`, `ngx.re`, strings and tables.
"""

import string
from collections.abc import Iterable, Mapping
from typing import Any

from kong_sync import scripts
from kong_sync.bodies import JSON, body

CONSUMER_HEADERS = (
    *("x-anonymous-consumer", "x-consumer-custom-id", "x-consumer-groups", "x-consumer-id", "x-consumer-username"),
    "x-credential-identifier",
)
"""What Kong's own plugins tell services about who asks."""
_PLAIN = frozenset(string.ascii_letters + string.digits + " _-./:")


def quoted(text: str) -> str:
    """A Lua string: whatever is not plain is written by its number."""
    return '"' + "".join(chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03d}" for byte in text.encode()) + '"'


def constant(value: Any) -> str:
    """Plain JSON as a Lua constant."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nil"}[value]
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"[{constant(name)}]={constant(value[name])}" for name in sorted(value)) + "}"
    return "{" + ",".join(map(constant, value)) + "}"


def _with(text: str, **constants: Any) -> str:
    """The text behind its constants."""
    head = "".join(f"local {name} = {constant(value)}\n" for name, value in constants.items() if value is not None)
    return head + text.strip() + "\n"


def _refusals(*codes: str) -> dict[str, str]:
    return {code: body(code) for code in codes}


def header_guard(header: str, paths: Iterable[str] | None) -> str:
    """Before routing: one id of a tenant in this header, or none. `paths`: what ours begin with; None: all are ours."""
    bodies = _refusals("bad_tenant_header", "unknown_tenant")
    known = None if paths is None else list(paths)
    head = "" if paths is not None else "local PATHS\n"
    return head + _with(
        scripts.EXIT + scripts.OURS + scripts.DISGUISED + scripts.BY_HEADER,
        PATHS=known,
        HEADER=header,
        TYPE=JSON,
        BODIES=bodies,
    )


def claim_guard(header: str, claim: Iterable[str], paths: Iterable[str] | None) -> str:
    """Before routing: the tenant that a token says, into our own header; the token is verified behind."""
    bodies = _refusals("token_missing", "token_invalid", "unknown_tenant", "bad_tenant_header")
    known = None if paths is None else list(paths)
    head = "" if paths is not None else "local PATHS\n"
    text = scripts.EXIT + scripts.OURS + scripts.DISGUISED + scripts.READ + scripts.BY_CLAIM
    return head + _with(text, PATHS=known, HEADER=header, CLAIM=list(claim), TYPE=JSON, BODIES=bodies)


def token_check(**said: Any) -> str:
    """What the plugin `jwt` does not look at: issuer, audience, tenant, algorithm. It verifies the same token behind.

    ISSUER, AUDIENCES, ALGORITHMS, REQUIRED, SKEW, FORWARD, CLAIMS; TENANT or HEADER says whom the claims must name.
    """
    names = ("token_missing", "token_invalid", "token_expired", "token_not_for_this_audience", "wrong_tenant")
    absent = "".join(f"local {name}\n" for name in ("TENANT", "HEADER") if said.get(name) is None)
    return absent + _with(scripts.EXIT + scripts.READ + scripts.CHECK, **said, TYPE=JSON, BODIES=_refusals(*names))


def recognised(space: bytes, before: str, header: str, tenant: str) -> str:
    """Who asks is the consumer whose id is the uuid5 in `space` of `before` and the tenant: of this header, if no
    tenant is given. What a client says about consumers no service sees.
    """
    absent = "local TENANT\n" if not tenant else ""
    said = {"HEADER": header or None, "TENANT": tenant or None, "SPOKEN": CONSUMER_HEADERS}
    return absent + _with(scripts.RECOGNISED, SPACE=list(space), BEFORE=before, **said)


def verified() -> str:
    """Where a token is not required: one that was given and did not pass is refused."""
    return _with(scripts.VERIFIED, TYPE=JSON, BODIES=_refusals("token_invalid"))


def required_headers(rules: Iterable[Mapping[str, Any]]) -> str:
    """`name`, `status`, `missing`, and perhaps `methods`, `pattern`, `invalid` of each rule."""
    return _with(scripts.REQUIRED, RULES=list(rules), TYPE=JSON)


def echo(header: str) -> str:
    """A header of the request goes back with the answer."""
    return _with(scripts.ECHO, HEADER=header)


def rewrite(prefix: str | None, regex: str | None, to: str | None, host: str | None) -> str:
    """What the service sees: `to` in place of the path's beginning, of what a pattern finds, or of all; the host."""
    said = {"PREFIX": prefix, "REGEX": regex, "TO": to, "HOST": host}
    absent = "".join(f"local {name}\n" for name, value in said.items() if value is None)
    return absent + _with(scripts.REWRITE, **said)


def cleared(header: str) -> str:
    """A header of ours that no service sees."""
    return _with("kong.service.request.clear_header(HEADER)", HEADER=header)
