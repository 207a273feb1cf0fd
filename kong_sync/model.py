"""What the control plane told us, as frozen values: decoded from the stream (`protos/settings.proto`), never from
files.

`shared(body)` and `tenant(body)` decode a resource; a `World` holds all that is in force, and `kong_sync.translate`
makes entities of it. A resource that cannot be read is `Refused` with the field, so that the server can be told.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self

from google.protobuf.message import DecodeError
from immutables import Map

from protos import settings_pb2
from tenants.documents import Gateway, Key, Route, Service
from tenants.effective import Backend, backends
from tenants.errors import Refused
from tenants.faults import check
from tenants.keysets.faults import Unfit
from tenants.keysets.keys import KeySet, key_set, parse
from tenants.policies import Policies

TYPE_URLS: Mapping[str, str] = MappingProxyType(
    {
        "SHARED": "type.googleapis.com/gatecast.settings.v1.SharedDocument",
        "TENANTS": "type.googleapis.com/gatecast.settings.v1.TenantSettings",
    }
)
"""What a sidecar subscribes to, both with `*`. The server sends what tenants need before the tenants."""


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """What holds for one tenant on one route. `shares`: services in place of the route's own, None if it keeps those.

    `named`: the policies that the tenant names for this route; a limit among them is not counted with the others.
    """

    route: str
    policies: Policies
    named: frozenset[str] = frozenset()
    shares: tuple[Backend, ...] | None = None


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """One tenant on this gateway; `policies` is what holds where no route matches."""

    id: str
    organisation: str = ""
    suspended: bool = False
    hosts: tuple[str, ...] = ()
    policies: Policies = field(default_factory=Policies)
    routes: tuple[RouteSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """The keys of an issuer that may be used now, those of a rotation's overlap among them."""

    issuer: str
    uri: str
    keys: KeySet


Shared = Gateway | Service | Route | IssuerKeys


@dataclass(frozen=True, slots=True)
class World:
    """All that is in force on one gateway. Key sets go by `Source.name`. A change is a new value (`with_...`)."""

    gateway: Gateway | None = None
    services: Map[str, Service] = Map()  # noqa: RUF009 - it is immutable
    routes: Map[str, Route] = Map()  # noqa: RUF009 - it is immutable
    keys: Map[str, IssuerKeys] = Map()  # noqa: RUF009 - it is immutable
    tenants: Map[str, TenantSettings] = Map()  # noqa: RUF009 - it is immutable

    def with_shared(self, name: str, value: Shared | None) -> Self:
        """With a shared resource set, or (None) taken away. `name` is that of the resource: `Service/orders`."""
        kind, _, key = name.partition("/")
        if kind == "Gateway":
            return self._with("gateway", value)
        shelf: Map[str, Any] = getattr(self, _SHELVES[kind])
        if value is None:
            return self._with(_SHELVES[kind], shelf.delete(key)) if key in shelf else self
        return self._with(_SHELVES[kind], shelf.set(key, value))

    def _with(self, field_name: str, value: Any) -> Self:
        changes: dict[str, Any] = {field_name: value}
        return replace(self, **changes)

    def with_tenants(self, changes: Mapping[str, TenantSettings | None]) -> Self:
        """With these tenants set, or (None) taken away."""
        tenants = self.tenants.mutate()
        for name, value in changes.items():
            if value is not None:
                tenants[name] = value
            elif name in tenants:
                del tenants[name]
        return replace(self, tenants=tenants.finish())


_SHELVES = {"Service": "services", "Route": "routes", "KeySet": "keys"}


def shared(body: bytes) -> Shared:
    """A document that tenants share. Raises Refused with what is wrong with which."""
    message = _message(settings_pb2.SharedDocument, body)
    name = f"{message.kind}/{message.id}"
    given = _json(message.json, name)
    if message.kind == "KeySet":
        return _issuer_keys(name, given)
    given.pop("kind", None)
    found = check(message.kind, given) if message.kind in ("Gateway", "Service", "Route") else ()
    if isinstance(found, Gateway | Service | Route):
        return found
    why = "; ".join(str(one) for one in found) or "this sidecar does not know its kind: is it older than the server?"
    raise Refused(f"{name}: {why}")


def tenant(body: bytes) -> TenantSettings:
    """One tenant's settings. Raises Refused with what is wrong."""
    message = _message(settings_pb2.TenantSettings, body)
    policies = _policies(message.policies, f"Tenant/{message.id}")
    return TenantSettings(
        id=message.id,
        organisation=message.organisation,
        suspended=message.suspended,
        hosts=tuple(message.hosts),
        policies=policies,
        routes=tuple(one for said in message.routes for one in _routes(message.id, said, policies)),
    )


def shares(settings: RouteSettings, route: Route) -> tuple[Backend, ...]:
    """The services that answer a tenant on a route."""
    return settings.shares or backends(route, None)


def resource_name(document: Gateway | Service | Route) -> str:
    """The name of a shared document's resource."""
    return str(Key(document.kind, document.id))


def _routes(tenant_id: str, said: Any, general: Policies) -> list[RouteSettings]:
    where = f"Tenant/{tenant_id} routes.{said.routes[0] if said.routes else ''}"
    policies = _policies(said.policies, where) if said.policies else general
    moved = tuple(Backend(one.service, one.weight) for one in said.shares) or None
    named = _named(tuple(said.named))
    return [RouteSettings(name, policies, named, moved) for name in said.routes]


@lru_cache(maxsize=4096)
def _named(names: tuple[str, ...]) -> frozenset[str]:
    """Tenants that name the same policies share one value."""
    return frozenset(names)


def _message(read: Any, body: bytes) -> Any:
    try:
        return read.FromString(body)
    except DecodeError as error:
        raise Refused(f"the resource cannot be read: {error}") from None


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Refused(f"{where}: its JSON cannot be read: {error}") from None


def _policies(text: str, where: str) -> Policies:
    try:
        return _read_policies(text)
    except ValueError as error:  # pydantic's, with field and reason
        raise Refused(f"{where}: its policies cannot be read: {error}") from None


@lru_cache(maxsize=32768)
def _read_policies(text: str) -> Policies:
    """Tenants that have the same settings share one value."""
    return Policies.model_validate_json(text)


def _issuer_keys(name: str, given: Any) -> IssuerKeys:
    try:
        keys = given["keys"]
        found = parse(json.dumps({"keys": keys}).encode()) if keys else key_set(())
        return IssuerKeys(given["issuer"], given["uri"], found)
    except (Unfit, KeyError) as error:
        raise Refused(f"{name}: {error}") from None


Decode = Callable[[bytes], Shared | TenantSettings]
DECODERS: Mapping[str, Decode] = MappingProxyType({"SHARED": shared, "TENANTS": tenant})
