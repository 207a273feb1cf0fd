"""Several clients on one server: two real Envoys of both variants, one client that stops reading; and a server that
ends in the middle of a push.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import adsclients
import envoys
import httpx
import planes
import pytest
import stages
import upstreams
import worlds
from stages import Json, Stage

from protos import discovery_pb2
from xds.bootstrap import bootstrap

pytestmark = pytest.mark.envoy
MANY = 2000


@pytest.fixture(params=stages.VARIANTS)
def ads(request: pytest.FixtureRequest) -> Json:
    return stages.VARIANTS[request.param]


async def test_two_envoys_of_both_variants_follow_one_server(tmp_path: Path) -> None:
    """They share a machine, so each has a gateway and with it ports of its own; tenants and services are shared."""
    port = envoys.free_port()
    other = worlds.gateway(
        id="inner", listeners=[{"name": "l0", "address": "127.0.0.1", "port": port}], allow_local_endpoints=True
    )
    async with stages.stage(tmp_path, stages.DELTA, other) as stage:
        file = bootstrap("inner", "envoy-2", ("127.0.0.1", stage.served.port), sotw=True)
        async with envoys.envoy(file, tmp_path / "second") as second:
            await second.ready()
            for count in range(5):
                await stage.change(stages.tagged("acme", f"v{count}"), worlds.tenant(f"t{count}"))
                await stage.until_tag("acme", f"v{count}")
                await stage.until_status(f"t{count}", 200, port=port)
                await stage.until_status(f"t{count}", 200)
            assert (await stage.get("acme", port=port)).headers["x-tag"] == "v4"
            await stage.change(drop=(("Tenant", "t0"),))
            await stage.until_status("t0", 404)
            await stage.until_status("t0", 404, port=port)
            await stage.holds()
            await stages.none(second, stages.STALLS)
            await stages.none(second, stages.REFUSALS)
            variants = {client.node.id: client.variant for client in stage.served.plane.hub.clients.values()}
            assert variants == {"envoy-1": "delta", "envoy-2": "sotw"}


async def test_a_client_that_stops_reading_keeps_nothing_from_a_real_envoy(
    tmp_path: Path, ads: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20, F33: one answer is on the way to it, however many changes come."""
    fixed = ("grpc.http2.bdp_probe", 0)  # else gRPC reads megabytes ahead of a client that does not
    monkeypatch.setattr(adsclients, "OPTIONS", (*adsclients.OPTIONS, fixed))
    many = [worlds.tenant(f"t{n}") for n in range(MANY)]
    async with (
        stages.stage(tmp_path, ads, *many) as stage,
        _deaf(f"127.0.0.1:{stage.served.port}") as asked,
        stage.load() as traffic,
    ):
        await asked()
        deaf = await stage.proxy.until(lambda: _client(stage, "deaf"), "the other client")
        await stage.proxy.until(lambda: deaf.machine.interests["RDS"].sent, "a response to it to be on the way")
        for count in range(30):
            await stage.change(stages.tagged("acme", f"v{count}"), stages.tagged(f"t{count}", "new"))
            await stage.until_tag("acme", f"v{count}")
        assert deaf.of("RDS").pushes == 1
        assert deaf.wake.is_set(), "its writer has come back: the response was read after all"
        assert deaf.machine.interests["RDS"].wanted <= {"acme", *(f"t{n}" for n in range(30))}
        await stages.none(stage.proxy, stages.REFUSALS)
    assert traffic.failures == []


def _client(stage: Stage, node: str) -> Any:
    return next((one for one in stage.served.plane.hub.clients.values() if one.node.id == node), None)


@asynccontextmanager
async def _deaf(target: str) -> AsyncIterator[Any]:
    """A client that asks for every route table and never reads."""
    async with adsclients.delta(target, discovery_pb2.Node(id="deaf", cluster="edge")) as raw:

        async def ask() -> None:
            await raw.ask(adsclients.RDS, resource_names_subscribe=["*"])

        yield ask


async def test_a_server_that_ends_in_a_large_push_breaks_nothing_and_the_next_one_finishes_it(
    tmp_path: Path, ads: Json
) -> None:
    """As at SIGTERM: the push of every table has begun when the server is told to stop."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(upstreams.Upstream("orders"))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        xds, port = envoys.free_port(), envoys.free_port()
        documents = (*stages.basics(port, upstream), *(worlds.tenant(f"t{n}") for n in range(MANY)))
        changed = stages.gateway(port, policies={"timeout": {"request": "9s"}, "correlation_id": {}})
        file = bootstrap("edge", "envoy-1", ("127.0.0.1", xds), **ads)
        async with planes.plane(stages.text(*documents), port=xds) as served:
            proxy = await stack.enter_async_context(envoys.envoy(file, tmp_path / "envoy"))
            await proxy.ready(within=20)
            first = Stage(served, proxy, port, upstream, http)
            await first.until_status(f"t{MANY - 1}", 200)
            await first.quiet()
            traffic = await stack.enter_async_context(first.load())
            before = served.sent("RDS")
            push = asyncio.create_task(first.change(changed))
            await proxy.until(lambda: served.sent("RDS") > before, "the push to begin")
            await served.server.stop(grace=2.0)
            await push
            assert not served.plane.hub.clients
        await traffic.more(20)
        async with planes.plane(stages.text(changed, *documents[1:]), port=xds) as served:
            second = Stage(served, proxy, port, upstream, http)
            for name in ("acme", "t0", f"t{MANY - 1}"):
                await proxy.until(
                    lambda name=name: _correlated(second, name), f"{name} as the documents say", within=20
                )  # type: ignore[misc]
            await second.change(stages.tagged("acme", "after"))
            await second.until_tag("acme", "after")
            await stages.none(proxy, stages.REFUSALS)
        await stack.aclose()
        assert traffic.failures == []


async def _correlated(stage: Stage, tenant: str) -> bool:
    return "x-correlation-id" in (await stage.get(tenant)).headers


async def test_an_envoy_that_starts_while_the_server_ends_is_ready_with_the_next_one(tmp_path: Path, ads: Json) -> None:
    """F10: its very first push is cut."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(upstreams.Upstream("orders"))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        xds, port = envoys.free_port(), envoys.free_port()
        documents = stages.text(*stages.basics(port, upstream), *(worlds.tenant(f"t{n}") for n in range(MANY)))
        file = bootstrap("edge", "envoy-1", ("127.0.0.1", xds), **ads)
        async with planes.plane(documents, port=xds) as served:
            proxy = await stack.enter_async_context(envoys.envoy(file, tmp_path / "envoy"))
            await proxy.until(lambda: stages.sent(served), "the first response")
            await served.server.stop(grace=2.0)
        async with planes.plane(documents, port=xds) as served:
            await proxy.ready(within=20)
            stage = Stage(served, proxy, port, upstream, http)
            await stage.until_status(f"t{MANY - 1}", 200)
            await stage.holds()
