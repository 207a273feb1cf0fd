"""Class routes: what one tenant comes to on one route (`RouteClass`), and the entities of a class with its tenants.

Tenants that come to the same share one route of Kong, with all their ids as values of the header. A class is what Kong
keeps at a route or a service; what the Route document says for all (path, methods, priority) is not in its name, so a
change of that is a change in place. Called by `translate`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from kong_sync.bodies import body
from kong_sync.effects import Place, Plugin, ending
from kong_sync.entities import Entity
from kong_sync.issuers import Issuer
from kong_sync.matching import ALL_METHODS, Taken, bare, conditions, taken
from kong_sync.names import Made, digest, identity, name, plugin, ref, tags
from kong_sync.plugins import cors_config
from kong_sync.upstreams import ServiceSpec, protocol
from tenants.documents import Gateway, Route, Service
from tenants.policies import Cors

NOT_FOUND, SUSPENDED = "~not-found", "~suspended"
"""Routes that no document says: what no route takes, and all that a suspended tenant asks for. No id has a tilde."""

ENDINGS = {
    NOT_FOUND: ending(404, body("not_found")),
    SUSPENDED: ending(403, body("tenant_suspended")),
}
CLAIM_HEADER = "x-gatecast-claim"
"""Our own header where the tenant comes from a claim. What a client sends under this name is dropped."""

NOBODY = "-"
"""No tenant's id: the value of a header, and the guard lets none pass that is this."""
NOWHERE = "parked.invalid"
GRPC = ["grpc", "grpcs"]
HTTP = ["http", "https"]


@dataclass(frozen=True, slots=True)
class RouteClass:
    """What tenants share on one route. `tenant`: whose alone it is, "" where it can be shared. `lone`: its only tenant,
    while a limit stands here (`of`).
    """

    route: str
    plugins: tuple[Plugin, ...]
    service: ServiceSpec | None = None
    tenant: str = ""
    issuer: Issuer | None = None
    optional: bool = False
    cors: Cors | None = None
    lone: str = ""

    @property
    def hash(self) -> str:
        return _hash(self)

    @property
    def label(self) -> str:
        """`orders.1f0c9b2e4d5a`; of a tenant's own `orders.~acme`, which no change renames but that of who may get in:
        with a token it is `orders.~acme.token`; of a lone tenant's `orders.1f0c9b2e4d5a.~acme`, which no change of its
        limit renames.
        """
        if self.tenant:
            return f"{self.route}.~{self.tenant}.token" if self.issuer else f"{self.route}.~{self.tenant}"
        return f"{self.route}.{self.hash}.~{self.lone}" if self.lone else f"{self.route}.{self.hash}"

    @property
    def tag(self) -> str:
        """Whose it is."""
        owner = self.tenant or self.lone
        return f"tenant:{owner}" if owner else f"class:{self.hash}"

    def of(self, members: tuple[str, ...]) -> "RouteClass":
        """The class as it is with these tenants. A limit that one tenant alone has is changed in place."""
        alone = len(members) == 1 and not self.tenant and any(one.name == LIMIT for one in self.plugins)
        return replace(self, lone=members[0]) if alone else self


LIMIT = "rate-limiting"


@lru_cache(maxsize=65536)
def _hash(one: RouteClass) -> str:
    """Of the content; of a lone tenant's class without the limit."""
    service = one.service.label if one.service else ""
    said = [[each.name, "" if one.lone and each.name == LIMIT else each.config] for each in one.plugins]
    return digest([one.route, service, said])


@dataclass(frozen=True, slots=True)
class Shape:
    """What all classes of a gateway have in common. `starts`: where foreign routes share the Kong, what the paths of
    ours begin with; None where there are none. `patterns`: what stands for every path.
    """

    gateway: str
    source: str
    header: str
    starts: tuple[str, ...] | None
    patterns: tuple[str, ...]
    claim: str = ""

    def place(self, *, keyed: bool) -> Place:
        return Place(self.gateway, self.source, self.header, "", keyed, self.claim)  # type: ignore[arg-type]


def header_of(gateway: Gateway) -> str:
    """The header by which Kong knows the tenant, "" where it goes by host."""
    selector = gateway.tenant
    return {"header": selector.name or "", "claim": CLAIM_HEADER, "host": ""}[selector.source]


def matched(one: RouteClass, shape: Shape, routes: Mapping[str, Route]) -> Taken:
    """What requests a class takes, beside naming its tenants."""
    if one.route in ENDINGS:
        return Taken("", 0, ALL_METHODS)
    return taken(routes[one.route], shape.header)


