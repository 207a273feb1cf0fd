"""A change of documents as one transaction: idempotency key, plan, revision, audit, notification. `Store` calls it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.store import rows, trail
from tenants.store.chain import Entry, Head
from tenants.store.engine import Database
from tenants.store.once import Once, keep, recall
from tenants.store.planning import Plan, digest
from tenants.store.retention import stamp
from tenants.store.revisions import By, Change, Commit, KeptOut, Revision

NAMED = 20
"""How many names an audit entry lists."""

A_SECOND = 500
"""Documents that are written in a second, at the very least."""

Planner = Callable[[AsyncConnection, int], Awaitable[Plan]]
"""Reads what it needs and decides, given the newest revision."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for, but for the documents. `restores` is the revision to go back to; `many`: of how many
    documents, for these take their time.
    """

    by: By
    action: str
    target: str
    dry_run: bool = False
    once: Once | None = None
    restores: int | None = None
    many: int = 0


async def transact(database: Database, asked: Asked, plan: Planner, now: datetime) -> Commit:
    """Do it, or with `dry_run` only say what it would do. Raises what `plan` raises."""
    if asked.dry_run:
        async with database.reading() as connection:
            last = await rows.newest(connection)
            planned = await plan(connection, last)
        return Commit(last, planned.changes, planned.kept_out, pinned=planned.pins)
    async with database.writing(database.patience + asked.many / A_SECOND) as connection:
        last, end = await rows.head(connection, lock=True)
        if asked.once and (first := await recall(connection, asked.once, now)):
            return Commit(last, answer=first, replayed=True)
        done = await _done(connection, asked, await plan(connection, last), (last, end), now)
        if done.made and database.postgres:
            await rows.notify(connection, done.revision, {change.key.kind for change in done.changes})
        if asked.once:
            done = replace(done, answer=asked.once.answer(done))
            await keep(connection, asked.once, now, done.answer)
    return done


async def _done(
    connection: AsyncConnection, asked: Asked, plan: Plan, heads: tuple[int, Head], now: datetime
) -> Commit:
    last, end = heads
    if not plan.changes and not plan.kept_out:
        return Commit(last)
    made = _revision(asked, plan.changes, last + 1, stamp(now)) if plan.changes else None
    if made:
        await rows.write(connection, made, plan.changes, plan.pins)
    end = await trail.append(connection, end, _entry(asked, plan, made, stamp(now)))
    number = made.number if made else last
    await rows.advance(connection, number, end)
    return Commit(number, plan.changes, plan.kept_out, made is not None, pinned=plan.pins)


def _revision(asked: Asked, done: Sequence[Change], number: int, at: str) -> Revision:
    by, counts = asked.by, _counts(done)
    return Revision(number, at, by.author, by.source, by.reason, by.request_id, asked.restores, **counts)


def _counts(done: Sequence[Change]) -> dict[str, int]:
    counts = Counter(change.what for change in done)
    return {what: counts[what] for what in ("created", "changed", "deleted")}


def _entry(asked: Asked, plan: Plan, made: Revision | None, at: str) -> Entry:
    details: dict[str, Any] = {**_counts(plan.changes), "documents": _names(plan.changes)}
    if plan.kept_out:
        details["kept_out"] = _names(plan.kept_out)
    if asked.restores is not None:
        details |= {"restores": asked.restores, "pinned": len(plan.pins)}
    outcome, number = ("done", made.number) if made else ("refused", None)
    entry = trail.entry(asked.by, at, asked.action, asked.target, outcome, details, number)
    return replace(entry, digest=digest(made, plan.changes)) if made else entry


def _names(some: Sequence[Change | KeptOut]) -> list[str]:
    names = [str(one.key) for one in some[:NAMED]]
    return [*names, f"and {len(some) - NAMED} more"] if len(some) > NAMED else names
