"""Settings of a directory as a Kong should hold them, without a control plane: what `gatecast kong diff`, `sync` and
`export` compare with. And the other way: a Kong as these commands see it (`kong_steps` compares and writes).
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from immutables import Map

from gatecast.exits import Conflict, NotFound, Usage
from gatecast.kong import nobody
from gatecast.offline import load
from gatecast.output import counted, note
from kong_sync.admin import Access, Admin, connected
from kong_sync.answers import Missing, doubts
from kong_sync.backups import keeper
from kong_sync.database import GUARD, Database, Guard
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.lease import CONSUMERS, HELD, Lease, Leases
from kong_sync.listing import ours
from kong_sync.model import World, shared, tenant
from kong_sync.names import OURS
from kong_sync.whole import Whole
from tenants.catalog import Catalog, Touched
from tenants.errors import Refused, Unavailable
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.source import Source
from tenants.supplies import Supplies
from xds.builder import Builder
from xds.snapshot import Snapshot

PLUGINS = frozenset(
    {
        "acl", "correlation-id", "cors", "ip-restriction", "jwt", "post-function", "pre-function",
        "rate-limiting", "request-size-limiting", "request-termination", "request-transformer", "response-transformer",
    }
)  # fmt: skip
"""What the plugins that policies come to are called. A Kong that lacks one refuses the tenants that need it."""
KEYS = 10.0
"""Seconds for issuers to give their keys."""


async def world(directory: Path, gateway: str) -> World:
    """What a sidecar of this gateway would be told. Raises Refused, and Unavailable if keys of issuers are missing."""
    step = await load(directory)
    errors = [one for one in step.catalog.problems if one.severity == "error"]
    if errors:
        said = f"nothing was compared: {counted(len(errors), 'problem')} in {directory}, the first: {errors[0]}"
        raise Refused(f"{said} (gatecast check -f {directory} shows all)")
    name, builder = chosen(step.catalog, gateway), Builder()
    found = builder.update(step.catalog, step.touched)
    if builder.sources:
        keys = await fetched(builder.sources)
        found = builder.update(step.catalog, Touched(), Supplies(keys=keys))
    return told(found[name])


def chosen(catalog: Catalog, gateway: str) -> str:
    """The gateway's id. Raises NotFound, Usage."""
    with_kong = sorted(name for name, one in catalog.gateways.items() if one.kong)
    if gateway and gateway not in catalog.gateways:
        raise NotFound(f"there is no gateway {gateway!r}")
    if gateway and gateway not in with_kong:
        raise Refused(f"gateway {gateway!r} is not for Kong: set kong: true")
    if not gateway and len(with_kong) != 1:
        raise Usage(
            f"--gateway: {counted(len(with_kong), 'gateway')} with kong: true ({', '.join(with_kong) or 'none'})"
        )
    return gateway or with_kong[0]


def told(snapshot: Snapshot) -> World:
    """The world of a snapshot, as it comes over the stream."""
    found = World()
    for one in snapshot.full("SHARED").resources:
        found = found.with_shared(one.name, shared(one.body))
    return found.with_tenants({one.name: tenant(one.body) for one in snapshot.full("TENANTS").resources})


async def fetched(sources: frozenset[Source]) -> Map[Source, str]:
    """The keys of all issuers. Raises Unavailable without all of them: their absence would delete credentials."""

    async def nobody(_changes: object) -> None:
        return

    fetcher = Fetcher(nobody)
    fetcher.want(sources)
    task = asyncio.create_task(fetcher.run())
    try:
        await fetcher.tried(within=KEYS)
        states = {one: fetcher.state(one) for one in sources}
    finally:
        task.cancel()
        await asyncio.wait({task})
    if missing := sorted(one for one, state in states.items() if state.usable is None):
        why = states[missing[0]].problem or f"no answer in {KEYS:g} s"
        more = f", and of {counted(len(missing) - 1, 'issuer')} more" if missing[1:] else ""
        raise Unavailable(f"the keys of {missing[0].issuer} ({why}){more} could not be fetched: nothing was compared")
    return Map({one: state.usable.text for one, state in states.items() if state.usable is not None})


async def writers(kong: Admin) -> tuple[str, ...]:
    """Who may write to this Kong now, each with its gateway."""
    rows = await kong.rows(CONSUMERS, tags=(OURS, HELD))
    held = [(Lease.read(row), next(tag for tag in row["tags"] if tag not in (OURS, HELD))) for row in rows]
    return tuple(sorted(f"{lease.who} ({tag})" for lease, tag in held if lease.until > time.time()))


@dataclass(frozen=True, slots=True)
class Opened:
    """A Kong that answers. One without a database has `whole`, and no `leases`."""

    kong: Admin
    database: Database
    leases: Leases | None
    whole: Whole | None


@contextlib.asynccontextmanager
async def reached(access: Access) -> AsyncIterator[Admin]:
    """A Kong that says who it is. Raises Refused, Unavailable, NotFound if somebody else answers."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            kong = await stack.enter_async_context(connected(access))
        except Missing:
            raise nobody(access) from None
        yield kong


@contextlib.asynccontextmanager
async def opened(
    access: Access, gateway: str, guard: Guard = GUARD, *, single: bool = False, backups: Path | None = None
) -> AsyncIterator[Opened]:
    """A Kong for one command. `backups`: see `kong_sync.backups`. Raises Refused, Unavailable."""
    async with reached(access) as kong:
        for one in doubts(kong.about):
            note(f"Warning: {one}")
        gauges = Gauges()
        wait = kong.about.wait if single else kong.about.wait_everywhere
        backup = keeper(backups, gateway, ours(gateway)) if backups else lambda _state: None
        who = f"gatecast kong@{socket.gethostname()}:{os.getpid()}"
        leases = None if kong.about.dbless else Leases(kong, gateway, who)
        executor = Executor(kong, lambda: wait, gauges)
        database = Database(kong, gateway, executor, gauges, guard=guard, backup=backup, leases=leases)
        whole = Whole(kong, gauges, guard=guard, backup=backup) if kong.about.dbless else None
        yield Opened(kong, database, leases, whole)


@contextlib.asynccontextmanager
async def writing(on: Opened) -> AsyncIterator[None]:
    """The lease for the length of the block. Raises Conflict if a sidecar has it."""
    if on.leases is None:
        yield
        return
    if not await on.leases.take():
        raise Conflict(f"a sidecar writes to this Kong: {on.leases.other}. Change the settings at its control plane")
    keeping = asyncio.create_task(_keep(on.leases))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        await on.leases.give_up()


async def _keep(leases: Leases) -> None:
    """Extend the lease until cancelled; one that was lost is found before the next write."""
    while True:
        await asyncio.sleep(10)
        await leases.keep()
