"""The server on the wire, seen by scripted clients (`adsclients`): both variants, all its services, and its end."""

import asyncio
from contextlib import AsyncExitStack

import adsclients
import adsservers
import grpc
import pytest
from adsclients import CDS, EDS, LDS, NODE, RDS, SRDS, Raw
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos import discovery_pb2
from xds.kinds import KINDS
from xds.server import AdsServer
from xds.snapshot import resource
from xds.waiting import until


def versions(response: discovery_pb2.DeltaDiscoveryResponse) -> dict[str, str]:
    return {one.name: one.version for one in map(discovery_pb2.Resource.FromString, response.resources)}


async def quiet(client: Raw, type_url: str) -> None:
    """Nothing more is on its way to this client: what comes next is the answer to a question asked now."""
    await client.ask(type_url, **asking(client.delta, "probe"))
    response = await client.next()
    assert response.type_url == type_url, "a response nobody expected"


def asking(delta: bool, name: str) -> dict[str, list[str]]:
    return {"resource_names_subscribe" if delta else "resource_names": [name]}


# -- the two variants -----------------------------------------------------------------------------------------------


async def test_a_sotw_stream_is_served_acknowledged_and_updated() -> None:
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"1", "b": b"1"})) as served,
        adsclients.sotw(served.target) as client,
    ):
        await client.ask(CDS)
        first = await client.next()
        assert (first.type_url, first.control_plane.identifier) == (CDS, "test")
        assert first.version_info == served.snapshot.version("CDS")
        assert sorted(client.held[CDS].values()) == [b"1", b"1"]
        await client.ack(first)
        await served.publish(CDS={"a": b"2"})
        second = await client.next()
        assert second.nonce != first.nonce
        assert second.version_info == served.snapshot.version("CDS") != first.version_info
        assert sorted(client.held[CDS].values()) == [b"1", b"2"]  # the whole state, or `b` would be deleted (R23)
        await client.ack(second)
        await quiet(client, LDS)


async def test_a_delta_stream_is_served_acknowledged_and_updated() -> None:
    async with (
        adsservers.serving(adsservers.snapshot(LDS={"a": b"1", "b": b"1"})) as served,
        adsclients.delta(served.target) as client,
    ):
        await client.ask(LDS, resource_names_subscribe=["*"])
        first = await client.next()
        assert (first.type_url, first.control_plane.identifier) == (LDS, "test")
        assert versions(first) == {name: served.snapshot.resources["LDS"][name].version for name in "ab"}
        assert client.held[LDS] == {"a": b"1", "b": b"1"}
        await client.ack(first)
        await served.publish(LDS={"a": b"2", "c": b"1"})
        second = await client.next()
        assert set(versions(second)) == {"a", "c"}
        await client.ack(second)
        await served.publish(LDS={"b": None})
        third = await client.next()
        assert (list(third.resources), list(third.removed_resources)) == ([], ["b"])
        assert len({first.nonce, second.nonce, third.nonce}) == 3
        await client.ack(third)
        await quiet(client, RDS)


OWN = [(row.name, delta) for row in KINDS.values() for delta in (True, False) if (row.delta if delta else row.sotw)]


@pytest.mark.parametrize(("kind", "delta"), OWN, ids=[f"{kind}-{'delta' if delta else 'sotw'}" for kind, delta in OWN])
async def test_each_type_has_a_service_of_its_own_that_implies_it(kind: str, delta: bool) -> None:
    async with (
        adsservers.serving(adsservers.snapshot(**{kind: {"a": b"1"}})) as served,
        adsclients.own(served.target, kind, delta=delta) as client,
    ):
        await client.ask("", **asking(delta, "a"))
        response = await client.next()
        assert response.type_url == KINDS[kind].type_url
        assert list(client.held[response.type_url].values()) == [b"1"]
        await client.ack(response, **({} if delta else asking(delta, "a")))
        await served.publish(**{kind: {"a": b"2"}})
        assert (await client.next()).nonce != response.nonce
        assert list(client.held[response.type_url].values()) == [b"2"]


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
async def test_a_service_of_one_type_refuses_another(delta: bool) -> None:
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served,
        adsclients.own(served.target, "CDS", delta=delta) as client,
    ):
        await client.ask(RDS)
        code, why = await client.ended()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert RDS in why
        assert CDS in why


