"""What a node sees, and when: in a Kong with a database a change is in the database long before it is in the proxy.

Routes with their services become effective on one timer, plugins on another of the same period; their offset is
anybody's guess and drifts. Consumers, credentials, groups, upstreams and targets are effective at once on the node
that was written to, and on another node at its next poll of the database. Source: `research/kong-mapping.md` C2 and D.

Not modelled: that steady writes can postpone a rebuild of more than 1,000 routes; that another node's rebuild reads the
database newer than its last poll.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kong_double.store import Tables


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds. `router` and `plugins`: the first tick of each, after the start. `build`: from a tick to its effect.

    `poll`: None for the node that is written to; else another node, which hears of changes that often.
    """

    period: float = 5.0
    router: float = 0.0
    plugins: float = 0.0
    build: float = 0.0
    poll: float | None = None

    @property
    def wait(self) -> float:
        """After so long every change is effective on this node."""
        return self.period + self.build + (self.poll or 0.0)


INSTANT = Timers(period=0.0)
"""A Kong without a database: everything is effective together, at once."""


@dataclass
class Sample:
    """The value that one timer has brought into effect, and those under way."""

    period: float
    build: float
    tick: float
    value: Tables
    coming: deque[tuple[float, Tables]] = field(default_factory=deque)

    def due(self) -> float:
        return min(self.tick, self.coming[0][0]) if self.coming else self.tick

    def step(self, now: float, current: Tables) -> None:
        while self.coming and self.coming[0][0] <= now:
            self.value = self.coming.popleft()[1]
        if self.tick <= now:
            self.tick += self.period
            if self.build:
                self.coming.append((now + self.build, current))
            else:
                self.value = current

    def skip(self, now: float) -> None:
        """Leave out the ticks that would change nothing."""
        if self.tick <= now:
            self.tick += self.period * (int((now - self.tick) / self.period) + 1)


class View:
    """What one node sees of the tables. `advance` must be called before every change, so that no tick is missed."""

    def __init__(self, current: Callable[[], Tables], timers: Timers, clock: Callable[[], float]) -> None:
        self._current, self._clock = current, clock
        self.reset(timers)

    def reset(self, timers: Timers) -> None:
        """Start anew with these timers, having seen everything: what a restart of Kong does."""
        self.timers = timers
        start, now = self._clock(), self._current()
        self._router = Sample(timers.period, timers.build, start + timers.router, now)
        self._plugins = Sample(timers.period, timers.build, start + timers.plugins, now)
        self._poll = Sample(timers.poll, 0.0, start + timers.poll, now) if timers.poll else None

    @property
    def tables(self) -> Tables:
        """Consumers, credentials, groups, upstreams, targets."""
        return self._poll.value if self._poll else self._current()

    @property
    def router(self) -> Tables:
        """Routes and services."""
        return self._router.value if self.timers.period else self._current()

    @property
    def plugins(self) -> Tables:
        return self._plugins.value if self.timers.period else self._current()

    def advance(self) -> None:
        """Let the ticks happen that are due by now."""
        if not self.timers.period:
            return
        now, samples = self._clock(), [one for one in (self._poll, self._router, self._plugins) if one]
        while (due := min(one.due() for one in samples)) <= now and not self._settled():
            for one in samples:
                one.step(due, self._current() if one is self._poll else self.tables)
        for one in samples:
            one.skip(now)

    def _settled(self) -> bool:
        current, samples = self._current(), [one for one in (self._poll, self._router, self._plugins) if one]
        return all(one.value is current and not one.coming for one in samples)


@dataclass
class Hand:
    """A clock that stands until it is moved: for tests that must not wait. `sleep` moves it."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
