"""The six kinds of document as frozen models, and `KINDS` that names them. `tenants.faults.check` builds them.

Policies stay as given (frozen JSON: `immutables.Map`, tuples), because a merge must tell `null` from absent; they
are checked against `tenants.policies` when the document is built. Sort before you iterate over a Map.
"""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from immutables import Map
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema

from tenants.model import Strict
from tenants.observed import AccessLog, Tracing
from tenants.paths import Match, Rewrite, Split, exactly_one
from tenants.policies import POLICIES, CircuitBreaker, Outlier, Policies
from tenants.tls import Hidden, HostPattern, ListenerTls, Tls
from tenants.tokens import claim_name
from tenants.values import (
    Bool,
    Duration,
    Host,
    Id,
    Int,
    Ip,
    IpAndPort,
    NameAndPort,
    Path,
    Patience,
    Text,
    fault,
    freeze,
    mapping_of,
    mapping_text,
    plain_header_name,
    thaw,
    unique,
)

# A policy given in part is completed by what it inherits, so these faults wait for the merge.
INCOMPLETE = frozenset({"missing", "GC103"})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _policies_of(kind: str) -> GetPydanticSchema:
    """Policies as given in a document of this kind: checked as far as a part can be, kept as frozen JSON."""
    fields: dict[str, Any] = {
        name: (field.annotation, None) for name, field in Policies.model_fields.items() if kind in POLICIES[name].kinds
    }
    model = create_model("Policies", __base__=Strict, **fields)

    def keep(value: Any, handler: Any) -> Map[str, Any]:
        try:
            handler(_without_nulls(value))
        except ValidationError as error:
            if any(item["type"] not in INCOMPLETE for item in error.errors(include_url=False, include_input=False)):
                raise
        frozen: Map[str, Any] = freeze(value)
        return frozen

    return GetPydanticSchema(
        lambda _source, handler: core_schema.no_info_wrap_validator_function(keep, handler.generate_schema(model))
    )


_JsonMap = Map[str, Any]
_AsJson = PlainSerializer(thaw)


class Key(NamedTuple):
    """The name of a document."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


class Document(Strict):
    """What every document has. `kind` is a class attribute: it is part of the file, not of the value."""

    kind: ClassVar[str]
    id: Id

    @property
    def key(self) -> Key:
        """The document's name."""
        return Key(self.kind, self.id)

    def as_given(self) -> dict[str, Any]:
        """The document as JSON that reads back as the same document."""
        return {"kind": self.kind, **self.model_dump(mode="json", by_alias=True, exclude_unset=True)}


Parity = Literal["exact"] | None


class Listener(Strict):
    """Where a gateway listens."""

    name: Id
    address: Ip = "0.0.0.0"  # noqa: S104 - a gateway's public side
    port: Annotated[Int, Field(ge=1, le=65535)]
    tls: ListenerTls | None = None


class TenantSelector(Strict):
    """How a request names its tenant: `source` (written `from`) is header, host or claim; `name` of header or claim."""

    source: Literal["header", "host", "claim"] = Field(alias="from")
    name: Text | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.source == "host" and self.name is not None:
            raise fault("GC107", "`name` has no meaning with `from: host`", "leave it out")
        if self.source != "host" and self.name is None:
            raise fault("GC103", f"`from: {self.source}` needs a `name`", f"the name of the {self.source}")
        return self

    @field_validator("name")
    @classmethod
    def _header(cls, name: str | None, info: Any) -> str | None:
        check = {"header": plain_header_name, "claim": claim_name}.get(info.data.get("source", ""))
        return check(name) if check and name else name


class RateLimitService(Strict):
    """Who counts for `rate_limit.scope: global`: the standard rate limit service, asked by gRPC within `timeout`."""

    service: Id
    timeout: Patience = timedelta(milliseconds=100)


