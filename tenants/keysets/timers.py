"""Which source is due when, and who may start now. Pure; the fetcher owns one of each and passes the time."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

from tenants.keysets.source import Source

SPARE = 64


@dataclass(slots=True, eq=False)
class Timers:
    """One time for each source, the earliest first. Setting a time anew takes the old one back."""

    _heap: list[tuple[float, int, Source]] = field(default_factory=list)
    _valid: dict[Source, int] = field(default_factory=dict)
    _count: int = 0

    def set(self, source: Source, due: float) -> None:
        """The source is due then, and not when it was before."""
        self._count += 1
        self._valid[source] = self._count
        heapq.heappush(self._heap, (due, self._count, source))
        if len(self._heap) > 2 * len(self._valid) + SPARE:
            self._heap = [one for one in self._heap if self._valid.get(one[2]) == one[1]]
            heapq.heapify(self._heap)

    def drop(self, source: Source) -> None:
        """It is not due any more."""
        self._valid.pop(source, None)

    def pop(self, now: float) -> Source | None:
        """Take out the source that is due first, if one is; sources due at the same time come in the order of `set`."""
        self._prune()
        if not self._heap or self._heap[0][0] > now:
            return None
        source = heapq.heappop(self._heap)[2]
        del self._valid[source]
        return source

    def next(self) -> float | None:
        """When the first one is due; None if there is none."""
        self._prune()
        return self._heap[0][0] if self._heap else None

    def _prune(self) -> None:
        while self._heap and self._valid.get(self._heap[0][2]) != self._heap[0][1]:
            heapq.heappop(self._heap)


@dataclass(slots=True, eq=False)
class Slots:
    """At most `at_once` sources in work, `per_host` of them at one host: a slow provider with a thousand realms takes
    its own places, and nobody else's. Who finds no place at its host waits for it, first come, first served.
    """

    at_once: int
    per_host: int
    busy: dict[Source, str] = field(default_factory=dict)
    _hosts: Counter[str] = field(default_factory=Counter)
    _waiting: dict[str, dict[Source, None]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Nobody more may start, whatever the host."""
        return len(self.busy) >= self.at_once

    def enter(self, source: Source, host: str) -> bool:
        """Take a place; False: it waits, and a `leave` gives it back when its host has one."""
        if self._hosts[host] >= self.per_host:
            self._waiting.setdefault(host, {})[source] = None
            return False
        self._hosts[host] += 1
        self.busy[source] = host
        self.withdraw(source, host)
        return True

    def leave(self, source: Source) -> Source | None:
        """Give the place back; returns who may try next."""
        host = self.busy.pop(source)
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        following = next(iter(self._waiting.get(host, ())), None)
        if following is not None:
            self.withdraw(following, host)
        return following

    def withdraw(self, source: Source, host: str) -> None:
        """Wait no longer."""
        queue = self._waiting.get(host, {})
        queue.pop(source, None)
        if not queue:
            self._waiting.pop(host, None)
