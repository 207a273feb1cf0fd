"""What breaks: the database goes and comes back, writers are killed, disks fill, locks are never given back.

Nothing acknowledged is ever lost, nothing half is ever seen, and no error shows a password.
"""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
import structlog
from postgres import Postgres, own_server
from sqlalchemy import text
from stores import DANA, QUICK, contents, key, put, statements, versions
from storms import storm

from tenants.errors import GatecastError, Unavailable
from tenants.store import Doubtful, Full, NotOurs, Pace, Store
from tenants.store.engine import parse
from tenants.store.failures import first_line

WITHIN = 20.0


@pytest.fixture(scope="module")
def fragile() -> Iterator[Postgres]:
    """A server that tests may kill."""
    with own_server() as server:
        yield server


async def reach(watch: AsyncIterator[int], revision: int) -> None:
    """Wait until the watch has told of a revision."""
    async with asyncio.timeout(WITHIN):
        while await anext(watch) < revision:
            pass


async def test_the_database_is_killed_and_comes_back(fragile: Postgres) -> None:
    with structlog.testing.capture_logs() as logs:
        async with (
            await Store.open(fragile.url, pace=QUICK) as store,
            await Store.open(fragile.url, pace=QUICK) as other,
        ):
            safe = (await store.commit([put(n=0)], DANA)).revision
            ours, theirs = store.watch(0), other.watch(0)
            await reach(ours, safe)
            await reach(theirs, safe)
            for n in range(1, 4):
                fragile.crash()
                for ask in (store.revision, store.current, other.audit.head):
                    with pytest.raises(Unavailable, match="the store postgresql"):
                        await ask()
                with pytest.raises(Unavailable, match="nothing was written; ask again"):
                    await store.commit([put(n=n)], DANA)
                assert store.trouble
                fragile.start()
                assert await store.revision() == safe
                assert not store.trouble
                safe = (await store.commit([put(n=n)], DANA)).revision
                await reach(theirs, safe)
            assert (await other.document(key())).body["n"] == 3
            assert (await other.audit.verify()).problems == ()
    assert any(entry["event"].startswith("the store is away") for entry in logs)


async def test_what_was_acknowledged_survives_a_crash_of_the_database_under_load(fragile: Postgres) -> None:
    async with await Store.open(fragile.url, pace=QUICK) as store:
        safe: list[int] = []

        async def write(name: str) -> None:
            with suppress(Unavailable):
                for n in count():
                    done = await store.commit([put(name, n=n), put(f"{name}-twin", n=n)], DANA)
                    safe.append(done.revision)

        start = await store.revision()
        writers = [asyncio.create_task(write(f"w{n}")) for n in range(4)]
        await reach(store.watch(0), start + 25)
        fragile.crash()
        await asyncio.gather(*writers)
        fragile.start()
        assert await store.revision() >= max(safe) > start
        found = {one.key.id: one.body["n"] for one in (await store.current()).documents if one.key.id.startswith("w")}
        assert all(found[f"w{n}"] == found[f"w{n}-twin"] for n in range(4))
        assert (await store.audit.verify()).problems == ()


async def test_a_connection_that_breaks_while_confirming_leaves_a_doubt_and_says_so(fragile: Postgres) -> None:
    async with await Store.open(fragile.url, pace=QUICK) as store:
        with pytest.raises(Doubtful, match="may have been written or not"):
            await _cut_off_at_the_end(store, fragile.url)
        assert (await store.commit([put(n=time.time_ns())], DANA)).made


