"""What one tenant comes to (`Part`): entities of its own, and the class it belongs to on each route. Called by
`translate`. Everything that repeats between tenants is kept by its content.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import attrgetter

from kong_sync import lua
from kong_sync.classes import CLAIM_HEADER, ENDINGS, NOT_FOUND, SUSPENDED, RouteClass, Shape
from kong_sync.consumers import consumer_entities, limit_entity, own_limit, recognised, served
from kong_sync.effects import Effect, Place, ending, functions, together
from kong_sync.matching import Rival, taken
from kong_sync.model import RouteSettings, TenantSettings, World, shares
from kong_sync.names import Made
from kong_sync.plugins import ROWS, effect
from kong_sync.upstreams import ServiceSpec, spec
from tenants.documents import Route
from tenants.errors import Problem
from tenants.paths import Rewrite
from tenants.policies import Policies
from tenants.tokens import Jwt

CODE = "GC301"
_POLICIES = tuple(name for name, row in ROWS.items() if not row.elsewhere)
_values = attrgetter(*_POLICIES)


@dataclass(frozen=True, slots=True)
class Part:
    """`problems`: what of the tenant's settings is not served."""

    own: tuple[Made, ...] = ()
    classes: tuple[RouteClass, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Common:
    """What the parts of all tenants are made with. `token`: what every token is checked with where a token names the
    tenant, and a tenant's own settings ask for none. `rivals`: see `matching`.
    """

    shape: Shape
    token: Jwt | None = None
    rivals: Mapping[str, tuple[Rival, ...]] = field(default_factory=dict)


def part(tenant: TenantSettings, world: World, common: Common) -> Part:
    """What a tenant comes to."""
    shape = common.shape
    if not shape.header and not tenant.hosts:
        return Part()
    if tenant.suspended:
        return Part(classes=(_ended(SUSPENDED, tenant, shape),) if shape.patterns else ())
    own, classes, problems = [], [], []
    held: dict[int, _Held] = {}  # most routes of a tenant have the very same policies
    for settings in _everything(tenant, shape):
        route = world.routes.get(settings.route)
        if settings.route not in ENDINGS and route is None:
            continue  # it is on its way, or gone
        if route is not None and (why := _refused(route, shape)):
            problems.append(Problem(CODE, "Route", route.id, "", why, "take it out, or serve it by Envoy"))
            continue
        alike = _alike(tenant, settings.route, common.rivals)
        problems += alike
        if any(one.severity == "error" for one in alike):
            continue  # the first has the requests, as everywhere else
        if id(settings.policies) not in held:
            held[id(settings.policies)] = _held(tenant, settings.policies, common)
        one, limit = _on(tenant, settings, route, shape, held[id(settings.policies)])
        classes.append(one)
        own += limit
    if any(one.place.keyed for one in held.values()):
        own += consumer_entities(shape.gateway, tenant, shape.place(keyed=True))
    return Part(tuple(own), tuple(classes), tuple(problems))


def _everything(tenant: TenantSettings, shape: Shape) -> Iterator[RouteSettings]:
    yield from tenant.routes
    if shape.starts is None:
        yield RouteSettings(NOT_FOUND, tenant.policies)


def _refused(route: Route, shape: Shape) -> str:
    why = taken(route, shape.header).refused
    return f"{why}, so the route is not served" if why else ""


def _alike(tenant: TenantSettings, route: str, rivals: Mapping[str, tuple[Rival, ...]]) -> list[Problem]:
    """What is wrong where Kong cannot tell a route of a tenant from others of it."""
    found = []
    for one in (one for one in rivals.get(route, ()) if any(one.route == each.route for each in tenant.routes)):
        said = f"Kong cannot tell it from the route {one.route!r}, which is before it"
        what = "so it is not served" if one.same else "so either may answer a request that both take"
        hint = "another path, or another number of conditions"
        severity = "error" if one.same else "warning"
        found.append(
            Problem(CODE, "Route", route, "match", f"{said}, {what}", hint, tenant=tenant.id, severity=severity)
        )
    return found


def _ended(route: str, tenant: TenantSettings, shape: Shape) -> RouteClass:
    return RouteClass(route, (ENDINGS[route],), tenant="" if shape.header else tenant.id)


@dataclass(frozen=True, slots=True)
class _Held:
    """What policies come to for one tenant, whatever the route."""

    place: Place
    effect: Effect


def _held(tenant: TenantSettings, policies: Policies, common: Common) -> _Held:
    token = policies.jwt or common.token
    place = common.shape.place(keyed=token is None)
    alone = "" if common.shape.header else tenant.id
    found = _effects(policies, token, place, alone)
    if place.keyed:
        known = recognised(common.shape.gateway, common.shape.header, alone)
        found = replace(found, before=(known, *found.before))
    return _Held(place, found)


def _on(
    tenant: TenantSettings, settings: RouteSettings, route: Route | None, shape: Shape, held: _Held
) -> tuple[RouteClass, list[Made]]:
    """The class on one route, and the limit that the tenant has there for itself."""
    policies, found, service = settings.policies, held.effect, None
    if route is not None and found.ends is None:
        service = spec(shares(settings, route), policies.timeout, policies.retry, policies.outlier)
    rewritten = _rewritten(route) if service and route else ()
    alone = not shape.header or found.apart
    one = _class(settings.route, service, rewritten, found, held.place, tenant.id if alone else "")
    if not held.place.keyed:
        return one, []
    limit = own_limit(tenant, policies.rate_limit, named="rate_limit" in settings.named)
    return one, [limit_entity(shape.gateway, tenant.id, one, limit, held.place)] if limit else []


def _effects(policies: Policies, token: Jwt | None, place: Place, tenant: str) -> Effect:
    """Of all policies in force. Only a token that must name the tenant of a host depends on who that is."""
    said = zip(_POLICIES, _values(policies), strict=True)
    found = {name: effect(name, value, place) for name, value in said if value is not None and name != "jwt"}
    if token is not None:
        bound = tenant if token.tenant_claim else ""
        found["jwt"] = effect("jwt", token, replace(place, tenant=bound))
    return _together(tuple(found[name] for name in _POLICIES if name in found))


@lru_cache(maxsize=16384)
def _together(effects: tuple[Effect, ...]) -> Effect:
    return together(effects)


@lru_cache(maxsize=32768)
def _class(
    route: str, service: ServiceSpec | None, rewritten: tuple[str, ...], found: Effect, place: Place, tenant: str
) -> RouteClass:
    ends = ending(*found.ends) if found.ends else ENDINGS.get(route)
    clear = (lua.cleared(CLAIM_HEADER),) if place.source == "claim" and service else ()
    plugins = (
        *((served(place.gateway),) if place.keyed else ()),
        *functions("pre-function", found.before + rewritten),
        *found.plugins,
        *((ends,) if ends else ()),
        *functions("post-function", found.after + clear, found.answer),
    )
    return RouteClass(route, plugins, service, tenant, found.issuer, found.optional, found.cors)


def _rewritten(route: Route) -> tuple[str, ...]:
    how = route.rewrite
    return (_rewrite(how, route.match.prefix),) if how is not None else ()


@lru_cache(maxsize=4096)
def _rewrite(how: Rewrite, prefix: str | None) -> str:
    if how.regex is not None:
        return lua.rewrite(None, how.regex, _substitution(how.substitution or ""), how.host)
    if how.prefix is None or prefix is None:
        return lua.rewrite(None, None, how.path, how.host)
    start = how.prefix.rstrip("/")
    return lua.rewrite(prefix, None, start + "/" if prefix.endswith("/") or not start else start, how.host)


def _substitution(text: str) -> str:
    """`\\1` is the first group; Kong writes `${1}`."""
    return re.sub(r"\\(\d)", r"${\1}", text.replace("$", "$$"))
