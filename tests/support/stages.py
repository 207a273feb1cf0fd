"""A control plane, a real Envoy and an echo service in one block, and changes in short, for tests/envoy/test_live_*.

    async with stages.stage(tmp_path, variant) as stage:
        await stage.change(worlds.tenant("acme", policies={...}))
        await stage.until_status("acme", 429)

Documents are those of `worlds`: JSON, which is YAML. The gateway is `edge` with one listener, tenants come by header.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envoys
import httpx
import planes
import upstreams
import worlds

from tenants.catalog import Changes
from tenants.documents import Key
from tenants.reading import read
from xds.bootstrap import bootstrap

Json = dict[str, Any]
HEADER = "x-tenant-id"
DELTA: Json = {}
SOTW: Json = {"sotw": True}
VARIANTS = {"delta": DELTA, "sotw": SOTW}
SEPARATE = {"separate delta": {"separate": True}, "separate sotw": {"separate": True, "sotw": True}}
KINDS = ("CDS", "EDS", "LDS", "SRDS", "RDS")
STALLS = "init_fetch_timeout$"
REFUSALS = "(update_rejected|config_reload_error|update_conflict)$"


def gateway(*ports: int, **more: Any) -> Json:
    """The gateway `edge` on these ports; listeners are called l0, l1 and so on."""
    listeners = [{"name": f"l{n}", "address": "127.0.0.1", "port": port} for n, port in enumerate(ports)]
    return worlds.gateway(**{"listeners": listeners, "allow_local_endpoints": True, **more})


def service(name: str, *ports: int, **more: Any) -> Json:
    """A service at these local ports."""
    return worlds.service(name, endpoints=[f"127.0.0.1:{port}" for port in ports], **more)


def limited(name: str, requests: int, **more: Any) -> Json:
    """A tenant with so many requests an hour."""
    return worlds.tenant(name, policies={"rate_limit": {"requests": requests, "per": "hour"}, **more})


def tagged(name: str, value: str) -> Json:
    """A tenant whose answers carry `x-tag: value`: what shows that a change has arrived."""
    return worlds.tenant(name, policies={"headers": {"response": {"set": {"x-tag": value}}}})


def changes(*documents: Json, drop: tuple[tuple[str, str], ...] = ()) -> Changes:
    """Documents to put and documents to drop, in one change."""
    found = read(text(*documents), "test.yaml")
    return Changes(put=found.documents, broken=found.problems, drop=frozenset(Key(*key) for key in drop))


def text(*documents: Json) -> str:
    return "\n---\n".join(json.dumps(document) for document in documents)


def only(served: planes.Served) -> Any:
    """The one stream that is open."""
    (client,) = served.plane.hub.clients.values()
    return client


def quiet(served: planes.Served) -> bool:
    """No stream waits for an ACK or has something to say, and there is one."""
    clients = list(served.plane.hub.clients.values())
    waiting = (one.sent for client in clients for one in client.machine.interests.values())
    return bool(clients) and not any(waiting) and not any(client.wake.is_set() for client in clients)


def caught_up(served: planes.Served) -> bool:
    """An Envoy that serves a tenant has connected, asked for all it has, and there is nothing left to say.

    `quiet` alone is true between two requests of a reconnect too: one is answered, and the next is not here yet.
    """
    streams = served.plane.hub.clients.values()
    asked = {kind for client in streams for kind, one in client.machine.interests.items() if one.started}
    return quiet(served) and asked >= set(KINDS)


def sent(served: planes.Served) -> dict[str, int]:
    """Responses so far, by kind, without the kinds of which there were none."""
    counted = {kind: served.sent(kind) for kind in KINDS}
    return {kind: count for kind, count in counted.items() if count}


def since(served: planes.Served, before: Mapping[str, int]) -> dict[str, int]:
    """Responses since `before = sent(served)`."""
    now = sent(served)
    return {kind: count - before.get(kind, 0) for kind, count in now.items() if count != before.get(kind, 0)}


async def none(proxy: envoys.Envoy, pattern: str) -> None:
    """Assert that no statistic of these names ever counted, and that there are such statistics."""
    found = await proxy.stats(pattern)
    assert found, f"no statistic matches {pattern}"
    assert {name: value for name, value in found.items() if value} == {}


def _all_statistics(file: Mapping[str, Any]) -> dict[str, Any]:
    """The bootstrap without its limits on statistics: tests look into those of single tables."""
    return {name: value for name, value in file.items() if name != "stats_config"}


@dataclass
class Stage:
    """All that plays. `port` is the first listener's; `upstream` is the service `orders`."""

    served: planes.Served
    proxy: envoys.Envoy
    port: int
    upstream: upstreams.Upstream
    http: httpx.AsyncClient

    async def change(self, *documents: Json, drop: tuple[tuple[str, str], ...] = ()) -> None:
        """Put and drop documents in one change, which must be good."""
        await self.served.plane.apply(changes(*documents, drop=drop))
        assert self.served.problems() == []

    async def get(self, tenant: str, path: str = "/orders", port: int = 0) -> httpx.Response:
        return await self.http.get(f"http://127.0.0.1:{port or self.port}{path}", headers={HEADER: tenant})

    async def until_status(self, tenant: str, status: int, path: str = "/orders", port: int = 0) -> None:
        await self._until(lambda r: r.status_code == status, f"{tenant} {path} to be {status}", tenant, path, port)

    async def until_tag(self, tenant: str, value: str) -> None:
        await self._until(lambda r: r.headers.get("x-tag") == value, f"{tenant} tagged {value}", tenant)

    async def until_from(self, tenant: str, name: str) -> None:
        await self._until(lambda r: r.headers.get("x-upstream") == name, f"{tenant} answered by {name}", tenant)

    async def _until(self, check: Any, what: str, tenant: str, path: str = "/orders", port: int = 0) -> None:
        async def arrived() -> bool:
            return bool(check(await self.get(tenant, path, port)))

        await self.proxy.until(arrived, what)

    async def quiet(self) -> None:
        """Wait until every stream is at rest."""
        await self.proxy.until(lambda: quiet(self.served), "the streams to be at rest")

    def load(
        self, tenant: str = "acme", path: str = "/orders", **more: Any
    ) -> AbstractAsyncContextManager[upstreams.Load]:
        """Steady traffic of one tenant."""
        return upstreams.load(f"http://127.0.0.1:{self.port}{path}", headers={HEADER: tenant}, **more)

    async def holds(self) -> None:
        """Assert that Envoy waited for nothing, refused nothing, and has no cluster that warms."""
        await self.quiet()
        await none(self.proxy, STALLS)
        await none(self.proxy, REFUSALS)
        assert await self.proxy.config_dump("dynamic_warming_clusters") == []


def basics(port: int, upstream: upstreams.Upstream) -> tuple[Json, ...]:
    """A gateway, a service, a route, two tenants."""
    acme, beta = tagged("acme", "first"), tagged("beta", "first")
    return gateway(port), service("orders", upstream.port), worlds.route("orders"), acme, beta


@asynccontextmanager
async def stage(
    folder: Path, variant: Json, *more: Json, encode: Any = None, arguments: tuple[str, ...] = ()
) -> AsyncIterator[Stage]:
    """Everything up and serving `basics`, and `more` beside or in place of them."""
    port = envoys.free_port()
    async with upstreams.Upstream("orders") as upstream, httpx.AsyncClient(trust_env=False) as http:
        documents = {(one["kind"], one["id"]): one for one in (*basics(port, upstream), *more)}
        async with planes.plane(text(*documents.values()), encode=encode) as served:
            assert served.problems() == []
            file = _all_statistics(bootstrap("edge", "envoy-1", ("127.0.0.1", served.port), **variant))
            async with envoys.envoy(file, folder / "envoy", arguments=arguments) as proxy:
                await proxy.ready()
                yield Stage(served, proxy, port, upstream, http)
