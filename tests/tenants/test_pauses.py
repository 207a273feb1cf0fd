"""A pause ends by itself or because somebody leaves, and leaves nothing running."""

import asyncio

from tenants.pauses import pause


async def test_a_pause_lasts_as_long_as_its_sleep() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await pause(sleep, 5.0, asyncio.Event())
    assert slept == [5.0]


async def test_whoever_leaves_does_not_wait_and_the_sleep_is_ended() -> None:
    leaving, ended = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        leaving.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await pause(sleep, 5.0, leaving)
    assert ended.is_set()
    assert len(asyncio.all_tasks()) == 1


async def test_a_pause_that_is_cancelled_ends_its_sleep_too() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(pause(sleep, 5.0, asyncio.Event()))
    await began.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert ended.is_set()
