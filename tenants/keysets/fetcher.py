"""The one place that asks identity providers: it keeps the key sets of all wanted sources fresh.

    fetcher = Fetcher(on_change)
    fetcher.want(frozenset({Source("https://login.example.com/")}))
    await fetcher.run()                      # until cancelled
    fetcher.state(source).usable             # a KeySet, or None

`gatecast.plane` says what is wanted and is told what changed. Rules are in `holding`, `freshness` and `timers`; here
they meet the clock, the network and the tasks.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import random as any_random
from types import MappingProxyType

import httpx
import structlog

from tenants.keysets import holding, transport
from tenants.keysets.faults import Unfit, Unreached
from tenants.keysets.fetch import Fetched, Provider, host, shown
from tenants.keysets.freshness import Random
from tenants.keysets.holding import Holding, Known, Moment
from tenants.keysets.limits import Limits
from tenants.keysets.source import Source
from tenants.keysets.state import State
from tenants.keysets.timers import Slots, Timers

log = structlog.get_logger("gatecast.keys")

NEVER = -math.inf
_NOTHING = State()

OnChange = Callable[[Mapping[Source, State]], Awaitable[None]]


@dataclass(slots=True)
class Counts:
    """What went on since the start, for metrics. `kinds` are failures by the rows of `faults.KINDS`."""

    fetches: int = 0
    failures: int = 0
    changes: int = 0  # of key sets
    unknown_keys: int = 0  # refetches because of them
    looks: int = 0  # at the time
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: str
    problem: str


@dataclass(slots=True, eq=False)
class _Entry:
    """What we know of one source; owned by the fetcher."""

    held: Holding
    state: State = _NOTHING
    wanted: bool = True
    again: bool = False  # asked for while a fetch was on its way
    asked: float = NEVER  # of the last refetch because of an unknown key


class Fetcher:
    """Keeps key sets fresh. Everything runs in one event loop; only `run` waits for providers.

    `on_change` is awaited with what changed since the last time, one call after the other: while it works, changes
    gather. What it raises ends `run`. `known` are key sets from before this process was.
    `transport` is closed by `run`; None is the checked one (`transport.Checked`).
    """

    def __init__(
        self,
        on_change: OnChange,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        random: Random = any_random,
        limits: Limits | None = None,
        known: Mapping[Source, Known] = MappingProxyType({}),
    ) -> None:
        self.counts = Counts()
        self._on_change = on_change
        self._transport = transport
        self._clock, self._wall, self._random = clock, wall, random
        self._limits = limits or Limits()
        self._known = known
        self._sources: frozenset[Source] = frozenset()
        self._entries: dict[Source, _Entry] = {}
        self._untried: set[Source] = set()
        self._fetches, self._lapses = Timers(), Timers()
        self._slots = Slots(self._limits.at_once, self._limits.per_host)
        self._changed: dict[Source, State] = {}
        self._work, self._news, self._tried = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tried.set()  # nothing is wanted yet

    @property
    def states(self) -> Mapping[Source, State]:
        """Of all sources that are wanted, and of those that were a moment ago."""
        return {source: entry.state for source, entry in self._entries.items()}

    def state(self, source: Source) -> State:
        """What is known of the source; without keys and without a problem if it was never fetched."""
        entry = self._entries.get(source)
        return entry.state if entry else _NOTHING

    @property
    def idle(self) -> bool:
        """No fetch is on its way, and everything was told."""
        return not self._slots.busy and not self._changed

    def want(self, sources: frozenset[Source]) -> None:
        """These are to be kept fresh, and no others. New ones are fetched at once; the others are forgotten later."""
        now, before, self._sources = self._clock(), self._sources, sources
        for source in sorted(sources - before):
            self._add(source, now)
        for source in before - sources:
            self._entries[source].wanted = False
            self._untried.discard(source)
            self._slots.withdraw(source, host(source))
            self._fetches.set(source, now + self._limits.linger)
        self._ring()

    def unknown_key(self, source: Source) -> None:
        """A token names a key that is not in the set: look at once, but not more than once in `Limits.unknown`."""
        entry, now = self._entries.get(source), self._clock()
        if entry is None or source in self._untried or not entry.wanted or now < entry.asked + self._limits.unknown:
            return
        entry.asked = now
        self.counts.unknown_keys += 1
        if source in self._slots.busy:
            entry.again = True  # the fetch on its way may have been answered before the key was published
            return
        self._fetches.set(source, now)
        self._work.set()

    async def tried(self, within: float) -> bool:
        """Wait until every wanted source was tried once, but not longer than `within` seconds. True: all were."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._tried.wait()
        return self._tried.is_set()

    async def run(self) -> None:
        """Fetch what is due, until cancelled."""
        way = self._transport or transport.Checked()
        async with (
            transport.client(way, self._limits.connect) as client,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._tell())
            while True:
                self._work.clear()
                self.counts.looks += 1
                now = self._clock()
                self._lapse(now)
                while not self._slots.full and (source := self._fetches.pop(now)):
                    if self._starts(source):
                        tasks.create_task(self._visit(client, source))
                await self._rest()

    def _add(self, source: Source, now: float) -> None:
        """A source that was not wanted, or is wanted again while we remember it."""
        if source not in self._entries:
            self._entries[source] = _Entry(Holding(due=now))
            self._remember(source, self._entries[source], now)
        entry = self._entries[source]
        entry.wanted = True
        if entry.state == _NOTHING:
            self._untried.add(source)
        if source not in self._slots.busy:
            self._fetches.set(source, entry.held.due)

    def _remember(self, source: Source, entry: _Entry, now: float) -> None:
        """Use what is known from before, as old as it is by now, until the fetch that is due brings newer keys."""
        if found := self._known.get(source):
            entry.held = holding.remembered(found, Moment(now, self._wall()))
            self._update(source, entry, now)

    def _starts(self, source: Source) -> bool:
        """The source is due: to be fetched if it is wanted and its host has a place, to be forgotten if it is not."""
        entry = self._entries.get(source)
        if entry is None or source in self._slots.busy:
            return False
        if entry.wanted:
            return self._slots.enter(source, host(source))
        del self._entries[source]
        self._lapses.drop(source)
        self._changed.pop(source, None)
        return False

    async def _visit(self, client: httpx.AsyncClient, source: Source) -> None:
        got = await self._ask(client, source)
        following = self._slots.leave(source)
        if following is not None:
            self._fetches.set(following, NEVER)
        self._settle(source, self._entries[source], got)
        self._ring()

    async def _ask(self, client: httpx.AsyncClient, source: Source) -> Fetched | _Failure:
        self.counts.fetches += 1
        try:
            return await Provider(client, source, self._limits).fetch(self._wall())
        except (Unfit, Unreached) as why:
            return _Failure(why.kind, str(why))
        except Exception as error:  # one odd provider must not end the fetches of all others
            log.exception("a defect: keys not fetched", issuer=source.issuer)
            return _Failure("defect", f"a defect of gatecast: {type(error).__name__}")

    def _settle(self, source: Source, entry: _Entry, got: Fetched | _Failure) -> None:
        """A fetch ended: note what came of it, and when the next one is due."""
        moment = Moment(self._clock(), self._wall())
        limits, random = self._limits, self._random
        if isinstance(got, Fetched):
            entry.held = holding.renewed(entry.held, got.keys, got.fresh_for, moment, limits, random)
        else:
            self.counts.failures += 1
            self.counts.kinds[got.kind] += 1
            entry.held = holding.failed(entry.held, got.problem, moment.now, limits, random)
        due, entry.again = moment.now if entry.again else entry.held.due, False
        self._fetches.set(source, due if entry.wanted else moment.now + limits.linger)
        self._untried.discard(source)
        self._update(source, entry, moment.now)

    def _lapse(self, now: float) -> None:
        """Overlaps that ended, and sets that became stale."""
        while source := self._lapses.pop(now):
            self._update(source, self._entries[source], now)

    def _update(self, source: Source, entry: _Entry, now: float) -> None:
        """Make the state that of the holding; tell if that is news."""
        before, entry.state = entry.state, holding.state(entry.held, now, self._limits)
        following = holding.lapse(entry.held, now, self._limits)
        if following is not None:
            self._lapses.set(source, following)
        if before.like(entry.state):
            return
        self._changed[source] = entry.state
        self._news.set()
        self.counts.changes += before.keys != entry.state.keys
        _log(source, before, entry.state)

    def _ring(self) -> None:
        """Something ended or is asked for: wake `run`, and who waits in `tried`."""
        self._work.set()
        if self._untried:
            self._tried.clear()
        else:
            self._tried.set()

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            told, self._changed = self._changed, {}
            if told:
                await self._on_change(told)

    async def _rest(self) -> None:
        """Sleep until something is due or asked for; at most a tick, for the clock may be another than the loop's."""
        fetch = None if self._slots.full else self._fetches.next()
        times = [due for due in (fetch, self._lapses.next()) if due is not None]
        wait = min(self._limits.tick, max(0.0, min(times, default=math.inf) - self._clock()))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):  # not `wait_for`: Python 3.11's loses a cancellation that meets the bell
                await self._work.wait()


def _log(source: Source, before: State, after: State) -> None:
    said = {"issuer": source.issuer, "uri": shown(source.uri) if source.uri else ""}
    if before.keys != after.keys:
        old, new = (frozenset(one.keys.kids if one.keys else ()) for one in (before, after))
        skipped = after.keys.skipped if after.keys else ()
        log.info("keys changed", **said, added=sorted(new - old), gone=sorted(old - new), skipped=skipped)
    if after.stale and not before.stale:
        log.error("keys are stale and no longer used", **said, problem=after.problem, fetched=after.fetched)
    elif after.problem != before.problem:
        if after.problem:
            log.warning("keys not fetched", **said, problem=after.problem)
        else:
            log.info("keys fetched again", **said)
