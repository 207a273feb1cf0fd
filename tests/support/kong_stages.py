"""A Kong that is asked all the time, and a sidecar's writer that brings it from one world to the next.

    kong = kong_stages.watched((0.5, 4.5))
    async with kong_stages.stage(kong) as stage:
        await stage.go(world, open=[...], shut=[...])         who must get in all the way, who must not

On the double's data plane, with its two timers at given offsets: requests are sent around each call to the Admin API
and all through each wait.
"""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import kongs

from kong_double.double import Double
from kong_double.faults import Fault
from kong_double.timers import Hand, Timers
from kong_double.transport import Direct
from kong_double.wire import Request, Response
from kong_sync.admin import Access, Admin, client
from kong_sync.database import Database, Guard
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.model import World
from kong_sync.translate import Desired, translate


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and by which name it is told of."""

    name: str
    headers: tuple[tuple[str, str], ...] = ()
    host: str = "gw.test"
    path: str = "/api/orders/1"

    def status(self, kong: Double) -> int:
        return kongs.ask(kong, self.path, *self.headers, host=self.host).status


@dataclass(eq=False)
class Watched(Double):
    """`open`: who must get in; `shut`: who must not; `asked` counts requests."""

    open: tuple[Asked, ...] = ()
    shut: tuple[Asked, ...] = ()
    asked: int = 0
    wrong: list[str] = field(default_factory=list)

    def carry_out(self, request: Request, fault: Fault) -> Response | None:
        self.watch(f"before {request.method} {request.target}")
        told = super().carry_out(request, fault)
        self.watch(f"after {request.method} {request.target}")
        return told

    def watch(self, when: str) -> None:
        for one in self.open:
            if (status := one.status(self)) != 200:
                self.wrong.append(f"{one.name} was turned away with {status} {when}")
        for one in self.shut:
            if one.status(self) == 200:
                self.wrong.append(f"{one.name} was let in {when}")
        self.asked += len(self.open) + len(self.shut)

    async def pass_time(self, seconds: float) -> None:
        steps = max(1, int(seconds / 0.45))
        for _ in range(steps):
            kongs.move(self, seconds / steps)
            self.watch("in a wait")


def watched(offsets: tuple[float, float]) -> Watched:
    """`offsets`: of the router's and the plugins' timers, in a period of five seconds."""
    hand = Hand(float(int(time.time())))
    return Watched(timers=Timers(period=5.0, router=offsets[0], plugins=offsets[1]), clock=hand, wall=hand)


class Stage:
    """One world after the other."""

    def __init__(self, kong: Watched, database: Database) -> None:
        self.kong, self._database = kong, database
        self._desired: Desired | None = None

    async def go(self, told: World, open: Iterable[Asked] = (), shut: Iterable[Asked] = ()) -> None:
        """Bring Kong there, under load, and see it in effect; what went wrong on the way is in `kong.wrong`."""
        self.kong.open, self.kong.shut = tuple(open), tuple(shut)
        desired = translate(told, self._desired)
        assert await self._database.bring(desired, desired.changed if self._desired else None) == ()
        await self._database.settle()
        await self.kong.pass_time(11.0)
        self._desired = desired


@asynccontextmanager
async def stage(kong: Watched) -> AsyncIterator[Stage]:
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=kong.pass_time)
        executor = Executor(admin, lambda: kong.timers.wait + 0.5, Gauges(), clock=kong.clock, sleep=kong.pass_time)
        yield Stage(kong, Database(admin, "edge", executor, Gauges(), guard=Guard(few=10**6)))
