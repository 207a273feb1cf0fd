"""THE assembly: a server process from its settings. `gatecast serve` runs it; the demo and tests hold it open.

    directory source -> Plane (catalog, builder) -> Hub -> AdsServer for proxies, HTTP for operators
             Fetcher (key sets) -^            `-> messages about faults (`gatecast.notify`)

It listens at once and refuses streams until the first snapshot is published. It ends in this order: the source, then
readiness and streams, then HTTP.
"""

import asyncio
import contextlib
import gc
import os
import resource
import secrets
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import structlog
from prometheus_client import disable_created_metrics
from starlette.types import ASGIApp

from gatecast import api, entrance, keykeeping, notify
from gatecast.about import version
from gatecast.addresses import Address
from gatecast.collector import tune_gc
from gatecast.config import Settings
from gatecast.entrance import Entrance
from gatecast.events import Feed
from gatecast.following import feeds, follow, opened, settling, sources
from gatecast.forgetting import forget
from gatecast.ledger import Ledger
from gatecast.notices import Pace
from gatecast.plane import Plane
from gatecast.telemetry import Telemetry
from gatecast.troubles import Trouble, troubles
from gatecast.web import serving
from tenants.errors import Problem
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.holding import Known
from tenants.keysets.limits import Limits as KeyLimits
from tenants.keysets.source import Source
from tenants.secrets.disk import Disk
from tenants.secrets.keeper import Keeper
from tenants.store import Keep, Store
from xds.credentials import Files, credentials
from xds.hub import Hub
from xds.metrics import Metrics
from xds.server import AdsServer
from xds.wire import Node

LOOK = 1.0  # seconds between two looks at the files of secrets; a change counts when two agree
SHOWN = 50  # problems logged for one set of changes
FIRST_KEYS = 5.0  # seconds that a start waits for the keys of issuers: as long as one slow provider may take
LINGER = 60.0  # seconds: a proxy has its newer tables long before
LAST_MOMENT = 9.5  # seconds after the first signal when the process ends whatever still runs
MOST_FILES = 1 << 20

log = structlog.get_logger("gatecast")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens. `source` ends only with an error; `loaded` is set with the first snapshot."""

    plane: Plane
    ledger: Ledger
    xds: Address
    api: Address
    keys: Fetcher
    source: asyncio.Task[None]
    loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def ready(self) -> None:
        """Wait for the first snapshot. Raises what the source raised instead, such as `Refused`."""
        loaded = asyncio.create_task(self.loaded.wait())
        try:
            await asyncio.wait({loaded, self.source}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loaded.cancel()
        if self.source.done():
            self.source.result()


@contextlib.asynccontextmanager
async def running(settings: Settings, stop: asyncio.Event | None = None) -> AsyncIterator[Running]:
    """Listen and follow the store and the sources until the block ends. `stop`: wait no more for a store."""
    async with opened(settings.store, stop or asyncio.Event()) as store, _running(settings, store) as server:
        yield server


@dataclass(frozen=True, slots=True)
class _Core:
    """What is in force and what keeps it so: a server whom nobody can reach yet. `kept`: key sets of before."""

    settings: Settings
    store: Store
    telemetry: Telemetry
    metrics: Metrics
    plane: Plane
    fetcher: Fetcher
    ledger: Ledger
    kept: Mapping[Source, Known]

    def wrong(self) -> tuple[Trouble, ...]:
        """What people are told of."""
        faults = {one.name: one.last_error for one in self.ledger.sources() if one.last_error}
        return troubles(self.plane.hub.clients.values(), self.plane.problems(), self.fetcher.states, faults)

    def unknown_key(self, node: Node, tenant: str) -> None:
        """A proxy met a token of the tenant whose key it does not know."""
        for one in self.plane.builder.sources_of(self.plane.hub.gateway(node) or "", tenant):
            self.fetcher.unknown_key(one)

    def ads(self) -> AdsServer:
        """What proxies speak to."""
        return AdsServer(
            self.plane.hub, self.metrics, identifier=f"gatecast/{version()} {socket.gethostname()}",
            unknown_key=self.unknown_key, trust=entrance.trust(self.settings),
        )  # fmt: skip

    def api(self, door: Entrance, feed: Feed) -> ASGIApp:
        """What operators speak to."""
        return api.app(
            self.plane, self.telemetry.registry, ledger=self.ledger, feed=feed, access=door.access,
            forget=door.tokens.forget, local=self.settings.alone,
        )  # fmt: skip

    def keeping(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on for as long as the server runs."""
        settings, telemetry = self.settings, self.telemetry
        yield from (telemetry.measure_lag(), self.fetcher.run(), _sweep(self.plane), _look(self.plane))
        yield keykeeping.keep(self.store, self.fetcher, self.kept)
        pace = Pace(settings.notify_after, settings.notify_every)
        yield notify.run(notify.sinks(settings), self.wrong, pace, telemetry.notified)
        yield forget(self.store, Keep(settings.keep_revisions, timedelta(days=settings.keep_days)))


