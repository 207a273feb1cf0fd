"""Opens the database under a URL and says what fails there in our words. SQLite by default, PostgreSQL 14 or newer.

`Database.reading` and `Database.writing` are the only ways to a connection. What goes wrong inside them comes out as
`Unavailable` or `Refused` (see `tenants.store.failures`), never with SQL, values or a password.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tenants.errors import Unavailable
from tenants.store.errors import NotOurs
from tenants.store.failures import Stage, told

PATIENCE: Final = 15.0
"""Seconds after which a read or a write is given up: a server that is frozen answers nothing at all."""

LONG: Final = 3600.0
"""The same for a migration, a backup, a check of everything."""

_POSTGRES: Final[Mapping[str, str]] = {
    "application_name": "gatecast",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_LIMITS: Final = "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"


@dataclass(slots=True)
class Health:
    """Whether the database answered last time. `why` is empty while it does."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. `write` begins a transaction that excludes other writers of SQLite from its start."""

    url: URL
    read: AsyncEngine
    write: AsyncEngine
    health: Health = field(default_factory=Health)
    patience: float = PATIENCE

    @property
    def postgres(self) -> bool:
        """Whether this is PostgreSQL."""
        return self.url.get_backend_name() == "postgresql"

    @asynccontextmanager
    async def reading(self, patience: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database until the block ends."""
        async with self._told(self.read, ["reading"], patience) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, patience: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction: written as a whole when the block ends, not at all if it raises."""
        stages: list[Stage] = ["writing"]
        async with self._told(self.write, stages, patience) as connection:
            yield connection
            stages.append("confirming")

    async def close(self) -> None:
        """Give up every connection."""
        await self.read.dispose()
        await self.write.dispose()

    @asynccontextmanager
    async def _told(
        self, engine: AsyncEngine, stages: list[Stage], patience: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(patience or self.patience), engine.begin() as connection:
                yield connection
        except Exception as error:
            failure = told(error, self.url, stages[-1])
            if failure is None:
                raise
            if isinstance(failure, Unavailable):
                self.health.why = str(failure)
            raise failure from None  # the cause carries statements, values, and addresses
        self.health.why = ""


def parse(url: str) -> URL:
    """What a user gives as the store: a file, `sqlite:///file` or `postgresql://...`. Raises `NotOurs`."""
    if "://" not in url:
        return URL.create("sqlite+aiosqlite", database=url)
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise NotOurs("the store's URL cannot be read: as in sqlite:///gatecast.db or postgresql://...") from None
    backend = {"postgres": "postgresql"}.get(found.get_backend_name(), found.get_backend_name())
    if backend == "sqlite":
        if not found.database or found.database == ":memory:":
            raise NotOurs("the store needs a file, as in sqlite:////var/lib/gatecast/gatecast.db")
        return found.set(drivername="sqlite+aiosqlite")
    if backend != "postgresql":
        raise NotOurs(f"the store cannot be {backend}: it is a file, sqlite:///... or postgresql://...")
    return found.set(drivername="postgresql+psycopg")


def connect(url: URL, patience: float = PATIENCE, *, make: bool = True) -> Database:
    """The database, without talking to it yet. Raises `NotOurs`.

    A SQLite file that is not there is made if `make` says so, for its owner alone to read.
    """
    if url.get_backend_name() == "postgresql":
        return _postgres(url, patience)
    _open_file(str(url.database), os.O_CREAT if make else 0)
    read, write = _sqlite(url, "BEGIN", 5, patience), _sqlite(url, "BEGIN IMMEDIATE", 1, patience)
    return Database(url, read, write, patience=patience)


def _open_file(path: str, how: int) -> None:
    try:
        os.close(os.open(path, how | os.O_RDWR, 0o600))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise NotOurs(f"the store {path} cannot be opened: {why}; give a file in a directory we may write to") from None


def _sqlite(url: URL, begin: str, most: int, patience: float) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=most, max_overflow=0, pool_timeout=patience, hide_parameters=True)
    busy = int(min(patience, 5.0) * 1000)  # the driver's thread waits so long, whoever has given up meanwhile
    pragmas = [f"busy_timeout={busy}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"]

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin ourselves: the driver would begin late, after the first read
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres(url: URL, patience: float) -> Database:
    try:
        import psycopg  # noqa: F401 - an extra: files and SQLite do without
    except ImportError:
        raise NotOurs("PostgreSQL needs a driver: install gatecast[postgres]") from None
    ours = {**_POSTGRES, "options": _LIMITS}
    url = url.update_query_dict({name: value for name, value in ours.items() if name not in url.query})
    engine = create_async_engine(
        url, pool_size=5, max_overflow=5, pool_timeout=patience, pool_pre_ping=True, hide_parameters=True
    )
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Database(url, reading, engine.execution_options(isolation_level="READ COMMITTED"), patience=patience)
