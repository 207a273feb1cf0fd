"""What the catalog would be after a change that is about to be committed, and what would be wrong then.

`gatecast.ledger` makes one for each change; the store calls it while nobody else can write, so what it judges by is the
newest there is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gatecast.outcomes import Invalid
from gatecast.plane import Plane
from gatecast.resource_diffs import ResourceChange, resource_changes
from tenants.catalog import Step
from tenants.errors import Problem
from tenants.sources import stored
from tenants.store import Change

MANY = 200  # documents: about 20 ms of checks


@dataclass(slots=True, eq=False)
class Trial:
    """One change. `catch_up` brings the plane to the newest revision. `adopt`: what is beside others does not count.

    `step` is None until there was something to judge.
    """

    plane: Plane
    catch_up: Callable[[], Awaitable[None]]
    adopt: bool = False
    step: Step | None = None
    problems: tuple[Problem, ...] = ()

    async def shown(self, newest: int, changes: tuple[Change, ...]) -> None:
        """Find out, and refuse nothing."""
        if newest != self.plane.catalog.revision:
            await self.catch_up()
        before = self.plane.catalog
        found = stored.changed(changes) if len(changes) < MANY else await asyncio.to_thread(stored.changed, changes)
        self.step = await self.plane.tried(found, adopt=self.adopt)
        after = self.step.catalog
        own = (problem for change in changes for problem in after.problems_of(change.key))
        self.problems = tuple(dict.fromkeys((*found.broken, *own, *after.hurt(before))))

    async def good(self, newest: int, changes: tuple[Change, ...]) -> None:
        """Refuse what has an error, or gives one to another document. Raises `Invalid`."""
        await self.shown(newest, changes)
        if self.refused:
            raise Invalid(self.problems)

    async def readable(self, newest: int, changes: tuple[Change, ...]) -> None:
        """Refuse what cannot be read. Raises `Invalid`."""
        await self.shown(newest, changes)
        if broken := stored.changed(changes).broken:
            raise Invalid(broken)

    @property
    def refused(self) -> bool:
        """There is an error."""
        return any(problem.severity == "error" for problem in self.problems)

    async def resources(self) -> tuple[ResourceChange, ...]:
        """What proxies would be sent; nothing where it would be refused."""
        if self.step is None or (self.refused and not self.adopt):
            return ()
        return await resource_changes(self.plane.builder, self.step, self.plane.supplies)
