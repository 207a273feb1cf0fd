"""A TCP relay whose target a test may change: what an Envoy calls its control plane, while the servers behind change.

async with relays.relay(first.port) as relay:
    relay.move(second.port)         # open connections are cut, new ones go to the other
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(eq=False)
class Relay:
    """It listens on `port` and calls `target`, both on loopback."""

    target: int
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def move(self, target: int) -> None:
        """From now on, call another one."""
        self.target = target
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there_reader, there = await asyncio.open_connection("127.0.0.1", self.target)
            self._open |= {writer, there}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(reader, there))
                tasks.create_task(self._carry(there_reader, writer))
            self._open -= {writer, there}
        writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    """One that listens until the block ends."""
    made = Relay(target)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.move(target)
