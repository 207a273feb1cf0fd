"""A running `Fetcher` whose clock the test holds, and a network in which names lead where the test says.

async with fetchers.running(Source(idp.issuer, local=True)) as one:
    await one.settled()
    one.time.pass_(300)
    await one.until(lambda: ...)
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tenants.keysets.fetcher import Fetcher
from tenants.keysets.limits import Limits
from tenants.keysets.source import Source
from tenants.keysets.state import State
from tenants.keysets.transport import Checked, plain_transport
from xds.waiting import until

QUICK = Limits(tick=0.005)
"""The limits of a control plane, but for the time the loop sleeps: the test's clock wakes nobody."""


@dataclass(slots=True)
class Time:
    """Both clocks. They stand still until the test lets time pass."""

    now: float = 1000.0
    wall: float = 1_800_000_000.0

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@dataclass(eq=False)
class Running:
    """A fetcher at work, and what it told."""

    fetcher: Fetcher
    time: Time
    told: list[Mapping[Source, State]] = field(default_factory=list)

    async def until(self, check: Callable[[], Any], what: str) -> None:
        await until(check, what)

    async def settled(self) -> None:
        """Every wanted source was tried."""
        assert await self.fetcher.tried(10.0)

    async def fetched(self, times: int) -> None:
        """So many fetches have begun since the start, and all of them ended."""
        await until(lambda: self.fetcher.counts.fetches >= times and self.fetcher.idle, f"{times} fetches")

    async def quiet(self) -> None:
        """The loop has looked twice at the time, and found nothing to do."""
        looks = self.fetcher.counts.looks
        await until(lambda: self.fetcher.counts.looks >= looks + 2 and self.fetcher.idle, "the loop looked twice")


@asynccontextmanager
async def running(
    *sources: Source,
    limits: Limits = QUICK,
    transport: httpx.AsyncBaseTransport | None = None,
    random: Callable[[], float] = lambda: 0.0,
) -> AsyncIterator[Running]:
    """A fetcher that wants these sources, until the block ends. `random` of 0 draws the earliest time there is."""
    time, told = Time(), []

    async def tell(states: Mapping[Source, State]) -> None:
        told.append(states)

    fetcher = Fetcher(
        tell,
        transport=transport,
        clock=lambda: time.now,
        wall=lambda: time.wall,
        random=random,
        limits=replace(limits, tick=QUICK.tick),
    )
    fetcher.want(frozenset(sources))
    async with at_work(fetcher):
        yield Running(fetcher, time, told)


@asynccontextmanager
async def at_work(fetcher: Fetcher) -> AsyncIterator[None]:
    """It runs until the block ends."""
    task = asyncio.create_task(fetcher.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass(eq=False)
class Network(httpx.AsyncBaseTransport):
    """Where names lead: `names` to addresses (the resolver), every address to loopback (the wire), port kept.

    `asked` are the names in the order of asking, `connected` the addresses in the order of connecting. Addresses in
    `dead` refuse connections.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    dead: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wire = plain_transport(self.tls or ssl.create_default_context())

    def checked(self) -> Checked:
        """The transport under test, in this network."""
        return Checked(self.resolve, inner=self)

    async def resolve(self, host: str, port: int) -> Iterable[str]:
        self.asked.append(host)
        return self.names[host]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.connected.append(request.url.host)
        if request.url.host in self.dead:
            raise httpx.ConnectError("nobody there")
        to = request.url.copy_with(host="127.0.0.1")
        sent = httpx.Request(
            request.method, to, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        return await self._wire.handle_async_request(sent)

    async def aclose(self) -> None:
        await self._wire.aclose()