def _distinct_listeners(listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
    unique(tuple(listener.name for listener in listeners))
    for index, one in enumerate(listeners):
        if any(one.port == other.port and overlap(one.address, other.address) for other in listeners[:index]):
            raise fault("GC123", f"port {one.port} is used twice", "another port, or distinct addresses")
    return listeners


def overlap(one: str, other: str) -> bool:
    """Whether two listening addresses meet: they are equal, or one of them is every address."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return first == second or first.is_unspecified or second.is_unspecified


class Gateway(Document):
    """A fleet of proxies: listeners, how a request names its tenant, which tenants it serves, policies for all.

    `kong`: Kongs serve its tenants too, and their sidecars are told the settings.
    """

    kind: ClassVar[str] = "Gateway"
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64), AfterValidator(_distinct_listeners)]
    tenant: TenantSelector = TenantSelector(source="header", name="x-tenant-id")
    tenants: Annotated[tuple[Id, ...], AfterValidator(unique)] = ()
    organisations: Annotated[tuple[Id, ...], AfterValidator(unique)] = ()
    allow_local_endpoints: Bool = False
    access_log: AccessLog | None = AccessLog()
    tenant_stats: Bool = True
    tracing: Tracing | None = None
    on_demand: Bool = False
    report_unknown_keys: Bool = False
    rate_limit_service: RateLimitService | None = None
    kong: Bool = False
    policies: Annotated[_JsonMap, _policies_of("Gateway"), _AsJson] = Map()
    parity: Parity = None


def _short_endpoint(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


class Endpoint(Strict):
    """One address of a service; `weight` is its share among the others."""

    address: IpAndPort
    weight: Annotated[Int, Field(ge=1, le=128)] = 1

    @property
    def host(self) -> str:
        """The IP address."""
        return self.address.host

    @property
    def port(self) -> int:
        """The port."""
        return self.address.port


class HealthCheck(Strict):
    """How endpoints are probed: HTTP with a `path`; without one gRPC health for `grpc`, else a TCP connection."""

    path: Path | None = None
    host: Host | None = None
    interval: Duration = timedelta(seconds=5)
    timeout: Duration = timedelta(seconds=1)
    unhealthy_after: Annotated[Int, Field(ge=1, le=100)] = 3
    healthy_after: Annotated[Int, Field(ge=1, le=100)] = 2


class Service(Document):
    """An upstream: `endpoints`, or a `dns` name that the proxy resolves."""

    kind: ClassVar[str] = "Service"
    endpoints: Annotated[tuple[Annotated[Endpoint, BeforeValidator(_short_endpoint)], ...], Field(max_length=4096)] = ()
    dns: NameAndPort | None = None
    protocol: Literal["http1", "http2", "grpc"] = "http1"
    lb: Literal["round_robin", "least_request", "random"] = "round_robin"
    connect_timeout: Duration = timedelta(seconds=2)
    tls: Tls | None = None
    health_check: HealthCheck | None = None
    circuit_breaker: CircuitBreaker | None = None
    outlier: Outlier | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.endpoints and self.dns:
            raise fault("GC107", "`endpoints` and `dns` are both given", "one of them")
        if not self.endpoints and not self.dns:
            raise fault("GC103", "neither `endpoints` nor `dns` is given", 'as in endpoints: ["10.0.0.7:8080"]')
        unique(tuple(str(endpoint.address) for endpoint in self.endpoints))
        if self.tls and self.tls.verify and not (self.tls.sni or self.dns):
            raise fault("GC103", "`tls.sni` is not given, so no name could be verified", "the name in its certificate")
        return self


class Route(Document):
    """A public path that every tenant has: what it matches and which service, or split of services, answers."""

    kind: ClassVar[str] = "Route"
    match: Match
    service: Id | None = None
    split: Split | None = None
    rewrite: Rewrite | None = None
    policies: Annotated[_JsonMap, _policies_of("Route"), _AsJson] = Map()
    parity: Parity = None

    @model_validator(mode="after")
    def _answered(self) -> Self:
        exactly_one(self, "service", "split")
        if self.rewrite and self.rewrite.prefix and not self.match.prefix:
            raise fault("GC107", "`rewrite.prefix` needs a `match.prefix`", "`rewrite.path`, or `regex`")
        return self


class Organisation(Document):
    """A group of tenants and the policies they inherit."""

    kind: ClassVar[str] = "Organisation"
    policies: Annotated[_JsonMap, _policies_of("Organisation"), _AsJson] = Map()
    parity: Parity = None


class Override(Strict):
    """What one tenant has otherwise on one route."""

    service: Id | None = None
    split: Split | None = None
    policies: Annotated[_JsonMap, _policies_of("Tenant"), _AsJson] = Map()

    @model_validator(mode="after")
    def _answered(self) -> Self:
        if self.service and self.split:
            exactly_one(self, "service", "split")
        return self


def _overrides_json(routes: Any) -> Any:
    return mapping_text((name, one.model_dump(mode="json", exclude_unset=True)) for name, one in routes.items())


class Tenant(Document):
    """A tenant: its organisation, hosts (lower case), status, policies, and what differs by route (by route id)."""

    kind: ClassVar[str] = "Tenant"
    organisation: Id | None = None
    hosts: Annotated[tuple[Host, ...], Field(max_length=256), AfterValidator(unique)] = ()
    status: Literal["active", "suspended"] = "active"
    policies: Annotated[_JsonMap, _policies_of("Tenant"), _AsJson] = Map()
    routes: Annotated[
        Map[str, Override], mapping_of(Id, Override, Map[str, Override]), PlainSerializer(_overrides_json)
    ] = Map()
    parity: Parity = None


class Certificate(Document):
    """A certificate with its key, and the hosts (exact, or `*.` and a name) whose clients it is shown to.

    `tenant`: whose it is. `tenants.secrets` reads and checks what it names.
    """

    kind: ClassVar[str] = "Certificate"
    certificate: Hidden
    private_key: Hidden = Field(alias="key")  # `key` is the document's name
    hosts: Annotated[tuple[HostPattern, ...], Field(max_length=256), AfterValidator(unique)] = ()
    tenant: Id | None = None


KINDS: Mapping[str, type[Document]] = MappingProxyType(
    {model.kind: model for model in (Gateway, Service, Organisation, Route, Tenant, Certificate)}
)
