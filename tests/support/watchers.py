"""The caller of an `xds.client.Client` for a test, and servers for it that say what they were told to.

client = watchers.watching(served.target, watcher := Watcher())
client.subscribe(CDS)
async with watchers.running(client): ...
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc

from xds.client import Client, Node, Update, plain
from xds.wire import ADS

NODE = Node("kong-1", "edge", "gatecast 0.1")


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
