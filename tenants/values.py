"""The field types the models in `policies` and `documents` are made of: parsed, checked and frozen.

Every type says what is wrong by `fault(code, message, hint)`; `tenants.faults` turns that into a `Problem`.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import re2
from immutables import Map
from pydantic import AfterValidator, BeforeValidator, Field, GetPydanticSchema, PlainSerializer, Strict
from pydantic_core import PydanticCustomError, core_schema

ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
OUR_HEADERS = "x-gatecast-"  # how the gateway's own headers begin
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)")
_SIZE = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB)")
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LONGEST = timedelta(days=365)
_LARGEST = (1 << 32) - 1  # Envoy counts buffers in 32 bits

MAX_PROGRAM = 5_000  # instructions of RE2; what proxies are told by `xds.bootstrap`
_ENCODINGS = (re2.Options.Encoding.UTF8, re2.Options.Encoding.LATIN1)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")


def fault(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """An error for a validator to raise; braces in the texts are safe."""
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint})


def freeze(value: Any) -> Any:
    """JSON as frozen values: objects become `immutables.Map`, lists become tuples."""
    if isinstance(value, Mapping):
        return value if type(value) is Map else Map({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """The opposite of `freeze`, with the keys of every object in order."""
    if isinstance(value, Mapping):
        return {key: thaw(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise fault("GC108", f"{text!r} is not an id", "a to z, 0 to 9 and inner hyphens, 1 to 63 characters")
    return text


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    length = timedelta(seconds=float(match[1]) * _SECONDS[match[2]]) if match else timedelta()
    if not timedelta() < length <= _LONGEST:
        raise fault("GC109", f"{value!r} is not a duration", "a number and ms, s, m or h, as in 500ms, 5s, 10m or 1h")
    return length


def _patience(length: timedelta) -> timedelta:
    """What a client waits with. Envoy counts whole milliseconds, and none of them would mean for ever."""
    if not timedelta(milliseconds=1) <= length <= timedelta(seconds=10):
        raise fault("GC106", "nobody can wait that long, or so short a time", "1ms to 10s, as in 200ms")
    return length


def duration_text(length: timedelta) -> str:
    """A duration as a user would write it: the largest unit that keeps it whole. It reads back as the same."""
    microseconds = length // timedelta(microseconds=1)
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000)):
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds / 1000:.3f}ms"


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = int(match[1]) * _BYTES[match[2]] if match else 0
    if not 0 < size <= _LARGEST:
        raise fault("GC110", f"{value!r} is not a size", "a number and B, KiB, MiB or GiB below 4GiB, as in 64KiB")
    return size


def _size_text(size: int) -> str:
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if size % _BYTES[unit] == 0)
    return f"{size // _BYTES[unit]}{unit}"


def header_name(text: str) -> str:
    """A header's name in lower case; `fault` if it is none."""
    if not _TOKEN.fullmatch(text):
        raise fault("GC111", f"{text!r} is not a header name", "letters, digits and hyphens, as in x-request-id")
    return text.lower()


def plain_header_name(text: str) -> str:
    """A header's name that can stand in one of Envoy's format strings, and is not one the proxy itself owns."""
    name = header_name(text)
    if "%" in name or name == "host":
        raise fault("GC111", f"{text!r} cannot be used here", "a header of its own, as in x-request-id")
    return name


def _header_value(text: str) -> str:
    if _CONTROL.search(text) or len(text.encode()) > 8192:
        raise fault("GC112", "the text has a control character or is too long", "one line, at most 8192 bytes")
    return text


def _method(text: str) -> str:
    if text not in METHODS:
        raise fault("GC117", f"{text!r} is not an HTTP method", "one of " + ", ".join(METHODS))
    return text


def host_name(text: str) -> str:
    """A full name of a host in lower case; `fault` if it is none."""
    host = text.lower()
    if len(host) > 253 or not _HOST.fullmatch(host):
        hint = "a full name without port, path or wildcard, as in acme.example.com; xn-- form for other alphabets"
        raise fault("GC113", f"{text!r} is not a host name", hint)
    return host


def regex(text: str) -> str:
    """The pattern, if RE2 takes it and it is not too large for a proxy.

    Envoy refuses programs above a limit of its runtime, which our bootstrap sets to `MAX_PROGRAM` (its default is 100).
    """
    if len(text) > 1024:
        raise fault("GC116", "the regular expression is longer than 1024 characters", "a shorter one")
    if max(compiled(text, encoding).programsize for encoding in _ENCODINGS) > MAX_PROGRAM:
        hint = "fewer or smaller repetitions such as {1,500}"
        raise fault("GC116", f"the regular expression comes to more than {MAX_PROGRAM} instructions", hint)
    return text


