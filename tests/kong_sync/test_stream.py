"""The whole way: documents, control plane, stream, and the values a sidecar has of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import kong_worlds
import planes

from kong_sync.model import DECODERS, TYPE_URLS, World
from kong_sync.translate import translate
from xds.client import Client, Node, Update, plain
from xds.waiting import until

KINDS = {url: name for name, url in TYPE_URLS.items()}
TENANTS = """
kind: Tenant
id: acme
policies: {rate_limit: {requests: 5, per: minute}}
---
kind: Tenant
id: beta
"""


class Sidecar:
    """It keeps a world, and what came in which order."""

    def __init__(self) -> None:
        self.world = World()
        self.came: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []

    async def __call__(self, update: Update) -> str | None:
        kind = KINDS[update.type_url]
        self.came.append((kind, tuple(one.name for one in update.resources), update.removed))
        decoded = {one.name: DECODERS[kind](one.body) for one in update.resources}
        changes = decoded | dict.fromkeys(update.removed)
        if kind == "TENANTS":
            self.world = self.world.with_tenants(changes)  # type: ignore[arg-type]
        else:
            for name, value in changes.items():
                self.world = self.world.with_shared(name, value)  # type: ignore[arg-type]
        return None


@asynccontextmanager
async def following(served: planes.Served) -> AsyncIterator[Sidecar]:
    sidecar = Sidecar()
    client = Client(partial(plain, f"127.0.0.1:{served.port}"), Node("kong-1", "edge", "gatecast 0.1"), sidecar)
    for url in TYPE_URLS.values():
        client.subscribe(url)
    task = asyncio.create_task(client.run())
    try:
        yield sidecar
    finally:
        client.stop()
        await asyncio.wait_for(task, 10)


async def test_a_sidecar_is_told_what_tenants_share_and_then_the_tenants() -> None:
    async with planes.plane(kong_worlds.GATEWAY + "---" + TENANTS) as served, following(served) as sidecar:
        await until(lambda: len(sidecar.world.tenants) == 2, "both tenants")
        assert [kind for kind, _names, _gone in sidecar.came] == ["SHARED", "TENANTS"]
        assert sorted(sidecar.world.routes) == ["orders"]
        before = len(sidecar.came)
        await served.apply(TENANTS.replace("5", "6"))
        await until(lambda: len(sidecar.came) > before, "the change")
        assert sidecar.came[before:] == [("TENANTS", ("acme",), ())]
        await served.drop(("Tenant", "beta"))
        await until(lambda: "beta" not in sidecar.world.tenants, "the removal")
        assert sidecar.came[before + 1 :] == [("TENANTS", (), ("beta",))]


async def test_a_new_service_is_there_before_the_tenant_that_needs_it_and_an_old_one_goes_after() -> None:
    second = "kind: Service\nid: second\nendpoints: ['10.0.0.2:80']\n---\n"
    moved = "kind: Tenant\nid: beta\nroutes: {orders: {service: second}}\n---\n"
    async with planes.plane(kong_worlds.GATEWAY + "---" + TENANTS) as served, following(served) as sidecar:
        await until(lambda: len(sidecar.world.tenants) == 2, "both tenants")
        sidecar.came.clear()
        await served.apply(second + TENANTS.replace("kind: Tenant\nid: beta\n", moved))
        await until(lambda: any(kind == "TENANTS" for kind, *_ in sidecar.came), "the tenant")
        assert sidecar.came == [("SHARED", ("Service/second",), ()), ("TENANTS", ("beta",), ())]
        services = {one["name"] for key, one in translate(sidecar.world).entities.items() if key[0] == "services"}
        assert len(services) == 2
        sidecar.came.clear()
        await served.apply(TENANTS)
        await served.drop(("Service", "second"))
        await until(lambda: "second" not in sidecar.world.services, "the removal", within=5)
        assert sidecar.came == [("TENANTS", ("beta",), ()), ("SHARED", (), ("Service/second",))]


async def test_without_a_kong_there_is_nothing_to_tell() -> None:
    gateway = kong_worlds.GATEWAY.replace("kong: true\n", "")
    async with planes.plane(gateway + "---" + TENANTS) as served, following(served) as sidecar:
        await until(lambda: len(sidecar.came) == 2, "both answers")
        assert sorted(sidecar.came) == [("SHARED", (), ()), ("TENANTS", (), ())]
