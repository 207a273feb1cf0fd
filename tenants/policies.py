"""The policies a document may carry: one frozen model each, with its checks, and the table `POLICIES` that names them.

Floors above keep a row per policy beside it, and a test names the missing one. Durations are `timedelta`, sizes bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, model_validator

from tenants.model import Strict
from tenants.tokens import Jwt
from tenants.values import (
    OUR_HEADERS,
    Bool,
    Context,
    Duration,
    HeaderName,
    HeaderPairs,
    HeaderValue,
    Id,
    Int,
    Method,
    Network,
    Patience,
    PlainHeaderName,
    Positive,
    Regex,
    Size,
    fault,
    header_name,
    regex,
    unique,
)


def _by(text: str) -> str:
    name = text.removeprefix("header:")
    if text not in ("tenant", "client_ip") and name == text:
        raise fault("GC105", f"{text!r} is not a way to count requests", "tenant, client_ip or header:<name>")
    return text if name == text else f"header:{header_name(name)}"


class RateLimit(Strict):
    """At most `requests` in each `per`, and `burst` more at once; counted together or `by` something of the request.

    `scope`: each proxy counts for itself, or one rate limit service for all of them (`global`); `on_failure` is what
    happens to a request when that service gives no answer.
    """

    requests: Positive
    per: Literal["second", "minute", "hour", "day"]
    burst: Annotated[Int, Field(ge=0, le=1_000_000_000)] = 0
    by: Annotated[str, AfterValidator(_by)] = "tenant"
    scope: Literal["local", "global"] = "local"
    on_failure: Literal["allow", "deny"] = "allow"

    @property
    def period(self) -> timedelta:
        """The length of one `per`."""
        return timedelta(seconds={"second": 1, "minute": 60, "hour": 3600, "day": 86400}[self.per])

    @property
    def header(self) -> str | None:
        """The header requests are counted by, if they are."""
        return self.by.removeprefix("header:") if self.by.startswith("header:") else None


def _origin(text: str) -> str:
    if text == "*":
        return text
    if text.startswith("regex:"):
        regex(text.removeprefix("regex:"))
        return text
    parts = urlsplit(text)
    more = parts.path or parts.query or parts.fragment or "*" in text or len(text) > 1024
    if not parts.scheme or not parts.netloc or more:
        raise fault("GC121", f"{text!r} is not an origin", "as in https://shop.example.com, regex:<RE2>, or *")
    return text.lower()


class Cors(Strict):
    """Which pages of other origins may call. An origin is exact, `regex:<RE2>`, or `*`."""

    origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], Field(min_length=1)]
    methods: tuple[Method, ...] = ("GET", "HEAD", "POST")
    headers: tuple[HeaderName, ...] = ()
    expose: tuple[HeaderName, ...] = ()
    credentials: Bool = False
    max_age: Duration | None = None

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.credentials and "*" in self.origins:
            raise fault("GC107", "`credentials` with the origin `*` is refused by browsers", "list the origins")
        return self


class RequiredHeader(Strict):
    """Requests of these `methods` (none given: all) carry the header, whole value matching `pattern`; else `status`."""

    name: HeaderName
    methods: Annotated[tuple[Method, ...], AfterValidator(unique)] = ()
    pattern: Regex | None = None
    status: Annotated[Int, Field(ge=400, le=499)] = 400


class CorrelationId(Strict):
    """A request id travels in `header`: made here if absent (`generate`), sent back to the caller (`echo`)."""

    header: PlainHeaderName = "x-correlation-id"
    generate: Bool = True
    echo: Bool = True


def _changeable(name: str) -> str:
    if name in ("host", "content-length", "transfer-encoding", "connection") or name.startswith(OUR_HEADERS):
        raise fault("GC107", f"the header {name!r} belongs to the proxy", "leave it; `rewrite.host` changes the host")
    return name


def _changeable_pairs(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    for name, _value in pairs:
        _changeable(name)
    return pairs


class HeaderChanges(Strict):
    """Headers to `set` (replace), `add` and `remove`; values are literal text."""

    set: Annotated[HeaderPairs, AfterValidator(_changeable_pairs)] = ()
    add: Annotated[HeaderPairs, AfterValidator(_changeable_pairs)] = ()
    remove: tuple[Annotated[HeaderName, AfterValidator(_changeable)], ...] = ()


class Headers(Strict):
    """Changes to the headers of requests on their way to the service, and of responses on their way back."""

    request: HeaderChanges = HeaderChanges()
    response: HeaderChanges = HeaderChanges()


class Timeout(Strict):
    """`request`: from the first byte to the end of the answer. `idle`: without a byte either way."""

    request: Duration | None = None
    idle: Duration | None = None


class Retry(Strict):
    """Up to `attempts` more tries, `on` these conditions."""

    attempts: Annotated[Int, Field(ge=1, le=10)]
    on: Annotated[
        tuple[
            Literal[
                "5xx",
                "gateway-error",
                "reset",
                "reset-before-request",
                "connect-failure",
                "refused-stream",
                "retriable-4xx",
                "cancelled",
                "deadline-exceeded",
                "internal",
                "resource-exhausted",
                "unavailable",
            ],
            ...,
        ],
        Field(min_length=1),
        AfterValidator(unique),
    ] = ("connect-failure", "refused-stream", "gateway-error")
    per_try_timeout: Duration | None = None


_Limit = Annotated[Int, Field(ge=0, le=(1 << 32) - 1)]


class CircuitBreaker(Strict):
    """Limits towards one service; what is not given stays as the service, else the proxy, has it."""

    max_connections: _Limit | None = None
    max_pending_requests: _Limit | None = None
    max_requests: _Limit | None = None
    max_retries: _Limit | None = None


class Outlier(Strict):
    """When an endpoint is left out for a while; what is not given stays as the service, else the proxy, has it."""

    consecutive_5xx: Annotated[Int, Field(ge=1, le=1_000_000)] | None = None
    interval: Duration | None = None
    base_ejection: Duration | None = None
    max_ejection_percent: Annotated[Int, Field(ge=0, le=100)] | None = None


class Access(Strict):
    """Client addresses. `deny` wins over `allow`; with an `allow` list, everyone else is denied."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()