def compiled(text: str, encoding: Any = re2.Options.Encoding.UTF8) -> Any:
    """The pattern as RE2 has it, by characters or (Envoy) by bytes; `fault` if RE2 refuses it."""
    options = re2.Options()
    options.log_errors, options.encoding = False, encoding
    try:
        return re2.compile(text if encoding == re2.Options.Encoding.UTF8 else text.encode(), options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        hint = "RE2 has no look-around and no back-references"
        raise fault("GC116", f"RE2 refuses {text!r}: {reason}", hint) from None


def _path(text: str) -> str:
    if not text.startswith("/") or _CONTROL.search(text) or set(text) & set(" ?#\t") or len(text) > 2048:
        raise fault("GC112", f"{text!r} is not a path", "it begins with / and has no space, ? or #, as in /api/orders")
    return text


class Address(NamedTuple):
    """A host (name or IP, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _split_address(text: Any) -> Address | None:
    if isinstance(text, Address):
        return text
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        return None
    return Address(host[1:-1] if host.startswith("[") and host.endswith("]") else host, int(port))


def is_ip(text: str) -> bool:
    """Whether the text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _endpoint(value: Any) -> Address:
    address = _split_address(value)
    if address is None or not is_ip(address.host):
        raise fault("GC114", f"{value!r} is not an IP address with a port", "as in 10.0.0.7:8080; names go under `dns`")
    return address


def _name_and_port(value: Any) -> Address:
    address = _split_address(value)
    if address is None or not _HOST.fullmatch(address.host.lower()):
        raise fault("GC114", f"{value!r} is not a name with a port", "as in orders.internal:8080")
    return Address(address.host.lower(), address.port)


def _ip(text: str) -> str:
    if not is_ip(text):
        raise fault("GC114", f"{text!r} is not an IP address", "as in 0.0.0.0, 10.0.0.7 or ::")
    return str(ipaddress.ip_address(text))


IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(value: Any) -> IpNetwork:
    if isinstance(value, IpNetwork):
        return value
    try:
        return ipaddress.ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise fault("GC115", f"{value!r} is not an address range", f"as in {_nearest_network(value)}") from None


def _nearest_network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False)) if isinstance(value, str) else "10.0.0.0/8"
    except ValueError:
        return "10.0.0.0/8 or 2001:db8::/32"


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a value that is listed twice."""
    if len(set(values)) == len(values):
        return values
    twice = next(value for index, value in enumerate(values) if value in values[:index])
    raise fault("GC119", f"{str(twice)!r} is listed twice", "once is enough")


def is_url(text: str) -> bool:
    """Whether the text is a URL that can be asked for, without a password in it: documents are shown and kept."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    named = bool(parts.hostname) and "@" not in parts.netloc
    return parts.scheme in ("http", "https") and named and not any(c.isspace() for c in text)


def _url(text: str) -> str:
    if not is_url(text):
        what = f"{text!r} is not a URL" if "@" not in text else "it is not a URL without a user and a password"
        raise fault("GC121", what, "as in https://login.example.com/.well-known/jwks.json")
    return text


Id = Annotated[str, AfterValidator(_id)]
Int = Annotated[int, Strict()]
Positive = Annotated[int, Strict(), Field(ge=1, le=1_000_000_000)]
Bool = Annotated[bool, Strict()]
Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(duration_text)]
Patience = Annotated[Duration, AfterValidator(_patience)]
Size = Annotated[int, BeforeValidator(_size), PlainSerializer(_size_text)]
HeaderName = Annotated[str, AfterValidator(header_name)]
PlainHeaderName = Annotated[str, AfterValidator(plain_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Text = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_header_value)]
Method = Annotated[str, AfterValidator(_method)]
Host = Annotated[str, AfterValidator(host_name)]
Regex = Annotated[str, Field(min_length=1), AfterValidator(regex)]
Path = Annotated[str, AfterValidator(_path)]
Url = Annotated[str, AfterValidator(_url)]
Ip = Annotated[str, AfterValidator(_ip)]
IpAndPort = Annotated[Address, BeforeValidator(_endpoint), PlainSerializer(str)]
NameAndPort = Annotated[Address, BeforeValidator(_name_and_port), PlainSerializer(str)]
Network = Annotated[IpNetwork, BeforeValidator(_network), PlainSerializer(str)]


def mapping_of(key: Any, value: Any, build: Any) -> GetPydanticSchema:
    """A field the user writes as a mapping and we keep as `build(dict)`; errors keep the user's keys in their path."""

    def schema(_source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(build, handler.generate_schema(dict[key, value]))

    return GetPydanticSchema(schema)


def _pairs(value: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(value.items()))


def mapping_text(value: Any) -> Any:
    """The serialised form of pairs and maps: an object with its keys in order."""
    return dict(sorted(value.items() if isinstance(value, Mapping) else value))


def one_case(value: Any) -> Any:
    """Refuse header names that differ in case alone: they are one header."""
    if isinstance(value, Mapping):
        unique(tuple(str(name).lower() for name in value))
    return value


# Written as a mapping, kept as pairs in the order of their names: frozen, hashable, the same in every process.
_Pairs = tuple[tuple[str, str], ...]
HeaderPairs = Annotated[
    _Pairs, mapping_of(HeaderName, HeaderValue, _pairs), BeforeValidator(one_case), PlainSerializer(mapping_text)
]
Pairs = Annotated[_Pairs, mapping_of(Text, HeaderValue, _pairs), PlainSerializer(mapping_text)]


OURS = frozenset({"tenant", "route", "organisation"})
"""What an authorization server is told by the gateway, and by no document."""


def _context(pairs: _Pairs) -> _Pairs:
    for name, _value in pairs:
        if name in OURS:
            raise fault("GC107", f"{name!r} is told by the gateway itself", "a name of your own, as in plan")
    return pairs


Context = Annotated[Pairs, AfterValidator(_context)]
