"""Settings to Kong's entities: pure functions from frozen values to frozen values. The plan and the sidecar call these.

    desired = translate(world)                               everything
    desired = translate(newer, desired, {"acme"})            the same, with as much work as there are changes
    desired.entities                                         (kind, id) -> entity, an immutable map
    desired.changed                                          what of it differs from the value before

One tenant comes to a `Part`: entities of its own, and the classes it belongs to. What tenants share hangs on the
classes in use: routes, plugins, services, credentials of issuers, preflights.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from immutables import Map

from kong_sync import issuers
from kong_sync.classes import (
    Preflight,
    RouteClass,
    plugin_entities,
    preflight,
    preflight_entities,
    route_entity,
)
from kong_sync.edges import common_entities, shape_of, token_of
from kong_sync.entities import Entity
from kong_sync.issuers import Issuer
from kong_sync.matching import rivals
from kong_sync.model import World
from kong_sync.names import Made
from kong_sync.parts import Common, Part, part
from kong_sync.upstreams import Pool, ServiceSpec
from kong_sync.uses import conflicts, is_preflight, made_of, services_of, uses_of
from tenants.errors import Problem
from tenants.policies import Cors

Key = tuple[str, str]
"""(kind, id) of an entity."""


@dataclass(frozen=True, slots=True)
class Options:
    """`alone`: this Kong serves nothing but the gateway's tenants, so every path is ours."""

    alone: bool = True


ALONE = Options()


@dataclass(frozen=True, slots=True)
class Desired:
    """What Kong should hold.

    `parts`: by tenant. `members`: the tenants of each class, sorted. `uses`: how many classes use a service, a pool,
    an issuer, ... `changed`: the keys of entities that are new, gone or other than in the value this one was made of;
    None where there was none. Entities that did not change are the same objects. `unserved`: what of the settings Kong
    cannot have, and in how many parts; `conflicts`: between issuers.
    """

    world: World
    options: Options = ALONE
    entities: Map[Key, Entity] = Map()  # noqa: RUF009 - it is immutable
    parts: Map[str, Part] = Map()  # noqa: RUF009 - it is immutable
    members: Map[RouteClass, tuple[str, ...]] = Map()  # noqa: RUF009 - it is immutable
    uses: Map[Any, int] = Map()  # noqa: RUF009 - it is immutable
    preflights: Map[Preflight, frozenset[Cors]] = Map()  # noqa: RUF009 - it is immutable
    unserved: Map[Problem, int] = Map()  # noqa: RUF009 - it is immutable
    conflicts: tuple[Problem, ...] = ()
    changed: frozenset[Key] | None = None

    def problems(self) -> tuple[Problem, ...]:
        """What of the settings is not served as they say, each once."""
        return (*sorted(self.unserved, key=_place), *self.conflicts)


def translate(
    world: World, before: Desired | None = None, touched: Iterable[str] | None = None, options: Options | None = None
) -> Desired:
    """What Kong should hold for this world. `before`: what an older world came to, whose work is used again.

    `touched`: the tenants that may differ; None: look at all of them.
    """
    said = options or (before.options if before else ALONE)
    if world.gateway is None:
        return _compared(Desired(world, said), before)
    old = before.world if before else World()
    if before is None or before.options != said or old.gateway is not world.gateway or old.routes is not world.routes:
        fresh = _Draft(Desired(world, said), world).with_tenants(world.tenants).with_common().finish()
        return _compared(fresh, before)
    names = {*world.tenants, *old.tenants} if touched is None else touched
    changed = [name for name in names if world.tenants.get(name) is not old.tenants.get(name)]
    return _Draft(before, world).with_tenants(changed).with_documents(old).finish()


def _compared(fresh: Desired, before: Desired | None) -> Desired:
    """With the objects of the value before where nothing changed, and the keys of what did."""
    if before is None:
        return replace(fresh, changed=None)
    old, kept = before.entities, fresh.entities.mutate()
    changed = {key for key in old if key not in fresh.entities}
    for key, entity in fresh.entities.items():
        if old.get(key) == entity:
            kept[key] = old[key]
        else:
            changed.add(key)
    return replace(fresh, entities=kept.finish(), changed=frozenset(changed))