async def _cut_off_at_the_end(store: Store, url: str) -> None:
    async with store.database.writing() as connection:
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        with psycopg.connect(url, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


async def test_a_lock_that_is_never_given_back_is_waited_for_only_so_long(url: str) -> None:
    async with await Store.open(url, patience=0.3) as store:
        await store.commit([put(n=0)], DANA)
        holder: psycopg.Connection | sqlite3.Connection
        if store.database.postgres:
            holder = psycopg.connect(url)
            holder.execute("SELECT * FROM heads FOR UPDATE")
        else:
            holder = sqlite3.connect(str(parse(url).database), isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="ask again"):
            await store.commit([put(n=1)], DANA)
        assert (await store.document(key())).body["n"] == 0
        holder.rollback()
        holder.close()
        assert (await store.commit([put(n=2)], DANA)).made
        assert (await store.audit.verify()).problems == ()


@pytest.mark.parametrize(
    ("url", "seed"), [("sqlite", 0), ("sqlite", 1), ("sqlite", 2), ("postgresql", 3)], indirect=["url"]
)
async def test_a_writer_killed_at_any_moment_leaves_no_half_revision(url: str, seed: int) -> None:
    """Ten times a seed; meanwhile this process watches and reads."""
    dice = random.Random(seed)
    async with await Store.open(url, pace=QUICK) as store:
        watch, last = store.watch(0), 0
        for _turn in range(10):
            with storm(url) as writer:
                await asyncio.to_thread(writer.hear, dice.randint(1, 4))
                await reach(watch, last + 1)
                await asyncio.sleep(dice.uniform(0, 0.006))
                await asyncio.to_thread(writer.kill)
            first, second = (await store.current()).documents
            last = await store.revision()
            assert last >= writer.acknowledged
            assert first.body["n"] == second.body["n"] == last
            assert (await store.audit.verify()).problems == ()


async def test_a_full_disk_refuses_a_change_whole_and_reading_goes_on(tmp_path: Path) -> None:
    async with await Store.open(str(tmp_path / "store.db"), pace=QUICK) as store:
        await versions(store, count=3)
        before = contents(await store.current())
        await _limit(store, 4)
        for _turn in range(3):
            with pytest.raises(Full, match=r"is full; free space on its disk; nothing was written"):
                await store.commit([put("big", text="x" * 500_000)], DANA)
        assert contents(await store.current()) == before
        assert contents(await store.at(1))
        await _limit(store, 1_000_000)
        assert (await store.commit([put("big", text="x" * 500_000)], DANA)).revision == 4
        assert (await store.audit.verify()).problems == ()
        async with store.database.reading() as connection:
            assert (await connection.execute(text("PRAGMA integrity_check"))).scalar_one() == "ok"


async def _limit(store: Store, more: int) -> None:
    """How many pages the file may still grow by. The writer's only connection keeps the limit."""
    async with store.database.writing() as connection:
        pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
        await connection.execute(text(f"PRAGMA max_page_count = {pages + more}"))


async def test_a_failed_change_is_in_the_audit_when_the_disk_has_room_for_that(tmp_path: Path) -> None:
    async with await Store.open(str(tmp_path / "store.db"), pace=QUICK) as store:
        await versions(store, count=1)
        await _limit(store, 20)
        with pytest.raises(Full):
            await store.commit([put("big", text="x" * 500_000)], DANA)
        entry = (await store.audit.entries())[0]
        assert (entry.outcome, entry.actor, entry.target) == ("failed", "dana", "Tenant/big")


UNREACHABLE = [
    "postgresql://dana:s3cr3t%2F%25@127.0.0.1:1/gatecast",
    "postgresql://dana:s3cr3t@127.0.0.1:1/gatecast?connect_timeout=1",
    "postgres://dana@127.0.0.1:1/gatecast?password=s3cr3t",
    "postgresql+psycopg://dana:s3cr3t@/gatecast?host=/nowhere",
]


@pytest.mark.parametrize("url", UNREACHABLE)
async def test_no_error_or_log_shows_the_password(url: str) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(Unavailable) as caught:
        await Store.open(url)
    error = caught.value
    assert "s3cr3t" not in f"{error}{error!r}{error.__cause__}{logs}"
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "gatecast" in str(error)


async def test_the_watch_does_not_show_the_password_either(fragile: Postgres) -> None:
    url = fragile.url.replace("postgres@", "postgres:s3cr3t@")
    with structlog.testing.capture_logs() as logs:
        async with await Store.open(url, pace=QUICK) as store:
            safe = (await store.commit([put(n=time.time_ns())], DANA)).revision
            watch = store.watch(0)
            await reach(watch, safe)
            fragile.crash()
            async with asyncio.timeout(WITHIN):
                while len(logs) < 2:
                    await asyncio.sleep(0.01)
            assert "s3cr3t" not in store.trouble
            fragile.start()
    assert "s3cr3t" not in str(logs)


async def test_statements_and_values_are_in_no_error(store: Store) -> None:
    for statement in ("SELECT :secret FROM nowhere", "INSERT INTO tokens (id) VALUES (:secret)"):
        with pytest.raises(GatecastError) as caught:
            async with store.database.writing() as connection:
                await connection.execute(text(statement), {"secret": "c4n4ry"})
        assert "c4n4ry" not in str(caught.value)
        assert "SELECT" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_driver_that_prints_the_password_is_not_repeated() -> None:
    url = parse(UNREACHABLE[0])
    for spelling in (str(url.password), "s3cr3t%2F%25"):
        assert "s3cr3t" not in first_line(ValueError(f"cannot log in with {spelling}\nmore"), url)
    assert first_line(ValueError("one\ntwo"), url) == "one"


WRONG = [
    ("mysql://a@b/c", "cannot be mysql"),
    ("sqlite://", "needs a file"),
    ("sqlite:///:memory:", "needs a file"),
    ("://", "cannot be read"),
    ("sqlite:////nowhere/store.db", "cannot be opened: no such file or directory; give a file in a directory"),
    ("/nowhere/store.db", "cannot be opened"),
]


@pytest.mark.parametrize(("url", "said"), WRONG)
async def test_what_cannot_be_a_store_is_refused_with_what_would_be(url: str, said: str) -> None:
    with pytest.raises(NotOurs, match=said):
        await Store.open(url)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n" * 500)
    with pytest.raises(NotOurs, match="it is no SQLite file: give another path"):
        await Store.open(str(path))
    assert path.read_text().startswith("dear diary")


async def test_a_database_that_is_not_there_is_refused(fragile: Postgres) -> None:
    with pytest.raises(NotOurs, match="does not exist; create the database"):
        await Store.open(fragile.url.replace("/postgres?", "/nowhere?"))


async def test_a_damaged_file_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with await Store.open(str(path)) as store:
        await store.commit([put(f"t{n}", text="x" * 5000) for n in range(50)], DANA)
    content = bytearray(path.read_bytes())
    content[4096 * 8 : 4096 * 40] = b"\xff" * (4096 * 32)
    path.write_bytes(content)
    with pytest.raises(NotOurs, match="damaged: restore a backup"):
        await _read_all(path)


async def _read_all(path: Path) -> None:
    async with await Store.open(str(path)) as store:
        await store.audit.verify()


async def test_a_frozen_server_is_given_up_in_time(fragile: Postgres) -> None:
    async with await Store.open(fragile.url, patience=0.5) as store:
        await store.revision()
        with psycopg.connect(fragile.url, autocommit=True) as connection:
            asked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'gatecast'"
            pids = [pid for (pid,) in connection.execute(asked)]
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable):
                await store.revision()
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)
        assert await store.revision() >= 0


def _signal(pid: int, number: signal.Signals) -> None:
    os.kill(pid, number)


def test_a_second_process_is_noticed_within_a_second_and_lost_notifications_within_fifteen() -> None:
    assert Pace().look < 0.5
    assert Pace().backstop <= 15


async def test_reading_is_few_statements_whatever_there_is(store: Store) -> None:
    await store.commit([put(f"t{n}") for n in range(2000)], DANA)
    await versions(store, count=5)
    for ask, most in ((store.current, 8), (lambda: store.at(1), 10), (lambda: store.since(1), 10)):
        with statements(store) as seen:
            await ask()
        assert len(seen) <= most
