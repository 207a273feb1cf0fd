"""Bounds the bytes of big responses that are being written, over all streams. Owned by `xds.server`.

Without it a change of everything, or a thousand proxies that reconnect at once, would make as many copies of a large
response in memory as there are streams.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BIG = 256 * 1024  # bytes; smaller responses pass at once
SIZE = 64 * 1024 * 1024
LENT = 1.0  # seconds a response keeps its part at most, so that clients that do not read never hold up others


class Budget:
    """`size` bytes to lend, first come first served. What is larger than all of it waits until nothing else is out."""

    def __init__(self, size: int = SIZE, lent: float = LENT) -> None:
        self._size = self._free = size
        self._lent = lent
        self._line = asyncio.Lock()
        self._room = asyncio.Event()

    @asynccontextmanager
    async def lend(self, size: int) -> AsyncIterator[None]:
        """Wait for room, and give it back at the end of the block or after `lent` seconds, whichever is earlier."""
        if size < BIG:
            yield
            return
        taken = await self._take(min(size, self._size))
        back = asyncio.get_running_loop().call_later(self._lent, taken.clear)
        try:
            yield
        finally:
            back.cancel()
            taken.clear()

    async def _take(self, size: int) -> "Loan":
        async with self._line:  # all at once or nothing: two that each hold a half would wait for each other
            while self._free < size:
                self._room.clear()
                await self._room.wait()
            self._free -= size
        return Loan(self, size)

    def give_back(self, size: int) -> None:
        self._free += size
        self._room.set()


class Loan:
    """A part of the budget; `clear` gives it back once."""

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget, self._size = budget, size

    def clear(self) -> None:
        size, self._size = self._size, 0
        if size:
            self._budget.give_back(size)