class _Draft:
    """A `Desired` while it is made; lives as long as one call. What it notes is settled in `finish`."""

    def __init__(self, before: Desired, world: World) -> None:
        assert world.gateway is not None, "the caller looks"
        self._before, self._world = before, world
        self._shape = shape_of(world.gateway, world.routes, alone=before.options.alone)
        self._common = Common(self._shape, token_of(world.gateway), rivals(world.routes, self._shape.header))
        self._entities, self._parts = before.entities.mutate(), before.parts.mutate()
        self._members, self._uses = before.members.mutate(), before.uses.mutate()
        self._preflights, self._unserved = before.preflights.mutate(), before.unserved.mutate()
        self._came: dict[RouteClass, set[str]] = {}
        self._left: dict[RouteClass, set[str]] = {}
        self._stale: set[Any] = set()  # uses whose entities must be made anew
        self._changed: set[Key] = set()

    def with_tenants(self, names: Iterable[str]) -> "_Draft":
        """These tenants are as the world has them now."""
        for name in sorted(names):
            settings = self._world.tenants.get(name)
            old = self._parts.get(name, Part())
            new = part(settings, self._world, self._common) if settings else Part()
            self._replace(old.own, new.own)
            for one in {*old.classes} - {*new.classes}:
                self._left.setdefault(one, set()).add(name)
            for one in {*new.classes} - {*old.classes}:
                self._came.setdefault(one, set()).add(name)
            if new != Part():
                self._parts[name] = new
            elif name in self._parts:
                del self._parts[name]
            self._hosts_moved(name, old, new)
            self._told(old.problems, -1)
            self._told(new.problems, 1)
        return self

    def _told(self, problems: Iterable[Problem], more: int) -> None:
        for one in problems:
            if count := self._unserved.get(one, 0) + more:
                self._unserved[one] = count
            else:
                del self._unserved[one]

    def _hosts_moved(self, name: str, old: Part, new: Part) -> None:
        """By host, a route says its tenant's hosts, and no class tells when they change."""
        if self._shape.header:
            return
        before, now = self._before.world.tenants.get(name), self._world.tenants.get(name)
        if before and now and before.hosts != now.hosts:
            for one in {*old.classes} & {*new.classes}:
                self._left.setdefault(one, set())
                self._stale.add(preflight(one, self._shape, self._world.routes))

    def with_common(self) -> "_Draft":
        """What hangs on no class."""
        for made in common_entities(self._world, self._shape):
            self._put(made)
        return self

    def with_documents(self, old: World) -> "_Draft":
        """Services and key sets may have changed since."""
        services, world = old.services, self._world
        if services is not world.services:
            moved = {
                name for name in {*services, *world.services} if services.get(name) is not world.services.get(name)
            }
            self._stale |= {use for use in self._before.uses if not moved.isdisjoint(services_of(use))}
            for one in self._before.members:
                if one.service is not None and not moved.isdisjoint(services_of(one.service)):
                    self._left.setdefault(one, set())
        if old.keys is not world.keys:
            self._stale |= {use for use in self._before.uses if isinstance(use, Issuer)}
        return self

    def finish(self) -> Desired:
        """The value."""
        moved = {
            one: _members(self._members.get(one, ()), self._came.get(one, set()), self._left.get(one, set()))
            for one in self._came.keys() | self._left.keys()
        }
        before = {one: self._members.get(one, ()) for one in moved}
        for one, new in moved.items():  # what goes may have the name of what comes
            self._left_by(one, before[one], new)
        for one, new in moved.items():
            self._joined_by(one, before[one], new)
        self._settle()
        changed, uses = self._really(), self._uses.finish()
        return replace(
            self._before,
            world=self._world,
            entities=self._entities.finish(),
            parts=self._parts.finish(),
            members=self._members.finish(),
            uses=uses,
            preflights=self._preflights.finish(),
            unserved=self._unserved.finish(),
            conflicts=self._conflicts(uses),
            changed=changed,
        )

    def _conflicts(self, uses: Iterable[Any]) -> tuple[Problem, ...]:
        if not any(isinstance(use, Issuer) for use in self._stale):
            return self._before.conflicts
        return tuple(conflicts((use for use in uses if isinstance(use, Issuer)), self._world))

    def _really(self) -> frozenset[Key]:
        """Of what was touched, what differs now; what is again as it was is the same object."""
        before, now = self._before.entities, self._entities
        for key in self._changed:
            if key in now and before.get(key) == now[key]:
                now[key] = before[key]
        return frozenset(key for key in self._changed if before.get(key) is not now.get(key))

    def _left_by(self, one: RouteClass, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        was = one.of(old)
        if old and (not new or was != one.of(new)):
            gone = route_entity(was, old, (), self._shape, self._before.world.routes or self._world.routes, {})
            self._replace((gone, *plugin_entities(was, self._shape.gateway)), ())
        if not new:
            del self._members[one]
            self._used(one, -1)

    def _joined_by(self, one: RouteClass, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        if not new:
            return
        now = one.of(new)
        self._put(self._route(now, new))
        self._members[one] = new
        if not old or one.of(old) != now:
            self._replace((), plugin_entities(now, self._shape.gateway))
        if not old:
            self._used(one, 1)

    def _route(self, one: RouteClass, members: tuple[str, ...]) -> Made:
        world = self._world
        hosts = world.tenants[one.tenant].hosts if not self._shape.header else ()
        return route_entity(one, members, hosts, self._shape, world.routes, world.services)

    def _used(self, one: RouteClass, more: int) -> None:
        """A class came (1) or went (-1) with all it uses."""
        asked = preflight(one, self._shape, self._world.routes)
        for use in (*uses_of(one), *(((asked, one.cors),) if asked else ())):
            count = self._uses.get(use, 0) + more
            if count:
                self._uses[use] = count
            else:
                del self._uses[use]
            if count == 0 or count == more:
                self._stale.add(use)

    def _settle(self) -> None:
        """Make what is used as it should be."""
        if any(isinstance(use, Issuer) for use in self._stale):
            self._issuers()
        moved = {use if isinstance(use, Preflight) else use[0] for use in self._stale if is_preflight(use)}
        for asked in moved:
            self._preflight(asked)
        for use in self._stale:
            if isinstance(use, Pool | ServiceSpec | str):
                old = tuple(made_of(use, self._shape.gateway, self._before.world))
                new = tuple(made_of(use, self._shape.gateway, self._world)) if use in self._uses else ()
                self._replace(old, new)

    def _issuers(self) -> None:
        gateway = self._shape.gateway
        before = [use for use in self._before.uses if isinstance(use, Issuer)]
        now = [use for use in self._stale if isinstance(use, Issuer)]
        used = [use for use in {*before, *now} if use in self._uses]
        old = issuers.entities(gateway, before, self._before.world.keys)
        self._replace(tuple(old), tuple(issuers.entities(gateway, used, self._world.keys)))

    def _preflight(self, asked: Preflight) -> None:
        said = frozenset(cors for cors in self._candidates(asked) if (asked, cors) in self._uses)
        gateway, tenants = self._shape.gateway, self._world.tenants
        hosts = tenants[asked.tenant].hosts if asked.tenant in tenants else ()
        was = self._preflights.get(asked, frozenset())
        old = tuple(preflight_entities(asked, was, hosts, gateway)) if was else ()
        self._replace(old, tuple(preflight_entities(asked, said, hosts, gateway)) if said else ())
        if said:
            self._preflights[asked] = said
        elif was:
            del self._preflights[asked]

    def _candidates(self, asked: Preflight) -> set[Cors]:
        """All that may be said there: what was, and what came."""
        came = {use[1] for use in self._stale if isinstance(use, tuple) and use[0] == asked}
        return {*self._preflights.get(asked, ()), *came}

    def _replace(self, old: Iterable[Made], new: Iterable[Made]) -> None:
        made = {one.key: one for one in new}
        for one in old:
            if one.key not in made and one.key in self._entities:
                del self._entities[one.key]
                self._changed.add(one.key)
        for one in made.values():
            self._put(one)

    def _put(self, one: Made) -> None:
        key = one.key
        if self._entities.get(key) != one.entity:
            self._entities[key] = one.entity
            self._changed.add(key)


FEW = 16


def _members(old: tuple[str, ...], came: set[str], left: set[str]) -> tuple[str, ...]:
    """Sorted, as before; with few changes at the cost of a copy."""
    if len(came) + len(left) > FEW:
        return tuple(sorted(({*old} - left) | came))
    new = list(old)
    for name in left:
        del new[bisect_left(new, name)]
    for name in came:
        insort(new, name)
    return tuple(new)


def _place(problem: Problem) -> tuple[str, str, str]:
    return problem.tenant, problem.id, problem.message
