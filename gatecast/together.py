"""Things that run together for as long as all of them do."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Run all of these until the first one ends, or we are cancelled; then none runs any more. Raises what it raised.

    A task group would wrap that in an `ExceptionGroup`, and nobody above could tell what it is.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
