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
from typing import Any, TypeVar

import structlog

from gatecast.admission import Admission, Busy
from gatecast.feeds import Feed
from gatecast.outcomes import Invalid, Outcome, SourceState, Synced
from gatecast.plane import Applied, Plane
from gatecast.resource_diffs import ResourceChange
from gatecast.rollouts import RolledOut, Rollout, Rollouts
from gatecast.together import together
from gatecast.trials import Trial
from tenants.catalog import Step
from tenants.documents import Key
from tenants.errors import Problem, Unavailable
from tenants.reading import Given
from tenants.sources import stored
from tenants.store import Behind, By, Change, Commit, Once, Store, Write, owner

__all__ = [
    "Busy", "Invalid", "Ledger", "Outcome", "ResourceChange", "RolledOut", "Rollout", "SourceState", "Synced"
]  # fmt: skip

TRIES = 8  # others may be quicker so often; each time they have written something

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
    _turns: set[asyncio.Task[Any]] = field(default_factory=set)

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
        trial = Trial(self.plane, self.catch_up)

        async def attempt() -> Outcome:
            done = await self.store.commit(
                writes, by, if_revision=if_revision, force=force, dry_run=dry_run, once=once, action=action,
                judge=trial.shown if dry_run else trial.good,
            )  # fmt: skip
            return await self._done(done, trial, dry_run=dry_run)

        with self._admission.admitted(write.key for write in writes):
            return await self._alone(attempt)

    async def restore(
        self, number: int, by: By, *, if_revision: int | None = None, dry_run: bool = False, once: Once | None = None
    ) -> Outcome:
        """Make what was at a revision the newest one, as it was. What a file or registry gave gets a pin.

        Raises what `Store.restore` raises, and `Invalid` if this gatecast cannot read one of the documents. Those that
        have errors beside the others come into force nevertheless, as they were; `problems` has them.
        """
        trial = Trial(self.plane, self.catch_up, adopt=True)

        async def attempt() -> Outcome:
            done = await self.store.restore(
                number, by, if_revision=if_revision, dry_run=dry_run, once=once, judge=trial.readable
            )
            return await self._done(done, trial, dry_run=dry_run)

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
        await self._alone(self.catch_up)
        return self.revision > 0

    async def run(self) -> None:
        """Follow the store and all sources until cancelled. Raises what ends a source: its directory is not there."""
        try:
            await together(self._follow(), *(feed.run() for feed in self.feeds))
        finally:
            await self.settled()

    async def settled(self) -> None:
        """Wait for the turns that were begun: the store may be closed then."""
        while self._turns:
            await asyncio.wait(self._turns)

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
        turn = asyncio.create_task(self._in_turn(attempt))
        self._turns.add(turn)
        turn.add_done_callback(self._turns.discard)
        return await asyncio.shield(turn)

    async def _in_turn(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            return await attempt()

    async def _done(self, commit: Commit, trial: Trial, *, dry_run: bool) -> Outcome:
        resources = None
        if trial.step is not None and not commit.replayed:
            resources = await trial.resources() if dry_run or trial.adopt else None
            if commit.made:
                await self._publish(trial.step, commit)
        return Outcome(
            commit.revision, commit.made, commit.changes, commit.kept_out, trial.problems, resources, commit.answer,
            commit.replayed, pinned=commit.pinned,
        )  # fmt: skip

    async def _publish(self, step: Step, commit: Commit) -> None:
        """Take the step that was committed. A defect of ours leaves it to the next one: the store has it."""
        for change in commit.changes:
            if change.after:
                self.sources_of[change.key] = change.after.source
            else:
                self.sources_of.pop(change.key, None)
        before = self.plane.builder.snapshots
        try:
            self.on_publish(await self.plane.take(step, commit.revision))
        except Exception:
            log.exception("a revision could not be published: this is a defect of gatecast, please report it")
        self.rollouts.note(commit.revision, before, self.plane.builder.snapshots)
        for feed in self.feeds:
            if feed.wishes.open:
                feed.wake()

    # Inside: what others wrote

    async def _follow(self) -> None:
        async for newest in self.store.watch(self.revision):
            while newest > self.revision:
                try:
                    await self._alone(self.catch_up)
                except Unavailable as error:
                    log.warning("changes of others wait: the store is away", error=str(error))
                    await asyncio.sleep(self.store.pace.first)

    async def catch_up(self) -> None:
        """Bring into force what others wrote. For those whose turn it is."""
        news = await self.store.since(self.revision)
        if news.revision == self.revision:
            return
        gone = frozenset(self.sources_of) - {one.key for one in news.put} if news.whole else news.gone
        changes = await asyncio.to_thread(stored.changes, news.put, gone)
        step = await self.plane.tried(changes, adopt=True)
        done = (*(Change(one.key, None, one) for one in news.put), *(Change(key, None, None) for key in gone))
        await self._publish(step, Commit(news.revision, done))

    # Inside: sources

    async def _sync(self, by: By) -> Synced:
        async def again() -> None:
            await self.catch_up()
            self._insist()

        await self._alone(again)
        await asyncio.gather(*(feed.sync() for feed in self.feeds))
        await self.plane.look()
        states = self.sources()
        failed = [f"{one.name}: {one.last_error}" for one in states if one.last_error]
        await self.store.audit.record(by, "sync", "sources", "failed" if failed else "done", {"errors": failed})
        return Synced(self.revision, states)

    async def _reconciled(self, feed: Feed) -> None:
        for _ in range(TRIES):
            with suppress(Behind):
                return await self._tried(feed)
            await self.catch_up()
        raise Unavailable("the store is busy: others write to it all the time, and each time before us")

    async def _tried(self, feed: Feed) -> None:
        asked, seen = feed.wishes, self.revision
        pins = frozenset(pin.key for pin in await self.store.pins())
        kept = asked.kept(self.plane.catalog, self.sources_of, pins, feed.family)
        trial = await self.plane.tried(asked.changes(kept))
        writes = await asyncio.to_thread(asked.writes, trial, kept, self.sources_of, feed.family)
        done = Commit(seen)

        async def same(newest: int, _changes: tuple[Change, ...]) -> None:
            if newest != seen:
                raise Behind(seen, newest)

        if writes:
            by = feed.by(sorted({one.source for one in writes}))
            done = await self.store.commit(writes, by, action="source", judge=same)
        settled = asked.settled(trial.catalog, kept) - {one.key for one in done.kept_out}
        step = trial
        if len(settled) < len(asked.open):
            step = await self.plane.tried(asked.taken(trial, done.changes, settled), adopt=True)
        if step.catalog is not self.plane.catalog:
            await self._publish(step, done)
        feed.wishes = feed.wishes.without(asked, settled)
        feed.told = feed.wishes.problems(trial.catalog, kept)

    def _insist(self, keys: frozenset[Key] | None = None) -> None:
        """Sources are to say again what they say: all of it, or what is under these names."""
        for feed in self.feeds:
            own = {key: stored.label(one) for key, one in self.sources_of.items() if owner(one) == feed.family}
            feed.wishes = feed.wishes.again(own, keys)
            feed.wake()

    def _wishes(self) -> dict[Key, tuple[Problem, ...]]:
        return {key: found for feed in self.feeds for key, found in feed.told.items()}

    def given(self, family: str) -> tuple[Given, ...]:
        """What is in force of a family of sources."""
        own = (self.plane.catalog.given(key) for key, one in sorted(self.sources_of.items()) if owner(one) == family)
        return tuple(one for one in own if one is not None)
