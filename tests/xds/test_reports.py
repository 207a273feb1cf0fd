"""The access log service tells which tenants were shown tokens of unknown keys, and takes nothing else."""

from collections.abc import AsyncIterator

import grpc
import pytest

from xds.reports import METHOD, SERVICE, StreamAccessLogsMessage, service
from xds.translate.unknown_keys import NAME
from xds.wire import Node


def message(*tenants: str, log: str = NAME) -> bytes:
    made = StreamAccessLogsMessage()
    made.identifier.log_name = log
    made.identifier.node.id = "envoy-1"
    made.identifier.node.cluster = "edge"
    for tenant in tenants:
        made.http_logs.log_entry.add().common_properties.custom_tags["tenant"] = tenant
    return made.SerializeToString()


class Told:
    """A server with the service alone, and what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[Node, str]] = []
        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers((service(lambda node, tenant: self.said.append((node, tenant))),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def tell(self, *messages: bytes) -> bytes:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call = channel.stream_unary(f"/{SERVICE}/{METHOD}")

            async def each() -> AsyncIterator[bytes]:
                for one in messages:
                    yield one

            return bytes(await call(each()))


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    made = Told()
    await made.server.start()
    yield made
    await made.server.stop(None)


async def test_each_tenant_of_a_message_is_told_once(told: Told) -> None:
    assert await told.tell(message("acme", "beta", "acme"), message("")) == b""
    node = Node("envoy-1", "edge")
    assert told.said == [(node, "acme"), (node, "beta"), (node, "")]


@pytest.mark.parametrize("bad", [b"\xff\xff", message("acme", log="somebody's")], ids=["no message", "another log"])
async def test_what_is_not_this_log_is_refused(told: Told, bad: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await told.tell(bad)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told.said == []