def route_entity(
    one: RouteClass,
    members: tuple[str, ...],
    hosts: tuple[str, ...],
    shape: Shape,
    routes: Mapping[str, Route],
    services: Mapping[str, Service],
) -> Made:
    """The route. `members`: its tenants; `hosts`: those of its tenant, where tenants are known by host."""
    found, gateway = matched(one, shape, routes), shape.gateway
    first = services.get(one.service.pool.services[0]) if one.service else None
    grpc = protocol(first).startswith("grpc")
    named = {shape.header: list(members)} if shape.header else {}
    body = {
        "id": identity(gateway, "routes", one.label),
        "name": name(gateway, one.label),
        "service": ref(gateway, "services", one.service.label) if one.service else None,
        "protocols": GRPC if grpc else HTTP,
        "methods": None if grpc else list(found.methods),
        "hosts": None if shape.header else list(hosts),
        "paths": [found.path] if found.path else list(shape.patterns),
        "headers": {**named, **conditions(found)} or None,
        "regex_priority": found.priority,
        "strip_path": False,
        "preserve_host": first is None or first.tls is None,
        "request_buffering": True,
        "response_buffering": True,
        "tags": tags(gateway, one.tag),
    }
    return Made("routes", body)


def parked(route: Entity) -> Entity:
    """The same route of a class where nobody meets it: to create it ahead of its protection, or to take it out of use.

    Whoever meets it all the same gets no further: without a service Kong answers 503.
    """
    if route.get("hosts"):
        return {**route, "service": None, "hosts": [NOWHERE]}
    return {**route, "service": None, "headers": {**(route.get("headers") or {}), tenant_header(route): [NOBODY]}}


def tenant_header(route: Entity) -> str:
    """The header whose values are the tenants: the first, since those of conditions stand behind it."""
    return str(next(iter(route["headers"])))


@lru_cache(maxsize=65536)
def plugin_entities(one: RouteClass, gateway: str) -> tuple[Made, ...]:
    """The plugins of a class."""
    where: Mapping[str, Entity] = {"route": ref(gateway, "routes", one.label)}
    return tuple(plugin(gateway, each.name, read(each.config), where, one.label, one.tag) for each in one.plugins)


@lru_cache(maxsize=16384)
def read(config: str) -> Entity:
    """A plugin's config. It is shared: nobody changes an entity."""
    found: Entity = json.loads(config)
    return found


# -- preflights ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preflight:
    """Preflights of the same requests: one route for all who allow some. They name no tenant, but for the host."""

    path: str
    priority: int
    methods: tuple[str, ...]
    tenant: str = ""


def preflight(one: RouteClass, shape: Shape, routes: Mapping[str, Route]) -> Preflight | None:
    """The preflights that a class answers."""
    if one.cors is None or one.route in ENDINGS:
        return None
    found = matched(one, shape, routes)
    return Preflight(found.path, bare(found.priority), found.methods, "" if shape.header else one.tenant)


def preflight_entities(one: Preflight, said: frozenset[Cors], hosts: tuple[str, ...], gateway: str) -> Iterator[Made]:
    """The route, and what it answers: the union of all that is said. Without the plugin it answers 503."""
    asked = [*one.methods] if one.methods != ALL_METHODS else ["~*.+"]
    what = digest([one.path, one.priority, list(one.methods)])
    label = f"~preflight.{one.tenant}.{what}" if one.tenant else f"~preflight.{what}"
    body = {
        "id": identity(gateway, "routes", label),
        "name": name(gateway, label),
        "service": None,
        "protocols": HTTP,
        "methods": ["OPTIONS"],
        "hosts": list(hosts) if one.tenant else None,
        "paths": [one.path],
        "headers": {"origin": ["~*.+"], "access-control-request-method": asked},
        "regex_priority": one.priority,
        "strip_path": False,
        "preserve_host": True,
        "request_buffering": True,
        "response_buffering": True,
        "tags": tags(gateway, *((f"tenant:{one.tenant}",) if one.tenant else ())),
    }
    yield Made("routes", body)
    where = {"route": ref(gateway, "routes", label)}
    tag = f"tenant:{one.tenant}" if one.tenant else ""
    yield plugin(gateway, "cors", cors_config(union(said)), where, label, tag)


def union(said: frozenset[Cors]) -> Cors:
    """What all of them allow together. Who allows everybody with one of them and secrets with another allows the
    listed ones alone.
    """
    if len(said) == 1:
        return next(iter(said))
    secret = any(one.credentials for one in said)
    origins = {origin for one in said for origin in one.origins}
    ages = [one.max_age for one in said]
    return Cors(
        origins=tuple(sorted(origins - {"*"} if secret else origins)),
        methods=tuple(sorted({method for one in said for method in one.methods})),
        headers=tuple(sorted({header for one in said for header in one.headers}))
        if all(one.headers for one in said)
        else (),
        credentials=secret,
        max_age=min((age for age in ages if age), default=None) if all(ages) else None,
    )
