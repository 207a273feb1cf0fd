"""A delta ADS client: what tests and tools watch a server with, and what the Kong sidecar follows one with.

    client = Client(partial(plain, "127.0.0.1:18000"), Node("kong-1", "edge", "gatecast 0.1"), apply)
    client.subscribe(type_url)
    await client.run()            until `stop()` is called or the task is cancelled

`apply(update)` is awaited for one response at a time, in order; its result is the verdict on all of that response: None
accepts it, a text rejects it with that text. `Refused` from it ends the stream, as a lost connection does; anything
else that it raises ends `run`. The rules are in `xds.holdings`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from tenants.errors import Refused
from tenants.pauses import pause
from xds.holdings import Holdings, Received, Update
from xds.interest import WILDCARD
from xds.wire import ADS, Node

__all__ = ["Backoff", "Client", "Node", "Received", "Update", "plain"]

METHOD = f"/{ADS}/DeltaAggregatedResources"
OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # the first response may be tens of megabytes (R53)
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),  # a stream is silent for hours: without pings a dead peer is not noticed
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects at once; gRPC's own backoff is not shared
)
STEADY = 10.0  # seconds after which a stream counts as good though nothing was sent on it
LEAVE = 1.0  # seconds for the server to end the stream when we leave

log = structlog.get_logger("gatecast.client")

Apply = Callable[[Update], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter: a thousand clients of a server that comes back do not come at once. Seconds."""

    first: float = 0.5
    most: float = 30.0

    def delay(self, failures: int, draw: float) -> float:
        """The pause after so many failures in a row (0: a good stream ended); `draw` is from [0, 1)."""
        return draw * min(self.most, self.first * 2.0 ** min(failures, 60))


BACKOFF = Backoff()


def plain(target: str) -> grpc.aio.Channel:
    """A connection without TLS."""
    return grpc.aio.insecure_channel(target, options=OPTIONS)


class Client:
    """Keeps one stream open and resumes it. `connect` opens a channel; it is called for every attempt.

    `failure`: why the last stream ended, "" while one is answered. `streams`: how many were tried.
    """

    def __init__(
        self,
        connect: Callable[[], grpc.aio.Channel],
        node: Node,
        apply: Apply,
        *,
        backoff: Backoff = BACKOFF,
        draw: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.holdings = Holdings(node)
        self.failure = ""
        self.streams = 0
        self._connect, self._apply, self._backoff = connect, apply, backoff
        self._draw, self._sleep, self._clock = draw, sleep, clock
        self._bell = asyncio.Event()
        self._leaving = asyncio.Event()
        self._leash: asyncio.Timeout | None = None  # of the stream that is open
        self._applying = False
        self._answered = False  # the server sent something on this stream

    def subscribe(
        self, type_url: str, names: Iterable[str] = (WILDCARD,), held: Mapping[str, str] | None = None
    ) -> None:
        """Ask for more; at any time. See `Holdings.subscribe`."""
        self.holdings.subscribe(type_url, names, held)
        self._bell.set()

    def unsubscribe(self, type_url: str, names: Iterable[str] = (WILDCARD,)) -> None:
        """Ask for less; at any time. See `Holdings.unsubscribe`."""
        self.holdings.unsubscribe(type_url, names)
        self._bell.set()

    def stop(self) -> None:
        """Let `run` end: an `apply` under way is finished and its verdict sent. To end it at once, cancel its task."""
        self._leaving.set()
        self._bell.set()
        self._shorten()

    async def run(self) -> None:
        """Stay connected. Raises what `apply` raises but `Refused`, and nothing that a server or a network does."""
        failures = 0
        while not self._leaving.is_set():
            began = self._clock()
            await self._stream()
            good = self._answered or self._clock() - began >= STEADY
            failures = 0 if good else failures + 1
            if not self._leaving.is_set():
                await self._pause(self._backoff.delay(failures, self._draw()))

    async def _stream(self) -> None:
        """One stream, from connecting to its end; why it ended is kept and said."""
        self.streams += 1
        self._answered, before = False, self.failure
        channel = self._connect()
        try:
            await self._converse(channel.stream_stream(METHOD)())
            self.failure = "the server ended the stream"
        except grpc.aio.AioRpcError as error:
            self.failure = f"{error.code().name}: {error.details()}"
        except Refused as error:
            self.failure = str(error)
        finally:
            await channel.close()
        if not self._leaving.is_set():
            say = log.info if self.failure == before else log.warning  # the same once more is no news
            say("stream ended", why=self.failure, streams=self.streams)

    async def _converse(self, call: Any) -> None:
        self.holdings.connected()
        self._bell.set()
        writer = asyncio.create_task(self._write_all(call))
        leash = asyncio.timeout(None)
        try:
            async with leash:
                self._leash = leash
                self._shorten()
                await self._read_all(call)
        except TimeoutError:
            if not leash.expired():
                raise  # it is the caller's
        finally:
            self._leash = None
            writer.cancel()
            call.cancel()
            await asyncio.wait((writer,))

    async def _read_all(self, call: Any) -> None:
        while (data := await call.read()) is not grpc.aio.EOF:
            if self._leaving.is_set():
                continue
            self._answered, self.failure = True, ""
            update = self.holdings.receive(data)
            del data  # the first response has megabytes, and the next may be hours away
            if update is not None:
                self.holdings.answer(update, await self._judge(update))
            del update
            self._bell.set()
            self._shorten()

    async def _judge(self, update: Update) -> str | None:
        self._applying = True
        try:
            return await self._apply(update)
        finally:
            self._applying = False

    async def _write_all(self, call: Any) -> None:
        """Send what there is to say. It never fails: why the stream is over is for the reader to find and say, and the
        reader may be in the middle of an `apply` that must not be disturbed by it.
        """
        try:
            while self._bell.is_set() or self._applying or not self._leaving.is_set():
                await self._bell.wait()
                self._bell.clear()
                for request in self.holdings.requests():
                    await call.write(request)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    def _shorten(self) -> None:
        """We are leaving and nothing is being applied: the stream has LEAVE seconds to end."""
        if self._leaving.is_set() and self._leash is not None and not self._applying:
            self._leash.reschedule(asyncio.get_running_loop().time() + LEAVE)

    async def _pause(self, seconds: float) -> None:
        """Sleep, or leave."""
        await pause(self._sleep, seconds, self._leaving)
