"""Knows the newest revision soon after anybody made it, and wakes those who wait for it. `Store.watch` uses it.

A writer in this process tells at once. Others: PostgreSQL tells by NOTIFY on a connection of its own. What is told
while that is broken is lost, so after every connect we LISTEN first and look then, and look now and then besides.
SQLite has no such thing: we look at its one row a few times a second.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from tenants.errors import GatecastError, Unavailable
from tenants.store import rows
from tenants.store.engine import Database
from tenants.store.failures import first_line, told

log = structlog.get_logger("gatecast.store")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `look`: how often SQLite is looked at. `backstop`: how often PostgreSQL is, beside its notifications.

    `first` and `longest`: the pauses before connecting again, doubled each time, and cut by up to a half at random.
    """

    look: float = 0.25
    backstop: float = 15.0
    first: float = 0.1
    longest: float = 5.0


DEFAULT: Final = Pace()


@dataclass(slots=True)
class Newest:
    """The newest revision this process has heard of."""

    revision: int = 0
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, revision: int) -> None:
        """There is this revision."""
        if revision > self.revision:
            self.revision = revision
            self._told.set()
            self._told = asyncio.Event()

    async def above(self, revision: int) -> int:
        """The newest revision, once it is newer than this one."""
        while self.revision <= revision:
            await self._told.wait()
        return self.revision


async def follow(database: Database, newest: Newest, pace: Pace = DEFAULT) -> None:
    """Keep `newest` up to date until cancelled. Raises nothing: while the database is away, it tries again."""
    pause = pace.first
    while True:
        try:
            listen = _told_by_postgres if database.postgres else _seen
            async with aclosing(listen(database, pace)) as news:
                async for revision in news:
                    newest.tell(revision)
                    pause = pace.first
        except GatecastError as error:
            database.health.why = str(error)
            log.warning("the store is away: changes of others wait", error=str(error), again_in=pause)
        except Exception as error:
            log.exception("the store cannot be followed: this is a defect of gatecast", error=type(error).__name__)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, pace.longest)


async def _seen(database: Database, pace: Pace) -> AsyncGenerator[int]:
    while True:
        async with database.reading() as connection:
            revision = await rows.newest(connection)
        yield revision
        await asyncio.sleep(pace.look)


async def _told_by_postgres(database: Database, pace: Pace) -> AsyncGenerator[int]:
    """Notifications of one connection, until it breaks."""
    try:
        async with await _connection(database) as connection:
            await connection.execute(f"LISTEN {rows.CHANNEL}")
            while True:
                async with asyncio.timeout(database.patience):
                    row = await (await connection.execute("SELECT revision FROM heads")).fetchone()
                database.health.why = ""
                yield row[0] if row else 0
                async for note in connection.notifies(timeout=pace.backstop):
                    yield _revision(note.payload)
    except Exception as error:
        raise _failure(error, database) or error from None


async def _connection(database: Database) -> Any:
    from psycopg import AsyncConnection

    names = database.url.translate_connect_args(database="dbname", username="user")
    options: dict[str, Any] = {**names, **database.url.query}
    return await AsyncConnection.connect(autocommit=True, **options)


def _failure(error: Exception, database: Database) -> GatecastError | None:
    from psycopg import Error

    if isinstance(error, Error):
        return Unavailable(f"{first_line(error, database.url)}; trying again")
    return told(error, database.url, "reading")


def _revision(payload: str) -> int:
    number = payload.partition(" ")[0]
    return int(number) if number.isdecimal() else 0
