"""CSDS: what connected proxies hold, by gRPC, for standard tools."""

from typing import Any

import adsclients
import adsservers
import grpc
import pytest
from adsclients import CDS

from xds import status
from xds.status import ClientStatusRequest, ClientStatusResponse

FETCH, STREAM = (f"/{status.SERVICE}/{name}" for name in ("FetchClientStatus", "StreamClientStatus"))


async def fetched(served: adsservers.Served, **request: Any) -> list[Any]:
    async with grpc.aio.insecure_channel(served.target) as channel:
        data = await channel.unary_unary(FETCH)(ClientStatusRequest(**request).SerializeToString())
    return list(ClientStatusResponse.FromString(data).config)  # type: ignore[attr-defined]


def named(**matcher: Any) -> dict[str, Any]:
    return {"node_matchers": [{"node_id": matcher}]}


async def test_a_client_is_told_from_its_first_response_to_a_rejection() -> None:
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"private words"})) as served,
        adsclients.delta(served.target) as client,
    ):
        assert await fetched(served) == []
        await client.ask(CDS, resource_names_subscribe=["*"])
        response = await client.next()
        (waiting,) = await fetched(served)
        (entry,) = waiting.generic_xds_configs
        assert (waiting.node.id, waiting.node.cluster, entry.type_url) == ("n1", "edge", CDS)
        assert status_of(entry) == "STALE"
        await client.ack(response)
        await served.publish(CDS={"a": b"newer private words"})
        newer = await client.next()
        (synced,) = await fetched(served)
        assert synced.generic_xds_configs[0].version_info == response.system_version_info
        await client.nack(newer, "bad words")
        await served.publish(CDS={"b": b"c"})
        await client.next()
        (refused,) = await fetched(served)
        whole, one = refused.generic_xds_configs
        assert (status_of(whole), status_of(one), one.name) == ("ERROR", "ERROR", "a")
        assert one.error_state.details == whole.error_state.details == "bad words"
        assert b"private" not in refused.SerializeToString()


def status_of(entry: Any) -> str:
    field = entry.DESCRIPTOR.fields_by_name["config_status"]
    return str(field.enum_type.values_by_number[entry.config_status].name)


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        ({}, 1), (named(exact="n1"), 1), (named(exact="N1"), 0), (named(exact="N1", ignore_case=True), 1),
        (named(prefix="n"), 1), (named(suffix="x"), 0), (named(contains="1"), 1),
        ({"node_matchers": [{"node_id": {"exact": "x"}}, {"node_id": {"exact": "n1"}}]}, 1),
    ],
)  # fmt: skip
async def test_clients_are_matched_by_their_node(request_: dict[str, Any], count: int) -> None:
    async with (
        adsservers.serving(adsservers.snapshot(CDS={"a": b"b"})) as served,
        adsclients.delta(served.target) as client,
    ):
        await client.ask(CDS, resource_names_subscribe=["*"])
        await client.next()
        assert len(await fetched(served, **request_)) == count


NO_NODE = ClientStatusRequest(node_matchers=[{}]).SerializeToString()
BY_REGEX = ClientStatusRequest(**named(safe_regex={"regex": "a"})).SerializeToString()


@pytest.mark.parametrize("data", [b"\xff\xff", NO_NODE, BY_REGEX])
@pytest.mark.parametrize("path", [FETCH, STREAM])
async def test_a_request_that_is_none_is_refused(data: bytes, path: str) -> None:
    async with adsservers.serving(adsservers.snapshot()) as served, grpc.aio.insecure_channel(served.target) as channel:
        if path == FETCH:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await channel.unary_unary(path)(data)
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            return
        call = channel.stream_stream(path)()
        await call.write(data)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_answers_each_request() -> None:
    async with adsservers.serving(adsservers.snapshot()) as served, grpc.aio.insecure_channel(served.target) as channel:
        call = channel.stream_stream(STREAM)()
        for _ in range(3):
            await call.write(ClientStatusRequest().SerializeToString())
            assert await call.read() == b""
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
