"""A source that writes by itself: hears what it says, and has the ledger write what is not so yet.

`gatecast.serve` makes one for the settings directory and one for a registry; `gatecast.ledger` runs them. While the
store is away, what a source says waits; only the newest of it counts.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import uniform
from typing import Protocol

import structlog

from gatecast.outcomes import SourceState
from gatecast.together import together
from tenants.catalog import Changes
from tenants.documents import Key
from tenants.errors import GatecastError, Problem, Unavailable
from tenants.reading import Given
from tenants.sources.wishes import KEPT_OUT, Wishes
from tenants.store import By

PATIENCE = 60.0  # seconds that a sync waits for a source
FIRST, LONGEST = 0.1, 5.0  # seconds between two tries while the store is away

log = structlog.get_logger("gatecast")


class Source(Protocol):
    """Where documents come from. `asked`: it is to look at once, and to yield what it finds, also if that is nothing.

    `trouble`: why its last look failed, "" if it did not. `next`: when it looks next by itself, None: nobody knows.
    """

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def asked(self) -> asyncio.Event: ...
    @property
    def trouble(self) -> str: ...
    @property
    def next(self) -> float | None: ...

    def changes(self, before: Iterable[Given]) -> AsyncGenerator[Changes]:
        """What it says, then what is new; `before` is what it said last. Raises what must end the process."""


def _nothing() -> None: ...


def _kept_out(problems: Iterable[Problem]) -> bool:
    return any(one.code in KEPT_OUT for one in problems)


@dataclass(slots=True, eq=False)
class Feed:
    """One source, and what of it is not in force.

    `reconcile` is the ledger's; `before` says what is in force of a family; `on_turn` is called after each try.
    `written` is set once all it said first was tried.
    """

    source: Source
    reconcile: Callable[["Feed"], Awaitable[None]]
    before: Callable[[str], Iterable[Given]]
    on_turn: Callable[[], None] = _nothing
    wall: Callable[[], float] = time.time
    wishes: Wishes = field(default_factory=Wishes)
    told: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _turned: asyncio.Condition = field(default_factory=asyncio.Condition)
    _looks: int = 0
    _tried: int = 0
    _success: float | None = None
    _trouble: str = ""

    @property
    def family(self) -> str:
        """The owner of its documents: "file" or "registry"."""
        return self.source.family

    @property
    def state(self) -> SourceState:
        """How it does."""
        trouble = self.source.trouble or self._trouble
        count, out = len(self.wishes.whole), sum(map(_kept_out, self.told.values()))
        return SourceState(self.source.name, self.family, self._success, trouble, count, self.source.next, out)

    def by(self, sources: Sequence[str]) -> By:
        """The author of one set of its changes, from these files."""
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        return By(f"{sources[0]}{more}", f"{sources[0]}{more}")

    def wake(self) -> None:
        """Something changed: what was kept out or could not come into force may be written now."""
        self._work.set()

    async def run(self) -> None:
        """Until cancelled. Raises what the source raises."""
        await together(self._hear(), self._write())

    async def sync(self) -> None:
        """Have the source look now, and wait until what it says was tried. Raises `Unavailable` if that takes long."""
        due = self._looks + 1
        self.source.asked.set()
        try:
            async with asyncio.timeout(PATIENCE), self._turned:
                await self._turned.wait_for(lambda: self._tried >= due)
        except TimeoutError:
            raise Unavailable(f"{self.source.name} did not answer within {PATIENCE:g} s") from None

    async def _hear(self) -> None:
        async with aclosing(self.source.changes(self.before(self.family))) as heard:
            async for found in heard:
                self.wishes = self.wishes.heard(found)
                self._looks += 1
                self._success = self._success if self.source.trouble else self.wall()
                self._work.set()

    async def _write(self) -> None:
        pause = FIRST
        while True:
            await self._work.wait()
            self._work.clear()
            if await self._try():
                pause = FIRST
                continue
            await asyncio.sleep(pause * uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST)
            self._work.set()

    async def _try(self) -> bool:
        """Whether all was written that can be; False: again later."""
        looks = self._looks
        self._trouble, again = await self._reconciled()
        if looks and not self._trouble:
            self.written.set()
        async with self._turned:
            self._tried = looks
            self._turned.notify_all()
        self.on_turn()
        return not again

    async def _reconciled(self) -> tuple[str, bool]:
        """What went wrong, "" if nothing did, and whether to try that again."""
        try:
            await self.reconcile(self)
        except GatecastError as error:
            log.warning("changes wait: the store does not take them", source=self.source.name, error=str(error))
            return str(error), True
        except Exception:
            log.exception("changes could not be applied: this is a defect of gatecast, please report it")
            return "a defect of gatecast: its log says more", False
        return "", False