class BodyLimit(Strict):
    """The largest request body, in bytes."""

    max: Size


class Authz(Strict):
    """Ask the ext_authz server `service` about each request, with up to `body` bytes of body, and tell it `context`."""

    service: Id
    timeout: Patience = timedelta(milliseconds=200)
    on_failure: Literal["deny", "allow"] = "deny"
    context: Context = ()
    body: Annotated[Size, Field(le=1 << 20)] | None = None


class Maintenance(Strict):
    """Answer every request with this instead."""

    status: Annotated[Int, Field(ge=400, le=599)] = 503
    message: Annotated[HeaderValue, Field(max_length=1024)] = "The service is under maintenance."


class Policies(Strict):
    """All policies at one place; None where there is none."""

    rate_limit: RateLimit | None = None
    jwt: Jwt | None = None
    cors: Cors | None = None
    required_headers: Annotated[tuple[RequiredHeader, ...], Field(max_length=32)] | None = None
    correlation_id: CorrelationId | None = None
    headers: Headers | None = None
    timeout: Timeout | None = None
    retry: Retry | None = None
    circuit_breaker: CircuitBreaker | None = None
    outlier: Outlier | None = None
    access: Access | None = None
    body_limit: BodyLimit | None = None
    authz: Authz | None = None
    maintenance: Maintenance | None = None


EVERYWHERE = frozenset({"Gateway", "Organisation", "Route", "Tenant"})
OWN_CLUSTER = frozenset({"Tenant"})  # a Service says these as fields of its own


@dataclass(frozen=True, slots=True)
class Policy:
    """A row: the kinds of document that may carry the policy, and whether it keeps somebody out (`guards`).

    A tenant whose inherited guard no longer merges is closed, never opened (see `tenants.effective`).
    """

    name: str
    kinds: frozenset[str] = EVERYWHERE
    guards: bool = False


_ROWS = (
    Policy("rate_limit"),
    Policy("jwt", guards=True),
    Policy("cors"),
    Policy("required_headers"),
    Policy("correlation_id"),
    Policy("headers"),
    Policy("timeout"),
    Policy("retry"),
    Policy("circuit_breaker", OWN_CLUSTER),
    Policy("outlier", OWN_CLUSTER),
    Policy("access", guards=True),
    Policy("body_limit"),
    Policy("authz", guards=True),
    Policy("maintenance"),
)

POLICIES: Mapping[str, Policy] = MappingProxyType({row.name: row for row in _ROWS})

_M = TypeVar("_M", bound=BaseModel)


def over(own: _M | None, base: _M | None) -> _M | None:
    """`own` with what it leaves open (None) taken from `base`: a tenant's circuit breaker over its service's."""
    if own is None or base is None:
        return own or base
    given = {name: getattr(own, name) for name in type(own).model_fields if getattr(own, name) is not None}
    return base.model_copy(update=given)
