"""The store: documents with their history, in SQLite or PostgreSQL. HTTP API, sources and `gatecast db` call it.

    async with await Store.open("sqlite:///gatecast.db") as store:
        done = await store.commit([Write.put(body, ABSENT)], By("dana", "api"))
        async for revision in store.watch(done.revision): ...

A commit is one transaction under one lock: decided (`planning`), written, audited, or nothing of it. Writers queue, so
a revision's number is also the order in which it became visible, and no transaction has to be tried again. What is
refused, or fails, is audited in a transaction of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.documents import Key
from tenants.errors import GatecastError, Refused, Unavailable
from tenants.store import once as onces
from tenants.store import rows, trail
from tenants.store.commits import Asked, Planner, transact
from tenants.store.engine import PATIENCE, Database, connect, parse
from tenants.store.errors import Behind, Full, NotFound
from tenants.store.keysets import KeySets
from tenants.store.migrating import ensure
from tenants.store.once import Answers, Once
from tenants.store.planning import Held, Plan, decide, restored
from tenants.store.retention import Keep, floor, stamp, young
from tenants.store.revisions import By, Change, Commit, Documents, News, Pin, Revision, Stored, Write
from tenants.store.tokens import Tokens
from tenants.store.trail import Audit
from tenants.store.watch import DEFAULT, Newest, Pace, follow

log = structlog.get_logger("gatecast.store")


Judge = Callable[[int, tuple[Change, ...]], Awaitable[None]]
"""Called with the newest revision and what is about to change, while nobody else can write. What it raises refuses."""


def utc() -> datetime:
    """Now."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Store:
    """An open store. `audit`, `tokens`, `answers`, `keysets` are its other rooms. Anything may raise `Unavailable`."""

    database: Database
    clock: Callable[[], datetime] = utc
    pace: Pace = DEFAULT
    audit: Audit = field(init=False)
    tokens: Tokens = field(init=False)
    answers: Answers = field(init=False)
    keysets: KeySets = field(init=False)
    _newest: Newest = field(default_factory=Newest)
    _following: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.audit = Audit(self.database, self.clock)
        self.tokens = Tokens(self.database, self.clock)
        self.answers = Answers(self.database, self.clock)
        self.keysets = KeySets(self.database)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        migrate: bool = True,
        clock: Callable[[], datetime] = utc,
        pace: Pace = DEFAULT,
        patience: float = PATIENCE,
    ) -> Self:
        """The store under a URL or a file's name; made if there is none. Raises `NotOurs` or `Unavailable`."""
        database = connect(parse(url), patience)
        try:
            await ensure(database, migrate=migrate)
        except BaseException:
            await database.close()
            raise
        return cls(database, clock, pace)

    async def close(self) -> None:
        """Stop watching and give up every connection."""
        if self._following:
            self._following.cancel()
            await asyncio.wait({self._following})
        await self.database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def trouble(self) -> str:
        """Why the database did not answer last time; "" if it did."""
        return self.database.health.why

    async def watch(self, since: int) -> AsyncGenerator[int]:
        """Each newest revision above `since`, as soon as it is known; those in between are passed over. Never ends."""
        if self._following is None:
            self._following = asyncio.create_task(follow(self.database, self._newest, self.pace))
        while True:
            since = await self._newest.above(since)
            yield since

    # Reading

    async def revision(self) -> int:
        """The number of the newest revision; 0 before the first."""
        async with self.database.reading() as connection:
            return await rows.newest(connection)

    async def current(self) -> Documents:
        """Every document there is."""
        async with self.database.reading() as connection:
            return Documents(await rows.newest(connection), await rows.current(connection))

    async def at(self, number: int) -> Documents:
        """Every document there was at a revision. Raises `NotFound` if that is not kept."""
        async with self.database.reading() as connection:
            last = await self._kept(connection, number)
            found = {stored.key: stored for stored in await rows.current(connection)}
            for change in await rows.between(connection, number, last):
                found.pop(change.key, None)
                if change.before:
                    found[change.key] = change.before
        return Documents(number, tuple(found[key] for key in sorted(found)))

    async def since(self, number: int) -> News:
        """What became of the documents after a revision; everything, if that is not kept or never was."""
        async with self.database.reading() as connection:
            last, first = await rows.newest(connection), await rows.oldest(connection)
            if not first - 1 <= number <= last:
                return News(last, await rows.current(connection), whole=True)
            return News(last, *await rows.since(connection, number))

    async def document(self, key: Key) -> Stored:
        """One document. Raises `NotFound`."""
        async with self.database.reading() as connection:
            held = await rows.held(connection, 0, [key])
        if key not in held.documents:
            raise NotFound(f"there is no {key}")
        return held.documents[key]

    async def documents(
        self, *, kind: str = "", organisation: str = "", part: str = "", after: Key | None = None, limit: int = 50
    ) -> tuple[Stored, ...]:
        """Documents by name, after the name `after`; of a kind, of an organisation, with `part` in their id."""
        async with self.database.reading() as connection:
            return await rows.page(connection, kind, organisation, part, after, limit)

    async def revisions(
        self, *, before: int | None = None, limit: int = 50, key: Key | None = None, author: str = ""
    ) -> tuple[Revision, ...]:
        """Kept revisions, newest first; those that touched a document, of an author."""
        async with self.database.reading() as connection:
            return await rows.history(connection, before, limit, key, author)

    async def changes(self, number: int) -> tuple[Revision, tuple[Change, ...]]:
        """One revision and what it did. Raises `NotFound`."""
        async with self.database.reading() as connection:
            found = await rows.kept(connection, number - 1, number)
        if not found:
            raise NotFound(f"there is no revision {number}, or it is not kept any more")
        return found[0]

    async def diff(self, one: int, other: int) -> tuple[Change, ...]:
        """What leads from one revision to the other, either way; `diffs` shows it. Raises `NotFound`."""
        low, high = sorted((one, other))
        async with self.database.reading() as connection:
            await self._kept(connection, low)
            await self._kept(connection, high)
            ways = await rows.between(connection, low, high)
        found = tuple(way for way in ways if _different(way))
        return found if one <= other else tuple(way.reversed for way in found)

    async def pins(self) -> tuple[Pin, ...]:
        """What files and registries may not write, by name."""
        async with self.database.reading() as connection:
            return await rows.pinned(connection)

    # Writing

    async def commit(
        self,
        writes: Sequence[Write],
        by: By,
        *,
        if_revision: int | None = None,
        force: bool = False,
        dry_run: bool = False,
        once: Once | None = None,
        action: str = "documents apply",
        judge: Judge | None = None,
    ) -> Commit:
        """Put and delete documents in one revision, all or nothing; nothing new makes no revision.

        Raises `Stale` where an expectation does not hold, `Foreign` where an operator writes what another source gives
        without `force`, `KeyReused`, `StillRunning`, and what `judge` raises.
        """

        async def plan(connection: AsyncConnection, last: int) -> Plan:
            held = await rows.held(connection, last, [write.key for write in writes])
            planned = decide(held, writes, by, if_revision=if_revision, force=force)
            if judge and planned.changes:
                await judge(last, planned.changes)
            return planned

        target = _target([write.key for write in writes])
        return await self._commit(Asked(by, action, target, dry_run, once, many=len(writes)), plan)

    async def restore(
        self,
        number: int,
        by: By,
        *,
        if_revision: int | None = None,
        dry_run: bool = False,
        once: Once | None = None,
        judge: Judge | None = None,
    ) -> Commit:
        """Make what was at a revision the newest one. What a file or registry gave gets a pin (see `pins`).

        Raises `NotFound`, `Stale`, what `judge` raises, and `Refused` without a reason.
        """
        if not by.reason.strip() and not dry_run:
            raise Refused(f"going back to revision {number} needs a reason: say why")

        async def plan(connection: AsyncConnection, last: int) -> Plan:
            await self._kept(connection, number)
            decide(Held(last, {}), (), by, if_revision=if_revision)
            planned = restored(last, filter(_different, await rows.between(connection, number, last)))
            if judge and planned.changes:
                await judge(last, planned.changes)
            return planned

        return await self._commit(Asked(by, "revision restore", f"revision/{number}", dry_run, once, number), plan)

    async def unpin(self, keys: Iterable[Key], by: By) -> int:
        """Let files and registries write these names again; how many were pinned. They write at their next look."""
        names = tuple(keys)
        async with self.database.writing() as connection:
            last, end = await rows.head(connection, lock=True)
            count = await rows.unpin(connection, names)
            made = trail.entry(by, stamp(self.clock()), "unpin", _target(names), "done", {"pins": count})
            await rows.advance(connection, last, await trail.append(connection, end, made))
        return count

    async def prune(self, keep: Keep, by: By) -> int:
        """Forget revisions that need not be kept; how many. All that are left can still be restored."""
        now = self.clock()
        async with self.database.writing() as connection:
            last, end = await rows.head(connection, lock=True)
            await onces.expire(connection, now)
            below = floor(keep, last, await rows.oldest_between(connection, *young(keep, now)))
            count = await rows.forget(connection, below)
            if count:
                made = trail.entry(by, stamp(now), "prune", "revisions", "done", {"below": below, "count": count})
                await rows.advance(connection, last, await trail.append(connection, end, made))
        return count

    # Inside

    async def _commit(self, asked: Asked, plan: Planner) -> Commit:
        try:
            done = await transact(self.database, asked, plan, self.clock())
        except GatecastError as error:
            await self._failed(asked, error)
            raise
        if done.made:
            self._newest.tell(done.revision)
        return done

    async def _failed(self, asked: Asked, error: GatecastError) -> None:
        """Audit what did not happen. While the database is away there is only the log; the caller knows either way."""
        if isinstance(error, Behind):
            return
        refused, away = isinstance(error, Refused), isinstance(error, Unavailable) and not isinstance(error, Full)
        outcome = "refused" if refused else "failed"
        level = log.info if refused else log.warning
        level("a change was not made", action=asked.action, target=asked.target, outcome=outcome, error=str(error))
        if asked.dry_run or away:
            return
        with suppress(Unavailable):
            details = {"error": type(error).__name__, "message": str(error)}
            await self.audit.record(asked.by, asked.action, asked.target, outcome, details)

    async def _kept(self, connection: AsyncConnection, number: int) -> int:
        """The newest revision, if this one can be gone back to."""
        last, first = await rows.newest(connection), await rows.oldest(connection)
        if not (first if first > 1 else 0) <= number <= last:
            raise NotFound(f"there is no revision {number}, or it is not kept any more: {first} to {last} are")
        return last


def _different(change: Change) -> bool:
    one, other = change.before, change.after
    return (one and (one.text, one.source)) != (other and (other.text, other.source))


def _target(keys: Sequence[Key]) -> str:
    return str(keys[0]) if len(keys) == 1 else f"{len(keys)} documents"