async def _core(settings: Settings, store: Store) -> _Core:
    telemetry = Telemetry()
    metrics = Metrics(telemetry.registry)
    plane = Plane(Hub(metrics, wall=time.time), held=True, secrets=_keeper(settings))
    kept = await keykeeping.known(store)
    fetcher = Fetcher(plane.keyed, limits=KeyLimits(stale=settings.keys_stale), known=kept)
    plane.supplies = keykeeping.supplies(kept, time.time() - settings.keys_stale)
    plane.want = fetcher.want
    telemetry.watch(plane, fetcher)
    ledger = Ledger(store, plane, on_publish=telemetry.applied)
    ledger.feeds += feeds(ledger, sources(settings), _teller(plane), telemetry.syncs.timed)
    telemetry.follow(lambda: store.trouble, ledger.sources, ledger.rollouts.lag)
    return _Core(settings, store, telemetry, metrics, plane, fetcher, ledger, kept)


@contextlib.asynccontextmanager
async def _running(settings: Settings, store: Store) -> AsyncIterator[Running]:
    core = await _core(settings, store)
    plane, ledger, fetcher = core.plane, core.ledger, core.fetcher
    door, ads = entrance.entrance(settings, store), core.ads()
    feed = Feed(plane, ledger, secrets.token_hex(4), time.time)
    tls = (settings.api_certificate, settings.api_key) if settings.api_certificate and settings.api_key else None
    async with settling(ledger), serving(core.api(door, feed), settings.api, tls) as api_port:
        xds_port = await ads.start(str(settings.xds), _credentials(settings))
        try:
            xds, reached = settings.xds.at(xds_port), settings.api.at(api_port)
            log.info("listening", xds=str(xds), api=str(reached))
            loaded = asyncio.Event()

            async def publish_first() -> None:
                await fetcher.tried(within=FIRST_KEYS)
                await plane.release()
                await ads.serving()
                loaded.set()
                log.info("Server ready", xds=str(xds), api=str(reached), settings=str(settings.settings or ""))

            source = follow(ledger, publish_first)
            async with _tasks(door.run(), feed.run(), *core.keeping()), _task(source) as following:
                yield Running(plane, ledger, xds, reached, fetcher, following, loaded)
        finally:
            await ads.stop(settings.drain)


def _keeper(settings: Settings) -> Keeper:
    """What reads the secrets that documents name."""
    folder = settings.secrets or settings.settings or Path(os.devnull)  # nothing is below that
    return Keeper(Disk(folder, os.environ), closed=settings.keyless)


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """TLS for proxies, if it is asked for. Raises `Refused` if its files cannot be used."""
    if settings.xds_certificate is None or settings.xds_key is None:
        return None
    return credentials(Files(settings.xds_certificate, settings.xds_key, settings.xds_client_ca))


async def _look(plane: Plane) -> None:
    """Secrets are looked at for as long as the server runs."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            await plane.look()
        except Exception:
            log.exception("secrets could not be read again: this is a defect of gatecast, please report it")


@contextlib.asynccontextmanager
async def _task(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """A task that ends with the block. What it raised is its holder's to look at."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@contextlib.asynccontextmanager
async def _tasks(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks that end with the block, the last one first."""
    async with contextlib.AsyncExitStack() as stack:
        for work in works:
            await stack.enter_async_context(_task(work))
        yield


async def _sweep(plane: Plane) -> None:
    """Let go, until cancelled, of what nobody has used for a while."""
    while True:
        await asyncio.sleep(LINGER)
        await plane.sweep()


def _teller(plane: Plane) -> Callable[[], None]:
    """What logs, each time it is called, the problems that are new."""
    known: frozenset[Problem] = frozenset()

    def tell() -> None:
        nonlocal known
        problems = plane.problems()
        for level, event, details in told(problems, known):
            log.log(level, event, **details)
        known = frozenset(problems)

    return tell


def told(problems: tuple[Problem, ...], known: frozenset[Problem]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Log lines for the problems that are new: level, event, details. At most SHOWN, then one with the count."""
    new = [problem for problem in problems if problem not in known]
    for problem in new[:SHOWN]:
        level = 40 if problem.severity == "error" else 30
        yield level, "problem", {"problem": str(problem), "code": problem.code, "tenant": problem.tenant}
    if len(new) > SHOWN:
        yield 40, "more problems", {"count": len(new) - SHOWN, "see": "gatecast check, or /api/v1/problems"}
    gone = len(known - set(problems))
    if gone:
        yield 20, "problems solved", {"count": gone, "left": len(problems)}


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `Refused` if it cannot start: the address, the directory."""
    raise_file_limit()
    gc.disable()  # until `tune_gc`: a first load makes what stays, and no garbage
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, which nobody reads
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end, number, stop)
    asked = asyncio.create_task(stop.wait())
    async with running(settings, stop) as server:
        ready = asyncio.create_task(server.ready())
        await asyncio.wait({asked, ready}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            ready.result()
            tune_gc()
        ready.cancel()
        await asyncio.wait({asked, server.source}, return_when=asyncio.FIRST_COMPLETED)
        if server.source.done():
            server.source.result()
    log.info("stopped")


def asked_to_end(number: signal.Signals, stop: asyncio.Event) -> None:
    """The first signal asks for an orderly end, the second ends the process."""
    if stop.is_set():
        log.warning("second signal: exit at once", signal=number.name)
        os._exit(128 + number)
    else:
        log.info("shutting down", signal=number.name)
        stop.set()
        # A thread that still reads a large directory would keep the process; it has nothing to lose.
        last = threading.Timer(LAST_MOMENT, os._exit, (0,))
        last.daemon = True
        last.start()


def raise_file_limit() -> None:
    """A connection is a file; the soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
