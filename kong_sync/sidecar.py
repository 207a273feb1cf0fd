"""The loop of a sidecar: what the control plane says is brought into a Kong and acknowledged, or refused by name.

    sidecar = Sidecar(writer, gauges)
    client = Client(connect, node, sidecar.apply)           the verdicts of `xds.client`
    await sidecar.reconcile()                               now and then: find what others changed, and heal it

Nothing is written before both kinds of resources have come once: half of a world would look like a mass deletion. A
tenant that Kong refuses keeps its last good settings, and the others of the same response are applied.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from kong_sync.gauges import Gauges
from kong_sync.limits import TooMuch
from kong_sync.model import TYPE_URLS, TenantSettings, World, shared, tenant
from kong_sync.states import Key
from kong_sync.translate import ALONE, Desired, Options, translate
from kong_sync.verdicts import Fault, hurt, text, unserved
from tenants.errors import Refused, Unavailable
from xds.client import Update

KINDS = {url: kind for kind, url in TYPE_URLS.items()}
ALL = frozenset(TYPE_URLS)

log = structlog.get_logger("gatecast.kong")


class Outage(Unavailable):
    """Kong could not answer while a response was applied. The stream must begin anew: only what is newest then is of
    interest."""


class Writer(Protocol):
    """A Kong, with a database (`database`) or without (`whole`)."""

    async def look(self) -> tuple[str, ...]: ...
    def lose(self) -> None: ...
    async def bring(self, desired: Desired, changed: Iterable[Key] | None = None) -> tuple[Fault, ...]: ...
    async def settle(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Report:
    """What a reconciliation found (`drift`, in words) and could not do (`faults`)."""

    drift: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


class Sidecar:
    """Owns the world that is in force, and what it comes to. One at a time applies or reconciles."""

    def __init__(
        self,
        writer: Writer,
        gauges: Gauges,
        *,
        options: Options = ALONE,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.world = World()
        self.desired: Desired | None = None  # what `writer` was told last
        self.refused: dict[str, str] = {}  # tenant -> why, of the newest settings each
        self.faults: frozenset[Fault] = frozenset()  # of what tenants share; told once, not for each tenant
        self.problem = ""  # why Kong does not hold the newest state, "" if it does
        self.outage = ""  # why nobody knows what Kong holds or shows, since it did not answer
        self._writer, self._gauges, self._options, self._clock, self._wall = writer, gauges, options, clock, wall
        self._turn = asyncio.Lock()
        self._came: frozenset[str] = frozenset()
        self._offered: World | None = None  # what the guard of `limits` does not let in, with all that came since
        self._owed: frozenset[Key] = frozenset()  # what a fault may have held back, beside what has it
        self._lost = True  # what is wanted is compared with all that Kong holds

    @property
    def complete(self) -> bool:
        """Both kinds of resources have come."""
        return self._came == ALL

    @property
    def lost(self) -> bool:
        """Kong may hold something else than what is in force."""
        return self._lost and self.complete

    def lose(self) -> None:
        """Nobody knows any more what Kong holds."""
        self._lost = True
        self._writer.lose()

    def resume(self, world: World) -> None:
        """Begin with a world that was in force before, so that only what differs from it comes."""
        self.world, self._came = world, ALL

    async def apply(self, update: Update) -> str | None:
        """Bring a response into Kong. The verdict: None, or what is wrong with which tenant. Raises Outage."""
        async with self._turn:
            began, offered = self._clock(), self._offered
            try:
                verdict = await self._apply(update)
            except TooMuch as error:
                verdict = str(error)
            except Unavailable as error:
                self._outage(error)
                raise Outage(str(error)) from None
            except Refused:
                raise  # of Kong as a whole, such as a token that is wrong
            except Exception as error:  # of one tenant, which the parts of a rejected response will tell
                log.exception("this is a defect of gatecast, please report it")
                verdict, self._offered = f"{type(error).__name__}: a defect of gatecast, its log says more", offered
            self._end(verdict, self._clock() - began)
            return verdict

    async def reconcile(self, *, only_drift: bool = False) -> Report:
        """Look at all that Kong holds, and bring it to what is wanted. Raises Unavailable, limits.TooMuch.

        `only_drift`: do nothing if Kong is as we left it.
        """
        async with self._turn:
            try:
                return await self._reconcile(only_drift)
            except TooMuch as error:
                self._end(str(error), None)
                raise
            except Unavailable as error:
                self._outage(error)
                raise

    async def _reconcile(self, only_drift: bool) -> Report:
        drift = await self._writer.look()
        for one in drift:
            log.warning("drift", found=one)
        self._gauges.drift.inc(len(drift))
        if not self.complete or (only_drift and not drift and not self._lost):
            return Report(drift)
        faults = await self._bring(self.world, None, None)
        await self._writer.settle()
        self.faults &= frozenset(faults)
        self._end(text((), faults), None)
        return Report(drift, faults)

    # -- one response -----------------------------------------------------------------------------------------------

    async def _apply(self, update: Update) -> str | None:
        kind, offered = KINDS[update.type_url], self._offered or self.world
        refused: dict[str, str] = {}
        if kind == "SHARED":
            changes: Mapping[str, TenantSettings | None] = {}
            world, unread = with_shared(offered, update)
        else:
            changes, refused = decoded(update)
            world, unread = offered.with_tenants(changes), ()
        came = self._came | {kind}
        if came != ALL:
            self.world, self._came = world, came
            return text(refused.items(), unread)
        first, guarded = self.desired is None, self._offered is not None
        self._offered = world
        world, faults = await self._isolated(world, offered, world.tenants if first else changes, refused)
        await self._writer.settle()
        new = [one for one in faults if one not in self.faults]
        self.world, self.faults, self._came, self._offered = world, frozenset(faults), came, None
        self.refused = {name: why for name, why in self.refused.items() if name not in changes} | refused
        if guarded:  # what was refused then is accepted now: it has to be sent again to be said
            raise Outage("what the guard refused is in force now")
        return text(refused.items(), [*unread, *new])

    async def _isolated(
        self, world: World, before: World, among: Mapping[str, TenantSettings | None], refused: dict[str, str]
    ) -> tuple[World, tuple[Fault, ...]]:
        """Bring a world into Kong; tenants `among` these that Kong refuses have their last good settings in it, and
        stand in `refused` with Kong's words."""
        faults = await self._bring(world, before, among)
        while found := self._culprits(faults, among, refused):
            refused |= found
            before, world = world, world.with_tenants({name: self.world.tenants.get(name) for name in found})
            faults = await self._bring(world, before, found)
        return world, faults

    def _culprits(
        self, faults: Iterable[Fault], among: Mapping[str, TenantSettings | None], known: Mapping[str, str]
    ) -> dict[str, str]:
        assert self.desired is not None, "it was brought"
        found: dict[str, list[str]] = {}
        for one in faults:
            for name in hurt(one, self.desired, among):
                found.setdefault(name, []).append(one.text)
        return {name: "; ".join(said) for name, said in found.items() if name not in known}

    async def _bring(self, world: World, base: World | None, touched: Iterable[str] | None) -> tuple[Fault, ...]:
        """Translate and bring it into Kong. `touched`: the tenants by which the world differs from `base`.

        After a failure all is compared with all.
        """
        before = self.desired
        known = before is not None and before.world is base
        self.desired = translate(world, before, touched if known else None, self._options)
        whole, self._lost = self._lost or not known, True  # until it is done
        changed = self._owed | (self.desired.changed or frozenset())
        found = await self._writer.bring(self.desired, None if whole else changed)
        self._lost, self._owed = whole and bool(found), changed if found else frozenset()
        return (*found, *unserved(self.desired))

    # -- ends -------------------------------------------------------------------------------------------------------

    def _outage(self, error: Unavailable) -> None:
        self.problem = self.outage = str(error)
        self._offered = None
        self.lose()
        self._gauges.runs.labels("unavailable").inc()

    def _end(self, verdict: str | None, seconds: float | None) -> None:
        self.outage = ""
        self.problem = verdict or text(self.refused.items(), sorted(self.faults, key=str)) or ""
        self._gauges.faults.set(len(self.faults))
        self._gauges.runs.labels("refused" if verdict else "done").inc()
        self._gauges.refused.set(len(self.refused))
        if seconds is not None:
            self._gauges.seconds.observe(seconds)
        if verdict:
            log.warning("refused", why=verdict)
        else:
            self._gauges.success.set(self._wall())
            log.info("applied", tenants=len(self.world.tenants), seconds=round(seconds or 0.0, 3))


def with_shared(world: World, update: Update) -> tuple[World, tuple[Fault, ...]]:
    """A world with the shared documents of a response, and what of them cannot be read."""
    refused = []
    for one in update.resources:
        try:
            world = world.with_shared(one.name, shared(one.body))
        except Refused as error:
            refused.append(Fault(None, str(error)))
    for name in update.removed:
        world = world.with_shared(name, None)
    return world, tuple(refused)


def decoded(update: Update) -> tuple[dict[str, TenantSettings | None], dict[str, str]]:
    """What a response says of tenants (None: gone), and why some of it cannot be read."""
    changes: dict[str, TenantSettings | None] = dict.fromkeys(update.removed)
    refused: dict[str, str] = {}
    for one in update.resources:
        try:
            changes[one.name] = tenant(one.body)
        except Refused as error:
            refused[one.name] = str(error)
    return changes, refused
