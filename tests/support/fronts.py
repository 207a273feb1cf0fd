"""A control plane with a directory of secrets, a real Envoy that speaks TLS, and an echo service behind it.

    async with fronts.front(tmp_path, fronts.certificate("acme")) as front:
        assert (await front.shake("acme.example.com")).names == ("acme.example.com",)

The gateway `edge` takes tenants by host; acme and beta have `<id>.example.com`. `front.shop` makes certificates.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certificates
import edges
import envoys
import planes
import stages
import upstreams

from gatecast.views import resource_view

Json = dict[str, Any]
KINDS = ("CDS", "EDS", "SDS", "ECDS", "LDS", "SRDS", "RDS")


@dataclass(eq=False)
class Front:
    """What `front()` started."""

    served: planes.Served
    proxy: envoys.Envoy
    shop: certificates.Shop
    echo: upstreams.Upstream
    port: int

    async def shake(self, name: str | None, **more: Any) -> Any:
        """What a client is shown that asks for this name, or words about why nothing is."""
        return await certificates.shake(self.port, name, self.shop.ca, **more)

    async def dial(self, name: str | None, **more: Any) -> certificates.Line:
        return await certificates.dial(self.port, name, self.shop.ca, **more)

    async def status(self, name: str, path: str = "/a", **more: Any) -> int:
        """The status of one request on a connection of its own; 0 if there is no connection."""
        try:
            line = await self.dial(name, **more)
            status = await line.get(path, host=name)
        except (OSError, EOFError):
            return 0
        line.writer.close()
        return status

    async def put(self, *documents: Json) -> None:
        """Documents, good or bad; comes back when the streams are at rest."""
        await self.served.apply(edges.text(documents))
        await self.rest()

    async def look(self) -> None:
        """What a second or two do in a server: two looks at the files."""
        await self.served.plane.look()
        await self.served.plane.look()
        await self.rest()

    async def rest(self) -> None:
        await self.proxy.until(lambda: stages.quiet(self.served), "the streams to be at rest")

    async def shows(self, name: str | None, made: Any) -> None:
        """Wait until clients that ask for this name are shown this certificate."""
        wanted = certificates.serial(made)

        async def shown() -> bool:
            found = await self.shake(name)
            return isinstance(found, certificates.Shown) and found.serial == wanted

        await self.proxy.until(shown, f"{name} to be shown {wanted}")

    def sent(self) -> dict[str, int]:
        """Responses so far, by kind."""
        return {kind: self.served.sent(kind) for kind in KINDS}

    def since(self, before: Mapping[str, int]) -> dict[str, int]:
        """Responses since `before = front.sent()`, by kind, without the kinds of which there were none."""
        return {kind: count - before[kind] for kind, count in self.sent().items() if count != before[kind]}

    def problems(self) -> list[tuple[str, str, str, str, str]]:
        """Severity, code, document, path and tenant of each problem."""
        found = self.served.plane.problems()
        return sorted((one.severity, one.code, f"{one.kind}/{one.id}", one.path, one.tenant) for one in found)


def certificate(name: str, hosts: tuple[str, ...] = (), **more: Any) -> Json:
    """A Certificate of the tenant of this name for that tenant's host."""
    said = {"tenant": name, **more}
    return certificates.Shop.document(name, hosts or (edges.host(name),), **said)


def gateway(port: int, tls: Json | None = None, **more: Any) -> Json:
    return {**edges.gateway(port, "host", **more), "listeners": [listener("public", port, tls)]}


def listener(name: str, port: int, tls: Json | None = None) -> Json:
    said = {} if tls is None else {"tls": tls}
    return {"name": name, "address": "127.0.0.1", "port": port, **said}


@asynccontextmanager
async def front(folder: Path, *documents: Json, tls: Json | None = None, sotw: bool = False) -> AsyncIterator[Front]:
    """Everything up; acme and beta have a certificate in the shop. `documents` beside or in place of the basics."""
    secrets = folder / "secrets"
    secrets.mkdir()
    shop = certificates.Shop(secrets)
    for name in ("acme", "beta"):
        shop.put(name, edges.host(name))
    port = envoys.free_port()
    async with upstreams.Upstream("echo") as echo:
        basics = (gateway(port, tls or {}), edges.service("echo", echo), edges.route("a"))
        given = (*basics, edges.tenant("acme"), edges.tenant("beta"), *documents)
        unique = {(one["kind"], one["id"]): one for one in given}
        async with (
            planes.plane(edges.text(unique.values()), secrets=secrets) as served,
            envoys.envoy(served.bootstrap(sotw=sotw), folder / "envoy") as proxy,
        ):
            await proxy.ready()
            yield Front(served, proxy, shop, echo, port)
            refused = {kind: served.rejected(kind) for kind in KINDS}
            assert refused == dict.fromkeys(KINDS, 0), proxy.log[-3000:]


def seen(front: Front) -> str:
    """Everything that operators and their logs are shown of the resources, as one text."""
    snapshots = front.served.plane.hub.snapshots.values()
    every = (one for snapshot in snapshots for kind in KINDS for one in snapshot.resources[kind].values())
    return json.dumps([resource_view(one).model_dump() for one in every])
