"""How a server of a test goes down, so that its port refuses: `idps` and `upstreams` use it, and may start again."""

import asyncio
from collections.abc import Collection


async def close(server: asyncio.Server, conversations: Collection[asyncio.Task[None]]) -> None:
    """Refuse connections and cut those that are open."""
    server.close()
    for task in conversations:
        task.cancel()
    await asyncio.gather(*conversations, return_exceptions=True)
    await server.wait_closed()
