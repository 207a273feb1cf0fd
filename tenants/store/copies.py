"""Copies a store to a file and back, while it is in use. `gatecast db backup` and `gatecast db restore` call it.

SQLite: a copy of the database by SQLite's own online backup. PostgreSQL: an archive of ours, one state of all tables as
lines of JSON, so nobody needs pg_dump. Either goes back into either engine, all or nothing, into an empty database.
Restart the servers of a store that was put back: they know a later state.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import URL, Connection, MetaData, Table, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.errors import Refused
from tenants.store import rows
from tenants.store.archive import Part, in_order, lines, read_archive, read_sqlite
from tenants.store.chain import Head, Verdict
from tenants.store.engine import LONG, Database, connect, parse
from tenants.store.errors import NotOurs
from tenants.store.failures import told
from tenants.store.migrating import downgrade, upgrade, version
from tenants.store.schema import VERSION, heads
from tenants.store.store import utc
from tenants.store.trail import Audit

Progress = Callable[[int], None]
"""Told how many rows were copied so far."""


def _nobody(_count: int) -> None: ...


async def backup(url: str, path: Path, progress: Progress = _nobody) -> Head:
    """Copy the store to a new file that its owner alone may read; the end of the audit chain in it, to note elsewhere.

    Raises `Refused` if there is such a file already, or nothing to copy.
    """
    database = connect(parse(url), make=False)
    try:
        schema = await _usable(database)
        with _new_file(path) as (file, partial):
            if database.postgres:
                return await _archived(database, schema, file, progress)
            return await asyncio.to_thread(_copied, database.url, partial)
    finally:
        await database.close()


async def put_back(path: Path, url: str, progress: Progress = _nobody) -> Verdict:
    """Bring a copy back into an empty database, made if there is none; what the check of it says.

    Raises `Refused` if the database is not empty, or the file is no backup, or not a whole one.
    """
    found, parts = await asyncio.to_thread(_source, path)
    if found > VERSION:
        raise NotOurs(f"{path} was made by a newer gatecast (schema {found}, this one knows {VERSION}): upgrade first")
    database = connect(parse(url))
    try:
        await _emptied(database)
        await upgrade(database, found)
        async with database.writing(LONG) as connection:
            await _load(connection, parts, progress)
        await upgrade(database)
        return await Audit(database, utc).verify()
    finally:
        parts.close()  # type: ignore[attr-defined]  # it is a generator
        await database.close()


async def _usable(database: Database) -> str:
    """The schema's version, also an older one: a backup is made before an upgrade."""
    async with database.reading() as connection:
        found = await version(connection)
    if not found or found > VERSION:
        raise NotOurs(f"there is nothing to copy that this gatecast knows: schema {found or 'none'}")
    return found


async def _archived(database: Database, schema: str, file: IO[str], progress: Progress) -> Head:
    async with database.reading(LONG) as connection:
        end = (await rows.head(connection))[1]
        tables = await connection.run_sync(_reflected)
        async for text, count in lines(connection, tables.values(), schema, end):
            await asyncio.to_thread(file.write, text)
            progress(count)
    return end


def _copied(url: URL, path: Path) -> Head:
    try:
        with closing(sqlite3.connect(str(url.database))) as source, closing(sqlite3.connect(path)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, also on a medium that cannot be written to
            return Head(*copy.execute("SELECT audit, audit_hash FROM heads").fetchone())
    except sqlite3.Error as error:
        raise told(error, url, "reading") or error from None


def _source(path: Path) -> tuple[str, Iterator[Part]]:
    """The schema of a backup, and its rows."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    return read_sqlite(path) if start.startswith(b"SQLite format 3") else read_archive(path)


async def _emptied(database: Database) -> None:
    """Make sure that nothing is in the way."""
    async with database.reading() as connection:
        if not await version(connection):
            return
        for name, table in (await connection.run_sync(_reflected)).items():
            count = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            if count and (name != heads.name or await rows.newest(connection)):
                raise Refused("the database is not empty: a backup goes back into an empty one")
    await downgrade(database, "base")


async def _load(connection: AsyncConnection, parts: Iterator[Part], progress: Progress) -> None:
    tables = await connection.run_sync(_reflected)
    await connection.execute(delete(tables["heads"]))
    count = 0
    while part := await asyncio.to_thread(next, parts, None):
        name, some = part
        await connection.execute(insert(tables[name]), some)
        count += len(some)
        progress(count)


def _reflected(connection: Connection) -> dict[str, Table]:
    """The tables as they are there, which may be an older version's."""
    found = MetaData()
    found.reflect(connection)
    return {name: found.tables[name] for name in in_order(found.tables)}


@contextmanager
def _new_file(path: Path) -> Iterator[tuple[IO[str], Path]]:
    """A file that has its name only when it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    if path.exists():
        raise Refused(f"{path} is there already: give another name")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600), "w", encoding="ascii") as file:
            yield file, partial
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from None
    finally:
        partial.unlink(missing_ok=True)
