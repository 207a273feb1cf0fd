"""Room for big responses: bounded, in order, never lost."""

import asyncio

import pytest

from xds.budget import BIG, Budget

ENDLESS = 3600.0


async def turns() -> None:
    """Let every task do what it can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Writers:
    """Tasks that borrow and hold until they are told to end."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.writing: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def start(self, name: str, size: int) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._write(name, size))
        await turns()

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
        await asyncio.gather(*(self.tasks[name] for name in names))
        await turns()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.tasks[name]
        await turns()

    async def _write(self, name: str, size: int) -> None:
        async with self.budget.lend(size):
            self.writing.append(name)
            try:
                await self.ends[name].wait()
            finally:
                self.writing.remove(name)


async def test_big_ones_wait_for_room_in_order_and_small_ones_pass() -> None:
    writers = Writers(Budget(10 * BIG, ENDLESS))
    await writers.start("a", 6 * BIG)
    await writers.start("b", 6 * BIG)
    await writers.start("c", 2 * BIG)
    await writers.start("small", BIG - 1)
    assert writers.writing == ["a", "small"]  # c would fit, but a stream of c's would keep b waiting for ever
    await writers.end("a")
    assert writers.writing == ["small", "b", "c"]
    await writers.end("b", "c", "small")


async def test_one_larger_than_all_of_it_waits_until_nothing_else_is_out() -> None:
    writers = Writers(Budget(10 * BIG, ENDLESS))
    await writers.start("a", BIG)
    await writers.start("huge", 100 * BIG)
    assert writers.writing == ["a"]
    await writers.end("a")
    assert writers.writing == ["huge"]
    await writers.end("huge")


async def test_a_writer_that_is_cancelled_takes_no_room_with_it() -> None:
    writers = Writers(Budget(10 * BIG, ENDLESS))
    await writers.start("a", 10 * BIG)
    await writers.start("waits", 10 * BIG)
    await writers.start("waits in line", 10 * BIG)
    await writers.cancel("waits")
    await writers.cancel("a")
    assert writers.writing == ["waits in line"]
    await writers.cancel("waits in line")
    await writers.start("b", 10 * BIG)
    assert writers.writing == ["b"]
    await writers.end("b")


async def test_room_comes_back_once_when_a_writer_takes_too_long() -> None:
    writers = Writers(Budget(10 * BIG, 0.0))
    await writers.start("slow", 10 * BIG)
    await writers.start("next", 10 * BIG)
    await asyncio.sleep(0.001)
    await turns()
    assert writers.writing == ["slow", "next"]
    await writers.end("slow", "next")
    assert writers.budget._free == 10 * BIG
