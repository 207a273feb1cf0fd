"""Sees through Kong's proxy that what was written is in effect. Called by `executor` after a wait, if it is told.

A route and a plugin of our own, apart from all plans: the route asks for a mark in a header, the plugin answers with
another. Each is written anew after the writes it is to prove, so a request that is answered rightly met a router and
plugins that are not older than those. One answer proves one worker of one node; so the wait is never cut short by it
(`docs/decisions/0014-verify-live.md`).

It is asked as a browser asks before a request (OPTIONS): the guard of a gateway lets that pass without a tenant.
"""

import secrets
from collections.abc import Awaitable, Callable

import httpx

from kong_sync.admin import Admin
from kong_sync.answers import KongRefused
from kong_sync.classes import HTTP
from kong_sync.entities import KINDS, Entity
from kong_sync.names import identity, name, plugin, ref, tags
from kong_sync.phases import PLUGINS, ROUTER
from tenants.errors import Unavailable

LIVE = "live"
"""The tag beside ours. What carries it is never compared with what we want."""
LABEL = "~live"
HOST = "live.gatecast.invalid"
HEADER = "x-gatecast-live"
ROUND = 4
"""Right answers in a row, each over a connection of its own: it may come to another worker."""
PATIENCE = 10.0
"""Seconds after the wait in which a Kong that is busy may still be late."""
EVERY = 0.1
SLOW = 1.0
ALONE = httpx.Limits(max_keepalive_connections=0)
ASKING = {"host": HOST, "origin": f"http://{HOST}", "access-control-request-method": "GET"}


class Unseen(Unavailable):
    """The proxy does not show what was written, so nobody may say that it is in effect."""


class Probe:
    """Of one gateway on one Kong. `proxy`: the URL of its proxy as we reach it."""

    def __init__(self, kong: Admin, gateway: str, proxy: str, draw: Callable[[], str] = lambda: secrets.token_hex(8)):
        self._kong, self._gateway, self._draw = kong, gateway, draw
        self._url = f"{proxy.rstrip('/')}{path(gateway)}"
        self._marks = {ROUTER: "", PLUGINS: ""}

    async def mark(self, timers: frozenset[str]) -> None:
        """Write anew what stands for these timers: one call each. Raises Unavailable."""
        fresh = timers if all(self._marks.values()) else frozenset(self._marks)
        self._marks |= {timer: self._draw() for timer in fresh}
        try:
            try:
                await self._write(fresh)
            except KongRefused:  # somebody took the route away
                await self._write(frozenset(self._marks))
        except KongRefused as error:
            raise Unseen(f"the probe cannot be written: {error}") from None

    async def _write(self, timers: frozenset[str]) -> None:
        if ROUTER in timers:
            await self._kong.put(KINDS["routes"], route(self._gateway, self._marks[ROUTER]))
        if PLUGINS in timers:
            await self._kong.put(KINDS["plugins"], answer(self._gateway, self._marks[PLUGINS]))

    async def see(self, pause: Callable[[float], Awaitable[None]]) -> None:
        """Ask until the newest marks are answered. Raises Unseen if they are not."""
        tries, right = round(PATIENCE / EVERY), 0
        async with httpx.AsyncClient(trust_env=False, limits=ALONE, timeout=SLOW) as http:
            while right < ROUND:
                if not (said := await self._ask(http)):
                    right += 1
                    continue
                tries, right = tries - 1, 0
                if not tries:
                    raise Unseen(f"the proxy does not show what was written: {self._url} says {said}")
                await pause(EVERY)

    async def _ask(self, http: httpx.AsyncClient) -> str:
        """What is wrong with the answer, "" if nothing is."""
        headers = {**ASKING, HEADER: self._marks[ROUTER]}
        try:
            heard = await http.options(self._url, headers=headers)
        except httpx.TransportError as error:
            return f"{type(error).__name__} {error}".rstrip()
        right = heard.status_code == httpx.codes.OK and heard.text == self._marks[PLUGINS]
        return "" if right else f"{heard.status_code} {heard.text[:100]}"


def path(gateway: str) -> str:
    return f"/.gatecast/{gateway}/live"


def route(gateway: str, mark: str) -> Entity:
    """It matches by four attributes, so no other route comes before it."""
    return {
        "id": identity(gateway, "routes", LABEL),
        "name": name(gateway, LABEL),
        "service": None,
        "protocols": HTTP,
        "methods": ["OPTIONS"],
        "hosts": [HOST],
        "paths": [path(gateway)],
        "headers": {HEADER: [mark]},
        "strip_path": False,
        "tags": tags(gateway, LIVE),
    }


def answer(gateway: str, mark: str) -> Entity:
    config = {"status_code": 200, "content_type": "text/plain", "body": mark}
    return plugin(gateway, "request-termination", config, {"route": ref(gateway, "routes", LABEL)}, LABEL, LIVE).entity
