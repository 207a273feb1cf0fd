"""The delta client's shell against a real server (`adsservers`); its rules are in test_holdings."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import adsservers
import grpc
import pytest
from adsclients import CDS, LDS, RDS, said

from xds.client import Backoff, Client, Node, Update, plain
from xds.waiting import until
from xds.wire import ADS

NODE = Node("kong-1", "edge", "gatecast 0.1")


def test_pauses_grow_to_a_bound_and_are_drawn_from_their_whole_length() -> None:
    backoff = Backoff(first=0.5, most=30.0)
    assert [backoff.delay(failures, 1.0) for failures in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.delay(10_000, 1.0) == 30.0
    assert backoff.delay(3, 0.0) == 0.0
    assert backoff.delay(3, 0.25) == 1.0


class Watcher:
    """The caller of a client: it keeps what it was given, and its verdict is `verdict`."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.verdict: str | None = None
        self.held: dict[str, bytes] = {}

    async def __call__(self, update: Update) -> str | None:
        self.updates.append(update)
        if self.verdict is None:
            self.held.update({one.name: one.body for one in update.resources})
            for name in update.removed:
                self.held.pop(name, None)
        return self.verdict


async def soon(_: float) -> None:
    """A pause that ends at once."""
    await asyncio.sleep(0)


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[asyncio.Task[None]]:
    """Run a client for the length of the block, and see that it leaves no task behind."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(client.run())
    try:
        yield task
    finally:
        client.stop()
        async with asyncio.timeout(10):
            await task
    left = {one for one in asyncio.all_tasks() - before if "client" in repr(one.get_coro())}
    assert left == set()


def watching(target: str, watcher: Watcher) -> Client:
    return Client(partial(plain, target), NODE, watcher, sleep=soon)


async def test_a_wildcard_receives_everything_then_changes_and_removals() -> None:
    watcher = Watcher()
    async with adsservers.serving(adsservers.snapshot(LDS={"a": b"1", "b": b"1"})) as served:
        client = watching(served.target, watcher)
        client.subscribe(LDS)
        async with running(client):
            await until(lambda: watcher.held == {"a": b"1", "b": b"1"}, "all listeners")
            await served.publish(LDS={"a": b"2"})
            await until(lambda: watcher.held == {"a": b"2", "b": b"1"}, "the change")
            await served.publish(LDS={"b": None})
            await until(lambda: watcher.held == {"a": b"2"}, "the removal")
            assert [len(one.resources) for one in watcher.updates] == [2, 1, 0]
            assert client.holdings.versions(LDS) == {"a": served.snapshot.get("LDS", "a").version}
            assert client.failure == ""


async def test_names_are_asked_for_and_dropped_while_it_runs() -> None:
    watcher = Watcher()
    async with adsservers.serving(adsservers.snapshot(RDS=dict.fromkeys("abc", b"1"))) as served:
        client = watching(served.target, watcher)
        client.subscribe(RDS, ["a"])
        async with running(client):
            await until(lambda: watcher.held == {"a": b"1"}, "the first name")
            client.subscribe(RDS, ["b", "missing"])
            await until(lambda: watcher.held == {"a": b"1", "b": b"1"}, "the second name")
            await until(lambda: any("missing" in one.removed for one in watcher.updates), "the word that there is none")
            client.unsubscribe(RDS, ["a"])
            client.subscribe(RDS, ["c"])
            await until(lambda: "c" in watcher.held, "the third name")
            await served.publish(RDS={"a": b"2", "b": b"2", "missing": b"2"})
            await until(lambda: watcher.held.get("missing") == b"2", "the change")
            await until(lambda: watcher.held.get("b") == b"2", "the change")
            assert watcher.held["a"] == b"1"
            assert set(client.holdings.versions(RDS)) == {"b", "c", "missing"}


async def test_a_rejection_reaches_the_server_with_its_text_and_is_not_repeated() -> None:
    watcher = Watcher()
    watcher.verdict = "tenant acme: rate_limit: Kong said no"
    async with adsservers.serving(adsservers.snapshot(CDS={"a": b"bad"})) as served:
        client = watching(served.target, watcher)
        client.subscribe(CDS)
        async with running(client):
            (there,) = await until(lambda: list(served.hub.clients.values()), "the stream")
            await until(lambda: there.of("CDS").rejections, "the rejection")
            assert there.of("CDS").error == watcher.verdict
            assert client.holdings.versions(CDS) == {}
            watcher.verdict = None
            await served.publish(CDS={"a": b"good"})
            await until(lambda: watcher.held == {"a": b"good"}, "the fix")
            assert [one.resources[0].body for one in watcher.updates] == [b"bad", b"good"]


async def test_after_a_restart_of_the_server_it_receives_nothing_it_has() -> None:
    watcher = Watcher()
    contents = adsservers.snapshot(CDS={"a": b"1", "b": b"1"}, RDS={"r": b"1", "s": b"1"})
    async with adsservers.serving(contents) as served:
        client = watching(served.target, watcher)
        client.subscribe(CDS)
        client.subscribe(RDS, ["r", "s"])
        runs = running(client)
        await runs.__aenter__()
        await until(lambda: len(watcher.held) == 4 and len(client.holdings.versions(RDS)) == 2, "everything")
    try:
        heard = len(watcher.updates)
        contents = adsservers.changed(contents, CDS={"b": None}, RDS={"s": b"2"})
        async with adsservers.serving(contents, port=served.port) as again:
            await until(lambda: watcher.held == {"a": b"1", "r": b"1", "s": b"2"}, "what changed while it was away")
            news = watcher.updates[heard:]
            assert [(one.name, one.body) for update in news for one in update.resources] == [("s", b"2")]
            assert [name for update in news for name in update.removed] == ["b"]
            assert client.streams > 1
            await again.publish(CDS={"c": b"1"})
            await until(lambda: "c" in watcher.held, "the stream goes on")
    finally:
        await runs.__aexit__(None, None, None)


async def test_while_the_server_is_gone_it_tries_again_with_longer_and_longer_pauses() -> None:
    watcher = Watcher()
    pauses: list[float] = []
    gate = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)
        if len(pauses) >= 6:
            await gate.wait()

    async with adsservers.serving() as gone:
        pass
    client = Client(partial(plain, gone.target), NODE, watcher, draw=lambda: 0.5, sleep=sleep)
    client.subscribe(CDS)
    async with running(client):
        await until(lambda: len(pauses) == 6, "six attempts")
        assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
        assert client.failure.startswith("UNAVAILABLE")
        async with adsservers.serving(adsservers.snapshot(CDS={"a": b"1"}), port=gone.port):
            gate.set()
            await until(lambda: watcher.held == {"a": b"1"}, "the server that came back")
            assert client.failure == ""
        await until(lambda: len(pauses) > 6, "the next end")
        assert pauses[6] == 0.25  # the stream was good: the count began anew


async def test_a_long_silent_stream_counts_as_good() -> None:
    pauses: list[float] = []
    times = iter([0.0, 100.0, 200.0, 201.0])

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            client.stop()

    async with adsservers.serving() as gone:
        pass
    clock = partial(next, times)
    client = Client(partial(plain, gone.target), NODE, Watcher(), draw=lambda: 1.0, sleep=sleep, clock=clock)
    client.subscribe(CDS)
    await client.run()
    assert pauses == [0.5, 1.0]


async def test_a_server_that_is_not_ready_is_asked_again() -> None:
    watcher = Watcher()
    async with adsservers.serving() as served:
        client = watching(served.target, watcher)
        client.subscribe(CDS)
        async with running(client):
            await until(lambda: "not ready" in client.failure, "the refusal")
            await served.hub.publish({"edge": adsservers.snapshot(CDS={"a": b"1"})})
            await until(lambda: watcher.held == {"a": b"1"}, "the first snapshot")


@asynccontextmanager
async def scripted(*messages: bytes) -> AsyncIterator[str]:
    """A server that answers the first request with these messages and then never ends the stream; its target."""

    async def handle(_: object, context: grpc.aio.ServicerContext) -> None:
        await context.read()
        for message in messages:
            await context.write(message)
        await asyncio.Event().wait()

    server = grpc.aio.server()
    methods = {"DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ADS, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_garbage_from_a_server_ends_the_stream_and_not_the_client() -> None:
    failures = []

    async def sleep(_: float) -> None:
        failures.append(client.failure)

    async with scripted(b"\xff\xff garbage") as target:
        client = Client(partial(plain, target), NODE, Watcher(), sleep=sleep)
        client.subscribe(CDS)
        async with running(client):
            await until(lambda: len(failures) > 1, "another attempt")
    assert all("no DeltaDiscoveryResponse" in one for one in failures[:2])


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


async def test_stop_lets_an_update_be_finished_and_acknowledged() -> None:
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
