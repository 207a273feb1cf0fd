"""Rules about values and whole entities that Kong keeps in code and its schemas do not show. Used by the schemas.

A check of a value returns what is wrong, or "". A rule about a record takes (value, errors found so far) and adds to
the errors.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kong_double.refusals import Errors, Json

Rule = Callable[[Json, Errors], None]
NAME = re.compile(r"[A-Za-z0-9.\-_~\u0080-\U0010ffff]+")
HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
BAD_NAME = "invalid value '{}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
BAD_TAG = "invalid tag '{}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
CONDITION = "failed conditional validation given value of field '{}'"
UNRESERVED = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/%\u0080-\U0010ffff]*")


def name(value: str) -> str:
    if "\ufffd" in value:
        return f"invalid utf-8 character sequence detected at position {value.index(chr(0xFFFD)) + 1}"
    return "" if NAME.fullmatch(value) else BAD_NAME.format(value)


def tag(value: str) -> str:
    good = all(ch >= "\x80" or (" " <= ch <= "~" and ch not in ",/") for ch in value)
    return "" if good else BAD_TAG.format(value)


def is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return False
    return True


def host(value: str) -> str:
    if is_ip(value):
        return ""
    if re.fullmatch(r"[^:]+:\d+", value):
        return "must not have a port"
    return "" if HOSTNAME.fullmatch(value) else f"invalid value: {value}"


def sni(value: str) -> str:
    return "" if HOSTNAME.fullmatch(value.removeprefix("*.").removesuffix(".*")) else f"invalid value: {value}"


def path(value: str) -> str:
    good = UNRESERVED.fullmatch(value)
    return "" if good else f"invalid path: '{value}' (characters outside of the reserved list of RFC 3986 found)"


def route_path(value: str) -> str:
    if value.startswith("~"):
        return regex(value.removeprefix("~"))
    if bad := re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", value):
        return f"invalid url-encoded value: '{bad.group()}'"
    normal = normalized(value)
    return "" if normal == value else f"non-normalized path, consider use '{normal}' instead"


def normalized(value: str) -> str:
    """The path as the router compares it: escapes that mean themselves decoded, dots and their segments resolved."""
    decoded = re.sub("%2f", "%252F", value, flags=re.I)
    parts: list[str] = []
    for part in unquote(decoded).split("/")[1:]:
        if part == "..":
            parts[-1:] = []
        elif part != ".":
            parts.append(part)
    ends = value.endswith(("/.", "/.."))
    return "/" + "/".join(parts) + ("/" if ends and parts else "")


def regex(value: str) -> str:
    try:
        re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", value))
    except re.error as error:
        why = "missing closing parenthesis" if "missing )" in error.msg else error.msg
        return f"invalid regex: '{value}' (PCRE returned: pcre2_compile() failed: {why} in \"{value}\")"
    return ""


def origin(value: str) -> str:
    try:
        re.compile(value)
    except re.error:
        return "" if value == "*" else f"'{value}' is not a valid regex"
    return ""


def route_host(value: str) -> str:
    plain = re.sub(r":\d+$", "", value).replace("*.", "").replace(".*", "")
    return "" if HOSTNAME.fullmatch(plain) or is_ip(plain) else f"invalid hostname: {value}"


def upstream_name(value: str) -> str:
    if is_ip(value):
        return f"Invalid name ('{value}'); no ip addresses allowed"
    if re.fullmatch(r"[^:]+:\d+", value):
        return f"Invalid name ('{value}'); no port allowed"
    return "" if HOSTNAME.fullmatch(value) else f"Invalid name ('{value}'); must be a valid hostname"


def target(value: str) -> str:
    host_, _, port = value.rpartition(":")
    good = (is_ip(host_) or HOSTNAME.fullmatch(host_)) and port.isdigit() and int(port) < 65536
    return "" if good else "Invalid target; not a valid hostname or ip address"


def full_target(value: str) -> str:
    """With its port, and an IPv6 address in full."""
    host_, _, port = value.rpartition(":") if re.search(r"(^[^:]+|\]):\d+$", value) else (value, "", "8000")
    try:
        long = ipaddress.IPv6Address(host_.strip("[]")).exploded
    except ValueError:
        return f"{host_}:{port}"
    return f"[{long}]:{port}"


def cidr(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"invalid ip or cidr range: '{value}'"
    return ""


def pair(value: str) -> str:
    return "" if re.fullmatch(r"[^:]+:.*", value) else f"invalid value: {value}"


def method(value: str) -> str:
    return "" if re.fullmatch("[A-Z]+", value) else f"invalid value: {value}"


def certificate(value: str) -> str:
    try:
        x509.load_pem_x509_certificate(value.encode())
    except ValueError:
        return "invalid certificate: x509.new: error: not enough data"
    return ""


# -- about the whole ------------------------------------------------------------------------------------------------


def dig(value: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def blame(errors: Errors, dotted: str, why: str) -> None:
    """Put an error at a path of fields."""
    *way, last = dotted.split(".")
    for part in way:
        inner = errors.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        errors = inner
    errors[last] = why


def whole(errors: Errors, why: str) -> None:
    errors.setdefault("@entity", []).append(why)


def some_of(*names: str) -> Rule:
    """At least one of these fields must hold something."""
    listed = ", ".join(f"'{one}'" for one in names)
    said = f"at least one of these fields must be non-empty: {listed}"

    def rule(value: Json, errors: Errors) -> None:
        if all(dig(value, one) in (None, "", []) for one in names):
            whole(errors, said)

    return rule


def when(field: str, holds: Callable[[Any], bool], then: str, wrong: Callable[[Any], str], said: str = "") -> Rule:
    """If `field` is such that it holds, `then` must not be wrong."""

    def rule(value: Json, errors: Errors) -> None:
        found = dig(value, field)
        if found is None or field in errors or not holds(found):
            return
        if why := wrong(dig(value, then)):
            blame(errors, then, why)
            whole(errors, said or CONDITION.format(field))

    return rule


def needs(value: Any) -> str:
    return "required field missing" if value in (None, "") else ""


def null(value: Any) -> str:
    return "" if value is None else "value must be null"


def one_of(*allowed: str) -> Callable[[Any], str]:
    return lambda value: "" if value in allowed else f"expected one of: {', '.join(allowed)}"


def public_key(value: str | None) -> str:
    if value is None:
        return "required field missing"
    try:
        load_pem_public_key(value.encode())
    except ValueError:
        return "invalid key"
    return ""


PERIODS = ("second", "minute", "hour", "day", "month", "year")


def rising(value: Json, errors: Errors) -> None:
    """Limits of longer periods are not lower than those of shorter ones."""
    config = value.get("config")
    if "config" in errors or not isinstance(config, dict):
        return
    given = [(period, config[period]) for period in PERIODS if config.get(period) is not None]
    for (short, few), (long, many) in pairwise(given):
        if many < few:
            said = f"The limit for {long}({float(many)}) cannot be lower than the limit for {short}({float(few)})"
            errors["config"] = said
            return


def termination(value: Json, errors: Errors) -> None:
    config = value.get("config")
    if not isinstance(config, dict):
        return
    if config.get("message") is not None and (config.get("content_type") or config.get("body")):
        errors["config"] = "message cannot be used with content_type or body"
    elif config.get("content_type") and not config.get("body"):
        errors["config"] = "content_type requires a body"


L7 = ("methods", "hosts", "headers", "paths")
STREAM = ("tcp", "tls", "udp")
GROUPS: Mapping[str, Sequence[str]] = {
    "http": L7,
    "https": (*L7, "snis"),
    "grpc": ("hosts", "headers", "paths"),
    "grpcs": ("hosts", "headers", "paths", "snis"),
    "tls_passthrough": ("snis",),
}


def matchable(value: Json, errors: Errors) -> None:
    """A route says what it matches, in the words of its protocols."""
    protocols = value.get("protocols")
    if not isinstance(protocols, list) or ("service" in errors and not protocols):
        return
    if "these sets" in str(errors.get("protocols", "")):
        return
    first = str(protocols[-1]) if protocols else "nil"
    if first in STREAM:
        _stream_route(value, errors)
    elif first not in GROUPS:
        errors["protocols"] = f"unknown type: {first}"
    elif not any(value.get(field) for field in GROUPS[first]):
        named = ", ".join(f"'{field}'" for field in GROUPS[first])
        whole(errors, f"must set one of {named} when 'protocols' is '{first}'")
    else:
        _no_empty_header(value, errors)


def _stream_route(value: Json, errors: Errors) -> None:
    if value.get("paths"):
        errors["paths"] = "cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'"
    if not any(value.get(field) for field in ("sources", "destinations", "snis")):
        whole(errors, "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'")


def _no_empty_header(value: Json, errors: Errors) -> None:
    headers = value.get("headers")
    if isinstance(headers, dict) and any(one == [] for one in headers.values()):
        whole(errors, "Router Expression failed validation:  --> 1:2\n  |\n1 | ()\n  |  ^---\n  |\n  = expected term")


def sni_protocols(value: Json, errors: Errors) -> None:
    protocols = value.get("protocols")
    if value.get("snis") and isinstance(protocols, list) and not {"grpcs", "https", "tls"} & set(protocols):
        errors["snis"] = "length must be 0"
        whole(errors, "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'")
