"""What happened, as CloudEvents 1.0: made by looking, kept for a while, told over SSE. `gatecast.serve` runs `Feed`,
`gatecast.http.events` tells it.

An event's id is `<revision>-<server's start>-<number>`. Who comes back with one gets what he missed: from memory if it
is from this server and still there, else the revisions from the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import structlog

from gatecast.ledger import Ledger
from gatecast.plane import Plane
from gatecast.views import when
from tenants.errors import Unavailable
from tenants.store import Revision

PAUSE: Final = 0.1
"""Seconds after something moved: what happens together is seen together."""
LOOK: Final = 2.0
"""Seconds until the next look where nothing moves."""
KEPT: Final = 5000
"""Events that are remembered."""
MISSED: Final = 1000
"""Revisions that are told again to who was away."""
PREFIX: Final = "dev.gatecast."

log = structlog.get_logger("gatecast.events")


class Place(NamedTuple):
    """Where somebody is: what an event's id says."""

    revision: int
    epoch: str
    number: int

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        """None for what is no id of ours."""
        parts = text.split("-")
        if len(parts) != 3 or not (parts[0].isdecimal() and parts[2].isdecimal() and parts[0].isascii()):
            return None
        return cls(int(parts[0][:10]), parts[1], int(parts[2][:18]))

    def __str__(self) -> str:
        return f"{self.revision}-{self.epoch}-{self.number}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `type` is without the prefix and version, `time` seconds since the epoch."""

    place: Place
    type: str
    subject: str
    time: float
    data: Mapping[str, Any]

    def as_json(self, source: str) -> dict[str, Any]:
        """It as a CloudEvent."""
        return {
            "specversion": "1.0", "id": str(self.place), "source": source, "type": f"{PREFIX}{self.type}.v1",
            "subject": self.subject, "time": when(self.time), "datacontenttype": "application/json",
            "data": dict(self.data),
        }  # fmt: skip


Said = tuple[str, str, Mapping[str, Any]]
"""Type, subject and data of an event to be."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found. Clients by their number: node, gateway and rejections so far."""

    snapshots: Mapping[str, int] = field(default_factory=dict)
    clients: Mapping[int, tuple[str, str, int]] = field(default_factory=dict)


def seen(plane: Plane) -> Seen:
    """What there is now."""
    snapshots = {name: one.serial for name, one in plane.hub.snapshots.items()}
    clients = {
        number: (one.node.id, one.gateway, sum(each.rejections for each in one.activity.values()))
        for number, one in plane.hub.clients.items()
    }
    return Seen(snapshots, clients)


def news(before: Seen, now: Seen) -> Iterator[Said]:
    """What happened between two looks, but for revisions."""
    for name, serial in sorted(now.snapshots.items()):
        if before.snapshots.get(name) != serial:
            yield "snapshot.published", f"gateway/{name}", {"gateway": name, "serial": serial}
    for number, (node, gateway, rejections) in now.clients.items():
        data = {"client": str(number), "node": node, "gateway": gateway}
        known = before.clients.get(number)
        if known is None:
            yield "client.connected", f"client/{number}", data
        if rejections > (known[2] if known else 0):
            yield "client.rejected", f"client/{number}", {**data, "rejections": rejections}
    for number in before.clients.keys() - now.clients.keys():
        node, gateway, _ = before.clients[number]
        yield "client.disconnected", f"client/{number}", {"client": str(number), "node": node, "gateway": gateway}


def of_revision(one: Revision) -> Said:
    """A revision, as an event."""
    names = ("number", "author", "source", "reason", "restores", "created", "changed", "deleted")
    return "revision.made", f"revision/{one.number}", {name: getattr(one, name) for name in names}


@dataclass(slots=True, eq=False)
class Feed:
    """Owner of the last events. `run` looks and remembers."""

    plane: Plane
    ledger: Ledger | None
    epoch: str
    wall: Callable[[], float]
    newest: int = 0
    revision: int = 0
    over: bool = False
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))
    _rung: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def place(self) -> Place:
        """The end."""
        return Place(self.revision, self.epoch, self.newest)

    @property
    def ended(self) -> bool:
        """Whether there will be no more."""
        return self.over or self.plane.hub.draining

    async def run(self) -> None:
        """Look until cancelled; then those who listen are let go."""
        try:
            await self._look()
        finally:
            self.over = True
            self.tell(())

    async def _look(self) -> None:
        before = seen(self.plane)
        self.revision = self.ledger.revision if self.ledger else 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self.plane.hub.moved()
            await asyncio.sleep(PAUSE)
            await self._revisions()
            now = seen(self.plane)
            self.tell(news(before, now))
            before = now

    async def _revisions(self) -> None:
        newest = self.ledger.revision if self.ledger else 0
        if self.ledger is None or newest <= self.revision:
            return
        try:
            found = await self.missed(self.ledger, self.revision, newest)
        except Unavailable as error:
            log.info("revisions are told later: the store is away", error=str(error))
            return
        for one in found:
            self.revision = one.number
            self.tell([of_revision(one)])
        self.revision = newest

    @staticmethod
    async def missed(ledger: Ledger, after: int, until: int) -> tuple[Revision, ...]:
        """The revisions after this one, in order; the last `MISSED` of them."""
        count = min(until - after, MISSED)
        found = await ledger.store.revisions(before=until + 1, limit=count) if count > 0 else ()
        return tuple(one for one in reversed(found) if one.number > after)

    def tell(self, said: Iterable[Said]) -> None:
        """Remember these as events, and wake those who wait."""
        for kind, subject, data in said:
            self.newest += 1
            self.events.append(Event(self.place, kind, subject, self.wall(), data))
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    def after(self, number: int) -> list[Event] | None:
        """Events after this number; None if some of them are forgotten."""
        if number < self.newest - len(self.events):
            return None
        return [one for one in self.events if one.place.number > number]

    async def more(self, number: int) -> None:
        """Wait for an event after this number, or the end of the server."""
        while self.newest <= number and not self.ended:
            await self._rung.wait()
