"""A change is known soon: to this process at once, to others by NOTIFY or a look, and nothing is lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest
from sqlalchemy import text
from stores import DANA, put, versions

from tenants.store import Pace, Store

WITHIN = 20.0


async def first(watch: AsyncIterator[int]) -> int:
    return await asyncio.wait_for(anext(watch), WITHIN)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that becomes true."""
    async with asyncio.timeout(WITHIN):
        while not await true():
            await asyncio.sleep(0.01)


async def test_what_is_there_already_is_told_at_once(store: Store) -> None:
    await versions(store, count=3)
    assert await first(store.watch(0)) == 3
    assert await first(store.watch(2)) == 3


async def test_a_commit_wakes_this_process_without_the_database(store: Store) -> None:
    watch = store.watch(0)
    waiting = asyncio.create_task(first(watch))
    await asyncio.sleep(0)
    done = await store.commit([put()], DANA)
    assert await waiting == done.revision


async def test_another_replica_hears_of_it(store: Store, other: Store) -> None:
    watch = other.watch(0)
    for n in range(5):
        done = await store.commit([put(n=n)], DANA)
        assert await first(watch) == done.revision


async def test_revisions_in_between_are_passed_over(store: Store, other: Store) -> None:
    watch = other.watch(0)
    await versions(store, count=20)
    seen = [await first(watch)]
    while seen[-1] < 20:
        seen.append(await first(watch))
    assert seen == sorted(set(seen))


async def test_what_made_no_revision_wakes_nobody(store: Store) -> None:
    await versions(store, count=1)
    watch = store.watch(0)
    assert await first(watch) == 1
    waiting = asyncio.ensure_future(anext(watch))
    await store.commit([put(n=1)], DANA)
    await store.audit.record(DANA, "look", "api", "done")
    await store.commit([put(n=2)], DANA, dry_run=True)
    await store.commit([put(n=2)], DANA)
    assert await asyncio.wait_for(waiting, WITHIN) == 2


async def test_many_who_wait_are_all_woken(store: Store) -> None:
    waiting = [asyncio.create_task(first(store.watch(0))) for _one in range(50)]
    await asyncio.sleep(0)
    await store.commit([put()], DANA)
    assert await asyncio.gather(*waiting) == [1] * 50


async def cut(store: Store) -> None:
    """End the connection that listens."""
    async with store.database.reading() as connection:
        asked = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query = 'SELECT revision FROM heads'"
        )
        assert len((await connection.execute(asked)).all()) == 1


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_what_is_written_while_the_listening_connection_is_broken_is_caught_up(store: Store, url: str) -> None:
    async with await Store.open(url, pace=Pace(backstop=3600.0, first=0.02, longest=0.1)) as other:
        watch = other.watch(0)
        await store.commit([put(n=0)], DANA)
        assert await first(watch) == 1
        for n in range(1, 11, 2):
            done = await store.commit([put(n=-n)], DANA)  # by notification: nothing else would tell in time
            assert await first(watch) == done.revision
            await cut(store)
            done = await store.commit([put(n=n)], DANA)
            seen = 0
            while seen < done.revision:
                seen = await first(watch)
            await until(lambda: _healthy(other))
    assert (await store.audit.verify()).problems == ()


async def _healthy(store: Store) -> bool:
    return not store.trouble


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_revision_nobody_was_told_of_is_found_by_the_backstop(store: Store, other: Store, url: str) -> None:
    watch = store.watch(0)
    await other.commit([put(n=0)], DANA)
    assert await first(watch) == 1  # so it listens
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE heads SET revision = 7")  # as a writer whose notification was lost
    assert await first(watch) == 7


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_the_notification_carries_the_revision_and_the_kinds_alone(store: Store, url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("LISTEN gatecast_revision")
        await store.commit([put("acme", secret="x"), put("beta")], DANA)
        notes = [note.payload async for note in connection.notifies(timeout=WITHIN, stop_after=1)]
    assert notes == ["1 Tenant"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_broken_payload_wakes_nobody_and_breaks_nothing(store: Store, url: str) -> None:
    watch = store.watch(0)
    await store.commit([put(n=0)], DANA)
    assert await first(watch) == 1
    with psycopg.connect(url, autocommit=True) as connection:
        for payload in ("", "x", "-5", "٣", "1e9"):
            connection.execute("SELECT pg_notify('gatecast_revision', %s)", (payload,))
    done = await store.commit([put(n=1)], DANA)
    assert await first(watch) == done.revision


async def test_closing_ends_the_watch_of_the_database(store: Store, url: str) -> None:
    async with await Store.open(url) as short:
        waiting = asyncio.ensure_future(anext(short.watch(0)))
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await store.commit([put()], DANA)
