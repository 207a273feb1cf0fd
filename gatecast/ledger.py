"""What is in force, and how it changes: judged, committed to the store, then published. HTTP API and sources call it.

    ledger = Ledger(store, plane)
    await ledger.load()                             # what the store holds is in force
    done = await ledger.write([Write.put(body, PRESENT)], By("dana", "api"))
    await ledger.rolled_out(done.revision, within=30)

The catalog in memory is always that of a revision of the store, the same on every server. One change after the other:
judged by the catalog, committed as the next revision after the one it was judged at, then taken. Nothing is published
that was not committed; what others commit is read and taken as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from gatecast.admission import Admission, Busy
from gatecast.outcomes import Invalid, Outcome, SourceState, Synced
from gatecast.plane import Applied, Plane
from gatecast.resource_diffs import ResourceChange, resource_changes
from gatecast.rollouts import RolledOut, Rollout, Rollouts
from gatecast.sourcing import Feed
from tenants.catalog import Changes, Step
from tenants.documents import Key
from tenants.errors import Problem, Unavailable
from tenants.sources import stored
from tenants.store import Answer, Behind, By, Commit, Once, Store, Write, owner

__all__ = [
    "Busy", "Invalid", "Ledger", "Outcome", "ResourceChange", "RolledOut", "Rollout", "SourceState", "Synced"
]  # fmt: skip

TRIES = 8  # others may be quicker so often; each time they have written something
MANY = 200  # documents: about 20 ms of checks
AUDITED = 20  # problems that the audit names

T = TypeVar("T")
log = structlog.get_logger("gatecast")


def _nobody(_applied: Applied) -> None: ...


@dataclass(slots=True, eq=False)
class Ledger:
    """Owner of what is in force. `sources_of`: whose each document is. `on_publish` is told of each publication."""

    store: Store
    plane: Plane
    feeds: list[Feed] = field(default_factory=list)
    on_publish: Callable[[Applied], None] = _nobody
    sources_of: dict[Key, str] = field(default_factory=dict)
    rollouts: Rollouts = field(init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _admission: Admission = field(default_factory=Admission)
    _syncing: asyncio.Task[Synced] | None = None

    def __post_init__(self) -> None:
        self.rollouts = Rollouts(self.plane.hub)
        self.plane.wishes = self._wishes

    @property
    def revision(self) -> int:
        """The revision that is in force here."""
        return self.plane.catalog.revision

    # Writing

    async def write(
        self,
        writes: Sequence[Write],
        by: By,
        *,
        if_revision: int | None = None,
        force: bool = False,
        dry_run: bool = False,
        once: Once | None = None,
        action: str = "documents apply",
    ) -> Outcome:
        """Put and delete documents in one revision, all or nothing; it is published when this comes back.

        Raises `Invalid` if a document, a written one or another, would have an error that it has not now (a dry run
        says so in `problems` instead), `Busy` if too many wait to write the same, and what `Store.commit` raises.
        """
        asked = tuple(writes)

        async def commit(*, dry: bool) -> Commit:
            return await self.store.commit(
                asked, by, if_revision=if_revision, force=force, dry_run=dry, once=None if dry else once, action=action,
                seen=self.revision,
            )  # fmt: skip

        async def attempt() -> Outcome:
            step, problems = await self._judged(asked, by)
            if not any(one.severity == "error" for one in problems):
                return await self._done(await commit(dry=dry_run), step, problems, dry_run=dry_run)
            await self._up_to_date()
            if dry_run:
                return Outcome(self.revision, changes=(await commit(dry=True)).changes, problems=problems, resources=())
            if first := await self._first(once):
                return Outcome(self.revision, answer=first, replayed=True)
            await self._audit_invalid(asked, by, action, problems)
            raise Invalid(problems)

        with self._admission.admitted(write.key for write in asked):
            return await self._alone(attempt)

    async def restore(
        self, number: int, by: By, *, if_revision: int | None = None, dry_run: bool = False, once: Once | None = None
    ) -> Outcome:
        """Make what was at a revision the newest one, as it was. What a file or registry gave gets a pin.

        Raises what `Store.restore` raises, and `Invalid` if this gatecast cannot read one of the documents. Those that
        have errors beside the others come into force nevertheless, as they were; `problems` has them.
        """

        async def attempt() -> Outcome:
            if first := await self._first(once):
                return Outcome(self.revision, answer=first, replayed=True)
            seen, before = self.revision, self.plane.catalog
            plan = await self.store.restore(number, by, if_revision=if_revision, dry_run=True, seen=seen)
            changes = stored.changed(plan.changes)
            if changes.broken:
                raise Invalid(changes.broken)
            step = await self.plane.tried(changes, adopt=True)
            problems = step.catalog.hurt(before)
            resources = await resource_changes(self.plane.builder, step, self.plane.supplies)
            if not dry_run:
                plan = await self.store.restore(number, by, if_revision=if_revision, once=once, seen=seen)
            return replace(await self._done(plan, step, problems, dry_run=dry_run), resources=resources)

        return await self._alone(attempt)

    async def unpin(self, keys: Iterable[Key], by: By) -> Outcome:
        """Let files and registries write these names again. They say at once what they say by now."""
        names = frozenset(keys)

        async def attempt() -> Outcome:
            count = await self.store.unpin(names, by)
            self._insist(names)
            return Outcome(self.revision, pins=count)

        return await self._alone(attempt)

    # The store and the sources

    async def load(self) -> bool:
        """Bring into force what the store holds; whether it was ever written to. Raises `Unavailable`."""
        await self._alone(self._catch_up)
        return self.revision > 0

    async def run(self) -> None:
        """Follow the store and all sources until cancelled. Raises what ends a source: its directory is not there."""
        running = [asyncio.create_task(work) for work in (self._follow(), *(feed.run() for feed in self.feeds))]
        try:
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    async def sync(self, by: By) -> Synced:
        """Read every source again now, and the store, and the files of secrets. A second caller joins the first."""
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.create_task(self._sync(by))
        return await asyncio.shield(self._syncing)

    def sources(self) -> tuple[SourceState, ...]:
        """How each automatic source does."""
        return tuple(feed.state for feed in self.feeds)

    async def reconcile(self, feed: Feed) -> None:
        """Write what a source says and what is not so yet, as far as it is good and its own to say."""
        await self._alone(lambda: self._reconciled(feed))

    # Rollouts

    def rollout(self, revision: int) -> Rollout:
        """Which clients have this revision, which not yet, which refused it."""
        return self.rollouts.of(revision)

    async def rolled_out(self, revision: int, within: float) -> Rollout:
        """The same as soon as each client has it or has refused it, or after `within` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.rollouts.wait(revision)
        return self.rollouts.of(revision)

    # Inside: judging and committing

    async def _alone(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """One after the other, and to the end: whoever asked may go away, what is committed is published."""
        return await asyncio.shield(asyncio.ensure_future(self._abreast(attempt)))

    async def _abreast(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            for _ in range(TRIES):
                try:
                    return await attempt()
                except Behind:
                    await self._catch_up()
        raise Unavailable("others write to the store all the time, and each time before us: ask again")

    async def _judged(self, writes: Sequence[Write], by: By) -> tuple[Step, tuple[Problem, ...]]:
        """What would be in force, and what would be wrong with what is written and by it with others."""
        read = stored.written
        changes = await asyncio.to_thread(read, writes, by.source) if len(writes) > MANY else read(writes, by.source)
        before, step = self.plane.catalog, await self.plane.tried(changes)
        own = (problem for write in writes for problem in step.catalog.problems_of(write.key))
        return step, tuple(dict.fromkeys((*own, *step.catalog.hurt(before))))

    async def _up_to_date(self) -> None:
        """What is wrong may be right by what others wrote meanwhile. Raises `Behind`, and nothing if nobody knows."""
        with suppress(Unavailable):
            newest = await self.store.revision()
            if newest == self.revision:
                return
        if newest != self.revision: raise Behind(self.revision, newest)
