"""Settings to Kong's entities: pure functions from frozen values to frozen values. The plan and the sidecar call these.

    desired = translate(world)                               everything
    desired = translate(newer, desired, {"acme"})            the same, and as much work as has changed
    desired.entities                                         (kind, id) -> entity, an immutable map

`part(tenant, ...)` is what one tenant comes to: entities of its own, and the classes it belongs to (`classes`). What
tenants share hangs on the classes in use: routes, plugins, services, credentials of issuers, preflights.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

from immutables import Map

from kong_sync import issuers, lua
from kong_sync.bodies import body
from kong_sync.classes import (
    ENDINGS,
    HTTP,
    NOT_FOUND,
    SUSPENDED,
    Preflight,
    RouteClass,
    Shape,
    header_of,
    plugin_entities,
    preflight,
    preflight_entities,
    read,
    route_entity,
)
from kong_sync.consumers import Limited, of_tenant
from kong_sync.entities import Entity
from kong_sync.issuers import Issuer
from kong_sync.matching import EVERYWHERE, begins, pattern, taken
from kong_sync.model import RouteSettings, TenantSettings, World, shares
from kong_sync.names import Made, identity, name, plugin, ref, tags
from kong_sync.plugins import ROWS, Effect, Plugin, effect, ending, functions, together
from kong_sync.upstreams import Pool, ServiceSpec, pool_entities, service_entity, spec
from tenants.documents import Gateway, Route
from tenants.effective import base
from tenants.errors import Problem
from tenants.policies import POLICIES, Cors, Policies
from tenants.tokens import Jwt

CODE = "GC303"
Key = tuple[str, str]
_NAMES = tuple(name for name in ROWS if name in POLICIES)


@dataclass(frozen=True, slots=True)
class Options:
    """`alone`: this Kong serves nothing but the gateway's tenants, so every path is ours."""

    alone: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """What one tenant comes to."""

    own: tuple[Made, ...] = ()
    classes: tuple[RouteClass, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """What Kong should hold. `entities` go by (kind, id); `members`: the tenants of each class, sorted.

    `changed`: what is new, gone or other than in the value this one was made of; None: compare all. `problems`: what
    cannot be served as it is said, by tenant ("" for what concerns all).
    """

    world: World
    options: Options = Options()  # noqa: RUF009 - it is immutable
    entities: Map[Key, Entity] = Map()  # noqa: RUF009 - it is immutable
    parts: Map[str, Part] = Map()  # noqa: RUF009 - it is immutable
    members: Map[RouteClass, tuple[str, ...]] = Map()  # noqa: RUF009 - it is immutable
    uses: Map[Any, int] = Map()  # noqa: RUF009 - it is immutable
    common: Map[Key, Entity] = Map()  # noqa: RUF009 - it is immutable
    changed: frozenset[Key] | None = None
    problems: Map[str, tuple[Problem, ...]] = field(default_factory=Map)


def translate(
    world: World, before: Desired | None = None, touched: Iterable[str] | None = None, options: Options | None = None
) -> Desired:
    """What Kong should hold for this world. `before`: what an older world came to, whose work is used again.

    `touched`: the tenants that may differ; None: look at all of them.
    """
    said = options or (before.options if before else Options())
    if world.gateway is None:
        return Desired(world, said)
    old = before.world if before else World()
    same = old.gateway is world.gateway and old.routes is world.routes
    if before is None or not same or before.options != said:
        return _draft(Desired(world, said), world, world.tenants)
    names = {*world.tenants, *old.tenants} if touched is None else touched
    changed = [one for one in names if world.tenants.get(one) is not old.tenants.get(one)]
    return _draft(before, world, changed)


def _draft(before: Desired, world: World, changed: Iterable[str]) -> Desired:
    from kong_sync.drafts import Draft

    return Draft(before, world).with_tenants(sorted(changed)).finish()
