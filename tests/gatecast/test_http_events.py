"""What happens is told as it happens, over a real connection; and again to who comes back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from operators import Operator, operator

from gatecast.addresses import Address
from gatecast.events import KEPT, Event, Feed, Place, Seen, news
from gatecast.web import serving

LIMIT = {"kind": "Tenant", "id": "acme", "policies": {"rate_limit": {"requests": 7, "per": "minute"}}}


@dataclass
class Listener:
    """One that listens; `next` is the next event: id, name and data."""

    lines: AsyncIterator[str]

    async def next(self) -> tuple[str, str, Any]:
        said: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self.lines:
                name, _, value = line.partition(": ")
                if line and name:
                    said[name] = value
                elif "event" in said:
                    return said["id"], said["event"], json.loads(said["data"])
                else:
                    said.clear()
        raise AssertionError("the stream ended")

    async def of(self, kind: str) -> tuple[str, Any]:
        """The next event of this type."""
        while True:
            id, name, data = await self.next()
            if name == f"dev.gatecast.{kind}.v1":
                return id, data


@dataclass
class Live:
    """A server that listens, with its feed running."""

    here: Operator
    port: int

    @asynccontextmanager
    async def listen(self, last: str = "") -> AsyncIterator[Listener]:
        headers = {"last-event-id": last} if last else {}
        async with (
            httpx.AsyncClient() as http,
            http.stream("GET", f"http://127.0.0.1:{self.port}/api/v1/events", headers=headers, timeout=20) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 3000"
            yield Listener(lines)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with operator(tmp_path) as here, serving(here.app, Address("127.0.0.1", 0)) as port:
        running = asyncio.create_task(here.feed.run())
        await asyncio.sleep(0)
        yield Live(here, port)
        running.cancel()
        await asyncio.wait({running})


async def test_a_change_is_told_as_a_cloud_event(live: Live) -> None:
    async with live.listen() as listener:
        await live.here.put(LIMIT, "*", reason="because")
        id, said = await listener.of("revision.made")
        assert said == {
            "specversion": "1.0", "id": id, "source": "/gatecast", "type": "dev.gatecast.revision.made.v1",
            "subject": "revision/2", "time": said["time"], "datacontenttype": "application/json",
            "data": {"number": 2, "author": "local", "source": "api", "reason": "because", "restores": None,
                     "created": 0, "changed": 1, "deleted": 0},
        }  # fmt: skip
        assert said["time"].endswith("Z")
        _, published = await listener.of("snapshot.published")
        assert published["subject"] == "gateway/edge"


async def test_clients_that_come_and_go_are_told(live: Live) -> None:
    async with live.listen() as listener:
        client = live.here.join()
        live.here.plane.hub.move()
        _, said = await listener.of("client.connected")
        assert said["data"] == {"client": "1", "node": "envoy-1", "gateway": "edge"}
        live.here.plane.hub.leave(client)
        live.here.plane.hub.move()
        assert (await listener.of("client.disconnected"))[1]["subject"] == "client/1"


async def test_who_comes_back_is_told_what_he_missed_and_nothing_twice(live: Live) -> None:
    async with live.listen() as listener:
        await live.here.put(LIMIT, "*")
        last, _ = await listener.of("snapshot.published")
    for number in (1, 2):
        await live.here.put({**LIMIT, "hosts": [f"a{number}.example"]}, "*")
    async with live.listen(last) as listener:
        numbers = [(await listener.of("revision.made"))[1]["data"]["number"] for _ in range(2)]
    assert numbers == [3, 4]


async def test_who_comes_from_another_server_is_told_the_revisions_and_that_there_was_more(live: Live) -> None:
    for number in (1, 2):
        await live.here.put({**LIMIT, "hosts": [f"a{number}.example"]}, "*")
    async with live.listen() as listener:  # the feed has seen both
        live.here.plane.hub.move()
        await live.here.put(LIMIT, "*")
        assert (await listener.of("revision.made"))[1]["data"]["number"] >= 2
    for last, wanted in (("1-elsewhere-7", [2, 3]), ("2-elsewhere-900", [3])):
        async with live.listen(last) as listener:
            assert (await listener.next())[1] == "reset"
            assert [(await listener.of("revision.made"))[1]["data"]["number"] for _ in wanted] == wanted
    for odd in ("nonsense", "9-elsewhere-1", "-1-a-1", "1-a"):
        async with live.listen(odd) as listener:
            assert (await listener.next())[1] == "reset"


async def test_streams_end_with_the_server(tmp_path: Path) -> None:
    async with operator(tmp_path) as here:
        running = asyncio.create_task(here.feed.run())
        async with serving(here.app, Address("127.0.0.1", 0)) as port, Live(here, port).listen() as listener:
            running.cancel()
            await asyncio.wait({running})
            async with asyncio.timeout(5):
                assert [line async for line in listener.lines if line] == []


def test_what_changed_between_two_looks_is_told_once() -> None:
    one = Seen({"edge": 1}, {1: ("a", "edge", 0), 2: ("b", "edge", 2)})
    other = Seen({"edge": 2, "inner": 1}, {2: ("b", "edge", 3), 3: ("c", "edge", 1)})
    assert [(kind, subject) for kind, subject, _ in news(one, other)] == [
        ("snapshot.published", "gateway/edge"), ("snapshot.published", "gateway/inner"),
        ("client.rejected", "client/2"),
        ("client.connected", "client/3"), ("client.rejected", "client/3"), ("client.disconnected", "client/1"),
    ]  # fmt: skip
    assert list(news(other, other)) == []


def test_what_is_forgotten_is_said_to_be(live_feed: Feed) -> None:
    live_feed.tell([("x", "y", {})] * (KEPT + 3))
    assert live_feed.after(2) is None
    assert len(live_feed.after(3) or ()) == KEPT
    assert live_feed.after(live_feed.newest) == []


@pytest.fixture
def live_feed() -> Feed:
    return Feed(None, None, "e", lambda: 1.0)  # type: ignore[arg-type]


def test_an_id_says_its_place() -> None:
    place = Place(12, "abc", 7)
    assert Place.parse(str(place)) == place
    assert Event(place, "x", "y", 1.0, {}).as_json("/s")["id"] == "12-abc-7"
    for odd in ("", "a-b-c", "1-2", "1--", "1-a-x", "²-a-1"):
        assert Place.parse(odd) is None, odd
