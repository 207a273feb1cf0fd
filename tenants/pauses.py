"""A pause that an event ends: between attempts and phases, of a process that must leave at once when it is told to.

Called by the ADS client and by the Kong sidecar.
"""

import asyncio
from collections.abc import Awaitable, Callable


async def pause(sleep: Callable[[float], Awaitable[None]], seconds: float, leaving: asyncio.Event) -> None:
    """Sleep for `seconds`, or until `leaving` is set."""
    waits = [asyncio.ensure_future(sleep(seconds)), asyncio.create_task(leaving.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
        await asyncio.wait(waits)
