"""How the delta client ends: told to stop, cancelled, by what its caller raises. No update is disturbed by it."""

import asyncio
import socket
from functools import partial

import adsservers
import pytest
from adsclients import CDS, LDS, said
from watchers import NODE, Watcher, running, scripted, soon, watching

import xds.client
from xds.client import Backoff, Client, Update, plain
from xds.waiting import until


async def test_stop_does_not_wait_for_a_server_that_never_ends_the_stream() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def apply(update: Update) -> None:
        begun.set()
        await go.wait()

    async with scripted(said("1", a=b"x")) as target:
        client = Client(partial(plain, target), NODE, apply)
        client.subscribe(CDS)
        task = asyncio.create_task(client.run())
        await begun.wait()
        client.stop()
        go.set()
        async with asyncio.timeout(10):
            await task
    assert client.holdings.versions(CDS) == {"a": "x"}


async def test_stop_lets_an_update_be_finished_and_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xds.client, "LEAVE", 60.0)  # the ACK is what is waited for, on a busy machine too
    begun, go = asyncio.Event(), asyncio.Event()
    applied = []

    async def apply(update: Update) -> None:
        begun.set()
        await go.wait()
        applied.append(update)

    async with adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served:
        client = Client(partial(plain, served.target), NODE, apply)
        client.subscribe(CDS)
        task = asyncio.create_task(client.run())
        await begun.wait()
        (there,) = served.hub.clients.values()
        client.stop()
        go.set()
        await task
        assert len(applied) == 1
        await until(lambda: not served.hub.clients, "the end of the stream")
        assert there.of("CDS").accepted_version == served.snapshot.version("CDS")


async def test_stop_ends_a_pause_and_an_attempt_to_connect() -> None:
    async with adsservers.serving() as gone:
        pass
    client = Client(partial(plain, gone.target), NODE, Watcher(), backoff=Backoff(3600, 3600), draw=lambda: 1.0)
    client.subscribe(CDS)
    task = asyncio.create_task(client.run())
    await until(lambda: client.failure, "a failure")
    client.stop()
    async with asyncio.timeout(5):
        await task
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = watching(f"127.0.0.1:{deaf.getsockname()[1]}", Watcher())
        client.subscribe(CDS)
        async with running(client):
            await until(lambda: client.streams == 1, "an attempt")


async def test_cancelling_the_task_ends_everything_at_once() -> None:
    begun = asyncio.Event()
    cancelled = []

    async def apply(update: Update) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(update)
            raise

    async with adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served:
        client = Client(partial(plain, served.target), NODE, apply)
        client.subscribe(CDS)
        task = asyncio.create_task(client.run())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(cancelled) == 1
        await until(lambda: not served.hub.clients, "the end of the stream")
        assert client.holdings.versions(CDS) == {}


@pytest.mark.parametrize("problem", [RuntimeError("a bug"), TimeoutError("Kong is slow")])
async def test_what_the_caller_raises_is_raised_to_the_caller(problem: Exception) -> None:
    async def apply(update: Update) -> None:
        raise problem

    async with adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served:
        client = Client(partial(plain, served.target), NODE, apply)
        client.subscribe(CDS)
        with pytest.raises(type(problem), match=str(problem)):
            await client.run()
        await until(lambda: not served.hub.clients, "the end of the stream")


async def test_a_connection_lost_during_an_update_does_not_disturb_it() -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    applied = []

    async def apply(update: Update) -> None:
        begun.set()
        await go.wait()
        applied.append(update)

    contents = adsservers.snapshot(LDS={"a": b"1"})
    async with adsservers.serving(contents) as served:
        client = Client(partial(plain, served.target), NODE, apply, sleep=soon)
        client.subscribe(LDS)
        runs = running(client)
        await runs.__aenter__()
        await begun.wait()
    try:
        async with adsservers.serving(contents, port=served.port) as again:
            go.set()
            await until(lambda: again.hub.clients, "the next stream")
            await again.publish(LDS={"b": b"1"})
            await until(lambda: len(applied) == 2, "the change")
            assert [one.name for one in applied[1].resources] == ["b"]  # `a` was accepted, though nobody could be told
    finally:
        await runs.__aexit__(None, None, None)