async def test_endpoints_follow_their_clusters_on_another_stream_of_the_same_node() -> None:
    cluster = resource("CDS", "a", b"1", companion="a")
    contents = adsservers.snapshot(EDS={"a": b"endpoints"}).next({"CDS": {"a": cluster}})
    other = discovery_pb2.Node(id="n2", cluster="edge")
    async with (
        adsservers.serving(contents) as served,
        adsclients.own(served.target, "CDS", delta=True) as clusters,
        adsclients.own(served.target, "EDS", delta=True) as endpoints,
        adsclients.own(served.target, "EDS", delta=True, node=other) as stranger,
    ):
        for client in (endpoints, stranger):
            await client.ask(EDS, resource_names_subscribe=["a"])
            await client.ack(await client.next())
        await until(lambda: all(one.of("EDS").accepted_version for one in served.hub.clients.values()), "the ACKs")
        await clusters.ask(CDS)
        await clusters.ack(await clusters.next())
        again = await endpoints.next()
        assert list(versions(again)) == ["a"]
        assert served.pushes("EDS") == 3  # none for the other node


async def test_a_rejection_is_kept_with_its_text_and_not_answered_with_the_same() -> None:
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"bad"})) as served,
        adsclients.delta(served.target) as client,
    ):
        await client.ask(CDS)
        await client.nack(await client.next(), "cluster a: no" + "!" * 100_000)
        (there,) = served.hub.clients.values()
        await until(lambda: there.of("CDS").rejections == 1, "the rejection")
        assert there.of("CDS").error.startswith("cluster a: no")
        assert len(there.of("CDS").error) < 10_000
        await quiet(client, RDS)
        await served.publish(CDS={"a": b"good"})
        await until(lambda: served.pushes("CDS") == 2, "the fix")


# -- who may connect ------------------------------------------------------------------------------------------------


async def test_a_server_without_a_snapshot_refuses_streams_until_it_has_one() -> None:
    async with adsservers.serving() as served:
        async with adsclients.delta(served.target) as client:
            await client.ask(CDS)
            code, why = await client.ended()
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "not ready" in why
        await served.hub.publish({"edge": adsservers.snapshot(CDS={"a": b"1"})})
        async with adsclients.delta(served.target) as client:
            await client.ask(CDS)
            await client.next()


async def test_an_unknown_gateway_is_answered_with_the_names_there_are() -> None:
    both = [adsservers.Snapshot.empty(name) for name in ("edge", "inner")]
    async with adsservers.serving(*both) as served:
        for cluster in ("nowhere", "é" * 1000):
            async with adsclients.delta(served.target, discovery_pb2.Node(id="n1", cluster=cluster)) as client:
                await client.ask(CDS)
                code, why = await client.ended()
                assert code is grpc.StatusCode.NOT_FOUND
                assert cluster[:50] in why
                assert "edge, inner" in why


async def test_with_a_single_gateway_every_cluster_name_is_that_one() -> None:
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served,
        adsclients.delta(served.target, discovery_pb2.Node(id="n1", cluster="whatever")) as client,
    ):
        await client.ask(CDS)
        await client.next()
        assert client.held[CDS] == {"a": b"1"}


async def test_streams_of_a_gateway_that_is_gone_end() -> None:
    both = [adsservers.Snapshot.empty(name) for name in ("edge", "inner")]
    async with adsservers.serving(*both) as served, adsclients.delta(served.target) as client:
        await client.ask(CDS)
        await client.next()
        await served.hub.publish({"inner": both[1]})
        code, why = await client.ended()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "edge is gone" in why


async def test_a_client_that_half_closes_is_let_go_with_ok() -> None:
    async with adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served:
        async with adsclients.delta(served.target) as client:
            await client.ask(CDS)
            await client.next()
            await client.call.done_writing()
            assert (await client.ended())[0] is grpc.StatusCode.OK
        await until(lambda: not served.hub.clients, "the end of the stream")


async def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    async with adsservers.serving(adsservers.snapshot(CDS={"a": b"1" * 20_000_000})) as served:
        for read in (True, False):
            async with adsclients.delta(served.target) as client:
                await client.ask(CDS)
                await until(lambda: served.hub.clients, "the stream")
                if read:
                    await client.next()
            await until(lambda: not served.hub.clients, "the end of the stream")
        ours = [one for one in asyncio.all_tasks() if "Session" in repr(one.get_coro())]
        await until(lambda: all(one.done() for one in ours), "the end of their tasks")


