"""A Kong 3.9.1 that is not one: its Admin API, its proxy and its timers in the test's own process.

    async with Double(timers=Timers(period=0.2)).serving() as kong:      ports of the loopback, from the system
        ... kong.admin_url, kong.proxy_url ...
    kong = Double(clock=Hand())                                          without sockets, by a clock that is moved
    kong.admin(Request("POST", "/services", ...)); kong.proxy(Request("GET", "/orders", ...))
    connected(Access("http://kong"), transport=Direct(kong))             our own client, without sockets

Lua is run by a real LuaJIT with a PDK that is modelled (`lua`). Not there: TLS at the proxy, gRPC and streams, other
nodes' databases, plugins outside `plugin_schemas.PLUGINS`. It is judged by the transcripts of a real Kong.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from kong_double import dialling
from kong_double.admin import Admin
from kong_double.dbless import Config
from kong_double.faults import Fault, Faults
from kong_double.pages import Node, Pages
from kong_double.plane import Forward, Plane
from kong_double.refusals import Json
from kong_double.store import Store
from kong_double.timers import INSTANT, Timers, View
from kong_double.wire import Request, Response, Server, as_json, serving


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the Admin API as it was answered; status 0: the connection was cut."""

    method: str
    path: str
    status: int


def echo(forward: Forward) -> Response:
    """An upstream that answers what it was sent."""
    sent = forward.request
    told = {"address": forward.address, "method": sent.method, "path": sent.target, "headers": dict(sent.headers)}
    return as_json(200, told)


@dataclass(eq=False)
class Double:
    """`clock` moves the timers, `wall` is the time of day. `workspaces` and `token` make it an Enterprise edition.

    `calls` are the calls to the Admin API since the start, or since `calls.clear()`.
    """

    node: Node = field(default_factory=Node)
    timers: Timers = field(default_factory=Timers)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    workspaces: tuple[str, ...] = ()
    token: str = ""
    tls: ssl.SSLContext | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    faults: Faults = field(default_factory=Faults)
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._apis = {name: self._api() for name in ("default", *self.workspaces)}
        self.api = self._apis["default"]
        self.store = self.api.store
        self.view = View(lambda: self.store.tables, INSTANT if self.node.dbless else self.timers, self.clock)
        self.plane = Plane(self.view, self.wall)
        self.admin_server = Server(self._serve_admin, tls=self.tls)
        self.proxy_server = Server(self._serve_proxy)

    @property
    def admin_url(self) -> str:
        return self.admin_server.url

    @property
    def proxy_url(self) -> str:
        return self.proxy_server.url

    def _api(self) -> Admin:
        api = Admin(Store(), self.wall, read_only=self.node.dbless)
        config = Config(api)
        pages = Pages(self.node, api, lambda: config.digest, self._health)
        api.pages = pages.table() | {"config": config.page}
        return api

    def _health(self, upstream: Json, target: Json) -> str:
        return self.plane.balancer.health(upstream, target)

    # -- without a network ------------------------------------------------------------------------------------------

    def admin(self, request: Request) -> Response:
        """Answer a call to the Admin API."""
        self.view.advance()
        if self.token and request.header("kong-admin-token") != self.token:
            return as_json(401, {"message": "Invalid RBAC credentials. Token or User credentials required"})
        api, request = self._workspace(request)
        return api.handle(request)

    def _workspace(self, request: Request) -> tuple[Admin, Request]:
        first, _, rest = request.target.removeprefix("/").partition("/")
        if self.workspaces and first in self._apis:
            rest = "" if rest == "kong" else rest
            return self._apis[first], Request(request.method, f"/{rest}", request.headers, request.body, request.peer)
        return self.api, request

    def proxy(self, request: Request, upstream: Callable[[Forward], Response] = echo) -> Response:
        """Answer a request to the proxy."""
        return self.plane.answer(request, upstream)

    def restart(self, *, empty: bool = False) -> None:
        """All is effective, counters and health are forgotten. `empty`: so is the database."""
        if empty:
            self._apis = {name: self._api() for name in self._apis}
            self.api = self._apis["default"]
            self.store = self.api.store
        self.view.reset(self.view.timers)
        self.plane = Plane(self.view, self.wall, self.plane.port)

    # -- with a network ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Listen on both ports for the length of the block; the active health checks run meanwhile."""
        async with serving(self.admin_server, self.proxy_server):
            self.plane.port = self.proxy_server.port
            probes = asyncio.create_task(dialling.probe_all(lambda: self.plane))
            try:
                yield self
            finally:
                probes.cancel()
                await asyncio.wait((probes,))

    async def _serve_admin(self, request: Request) -> Response | None:
        fault = self.faults.next(request)
        if fault.delay:
            await self.sleep(fault.delay)
        return self.carry_out(request, fault)

    def carry_out(self, request: Request, fault: Fault) -> Response | None:
        """Do what the fault lets happen, and tell what it lets be told; None: the connection is cut."""
        told = fault.answer(self.admin(request) if fault.carried_out else None)
        self.calls.append(Call(request.method, request.target, told.status if told else 0))
        return told

    async def _serve_proxy(self, request: Request) -> Response | None:
        found = self.plane.inbound(request)
        if isinstance(found, Response):
            return found
        return self.plane.outbound(found, await dialling.forward(self.plane, found))
