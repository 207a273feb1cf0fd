"""The control plane in one process: changes in, snapshots out. Assembled by `gatecast.serve`; tests and the demo use
it directly.

    source -> catalog -> builder -> hub
     key sets, secrets -^

It owns the catalog and what was supplied beside it, nothing else; each stop is a plain call with a value.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import structlog
from immutables import Map

from gatecast.exactness import exactness
from tenants.catalog import Catalog, Changes, Step, Touched
from tenants.documents import Key
from tenants.errors import Problem
from tenants.keysets.problems import problems as key_problems
from tenants.keysets.source import Source
from tenants.keysets.state import State
from tenants.reading import Given
from tenants.secrets.disk import NOTHING
from tenants.secrets.keeper import Keeper
from tenants.supplies import Supplies
from xds.builder import Builder
from xds.hub import Hub

MANY = 200  # documents: about 15 ms of checks

log = structlog.get_logger("gatecast")


@dataclass(frozen=True, slots=True)
class Applied:
    """What one set of changes came to: documents spoken about, tenants translated, seconds it took."""

    revision: int
    tenants: int
    services: int
    seconds: float


class Plane:
    """Applies changes one set at a time; a set that is being translated never blocks the streams for long.

    `want` is told, after each turn, which key sets are needed. `secrets` reads what documents name of certificates and
    keys. While `held`, nothing is published: see `release`.
    """

    def __init__(
        self,
        hub: Hub,
        clock: Callable[[], float] = time.perf_counter,
        want: Callable[[frozenset[Source]], None] = lambda sources: None,
        *,
        held: bool = False,
        secrets: Keeper | None = None,
    ) -> None:
        self.hub = hub
        self.catalog = Catalog.empty(exactness)
        self.supplies = Supplies()
        self.builder = Builder()
        self.want = want
        self.wishes: Callable[[], Mapping[Key, tuple[Problem, ...]]] = dict  # what sources say beside what is in force
        self._held = held
        self._secrets = secrets or Keeper(NOTHING)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._places: dict[Problem, tuple[Given | None, Problem]] = {}
        self._owed = Touched()  # what a turn that failed half-way left untranslated
        self._states: Map[Source, State] = Map()

    async def apply(self, changes: Changes) -> Applied:
        """Bring catalog, snapshots and streams up to these changes. Bad documents are problems, never exceptions.

        For those who have no store: `gatecast.ledger` calls `tried`, commits, and calls `take`.
        """
        async with self._turn:
            return await self._taken(await self.tried(changes), self._clock())

    async def tried(self, changes: Changes, *, adopt: bool = False) -> Step:
        """What the catalog would be after these changes; with `adopt` they are in force whatever is wrong with them.

        Many documents are checked beside the event loop: the catalog is a value, so nobody sees it half done.
        """
        way = self.catalog.adopt if adopt else self.catalog.apply
        return way(changes) if len(changes.put) < MANY else await asyncio.to_thread(way, changes)

    async def take(self, step: Step, revision: int) -> Applied:
        """Make this step of the newest catalog the one in force, as this revision, and publish it."""
        async with self._turn:
            catalog = replace(step.catalog, revision=revision)
            return await self._taken(replace(step, catalog=catalog), self._clock())

    async def _taken(self, step: Step, began: float) -> Applied:
        self.catalog = step.catalog
        self._owed = _both(self._owed, step.touched)
        await self._read(_named(step.touched))
        await self._translate()
        seconds, touched = self._clock() - began, step.touched
        log.info(
            "applied", revision=step.catalog.revision, tenants=len(touched.tenants), services=len(touched.services),
            problems=len(step.catalog.problems), seconds=round(seconds, 4),
        )  # fmt: skip
        return Applied(step.catalog.revision, len(touched.tenants), len(touched.services), seconds)

    async def keyed(self, states: Mapping[Source, State]) -> None:
        """These key sets came, changed, could not be fetched, or may not be used any more."""
        async with self._turn:
            known = self.supplies.keys.mutate()
            for source, state in states.items():
                if state.usable is not None:
                    known[source] = state.usable.text
                elif source in known:
                    del known[source]
            self._states = self._states.update(states)
            self.supplies = replace(self.supplies, keys=known.finish())
            await self._translate()

    async def release(self) -> None:
        """Publish what there is, and from now on at once.

        A server that starts holds until it has tried to fetch the keys: a proxy that still has them from before must
        not be told that there are none.
        """
        async with self._turn:
            self._held = False
            await self.hub.publish(self.builder.snapshots)

    async def look(self) -> None:
        """Files of certificates and keys may have changed. Call it now and then."""
        moved = await asyncio.to_thread(self._secrets.moved)
        if moved:
            async with self._turn:
                await self._read(moved)
                await self._translate()
            log.info("secrets read again", documents=[str(key) for key in sorted(moved)[:20]], count=len(moved))

    async def _read(self, keys: frozenset[Key]) -> None:
        """The secrets that these documents name."""
        if keys:
            found = await asyncio.to_thread(self._secrets.read, self.catalog, keys)
            self.supplies = replace(self.supplies, certificates=found.certificates, authorities=found.authorities)

    async def sweep(self) -> None:
        """Let go of what is kept for proxies that may not have newer settings yet. Call it a minute after its use."""
        if self.builder.lingering:
            async with self._turn:
                await self._translate(sweep=True)

    async def _translate(self, *, sweep: bool = False) -> None:
        """What is owed, in slices; then to the streams."""
        steps = self.builder.steps(self.catalog, self._owed, self.supplies, sweep=sweep)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                snapshots = done.value
                break
            await asyncio.sleep(0)
        self._owed = Touched()
        if not self._held:
            await self.hub.publish(snapshots)
        self.want(self.builder.sources)
        self._states = Map({source: one for source, one in self._states.items() if source in self.builder.sources})

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the documents, and what of them is not served as they say."""
        found = {one for problems in self.builder.problems.values() for one in problems}
        found.update(key_problems(self.catalog, self._states, self.builder.users(self._states)))
        found.update(one for problems in self._secrets.value.problems.values() for one in problems)
        self._places = {one: self._place(one) for one in found}
        said = self.wishes()
        known = (one for one in self.catalog.problems if Key(one.kind, one.id) not in said)
        wished = (one for problems in said.values() for one in problems)
        return (*known, *wished, *sorted((placed for _given, placed in self._places.values()), key=str))

    def _place(self, problem: Problem) -> tuple[Given | None, Problem]:
        """The problem with its file and line, looked up once for as long as its document stays the same."""
        given = self.catalog.given(Key(problem.kind, problem.id))
        known = self._places.get(problem)
        return known if known and known[0] is given else (given, self.catalog.located(problem))


def _both(one: Touched, other: Touched) -> Touched:
    return Touched(*(getattr(one, field.name) | getattr(other, field.name) for field in fields(Touched)))


def _named(touched: Touched) -> frozenset[Key]:
    """The documents that may name other secrets now."""
    kinds = {"Gateway": touched.gateways, "Service": touched.services, "Certificate": touched.certificates}
    return frozenset(Key(kind, name) for kind, names in kinds.items() for name in names)
