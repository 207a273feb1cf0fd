"""A sidecar from start to end: wait for Kong, wait for the lease, follow the stream, look now and then, begin anew
after an outage. Called by `gatecast kong`; it decides little, the rules are in `sidecar`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from kong_sync.executor import Stopped
from kong_sync.gauges import Gauges
from kong_sync.lease import Leases
from kong_sync.limits import TooMuch
from kong_sync.sidecar import Outage, Sidecar
from tenants.errors import Unavailable
from tenants.pauses import pause
from xds.client import BACKOFF, Backoff

SOON = 1.0
"""Seconds after an outage in which a newer state may come before the last known one is brought back."""

log = structlog.get_logger("gatecast.kong")


class Stream(Protocol):
    """What `xds.client.Client` is to us."""

    async def run(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `look`: between two reconciliations. `lease`: between two extensions; also how often a second sidecar
    tries. Without a database `look` is how soon a restart of Kong is noticed. `again`: until what Kong refused is asked
    for anew."""

    look: float = 600.0
    again: float = 600.0
    lease: float = 10.0
    soon: float = SOON


class Runner:
    """`waiting`: why this sidecar follows nothing now, "" while it does."""

    def __init__(
        self,
        sidecar: Sidecar,
        stream: Stream,
        reach: Callable[[], Awaitable[Any]],
        gauges: Gauges,
        *,
        leases: Leases | None = None,
        pace: Pace = Pace(),
        stopping: asyncio.Event,
        backoff: Backoff = BACKOFF,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.waiting = "starting"
        self._sidecar, self._stream, self._reach, self._leases = sidecar, stream, reach, leases
        self._gauges, self._pace, self._stopping, self._backoff, self._sleep = gauges, pace, stopping, backoff, sleep

    async def run(self) -> None:
        """Until `stopping` is set: then what is under way is finished, and the lease given up."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._reach()
                if await self._may_write():
                    failures, self.waiting = 0, ""
                    await self._follow()
            except Unavailable as error:
                if self._stopping.is_set():
                    break
                failures += 1
                self.waiting = str(error)
                log.warning("kong", why=self.waiting, failures=failures)
                await self._pause(self._backoff.delay(failures, random.random()))
        await self._leave()

    async def _may_write(self) -> bool:
        if self._leases is None or await self._leases.take():
            self._gauges.leader.set(1)
            return True
        said = f"another sidecar writes to this Kong: {self._leases.other or 'it was quicker'}"
        if said != self.waiting:
            log.info("waiting", why=said)
        self.waiting = said
        self._gauges.leader.set(0)
        await self._pause(self._pace.lease)
        return False

    async def _follow(self) -> None:
        """Until the stream ends, or something else tells that we must begin anew. Raises Unavailable."""
        work = [self._stream.run(), self._look(), self._end(), *([self._keep()] if self._leases else [])]
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await asyncio.wait(tasks[:1])
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.wait(tasks)
        for one in tasks:
            if not one.cancelled() and (error := one.exception()) is not None:
                if isinstance(error, Stopped | Outage) and self._stopping.is_set():
                    continue
                raise error

    async def _end(self) -> None:
        """The stream ends when we are asked to."""
        await self._stopping.wait()
        self._stream.stop()

    async def _look(self) -> None:
        """Reconcile, soon after an outage, and now and then. It ends when what Kong refused is to be asked for anew, by
        another stream: the reason may be gone from Kong, and of that nobody is told.
        """
        seconds, followed = self._pace.soon if self._sidecar.lost else self._pace.look, 0.0
        while True:
            await self._sleep(seconds)
            seconds, followed = self._pace.look, followed + seconds
            try:
                await self._sidecar.reconcile(only_drift=self._leases is None)
            except TooMuch as error:
                log.error("refused", why=str(error))
                continue
            if self._sidecar.refused and followed >= self._pace.again:
                log.info("what Kong refused is tried again", tenants=len(self._sidecar.refused))
                return

    async def _keep(self) -> None:
        """Extend the lease. Raises Unavailable when it is lost."""
        assert self._leases is not None
        while True:
            await self._sleep(self._pace.lease)
            if not await self._leases.keep():
                self._sidecar.lose()
                raise Unavailable("the lease in this Kong is gone: somebody emptied it, or took over")

    async def _pause(self, seconds: float) -> None:
        """Sleep, or leave."""
        await pause(self._sleep, seconds, self._stopping)

    async def _leave(self) -> None:
        if self._leases is not None:
            try:
                await self._leases.give_up()
            except Unavailable as error:
                log.warning("the lease could not be given up", why=str(error))
