"""What one tenant comes to (`Part`): entities of its own, and the class it belongs to on each route. Called by
`translate`. Everything that repeats between tenants is kept by its content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from kong_sync import lua
from kong_sync.classes import ENDINGS, NOT_FOUND, SUSPENDED, RouteClass, Shape
from kong_sync.consumers import consumer_entities, limit_entity, own_limit, recognised
from kong_sync.matching import taken
from kong_sync.model import RouteSettings, TenantSettings, World, shares
from kong_sync.names import Made
from kong_sync.plugins import ROWS, Effect, Place, effect, ending, functions, together
from kong_sync.upstreams import spec
from tenants.documents import Route
from tenants.errors import Problem
from tenants.policies import Policies
from tenants.tokens import Jwt

CODE = "GC303"
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
    tenant, and a tenant's own settings ask for none.
    """

    shape: Shape
    token: Jwt | None = None


def part(tenant: TenantSettings, world: World, common: Common) -> Part:
    """What a tenant comes to."""
    shape = common.shape
    if not shape.header and not tenant.hosts:
        return Part()
    if tenant.suspended:
        return Part(classes=(_ended(SUSPENDED, tenant, shape),))
    own, classes, problems = [], [], []
    for settings in _everything(tenant, shape):
        route = world.routes.get(settings.route)
        if settings.route not in ENDINGS and route is None:
            continue  # it is on its way, or gone
        if route is not None and (why := _refused(route, shape)):
            problems.append(Problem(CODE, "Route", route.id, "", why, "take it out, or serve it by Envoy"))
            continue
        one, limit = _on(tenant, settings, route, common)
        classes.append(one)
        own += limit
    if any(one.plugins and one.plugins[0].name == "key-auth" for one in classes):
        own += consumer_entities(shape.gateway, tenant, shape.place(keyed=True))
    return Part(tuple(own), tuple(classes), tuple(problems))


def _everything(tenant: TenantSettings, shape: Shape) -> Iterator[RouteSettings]:
    yield from tenant.routes
    if shape.starts is None:
        yield RouteSettings(NOT_FOUND, tenant.policies)


def _refused(route: Route, shape: Shape) -> str:
    if route.rewrite is not None and route.rewrite.regex is not None:
        return "Kong does not rewrite paths by a regular expression of ours, so the route is not served"
    why = taken(route, shape.header).refused
    return f"{why}, so the route is not served" if why else ""


def _ended(route: str, tenant: TenantSettings, shape: Shape) -> RouteClass:
    clear = functions("post-function", _cleared(shape))
    return RouteClass(route, (ENDINGS[route], *clear), tenant="" if shape.header else tenant.id)


def _on(
    tenant: TenantSettings, settings: RouteSettings, route: Route | None, common: Common
) -> tuple[RouteClass, list[Made]]:
    """The class on one route, and the limit that the tenant has there for itself."""
    shape, policies = common.shape, settings.policies
    token = policies.jwt or common.token
    keyed = shape.source == "header" and token is None
    place = shape.place(keyed=keyed)
    limit = own_limit(tenant, policies.rate_limit, named="rate_limit" in settings.named) if keyed else None
    found = _effects(policies, token, place, "" if shape.header else tenant.id)
    alone = not shape.header or found.apart
    one = _class(settings.route, route, shares(settings, route) if route else (), policies, found, place,
                 tenant.id if alone else "")  # fmt: skip
    if limit is None:
        return one, []
    return one, [limit_entity(shape.gateway, tenant.id, one, limit, place)]


def _effects(policies: Policies, token: Jwt | None, place: Place, tenant: str) -> Effect:
    """Of all policies in force. Only a token that must name the tenant of a host depends on who that is."""
    said = zip(_POLICIES, _values(policies), strict=True)
    found = {name: effect(name, value, place) for name, value in said if value is not None and name != "jwt"}
    if token is not None:
        bound = bool(tenant and token.tenant_claim)
        where = Place(place.gateway, place.source, place.header, tenant if bound else "", place.keyed)
        found["jwt"] = effect("jwt", token, where)
    return _together(tuple(found[name] for name in _POLICIES if name in found))


@lru_cache(maxsize=16384)
def _together(effects: tuple[Effect, ...]) -> Effect:
    return together(effects)


@lru_cache(maxsize=32768)
def _class(
    name: str,
    route: Route | None,
    backends: tuple,  # type: ignore[type-arg]
    policies: Policies,
    found: Effect,
    place: Place,
    tenant: str,
) -> RouteClass:
    ends = ENDINGS[name] if route is None else None
    if found.ends is not None:
        ends = ending(*found.ends)
    service = None
    if ends is None:
        service = spec(backends, policies.timeout, policies.retry, policies.outlier)
    plugins = (
        *((recognised(place.header),) if place.keyed else ()),
        *functions("pre-function", found.before + _rewritten(route)),
        *found.plugins,
        *((ends,) if ends else ()),
        *functions("post-function", found.after + _cleared_at(place), found.answer),
    )
    return RouteClass(name, plugins, service, tenant, found.issuer, found.optional, found.cors)
