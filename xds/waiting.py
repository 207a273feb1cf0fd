"""Wait until a condition holds: the one loop that polls. `xds.envoy_process`, the demo and the tests call it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

import httpx

T = TypeVar("T")

PAUSE = 0.005
NOT_YET = (AssertionError, OSError, httpx.TransportError)
"""What a check may raise to say "not yet": a failed assertion, or a peer that does not answer yet."""


@overload
async def until(check: Callable[[], Awaitable[T]], what: str, *, within: float = ...) -> T: ...
@overload
async def until(check: Callable[[], T], what: str, *, within: float = ...) -> T: ...
async def until(check: Callable[[], Any], what: str, *, within: float = 10.0) -> Any:
    """Call `check` (plain or async) until it returns something true, and return that.

    Raises `TimeoutError` after `within` seconds, with `what` was expected and what the last check said.
    """
    said: object = "the check never ended"
    try:
        async with asyncio.timeout(within):
            while True:
                value, said = await _try(check)
                if value:
                    return value
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise TimeoutError(f"{what}: not within {within:g} s; the last check said {said}") from None


async def _try(check: Callable[[], Any]) -> tuple[Any, str]:
    try:
        value = check()
        value = await value if inspect.isawaitable(value) else value
    except NOT_YET as problem:
        return None, f"{type(problem).__name__}: {problem}"
    return value, repr(value)
