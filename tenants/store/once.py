"""Idempotency keys: the same request twice has one effect and one answer.

For a change of documents, give `Once` to `Store.commit` or `Store.restore`: key, effect and answer are one transaction.
For anything else `begin` and `finish` around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.errors import Refused
from tenants.store import rows
from tenants.store.engine import Database
from tenants.store.errors import KeyReused, StillRunning
from tenants.store.retention import stamp
from tenants.store.revisions import Answer, Commit, plain
from tenants.store.schema import answers

KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=5)
"""After this long without an answer, whoever began is taken for dead and the key may be used again."""

LONGEST = 255


@dataclass(frozen=True, slots=True)
class Once:
    """One Idempotency-Key. `scope` is who asked what (actor and route), `body_hash` a hash of the request.

    `answer` makes the answer from the commit; it is called inside the transaction and must be pure.
    """

    scope: str
    key: str
    body_hash: str
    answer: Callable[[Commit], Answer] = lambda commit: Answer(200, f'{{"revision":{commit.revision}}}')

    def __post_init__(self) -> None:
        if not 1 <= len(self.key) <= LONGEST:
            raise Refused(f"an Idempotency-Key has 1 to {LONGEST} characters, this one {len(self.key)}")


async def recall(connection: AsyncConnection, once: Once, now: datetime) -> Answer | None:
    """The first answer; None if this is the first request. Raises `KeyReused` or `StillRunning`."""
    row = (await connection.execute(select(answers).where(_named(once)))).one_or_none()
    if row is None:
        return None
    if row.at <= stamp(now - (KEPT if row.state == "done" else ABANDONED)):
        await connection.execute(delete(answers).where(_named(once)))
        return None
    if row.body_hash != once.body_hash:
        raise KeyReused(f"the Idempotency-Key {once.key!r} came before with another request: use a new one")
    if row.state != "done":
        raise StillRunning(f"the first request with the Idempotency-Key {once.key!r} is still running: ask again")
    return Answer(row.status, row.body)


async def keep(connection: AsyncConnection, once: Once, now: datetime, answer: Answer | None) -> None:
    """Keep the answer; None: there is none yet."""
    said = answer or Answer(0, "")
    row = {"scope": plain(once.scope), "key": plain(once.key), "body_hash": once.body_hash, "at": stamp(now)}
    state = "done" if answer else "running"
    await connection.execute(insert(answers).values(state=state, status=said.status, body=plain(said.body), **row))


async def expire(connection: AsyncConnection, now: datetime) -> None:
    """Forget answers older than a day."""
    await connection.execute(delete(answers).where(answers.c.at <= stamp(now - KEPT)))


@dataclass(frozen=True, slots=True)
class Answers:
    """Idempotency keys of requests that are no change of documents."""

    database: Database
    clock: Callable[[], datetime]

    async def begin(self, once: Once) -> Answer | None:
        """None: go on, and `finish` or `forget`. Else the first answer. Raises `KeyReused` or `StillRunning`."""
        async with self.database.writing() as connection:
            await rows.head(connection, lock=True)
            found = await recall(connection, once, self.clock())
            if found is None:
                await keep(connection, once, self.clock(), None)
        return found

    async def finish(self, once: Once, answer: Answer) -> None:
        """The answer to what `begin` let through."""
        done = {"state": "done", "status": answer.status, "body": plain(answer.body)}
        async with self.database.writing() as connection:
            await connection.execute(update(answers).where(_named(once)).values(done))

    async def forget(self, once: Once) -> None:
        """What `begin` let through failed, and may be asked for again."""
        async with self.database.writing() as connection:
            await connection.execute(delete(answers).where(_named(once), answers.c.state == "running"))


def _named(once: Once) -> ColumnElement[bool]:
    return and_(answers.c.scope == plain(once.scope), answers.c.key == plain(once.key))
