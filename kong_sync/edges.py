"""What stands around the tenants' routes: the guard before routing, and the answer to whoever names no tenant of ours.
Called by `translate`.

Kong lets a header that is repeated match any tenant, and takes `x_tenant_id` for `x-tenant-id`: router, limiter and
service would each read another value. So where a header names the tenant, one function before routing lets a single
plain id pass, or nothing. Where a claim does, the same function writes that header.
"""

from collections.abc import Iterator, Mapping

from immutables import Map

from kong_sync import lua
from kong_sync.bodies import body
from kong_sync.classes import HTTP, Shape, header_of, read
from kong_sync.effects import Plugin, ending
from kong_sync.matching import EVERYWHERE, begins, pattern
from kong_sync.model import World
from kong_sync.names import Made, identity, name, plugin, ref, tags
from kong_sync.plugins import claim_path
from tenants.documents import Gateway, Route
from tenants.effective import base
from tenants.tokens import Jwt

UNKNOWN = "~unknown"
GUARD = "~guard"


def shape_of(gateway: Gateway, routes: Mapping[str, Route], *, alone: bool) -> Shape:
    """What all classes of this gateway have in common. `alone`: this Kong has no other routes."""
    matches = [routes[one].match for one in sorted(routes)]
    starts = None if alone else tuple(sorted({begins(match) for match in matches}))
    patterns = (EVERYWHERE,) if alone else tuple(sorted({pattern(match) for match in matches}))
    selector = gateway.tenant
    claim = (selector.name or "") if selector.source == "claim" else ""
    return Shape(gateway.id, selector.source, header_of(gateway), starts, patterns, claim)


def token_of(gateway: Gateway) -> Jwt | None:
    """What every token is checked with where it says who the tenant is."""
    return base(gateway.policies, Map(), Map()).policies.jwt if gateway.tenant.source == "claim" else None


def common_entities(world: World, shape: Shape) -> Iterator[Made]:
    """The guard, and who names no tenant. Where hosts name it, foreign routes would be answered too: they are not."""
    assert world.gateway is not None, "the caller looks"
    text = _guard(world.gateway, shape)
    if text:
        yield plugin(shape.gateway, "pre-function", {"rewrite": [text]}, {}, GUARD, "")
    if shape.patterns and (shape.header or shape.starts is None):
        yield from _ended(UNKNOWN, shape, ending(404, body("unknown_tenant")))


def _guard(gateway: Gateway, shape: Shape) -> str:
    paths = None if shape.starts is None else list(shape.starts)
    if gateway.tenant.source == "header":
        return lua.header_guard(shape.header, paths)
    if gateway.tenant.source == "claim":
        return lua.claim_guard(shape.header, claim_path(shape.claim), paths)
    return ""


def _ended(label: str, shape: Shape, end: Plugin) -> Iterator[Made]:
    """A route that Kong takes after all others: it asks for the path alone."""
    gateway = shape.gateway
    route = {
        "id": identity(gateway, "routes", label),
        "name": name(gateway, label),
        "service": None,
        "protocols": HTTP,
        "methods": None,
        "hosts": None,
        "paths": list(shape.patterns),
        "headers": None,
        "regex_priority": 0,
        "strip_path": False,
        "preserve_host": True,
        "request_buffering": True,
        "response_buffering": True,
        "tags": tags(gateway),
    }
    yield Made("routes", route)
    yield plugin(gateway, end.name, read(end.config), {"route": ref(gateway, "routes", label)}, label, "")
