"""From the settings of the process to a ledger that follows its store and sources. Assembled by `gatecast.serve`."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import uniform

import structlog

from gatecast.config import MEMORY, Settings
from gatecast.feeds import Feed, Source
from gatecast.ledger import Ledger
from gatecast.together import together
from tenants.errors import Unavailable
from tenants.sources import registry
from tenants.sources.directory import Limits
from tenants.sources.folder import Folder
from tenants.sources.registry import Registry
from tenants.store import Pace, Store

PACE = Pace()
Reconcile = Callable[[Feed], Awaitable[None]]

log = structlog.get_logger("gatecast")


@contextlib.asynccontextmanager
async def opened(url: str, stop: asyncio.Event) -> AsyncIterator[Store]:
    """The store of this server, closed at the end; gone with it if it is `memory`.

    Waits for a database that is away: a server that starts has nothing to serve without it. Raises `NotOurs`, and
    `Unavailable` if it is told to stop meanwhile.
    """
    with contextlib.ExitStack() as stack:
        if url == MEMORY:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gatecast-"))
            url = str(Path(folder) / "gatecast.db")
        async with await _patiently(url, stop) as store:
            yield store


@contextlib.asynccontextmanager
async def settling(ledger: Ledger) -> AsyncIterator[None]:
    """At the end of the block nothing is on its way to the store any more."""
    try:
        yield
    finally:
        await ledger.settled()


async def _patiently(url: str, stop: asyncio.Event) -> Store:
    pause = PACE.first
    while True:
        try:
            return await Store.open(url)
        except Unavailable as error:
            log.warning("the store is away: the server waits for it", error=str(error))
            if await _set(stop, within=pause * uniform(0.5, 1.0)):
                raise
        pause = min(pause * 2, PACE.longest)


async def _set(stop: asyncio.Event, within: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            await stop.wait()
    return stop.is_set()


def sources(settings: Settings) -> tuple[Source, ...]:
    """The automatic sources of this server: its directory, its registry, if it has them."""
    found, meant = list[Source](), settings.allow_empty
    if settings.settings:
        limits = Limits(quiet=settings.quiet, bound=settings.bound)
        found.append(Folder(settings.settings, allow_empty=meant, limits=limits))
    if settings.registry:
        asking = registry.Limits(every=settings.registry_every)
        found.append(Registry(settings.registry, settings.registry_token, trusting=meant, limits=asking))
    return tuple(found)


def feeds(
    ledger: Ledger, some: tuple[Source, ...], on_turn: Callable[[], None], timed: Callable[[Reconcile], Reconcile]
) -> list[Feed]:
    """What carries these sources to the ledger, noted by `timed`; `on_turn` is called when one of them was tried."""
    return [Feed(source, timed(ledger.reconcile), ledger.given, on_turn) for source in some]


async def follow(ledger: Ledger, on_first: Callable[[], Awaitable[None]]) -> None:
    """Bring into force what the store holds, then follow it and the sources until cancelled.

    `on_first` is awaited once there is something to serve: at once if the store was ever written to, else when every
    source has been tried. Raises what ends a source: its directory is not there.
    """

    async def first() -> None:
        if not loaded:
            for feed in ledger.feeds:
                await feed.written.wait()
        await on_first()
        await asyncio.Event().wait()  # what runs together ends together

    loaded = await _loaded(ledger)
    await together(ledger.run(), first())


async def _loaded(ledger: Ledger) -> bool:
    while True:
        try:
            return await ledger.load()
        except Unavailable as error:
            log.warning("the store is away: the server waits for it", error=str(error))
            await asyncio.sleep(ledger.store.pace.longest)
