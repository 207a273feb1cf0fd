"""A double that serves in a thread of its own, for commands that run in the test's: `with kong_threads.kong():`."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kong_double.double import Double
from kong_double.pages import Node
from kong_double.timers import Timers

QUICK = 0.01


@contextmanager
def kong(*, dbless: bool = False) -> Iterator[Double]:
    """Up and listening; gone at the end of the block."""
    double = Double(node=Node(state=QUICK, database=QUICK, dbless=dbless), timers=Timers(period=QUICK))
    loop, up, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with double.serving():
            up.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(10)
    try:
        yield double
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()
