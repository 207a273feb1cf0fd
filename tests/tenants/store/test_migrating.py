"""The schema: made by migrations both ways, the same as the tables in code, and never used when it is not ours."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgres import database
from sqlalchemy import Connection, inspect, text
from stores import DANA, QUICK, put

from tenants.errors import Unavailable
from tenants.store import NotOurs, Store
from tenants.store.engine import Database, connect, parse
from tenants.store.migrating import FOLDER, downgrade, ensure, upgrade, version
from tenants.store.schema import VERSION, metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without anything in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bare.db"
        return
    with database(request.getfixturevalue("postgres_url")) as url:
        yield url


async def execute(url: str, *statements: str) -> None:
    opened = connect(parse(url))
    async with opened.writing() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await opened.close()


def names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def different(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def asked(opened: Database, question: Any) -> Any:
    async with opened.reading() as connection:
        return await connection.run_sync(question)


async def test_migrations_make_the_tables_the_code_knows_and_take_them_away(bare: str) -> None:
    opened = connect(parse(bare))
    try:
        for _turn in range(2):
            await upgrade(opened)
            assert await asked(opened, different) == []
            assert await asked(opened, names) == {*metadata.tables, "alembic_version"}
            await downgrade(opened, "base")
            assert await asked(opened, names) == {"alembic_version"}
    finally:
        await opened.close()


@pytest.mark.parametrize("older", [f"{number:04}" for number in range(1, int(VERSION))])
async def test_what_every_schema_has_survives_the_way_down_and_up(older: str, bare: str) -> None:
    async with await Store.open(bare, pace=QUICK) as store:
        for n in range(3):
            await store.commit([put(n=n)], DANA)
        await store.restore(1, replace(DANA, reason="too early"))
        _token, text_of_it = await store.tokens.create("ci", "editor", DANA)
        before = await store.current(), await store.revisions(), await store.audit.head()
    opened = connect(parse(bare))
    await downgrade(opened, older)
    async with opened.reading() as connection:
        assert await version(connection) == older
    await opened.close()
    async with await Store.open(bare, pace=QUICK) as store:
        assert (await store.current(), await store.revisions(), await store.audit.head()) == before
        assert (await store.audit.verify()).problems == ()
        assert await store.tokens.verify(text_of_it)
        await store.commit([put(n=9)], DANA)


def test_the_version_in_code_is_that_of_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    assert ScriptDirectory.from_config(config).get_current_head() == VERSION


async def test_several_that_start_at_once_find_one_store(bare: str) -> None:
    stores = await asyncio.gather(*(Store.open(bare, pace=QUICK) for _one in range(4)))
    for n, store in enumerate(stores):
        await store.commit([put(n=n)], DANA)
    assert await stores[0].revision() == 4
    for store in stores:
        await store.close()


async def test_without_leave_to_migrate_an_old_schema_is_refused(bare: str) -> None:
    with pytest.raises(NotOurs, match="gatecast db migrate"):
        await Store.open(bare, migrate=False)
    await (await Store.open(bare)).close()
    await (await Store.open(bare, migrate=False)).close()


async def test_a_newer_schema_is_refused_with_what_to_do(bare: str) -> None:
    await (await Store.open(bare)).close()
    await execute(bare, "UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(
        NotOurs, match=rf"written by a newer gatecast \(schema 0099, this one knows {VERSION}\): upgrade"
    ):
        await Store.open(bare)


async def test_a_database_of_somebody_else_is_refused_and_left_alone(bare: str) -> None:
    await execute(bare, "CREATE TABLE customers (id INTEGER)")
    with pytest.raises(NotOurs, match=r"holds other tables \(customers\)"):
        await Store.open(bare)
    opened = connect(parse(bare))
    assert await asked(opened, names) == {"customers"}
    await opened.close()


async def test_a_migration_that_fails_leaves_nothing_behind(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenants.store import migrating

    def fail(connection: Connection, _verb: str, _to: str) -> None:
        connection.execute(text("CREATE TABLE heads (id INTEGER)"))
        raise Unavailable("the plug was pulled")

    opened = connect(parse(bare))
    with monkeypatch.context() as patched:
        patched.setattr(migrating, "_run", fail)
        with pytest.raises(Unavailable):
            await ensure(opened)
    assert await asked(opened, names) == set()
    await ensure(opened)
    await opened.close()


async def test_a_new_sqlite_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    async with await Store.open(str(path)) as store:
        await store.commit([put()], DANA)
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


async def test_sqlite_is_set_up_to_lose_nothing(tmp_path: Path) -> None:
    async with await Store.open(str(tmp_path / "new.db")) as store:
        for engine in (store.database.read, store.database.write):
            async with engine.connect() as connection:
                names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                found = [(await connection.execute(text(f"PRAGMA {name}"))).scalar_one() for name in names]
            assert found == ["wal", 2, 1, 5000]
