"""A ledger over a store, without a network: `async with ledgers.ledger(url) as one:` and `ledgers.put(tenant("acme"))`.

A proxy is `ledgers.client(ledger)`: a stream joined as the server joins it, which answers when the test says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from stores import QUICK
from worlds import Json, gateway, route, service, tenant

from gatecast.feeds import Feed, Source
from gatecast.ledger import Ledger
from gatecast.plane import Plane
from tenants.documents import Key
from tenants.sources.directory import Limits
from tenants.sources.folder import Folder
from tenants.store import By, Expected, Store, Write
from xds import waiting
from xds.hub import Client, Hub
from xds.metrics import Metrics
from xds.stream import Adjust, Ask
from xds.wire import Node

API = By("dana", "api", "because", "req-1", "192.0.2.7")
BASICS = (gateway(allow_local_endpoints=True), service(), route())


@asynccontextmanager
async def ledger(url: str, *documents: Json, **more: Any) -> AsyncIterator[Ledger]:
    """A ledger that has loaded what the store holds, and then has these documents."""
    async with await Store.open(url, pace=QUICK) as store:
        made = Ledger(store, Plane(Hub(Metrics(CollectorRegistry()), wall=time.time)), **more)
        await made.load()
        if documents:
            await made.write(put(*documents), API)
        try:
            yield made
        finally:
            await made.settled()


def put(*documents: Json, expected: Expected | None = None) -> list[Write]:
    return [Write.put(one, expected) for one in documents]


def drop(*names: str, kind: str = "Tenant") -> list[Write]:
    return [Write.delete(Key(kind, name)) for name in names]


def limited(name: str, requests: int, **more: Any) -> Json:
    """A tenant with so many requests an hour."""
    return tenant(name, policies={"rate_limit": {"requests": requests, "per": "hour"}}, **more)


def versions(ledger: Ledger) -> dict[str, dict[str, str]]:
    """What proxies of the gateway `edge` are to hold, by type: names and versions."""
    resources = ledger.plane.builder.snapshots["edge"].resources
    return {kind: {name: one.version for name, one in rows.items()} for kind, rows in resources.items() if rows}


def tenants(ledger: Ledger) -> list[str]:
    return sorted(ledger.plane.catalog.tenants)


def requests(ledger: Ledger, name: str) -> int:
    """The limit of a tenant in force."""
    return int(ledger.plane.catalog.tenants[name].policies["rate_limit"]["requests"])


def client(ledger: Ledger, node: str = "envoy-1", kinds: tuple[str, ...] = ("CDS", "EDS", "LDS", "SRDS")) -> Client:
    """A proxy that asks for everything of some types by delta."""
    made = ledger.plane.hub.join(Node(node, "edge"), "192.0.2.9", "delta", delta=True, kinds=kinds)
    for kind in kinds:
        made.machine.receive(Ask(kind, Adjust(("*",))), 0.0)
    return made


def answer(ledger: Ledger, proxy: Client, refuse: str = "") -> int:
    """The proxy takes what there is for it until there is no more, and refuses what is of the type `refuse`."""
    count = 0
    while sent := list(proxy.machine.answers(0.0)):
        for one in sent:
            error = "no" if one.kind == refuse else None
            reply = proxy.machine.receive(Ask(one.kind, Adjust(), one.nonce, error), 0.0)
            assert reply is not None
            ledger.plane.hub.answered(proxy, reply, 0.0)
            count += 1
    return count


@asynccontextmanager
async def files(url: str, folder: Path, *, allow_empty: bool = False) -> AsyncIterator[Ledger]:
    """A ledger that follows a directory, and has tried what that says."""
    async with ledger(url) as made, running(made, Folder(folder, allow_empty, Limits(quiet=0.0, bound=0.05))):
        yield made


@asynccontextmanager
async def running(ledger: Ledger, *sources: Source) -> AsyncIterator[list[Feed]]:
    """The ledger follows the store and these sources, all of which it has tried. What ends one of them ends this."""
    ledger.feeds += [Feed(one, ledger.reconcile, ledger.given) for one in sources]
    task = asyncio.create_task(ledger.run())
    for feed in ledger.feeds:
        waits = asyncio.create_task(feed.written.wait())
        await asyncio.wait({waits, task}, return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
    try:
        if task.done():
            task.result()
        yield ledger.feeds
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(check: Callable[[], Any], what: str) -> Any:
    """Wait for something that comes of itself."""
    return await waiting.until(check, what, within=20.0)


def problems(ledger: Ledger) -> list[str]:
    """Code and name of everything that is wrong."""
    return [f"{one.code} {one.kind}/{one.id}" for one in ledger.plane.problems()]
