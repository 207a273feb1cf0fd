"""What no client should send, on the wire: it costs that stream alone. Another one is served all the while."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import adsclients
import adsservers
import grpc
import pytest
import pytest_asyncio
from adsclients import CDS, LDS, NODE, RDS, Raw
from structlog.testing import capture_logs

from protos import discovery_pb2
from xds.interest import MAX_NAMES
from xds.server import UNREAD
from xds.waiting import until

VARIANTS = pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
MILLION = [f"n{n}" for n in range(1_000_000)]
LARGE = 20_000_000  # bytes: more than any window that gRPC grants a client that does not read
LETS_GO = pytest.mark.parametrize("served", [2.0], indirect=True, ids=["lets go"])
"""The server's patience with a client that does not read, in seconds. Elsewhere it is that of production: on a busy
machine the good client is slow to read, too.
"""


class Good:
    """A well-behaved client beside the bad one."""

    def __init__(self, served: adsservers.Served, client: Raw) -> None:
        self.served, self.client = served, client
        self.count = 0

    async def served_still(self) -> None:
        """A change reaches it at once."""
        self.count += 1
        await self.served.publish(RDS={"good": f"{self.count}".encode()})
        response = await self.client.next()
        await self.client.ack(response)
        assert self.client.held[RDS] == {"good": f"{self.count}".encode()}


@pytest_asyncio.fixture
async def served(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[adsservers.Served]:
    """A server whose gRPC has nothing to complain of: a bad client costs no stack trace."""
    unread = getattr(request, "param", UNREAD)
    async with adsservers.serving(adsservers.snapshot(CDS={"a": b"1"}, LDS={"l": b"1"}), unread=unread) as one:
        yield one
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    assert [record.getMessage() for record in records if record.levelno >= logging.ERROR] == []


@pytest_asyncio.fixture
async def good(served: adsservers.Served) -> AsyncIterator[Good]:
    """Serves before and after each test of this file."""
    async with adsclients.delta(served.target, discovery_pb2.Node(id="good", cluster="edge")) as client:
        await client.ask(RDS, resource_names_subscribe=["*"])
        await client.ack(await client.next())
        one = Good(served, client)
        await one.served_still()
        yield one
        await one.served_still()


def stream(served: adsservers.Served, *, delta: bool, node: discovery_pb2.Node | None = NODE):  # type: ignore[no-untyped-def]
    return (adsclients.delta if delta else adsclients.sotw)(served.target, node)


async def opened(client: Raw) -> None:
    """The bad stream is a good one so far."""
    await client.ask(CDS)
    await client.ack(await client.next())


@VARIANTS
@pytest.mark.parametrize("first", [True, False], ids=["at first", "later"])
@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff garbage", b"\x0a\xff\xff\xff\xff\x0f", b"\x22\x02\xff\xfe\x12\x02\xff\xfe", b"\x0a"],
    ids=["no tag", "too long", "no utf-8", "cut"],
)
async def test_garbage_ends_its_stream(
    served: adsservers.Served, good: Good, data: bytes, first: bool, delta: bool
) -> None:
    async with stream(served, delta=delta) as bad:
        if not first:
            await opened(bad)
        await bad.send(data)
        code, why = await bad.ended()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "the request is not a" in why
        await good.served_still()


@VARIANTS
async def test_an_unknown_type_is_ignored_with_one_line(served: adsservers.Served, good: Good, delta: bool) -> None:
    unknown = "type.googleapis.com/nobody.Knows"
    with capture_logs() as lines:
        async with stream(served, delta=delta) as bad:
            for _ in range(3):
                await bad.ask(unknown)
            await opened(bad)
            await bad.ask(unknown, response_nonce="17")
            await good.served_still()
            await bad.ask(LDS)
            assert (await bad.next()).type_url == LDS
    assert [one["type_url"] for one in lines if one["event"] == "type ignored"] == [unknown]


async def test_a_flood_of_unknown_types_costs_a_bounded_number_of_lines(served: adsservers.Served, good: Good) -> None:
    with capture_logs() as lines:
        async with adsclients.delta(served.target) as bad:
            for n in range(200):
                await bad.ask(f"type.googleapis.com/{'x' * 10_000}{n}")
            await opened(bad)
    found = [one["type_url"] for one in lines if one["event"] == "type ignored"]
    assert len(found) <= 20
    assert max(map(len, found)) <= 200


@VARIANTS
@pytest.mark.parametrize("first", [True, False], ids=["at first", "later"])
async def test_a_missing_type_ends_an_aggregated_stream(
    served: adsservers.Served, good: Good, first: bool, delta: bool
) -> None:
    async with stream(served, delta=delta) as bad:
        if not first:
            await opened(bad)
        await bad.ask("")
        code, why = await bad.ended()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "type_url is missing" in why


@VARIANTS
async def test_a_node_id_that_changes_ends_the_stream(served: adsservers.Served, good: Good, delta: bool) -> None:
    async with stream(served, delta=delta) as bad:
        await opened(bad)
        await bad.ask(LDS, node=discovery_pb2.Node(id="n2", cluster="edge"))
        code, why = await bad.ended()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "'n1' to 'n2'" in why


@VARIANTS
async def test_an_empty_node_later_is_no_change(served: adsservers.Served, good: Good, delta: bool) -> None:
    async with stream(served, delta=delta) as client:
        await opened(client)
        await client.ask(LDS, node=discovery_pb2.Node())
        assert (await client.next()).type_url == LDS


@VARIANTS
async def test_a_first_request_without_node_ends_the_stream(served: adsservers.Served, good: Good, delta: bool) -> None:
    async with stream(served, delta=delta, node=None) as bad:
        await bad.ask(CDS)
        code, why = await bad.ended()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "must carry its node" in why


@pytest.mark.parametrize("field", ["id", "cluster"])
async def test_a_node_of_unreasonable_length_ends_the_stream(served: adsservers.Served, good: Good, field: str) -> None:
    node = discovery_pb2.Node(**{"id": "n1", "cluster": "edge", field: "x" * 5000})
    async with adsclients.delta(served.target, node) as bad:
        await bad.ask(CDS)
        code, why = await bad.ended()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "more than 1024 characters" in why


@pytest.mark.parametrize(
    ("delta", "fields"),
    [
        (False, {"resource_names": MILLION}),
        (True, {"resource_names_subscribe": MILLION}),
        (True, {"initial_resource_versions": dict.fromkeys(MILLION, "v")}),
    ],
    ids=["sotw", "delta", "versions"],
)
@pytest.mark.parametrize("first", [True, False], ids=["at first", "later"])
async def test_a_million_names_end_their_stream(
    served: adsservers.Served, good: Good, first: bool, delta: bool, fields: dict[str, object]
) -> None:
    async with stream(served, delta=delta) as bad:
        if not first:
            await opened(bad)
        await bad.ask(RDS, **fields)
        code, why = await bad.ended()
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"more than {MAX_NAMES} resource names" in why
        await good.served_still()


async def test_a_million_names_in_small_requests_end_their_stream(served: adsservers.Served, good: Good) -> None:
    async with adsclients.delta(served.target) as bad:
        end = asyncio.create_task(bad.ended())
        for start in range(0, len(MILLION), 50_000):
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the stream has ended
                await bad.ask(RDS, resource_names_subscribe=MILLION[start : start + 50_000])
            await good.served_still()
        assert (await end)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_beyond_the_limit_of_the_transport_ends_its_stream(
    served: adsservers.Served, good: Good
) -> None:
    async with adsclients.delta(served.target) as bad:
        await bad.send(b"\x12\xff\xff\xff\x1f" + bytes(40_000_000))
        assert (await bad.ended())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_name_of_unreasonable_length_ends_the_stream(served: adsservers.Served, good: Good) -> None:
    for fields in ({"resource_names_subscribe": ["x" * 5000]}, {"initial_resource_versions": {"a": "x" * 5000}}):
        async with adsclients.delta(served.target) as bad:
            await bad.ask(RDS, **fields)
            code, why = await bad.ended()
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "more than 1024 characters" in why


@VARIANTS
async def test_nonces_and_names_nobody_gave_out_are_survived(
    served: adsservers.Served, good: Good, delta: bool
) -> None:
    async with stream(served, delta=delta) as bad:
        await bad.ask(CDS, response_nonce="never given", error_detail=discovery_pb2.Status(message="no"))
        if delta:
            await bad.ask(LDS, resource_names_unsubscribe=["*", "never asked for", ""])
        await good.served_still()
        response = await bad.next()
        for _ in range(3):
            await bad.nack(response)
        await good.served_still()


@VARIANTS
async def test_what_is_never_acknowledged_is_one_response_a_type(
    served: adsservers.Served, good: Good, delta: bool
) -> None:
    async with stream(served, delta=delta) as bad:
        await bad.ask(CDS)
        await bad.next()
        for n in range(50):
            await served.publish(CDS={"a": f"{n}".encode()})
        await good.served_still()
        assert served.pushes("CDS") == 1


@LETS_GO
@VARIANTS
async def test_a_client_that_does_not_read_is_let_go_with_one_response_pending(
    served: adsservers.Served, good: Good, delta: bool
) -> None:
    await served.publish(CDS={"a": bytes(LARGE)}, LDS={"l": bytes(LARGE)})
    async with stream(served, delta=delta) as bad:
        await bad.ask(CDS)
        await bad.ask(LDS)
        await until(lambda: served.pushes("CDS"), "the push")
        for n in range(20):
            await served.publish(CDS={"a": n.to_bytes() + bytes(LARGE)})
            await good.served_still()
        await until(lambda: [one.node.id for one in served.hub.clients.values()] == ["good"], "the end of the stream")
        assert (served.pushes("CDS"), served.pushes("LDS")) == (1, 0)
        await good.served_still()
        code, why = await bad.ended()  # reads at last: a whole response, then the end
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "did not read" in why
        assert [len(body) for body in bad.held[CDS].values()] == [LARGE]


@LETS_GO
async def test_many_clients_that_do_not_read_delay_nobody(served: adsservers.Served, good: Good) -> None:
    await served.publish(CDS={"a": bytes(LARGE)})
    calls = [adsclients.delta(served.target) for _ in range(8)]  # more than the budget for big responses holds
    for call in calls:
        client = await call.__aenter__()
        await client.ask(CDS)
    await until(lambda: len(served.hub.clients) > 1, "the streams")
    await good.served_still()
    async with adsclients.delta(served.target) as late:
        await late.ask(CDS)
        await late.next()
        assert len(late.held[CDS]["a"]) == LARGE
    for call in calls:
        await call.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "path", ["/envoy.service.discovery.v3.AggregatedDiscoveryService/FetchNothing", "/no.Service/No"]
)
async def test_an_unknown_method_is_unimplemented(served: adsservers.Served, good: Good, path: str) -> None:
    """It is refused by its headers: a request on top could meet the end of the stream, and gRPC call that INTERNAL."""
    async with adsclients.stream(served.target, path, delta=True) as bad:
        assert (await bad.ended())[0] is grpc.StatusCode.UNIMPLEMENTED
