"""A double that serves in a thread of its own, for commands that run in the test's: `with kong_threads.kong():`.

And whatever else is open for an async block: `with kong_threads.beside(planes.plane(TEXT)) as (served, run)`.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from kong_double.double import Double
from kong_double.pages import Node
from kong_double.timers import Timers

QUICK = 0.01
T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@contextmanager
def beside(made: AbstractAsyncContextManager[T]) -> Iterator[tuple[T, Run]]:
    """What the block gives, and a way to run something in its loop."""
    up, done = threading.Event(), asyncio.Event()
    found: list[tuple[T, asyncio.AbstractEventLoop]] = []

    async def hold() -> None:
        async with made as one:
            found.append((one, asyncio.get_running_loop()))
            up.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    assert up.wait(20), "it did not open"
    ((one, loop),) = found
    try:
        yield one, lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(20)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)


@contextmanager
def kong(*, dbless: bool = False, **more: Any) -> Iterator[Double]:
    """Up and listening; gone at the end of the block. `more` are fields of `Double`."""
    node = Node(state=QUICK, database=QUICK, dbless=dbless)
    with beside(Double(**{"node": node, "timers": Timers(period=QUICK), **more}).serving()) as (double, _run):
        yield double
