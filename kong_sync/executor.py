"""Carries out a plan: the steps of a phase at once, phase by phase, waits in between. It decides nothing.

Called by `database`. A step that Kong refuses ends the plan after its phase: what depends on it must not be done, and
the next plan knows that. When Kong cannot answer, the phase ends too, and nobody knows what of it was done.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kong_sync.admin import CONNECTIONS, Admin
from kong_sync.answers import KongRefused
from kong_sync.entities import KINDS, Entity
from kong_sync.gauges import Gauges
from kong_sync.lease import Leases, LostLease
from kong_sync.phases import BOTH, TIMERS, Phase, Plan, Step
from kong_sync.probe import Probe
from tenants.errors import GatecastError, Unavailable
from tenants.pauses import pause

Did = Callable[[Step, Entity | None], None]
"""Told of each step that Kong took, with its answer."""


class Stopped(Unavailable):
    """We were asked to end. The next run goes on from what Kong holds."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A step that Kong refuses, and its words."""

    step: Step
    error: KongRefused


class Executor:
    """Owns what is known of Kong's timers: `pending` are those that may not show yet what was written last.

    `wait`: seconds after which a change is in effect. `stopping`: ends a plan after the phase under way. `leases`:
    without ours nothing is written. `probe`: sees after each wait that it was long enough.
    """

    def __init__(
        self,
        kong: Admin,
        wait: Callable[[], float],
        gauges: Gauges,
        *,
        leases: Leases | None = None,
        probe: Probe | None = None,
        stopping: asyncio.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.stopping = stopping or asyncio.Event()
        self.pending = BOTH
        self._kong, self._wait, self._gauges, self._clock, self._sleep = kong, wait, gauges, clock, sleep
        self._leases, self._probe = leases, probe
        self._wrote = clock()

    @property
    def unsettled(self) -> frozenset[str]:
        """The timers of which it is not sure that they show everything. With a probe, time alone proves nothing."""
        return frozenset() if self._probe is None and self._clock() >= self._wrote + self._wait() else self.pending

    async def carry_out(self, plan: Plan, did: Did) -> tuple[Failed, ...]:
        """All phases, or those up to the first with a step that Kong refuses. Raises Unavailable and Stopped."""
        for phase in plan.phases:
            if phase.wait:
                await self.settle()
            if self.stopping.is_set():
                raise Stopped("the sidecar ends")
            if failed := await self._phase(phase, did):
                return failed
        return ()

    async def settle(self) -> None:
        """Wait until all that was written is in effect. Raises Stopped, probe.Unseen."""
        if self._probe is not None and self.pending:
            await self._keep()
            await self._probe.mark(self.pending)
            self._wrote = self._clock()
        left = self._wrote + self._wait() - self._clock()
        if self.unsettled and left > 0:
            self._gauges.waits.inc()
            self._gauges.waited.inc(left)
            await self._pause(left)
        if self._probe is not None and self.pending:
            await self._probe.see(self._pause)
        self.pending = frozenset()

    async def _pause(self, seconds: float) -> None:
        """Sleep, or end."""
        await pause(self._sleep, seconds, self.stopping)
        if self.stopping.is_set():
            raise Stopped("the sidecar ends")

    async def _phase(self, phase: Phase, did: Did) -> tuple[Failed, ...]:
        steps, failed, broken = iter(phase.steps), list[Failed](), list[GatecastError]()

        async def work() -> None:
            for step in steps:
                if broken:
                    return
                try:
                    await self._keep()
                    did(step, await self._step(step))
                except KongRefused as error:
                    failed.append(Failed(step, error))
                except GatecastError as error:
                    broken.append(error)

        try:
            await asyncio.gather(*(work() for _ in range(min(CONNECTIONS, len(phase.steps)))))
        finally:
            self.pending |= {TIMERS[step.kind] for step in phase.steps if step.kind in TIMERS}
            self._wrote = self._clock()
        if broken:
            raise broken[0]
        return tuple(failed)

    async def _keep(self) -> None:
        """Whether we may still write; costs a call only if it is not sure. Raises LostLease."""
        if self._leases is not None and not self._leases.sure and not await self._leases.check():
            raise LostLease

    async def _step(self, step: Step) -> Entity | None:
        kind = KINDS[step.kind]
        if step.verb == "delete":
            await self._kong.delete(kind, step.id, parent=step.parent)
            return None
        if step.verb == "patch":
            return await self._kong.patch(kind, step.id, step.body, parent=step.parent)
        return await self._kong.put(kind, step.body)