# -- its end --------------------------------------------------------------------------------------------------------


async def test_health_follows_the_life_of_the_server() -> None:
    states = health_pb2.HealthCheckResponse
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served,
        grpc.aio.insecure_channel(served.target) as channel,
        asyncio.timeout(10),
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == states.NOT_SERVING
        await served.server.serving()
        assert (await watch.read()).status == states.SERVING
        stopping = asyncio.create_task(served.server.stop())
        assert (await watch.read()).status == states.NOT_SERVING
        await stopping


async def test_a_drain_ends_every_stream_and_lets_no_new_one_in() -> None:
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"1"})) as served,
        adsclients.delta(served.target) as delta,
        adsclients.sotw(served.target) as sotw,
        adsclients.delta(served.target) as idle,
    ):
        for client in (delta, sotw):
            await client.ask(CDS)
            await client.next()
        await served.hub.drain()
        for client in (delta, sotw):
            code, why = await client.ended()
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "shutting down" in why
        await idle.ask(CDS)
        code, why = await idle.ended()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in why


async def test_a_stop_in_the_middle_of_a_large_push_ends_every_stream_and_cuts_no_response() -> None:
    megabytes = {f"c{n}": bytes(1_000_000) for n in range(20)}
    contents = adsservers.snapshot(CDS=megabytes, LDS=megabytes, SRDS=megabytes)
    async with (
        asyncio.timeout(30),
        adsservers.serving(contents) as served,
        adsclients.delta(served.target) as first,
        adsclients.sotw(served.target) as second,
        adsclients.delta(served.target) as silent,
        adsclients.delta(served.target) as mute,
    ):
        for client in (first, second, silent):
            for type_url in (CDS, LDS, SRDS):
                await client.ask(type_url)
        ends = [asyncio.create_task(client.ended()) for client in (first, second)]
        await until(lambda: served.pushes("CDS") == 3, "the middle of the push")
        await served.server.stop(grace=1.0)
        await until(lambda: not served.hub.clients, "the end of every stream")
        for code, _ in [*await asyncio.gather(*ends), await silent.ended(), await mute.ended()]:
            assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert len(silent.held) <= 1  # it was stopped in the middle
        for client in (first, second, silent):
            assert all(len(held) == 20 for held in client.held.values())


async def test_a_stop_starts_no_push_that_waited_for_room() -> None:
    async with (
        asyncio.timeout(30),
        adsservers.serving(adsservers.snapshot(CDS={"a": bytes(20_000_000)})) as served,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(adsclients.delta(served.target)) for _ in range(6)]
        for client in clients:
            await client.ask(CDS)
        await until(lambda: served.pushes("CDS") == 3 and len(served.hub.clients) == 6, "as many as there is room for")
        stopping = asyncio.create_task(served.server.stop())
        await until(lambda: served.hub.draining, "the end")
        ends = await asyncio.gather(*(client.ended() for client in clients))
        assert {code for code, _ in ends} == {grpc.StatusCode.UNAVAILABLE}
        assert served.pushes("CDS") == 3
        await stopping


async def test_an_address_that_is_taken_is_refused() -> None:
    async with adsservers.serving() as served:
        other = AdsServer(served.hub, served.server._metrics, identifier="other")
        with pytest.raises(Exception, match=f"cannot listen on {served.target}"):
            await other.start(served.target)


# -- requests as Envoys send them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
async def test_a_large_node_in_every_request_is_tolerated(delta: bool) -> None:
    extension = b"\x4a" + bytes([118]) + b"\x0a" + bytes([116]) + b"e" * 116  # Node.extensions = 9, 120 bytes each
    node = discovery_pb2.Node.FromString(NODE.SerializeToString() + 516 * extension)
    assert node.ByteSize() > 61_000
    stream = adsclients.delta if delta else adsclients.sotw
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"1"}, LDS={"l": b"1"})) as served,
        stream(served.target) as client,
    ):
        for type_url in (CDS, LDS):
            await client.ask(type_url, node=node)
            await client.ack(await client.next(), node=node)
        await served.publish(CDS={"a": b"2"})
        await client.ack(await client.next(), node=node)
        await until(lambda: [one.node.id for one in served.hub.clients.values()] == ["n1"], "one client")
