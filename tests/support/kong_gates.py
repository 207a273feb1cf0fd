"""A Kong to prove a translation on by requests: the double, or with KONG_ADMIN_URL and KONG_PROXY_URL a real one.

    async with kong_gates.gate() as gate:
        await gate.load(gate.world(TENANTS))
        assert (await gate.ask("/api/orders", ACME)).status == 200

Two services stand behind it, `orders` and `other`, which echo what they get as `upstreams.Upstream` does. A real Kong
must reach our loopback; what a test loads into it is taken away at its end, and nothing else is touched.
"""

import asyncio
import http.client
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import kong_worlds
import kongs
import upstreams

from kong_double.double import Double
from kong_double.plane import Forward
from kong_double.timers import Timers
from kong_double.wire import Request, Response, as_json
from kong_sync.admin import Access, Admin, connected
from kong_sync.entities import KINDS
from kong_sync.model import World
from kong_sync.translate import Desired, Options, translate
from tenants.keysets.source import Source

Header = tuple[str, str]
SERVICES = """
kind: Gateway
id: edge
kong: true
allow_local_endpoints: true
listeners: [{{name: public, port: 8080}}]
{gateway}
---
kind: Service
id: orders
endpoints: ["{orders}"]
---
kind: Service
id: other
endpoints: ["{other}"]
---
kind: Route
id: orders
match: {{prefix: /api/orders}}
service: orders
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Names of headers are in lower case; of equal names the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error with our own body."""
        return str(self.json()["error"]["code"])

    @property
    def sent(self) -> Mapping[str, str]:
        """The headers that the service was sent."""
        return {name.lower(): value for name, value in self.json()["headers"].items()}


Ask = Callable[[str, str, list[Header], bytes], Any]


@dataclass(eq=False)
class Gate:
    """`addresses`: of the services. `move`: let time pass, which only the double can."""

    addresses: Mapping[str, str]
    _load: Callable[[Desired], Any]
    _ask: Ask
    move: Callable[[float], None] | None = None
    loaded: Desired | None = field(default=None)

    def world(self, *texts: str, gateway: str = "", keys: dict[Source, str] | None = None) -> World:
        """The gateway, two services and a route, and these documents beside them."""
        return kong_worlds.world(SERVICES.format(gateway=gateway, **self.addresses), *texts, keys=keys)

    async def load(self, world: World, *, alone: bool = True) -> Desired:
        """Kong holds this world, effective."""
        self.loaded = translate(world, options=Options(alone))
        await self._load(self.loaded)
        return self.loaded

    async def ask(
        self, path: str, *headers: Header, method: str = "GET", body: bytes = b"", host: str = "gw.test"
    ) -> Answer:
        found: Answer = await self._ask(method, path, [("host", host), *headers], body)
        return found

    async def statuses(self, path: str, *asked: tuple[Header, ...]) -> list[int]:
        return [(await self.ask(path, *headers)).status for headers in asked]


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    if not all(_urls()):
        yield _double()
        return
    async with wired() as found:
        yield found


def _urls() -> tuple[str, str]:
    """Of a real Kong: its Admin API and its proxy."""
    return os.environ.get("KONG_ADMIN_URL", ""), os.environ.get("KONG_PROXY_URL", "")


@asynccontextmanager
async def wired() -> AsyncIterator[Gate]:
    """The same over sockets, to services that a request can tell to be slow or to fail (`upstreams`)."""
    async with AsyncExitStack() as stack:
        admin, proxy = _urls()
        if not admin or not proxy:
            double = await stack.enter_async_context(Double(timers=Timers(period=0.05)).serving())
            admin, proxy = double.admin_url, double.proxy_url
        services = [await stack.enter_async_context(upstreams.Upstream(name)) for name in ("orders", "other")]
        kong = await stack.enter_async_context(connected(Access(admin)))
        try:
            yield _real(kong, proxy, {one.name: f"127.0.0.1:{one.port}" for one in services})
        finally:
            await _empty(kong)


def _double() -> Gate:
    kong = kongs.standing()
    addresses = {"orders": "10.0.0.1:80", "other": "10.0.0.2:80"}
    names = {address: name for name, address in addresses.items()}

    def upstream(forward: Forward) -> Response:
        sent = forward.request
        told = {"name": names[forward.address], "method": sent.method, "path": sent.target, "length": len(sent.body)}
        return as_json(200, {**told, "headers": dict(sent.headers)})

    async def load(desired: Desired) -> None:
        kong.restart(empty=True)
        kong_worlds.load(kong, desired)

    async def ask(method: str, path: str, headers: list[Header], body: bytes) -> Answer:
        told = tuple((name, value.strip(" \t")) for name, value in headers)  # as HTTP reads it
        found = kong.proxy(Request(method, path, told, body), upstream)
        return Answer(found.status, {name.lower(): value for name, value in found.headers}, found.body)

    return Gate(addresses, load, ask, lambda seconds: kongs.move(kong, seconds))


def _real(kong: Admin, proxy: str, addresses: Mapping[str, str]) -> Gate:
    async def load(desired: Desired) -> None:
        await _empty(kong)
        for kind in KINDS.values():
            for (name, _id), entity in sorted(desired.entities.items()):
                if name == kind.name:
                    await kong.put(kind, entity)
        await asyncio.sleep(kong.about.wait)  # there is nothing to ask whether a change is effective

    return Gate(addresses, load, lambda *asked: _over_a_socket(proxy, *asked))


async def _over_a_socket(proxy: str, method: str, target: str, headers: list[Header], body: bytes) -> Answer:
    """A request as it is given: an HTTP client would put forms right that a test is about."""
    where = urlsplit(proxy)
    reader, writer = await asyncio.open_connection(where.hostname, where.port or 80)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "connection: close"]
    length = [f"content-length: {len(body)}"] if body else []
    writer.write("\r\n".join([*lines, *length, "", ""]).encode("latin-1") + body)
    try:
        told = http.client.HTTPResponse(_Said(await reader.read()))  # type: ignore[arg-type]
        told.begin()
        return Answer(told.status, {name.lower(): value for name, value in told.getheaders()}, told.read())
    finally:
        writer.close()


class _Said(io.BytesIO):
    """What came, where `http.client` wants a socket."""

    def makefile(self, _mode: str) -> Self:
        return self


async def _empty(kong: Admin) -> None:
    """Take away what carries our tag."""
    for kind in reversed(list(KINDS.values())):
        for row in () if kind.nested else await kong.rows(kind, tags=("gatecast",)):
            await kong.delete(kind, row["id"])
