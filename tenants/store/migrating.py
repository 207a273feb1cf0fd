"""Brings a database to the schema we know, both ways. `Store.open` and `gatecast db migrate` call it.

Alembic is imported only where there is something to do. Writers are locked out meanwhile, so that of several replicas
that start at once one migrates and the others find it done.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.store.engine import LONG, Database
from tenants.store.errors import NotOurs
from tenants.store.schema import VERSION, heads

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_103_664_211  # any number that is ours
_OLDEST_POSTGRES = 140_000


async def version(connection: AsyncConnection) -> str:
    """The schema's version, "" where there is none. Raises `NotOurs` where something else lives."""
    names = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    if "alembic_version" in names and heads.name in names:
        return str(
            (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none() or ""
        )
    if names - {"alembic_version"}:
        raise NotOurs(f"this database holds other tables ({', '.join(sorted(names)[:3])}): give one of its own")
    return ""


async def ensure(database: Database, *, migrate: bool = True) -> None:
    """Check that the database can be used, and bring its schema up to date. Raises `NotOurs` or `Unavailable`."""
    async with database.reading() as connection:
        if database.postgres:
            await _check_postgres(connection)
        found = await version(connection)
    if found == VERSION:
        return
    if found > VERSION:
        raise NotOurs(
            f"the store was written by a newer gatecast (schema {found}, this one knows {VERSION}): "
            "upgrade gatecast, or restore a backup made before the upgrade"
        )
    if not migrate:
        raise NotOurs(f"the store is at schema {found or 'none'}, this gatecast needs {VERSION}: gatecast db migrate")
    await upgrade(database)


async def upgrade(database: Database, to: str = VERSION) -> None:
    """Bring the schema to this version, if it is older. All or nothing."""
    async with database.writing(LONG) as connection:
        await _alone(connection, database)
        if await version(connection) < to:
            await connection.run_sync(_run, "upgrade", to)


async def downgrade(database: Database, to: str) -> None:
    """Bring the schema back to this version; "base" removes everything there is. All or nothing."""
    async with database.writing(LONG) as connection:
        await _alone(connection, database)
        await connection.run_sync(_run, "downgrade", to)


async def _alone(connection: AsyncConnection, database: Database) -> None:
    if database.postgres:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text("SET LOCAL lock_timeout = 0"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


async def _check_postgres(connection: AsyncConnection) -> None:
    number = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
    encoding = (await connection.execute(text("SHOW server_encoding"))).scalar_one()
    if number < _OLDEST_POSTGRES:
        raise NotOurs(f"the store needs PostgreSQL 14 or newer, this is {number // 10_000}")
    if encoding != "UTF8":
        raise NotOurs(f"the store's database has the encoding {encoding}: create it with UTF8")


def _run(connection: Connection, verb: str, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    run: Any = getattr(command, verb)
    run(config, to)
