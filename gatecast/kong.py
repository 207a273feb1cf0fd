"""THE assembly of a sidecar: a process beside a Kong. `gatecast kong` runs it; tests hold it open.

control plane -> xds.client -> Sidecar -> Database or Whole -> Admin API of Kong
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import grpc
import httpx
import structlog
from prometheus_client import CollectorRegistry

from gatecast.about import version
from gatecast.addresses import Address
from gatecast.collector import tune_gc
from gatecast.exits import NotFound
from gatecast.kong_pages import app
from gatecast.web import serving
from kong_sync import admin
from kong_sync.admin import Access, Admin
from kong_sync.answers import About, Missing, doubts
from kong_sync.backups import keeper
from kong_sync.database import GUARD, Backup, Database, Guard
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.kept import Kept
from kong_sync.lease import Leases
from kong_sync.listing import ours
from kong_sync.model import TYPE_URLS
from kong_sync.probe import Probe
from kong_sync.runner import Pace, Runner
from kong_sync.sidecar import Sidecar
from kong_sync.translate import Options, translate
from kong_sync.whole import Whole
from tenants.errors import Refused, Unavailable
from xds.client import BACKOFF, OPTIONS, Backoff, Client, Node, Update

LISTEN = Address("127.0.0.1", 18002)
PACE = Pace()
AGAIN = 5.0
"""Seconds within which a restart of a Kong without a database is noticed."""
Apply = Callable[[Update], Awaitable[str | None]]

log = structlog.get_logger("gatecast.kong")


@dataclass(frozen=True, slots=True)
class Told:
    """What one sidecar is told. `alone`: see `translate.Options`; `single`: no other node shares Kong's database.

    `wait`: seconds until a change is in effect, in place of what Kong says of its timers. `proxy`: URL of its proxy, by
    which a change is seen to be in effect.
    """

    access: Access
    xds: str
    gateway: str
    node: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    listen: Address = LISTEN
    backups: Path | None = None
    state: Path | None = None
    alone: bool = True
    single: bool = False
    guard: Guard = GUARD
    pace: Pace = PACE
    backoff: Backoff = BACKOFF
    wait: float | None = None
    proxy: str = ""


@dataclass(eq=False, slots=True)
class Running:
    """A sidecar at work. `sidecar` and `runner` are None until Kong has answered for the first time."""

    gauges: Gauges
    registry: CollectorRegistry
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    kong: Admin | None = None
    sidecar: Sidecar | None = None
    runner: Runner | None = None
    client: Client | None = None
    port: int = 0
    waiting: str = "Kong has not answered yet"
    stranger: str = ""
    """That the control plane says all of another gateway, "" if it does not."""

    @property
    def unready(self) -> str:
        """Why Kong does not serve the newest settings for all we know, "" if it does."""
        if self.sidecar is None or self.runner is None:
            return self.waiting
        if self.runner.waiting:
            return self.runner.waiting
        if self.stranger or self.sidecar.outage:
            return self.stranger or self.sidecar.outage
        return "" if self.sidecar.complete else "settings have not come yet, or are being written"


@contextlib.asynccontextmanager
async def running(
    told: Told,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[tuple[Running, asyncio.Task[None]]]:
    """A sidecar until the block ends, in order. The task ends by itself only with an error, such as `Refused`."""
    registry = CollectorRegistry()
    on = Running(Gauges(registry), registry)
    async with serving(app(on), told.listen) as on.port, admin.client(told.access, transport) as http:
        kong = Admin(http, root="kong" if told.access.workspace else "", sleep=sleep)
        task = asyncio.create_task(_work(told, on, kong, clock, wall, sleep))
        try:
            yield on, task
        finally:
            on.stopping.set()
            await asyncio.wait({task})


async def _work(
    told: Told,
    on: Running,
    kong: Admin,
    clock: Callable[[], float],
    wall: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    about = await _first(told, on, kong, sleep)
    if about is None:
        return
    who = f"{told.node}@{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
    leases = None if about.dbless else Leases(kong, told.gateway, who, wall=wall)
    writer = _whole(told, on, kong) if leases is None else _database(told, on, kong, leases, clock, sleep)
    sidecar = Sidecar(writer, on.gauges, options=Options(told.alone), wall=wall)
    kept = Kept(sidecar.apply, told.state, told.gateway) if told.state else None
    build = f"gatecast {version()} kong {about.version}"
    apply = _meant(told.gateway, on, kept.apply if kept else sidecar.apply)
    client = Client(channel(told), Node(told.node, told.gateway, build), apply, backoff=told.backoff)
    if kept is not None and isinstance(writer, Database):
        await _resume(kept, sidecar, writer, Options(told.alone))
    for url in TYPE_URLS.values():
        client.subscribe(url, held=kept.versions(url) if kept else None)
    pace = replace(told.pace, look=AGAIN) if about.dbless else told.pace
    runner = Runner(
        sidecar, client, partial(_reach, kong), on.gauges,
        leases=leases, pace=pace, stopping=on.stopping, backoff=told.backoff, sleep=sleep,
    )  # fmt: skip
    on.kong, on.sidecar, on.client, on.runner = kong, sidecar, client, runner
    log.info("sidecar", kong=about.version, database=about.database, gateway=told.gateway, xds=told.xds)
    try:
        await runner.run()
    finally:
        if kept is not None and sidecar.desired is not None and not sidecar.lost:
            kept.save()


def _whole(told: Told, on: Running, kong: Admin) -> Whole:
    if told.proxy:
        log.warning("kong", doubt="--proxy is not asked: without a database all is in effect at once")
    return Whole(kong, on.gauges, guard=told.guard, backup=_backup(told))


def _database(
    told: Told,
    on: Running,
    kong: Admin,
    leases: Leases,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Database:
    executor = Executor(
        kong, partial(_wait, told, kong), on.gauges,
        leases=leases, probe=Probe(kong, told.gateway, told.proxy) if told.proxy else None,
        stopping=on.stopping, clock=clock, sleep=sleep,
    )  # fmt: skip
    return Database(kong, told.gateway, executor, on.gauges, guard=told.guard, backup=_backup(told), leases=leases)


def _backup(told: Told) -> Backup:
    return keeper(told.backups, told.gateway, ours(told.gateway)) if told.backups else lambda _state: None


async def _first(told: Told, on: Running, kong: Admin, sleep: Callable[[float], Awaitable[None]]) -> About | None:
    """What Kong says of itself, once it answers; None if we are asked to end before. Raises Refused."""
    while not on.stopping.is_set():
        try:
            return await _reach(kong)
        except Missing:
            raise nobody(told.access) from None
        except Unavailable as error:
            on.waiting = str(error)
            log.warning("kong", why=on.waiting)
            await sleep(min(1.0, told.backoff.most))
    return None


def nobody(access: Access) -> NotFound:
    """The error for a place where something answers that is no Admin API."""
    named = f"no workspace {access.workspace!r}, or no Admin API," if access.workspace else "no Admin API"
    return NotFound(f"there is {named} of Kong at {access.url}: it answers 404")


async def _reach(kong: Admin) -> About:
    """Ask Kong who it is; say what an operator should know. Raises Refused, Unavailable."""
    about = await kong.inquire()
    for one in doubts(about):
        log.warning("kong", doubt=one)
    return about


def _wait(told: Told, kong: Admin) -> float:
    if told.wait is not None:
        return told.wait
    return kong.about.wait if told.single else kong.about.wait_everywhere


def _meant(gateway: str, on: Running, apply: Apply) -> Apply:
    """Rejects all that is said while it is of another gateway: where there is one alone, a server tells everybody of
    that one. The log says it once, however often the server tries again."""

    async def meant(update: Update) -> str | None:
        said = on.stranger
        for kind, _, name in (one.name.partition("/") for one in update.resources):
            if kind == "Gateway":
                wrong = f"the control plane has no gateway {gateway!r}, but {name!r}: say --gateway {name}"
                on.stranger = "" if name == gateway else wrong
        if on.stranger != said and on.stranger:
            log.error("refused", why=on.stranger)
        return on.stranger or await apply(update)

    return meant


async def _resume(kept: Kept, sidecar: Sidecar, database: Database, options: Options) -> None:
    """Begin with the file if Kong holds just what it comes to; else ask for all afresh."""
    world = kept.load()
    if world is None:
        return
    await database.look()
    await database.want(translate(world, options=options))
    if database.planned():
        kept.forget()
        log.info("all is asked for afresh", why="Kong does not hold what the file of the last run comes to")
    else:
        sidecar.resume(world)
        log.info("resumed", tenants=len(world.tenants))


def channel(told: Told) -> Callable[[], grpc.aio.Channel]:
    """Opens a connection to the control plane. Raises Refused if a file cannot be used."""
    if told.ca is None and told.certificate is None:
        return lambda: grpc.aio.insecure_channel(told.xds, options=OPTIONS)
    try:
        files = [file.read_bytes() if file else None for file in (told.ca, told.key, told.certificate)]
    except OSError as error:
        raise Refused(f"{error.filename}: {(error.strerror or str(error)).lower()}") from None
    trusted = grpc.ssl_channel_credentials(*files)
    return lambda: grpc.aio.secure_channel(told.xds, trusted, options=OPTIONS)


def asked_to_end(number: signal.Signals, stop: asyncio.Event) -> None:
    """The first signal asks for an orderly end: the phase under way is finished. The second ends the process."""
    if stop.is_set():
        log.warning("second signal: exit at once", signal=number.name)
        os._exit(128 + number)
    log.info("shutting down", signal=number.name)
    stop.set()


async def _tuned(on: Running) -> None:
    """Once Kong is as the settings say, what is in memory stays there."""
    while on.unready:  # noqa: ASYNC110 - what is ready hangs on several values, and this is in no hurry
        await asyncio.sleep(AGAIN)
    tune_gc()


async def run(told: Told) -> None:
    """Until SIGTERM or SIGINT. Raises `Refused` if it cannot work."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end, number, stop)
    async with running(told) as (on, work):
        asked, tuned = asyncio.create_task(stop.wait()), asyncio.create_task(_tuned(on))
        log.info("listening", probes=str(told.listen.at(on.port)))
        await asyncio.wait({asked, work}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        tuned.cancel()
    work.result()
    log.info("stopped")
