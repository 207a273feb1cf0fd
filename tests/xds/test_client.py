"""The delta client's shell against a real server (`adsservers`); its rules are in test_holdings."""

import asyncio
from functools import partial

import adsservers
from adsclients import CDS, LDS, RDS
from watchers import NODE, Watcher, running, scripted, watching

from xds.client import Backoff, Client, plain
from xds.waiting import until


def test_pauses_grow_to_a_bound_and_are_drawn_from_their_whole_length() -> None:
    backoff = Backoff(first=0.5, most=30.0)
    assert [backoff.delay(failures, 1.0) for failures in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.delay(10_000, 1.0) == 30.0
    assert backoff.delay(3, 0.0) == 0.0
    assert backoff.delay(3, 0.25) == 1.0


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
