"""The audit in the database: appended in the transaction of what it tells, read, exported, checked.

`Store.audit` is one. The chain itself is `tenants.store.chain`; this file only moves entries.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.errors import Refused
from tenants.store import rows
from tenants.store.chain import OUTCOMES, Check, Entry, Head, Verdict, sealed
from tenants.store.engine import LONG, Database
from tenants.store.planning import digest
from tenants.store.redaction import redacted
from tenants.store.retention import stamp
from tenants.store.revisions import By, canonical, plain
from tenants.store.schema import audit

PART = 1000


def entry(
    by: By, at: str, action: str, target: str, outcome: str, details: Mapping[str, Any], revision: int | None = None
) -> Entry:
    """An entry that is not in the chain yet; its details redacted."""
    if outcome not in OUTCOMES:
        raise Refused(f"an outcome is one of {', '.join(OUTCOMES)}, not {outcome!r}")
    return Entry(
        at=at,
        actor=by.author,
        action=plain(action),
        target=plain(target),
        source=by.source,
        origin=by.origin,
        reason=str(redacted(by.reason)),
        request_id=by.request_id,
        outcome=outcome,
        revision=revision,
        details=canonical(redacted(details)),
    )


async def append(connection: AsyncConnection, end: Head, made: Entry) -> Head:
    """Write the entry as the next one; the new end of the chain, which the caller writes to `heads`."""
    new = sealed(made, end)
    await connection.execute(insert(audit), asdict(new))
    return Head(new.seq, new.hash)


@dataclass(frozen=True, slots=True)
class Audit:
    """What was asked of this server, done or not."""

    database: Database
    clock: Callable[[], datetime]

    async def record(
        self, by: By, action: str, target: str, outcome: str, details: Mapping[str, Any] | None = None
    ) -> Head:
        """Write down what happened, in its own transaction: attempts that were refused or failed, logins, syncs."""
        made = entry(by, stamp(self.clock()), action, target, outcome, details or {})
        async with self.database.writing() as connection:
            number, end = await rows.head(connection, lock=True)
            end = await append(connection, end, made)
            await rows.advance(connection, number, end)
        return end

    async def head(self) -> Head:
        """The end of the chain. Note it elsewhere, and `verify` can tell a chain that was written anew."""
        async with self.database.reading() as connection:
            return (await rows.head(connection))[1]

    async def entries(
        self, *, before: int | None = None, limit: int = 50, actor: str = "", action: str = "", outcome: str = ""
    ) -> tuple[Entry, ...]:
        """Entries, newest first; each filter is exact, "" for none."""
        asked = select(audit).order_by(audit.c.seq.desc()).limit(limit)
        asked = asked.where(audit.c.seq < before) if before is not None else asked
        for column, value in ((audit.c.actor, actor), (audit.c.action, action), (audit.c.outcome, outcome)):
            asked = asked.where(column == value) if value else asked
        async with self.database.reading() as connection:
            return tuple(_entry(row) for row in await connection.execute(asked))

    async def export(self, after: int = 0) -> AsyncGenerator[str]:
        """Entries after this number as lines of JSON, without line ends; `tenants.store.chain.parse` reads them."""
        while True:
            async with self.database.reading() as connection:
                part = await _part(connection, after)
            for one in part:
                yield one.line
            if len(part) < PART:
                return
            after = part[-1].seq

    async def verify(self, noted: Head | None = None) -> Verdict:
        """Check the chain, every kept revision against it, and the documents against the revisions."""
        check = Check(noted)
        async with self.database.reading(LONG) as connection:
            digests: dict[int, str] = {}
            while part := await _part(connection, check.last.seq):
                check.read(part)
                digests |= {one.revision: one.digest for one in part if one.revision and one.digest}
            check.end((await rows.head(connection))[1])
            problems = [*check.found, *await _revisions(connection, digests), *await _documents(connection)]
        return Verdict(check.count, check.last, tuple(problems))


async def _part(connection: AsyncConnection, after: int) -> tuple[Entry, ...]:
    asked = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(PART)
    return tuple(_entry(row) for row in await connection.execute(asked))


def _entry(row: Row[Any]) -> Entry:
    return Entry(**row._mapping)


async def _revisions(connection: AsyncConnection, digests: Mapping[int, str]) -> list[str]:
    """What is wrong with kept revisions, by the digests the audit holds."""
    found: list[str] = []
    last = await rows.newest(connection)
    kept = set[int]()
    for start in range((await rows.oldest(connection)) - 1, last, PART):
        for made, done in await rows.kept(connection, start, start + PART):
            kept.add(made.number)
            if digests.get(made.number) != digest(made, done):
                found.append(f"revision {made.number} is not what the audit says it was")
    missing = sorted(set(range(min(kept, default=last + 1), last + 1)) - kept)
    return found + [f"revision {number} is missing" for number in missing]


async def _documents(connection: AsyncConnection) -> list[str]:
    """Documents that are not what their last revision made them; those whose last one is forgotten are not checked."""
    stored = {one.key: replace(one, pinned=False) for one in await rows.current(connection)}
    start = await rows.oldest(connection) - 1
    last = {change.key: change.after for change in await rows.between(connection, start, await rows.newest(connection))}
    found = [f"{key} is not what its last revision made it" for key in last if stored.get(key) != last[key]]
    unknown = [key for key, one in stored.items() if key not in last and one.revision > start]
    return found + [f"{key} came from no revision" for key in unknown]
