"""The tools of the Envoy tests are true: Envoy starts, is looked into, ends; upstream and load tell what happened."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import envoys
import httpx
import pytest
import upstreams

from tenants.errors import Refused
from xds.bootstrap import bootstrap

pytestmark = pytest.mark.envoy

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def static(port: int, upstream: int) -> dict[str, Any]:
    """A bootstrap of one listener that passes all requests to one upstream; below /slow it waits 0.1 s for it."""
    retry = {"retry_on": "5xx,reset", "num_retries": 1}
    slow = {"match": {"prefix": "/slow"}, "route": {"cluster": "up", "timeout": "0.1s"}}
    other = {"match": {"prefix": "/"}, "route": {"cluster": "up", "retry_policy": retry}}
    manager = {
        "@type": f"type.googleapis.com/{MANAGER}",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [slow, other]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"type.googleapis.com/{ROUTER}"}}],
    }
    filters = [{"name": "http", "typed_config": manager}]
    hosts = [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]
    cluster = {"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": hosts}}
    listener = {"name": "in", "address": address(port), "filter_chains": [{"filters": filters}]}
    return {"admin": {"address": address(0)}, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


@pytest.fixture
async def orders() -> AsyncIterator[upstreams.Upstream]:
    async with upstreams.Upstream("orders") as upstream:
        yield upstream


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


async def test_a_request_goes_through_envoy_to_the_upstream(
    orders: upstreams.Upstream, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    port = envoys.free_port()
    async with envoys.envoy(static(port, orders.port), tmp_path) as proxy:
        await proxy.ready()
        assert await proxy.listener_port("in") == port
        said = (await client.post(f"http://127.0.0.1:{port}/a?b=c", headers={"X-Tenant": "t"}, content=b"12345")).json()
        assert (said["name"], said["method"], said["path"], said["length"]) == ("orders", "POST", "/a?b=c", 5)
        assert said["headers"]["x-tenant"] == "t"
        assert await proxy.stats(r"^http\.http\.downstream_rq_2xx$") == {"http.http.downstream_rq_2xx": 1}
        (cluster,) = await proxy.config_dump("static_clusters", name="up")
        assert cluster["cluster"]["name"] == "up"
        assert await proxy.config_dump("dynamic_active_clusters") == []
        assert "up::" in await proxy.admin("/clusters")


async def test_a_body_of_unknown_length_reaches_the_upstream(orders: upstreams.Upstream, tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a" * 1_000
        yield b"b" * 70_000

    async with envoys.envoy(static(0, orders.port), tmp_path) as proxy, httpx.AsyncClient(trust_env=False) as client:
        port = await proxy.listener_port("in")
        said = (await client.post(f"http://127.0.0.1:{port}/", content=pieces())).json()
    assert said["length"] == 71_000
    assert orders.requests[-1].headers["transfer-encoding"] == "chunked"


async def test_an_upstream_answers_as_it_is_told(orders: upstreams.Upstream, client: httpx.AsyncClient) -> None:
    url = f"http://127.0.0.1:{orders.port}"
    orders.answer_headers = {"x-secret": "s"}
    first = await client.get(f"{url}/x?status=418")
    assert (first.status_code, first.headers["x-secret"]) == (418, "s")
    orders.status = 500
    orders.script.extend((503, upstreams.DROP))
    assert (await client.get(url)).status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(url)
    assert (await client.get(url)).status_code == 500
    assert (await client.head(url)).status_code == 500
    assert (orders.count, len(orders.requests)) == (5, 5)
    assert (await client.get(f"{url}/healthz")).status_code == 200
    orders.healthy = False
    assert (await client.get(f"{url}/healthz")).status_code == 503
    assert (orders.count, orders.health_checks) == (5, 2)


async def test_retries_and_timeouts_are_seen_from_both_sides(
    orders: upstreams.Upstream, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    async with envoys.envoy(static(0, orders.port), tmp_path) as proxy:
        url = f"http://127.0.0.1:{await proxy.listener_port('in')}"
        orders.script.extend((503, 200, upstreams.DROP, 200))
        assert (await client.get(url)).status_code == 200
        assert (await client.get(url)).status_code == 200
        assert orders.count == 4
        assert (await client.get(f"{url}/slow?delay=30")).status_code == 504


async def test_a_stopped_upstream_comes_back_on_its_port(orders: upstreams.Upstream, client: httpx.AsyncClient) -> None:
    url = f"http://127.0.0.1:{orders.port}"
    assert (await client.get(url)).status_code == 200
    await orders.stop()
    with pytest.raises(httpx.TransportError):
        await client.get(url)
    await orders.start()
    assert (await client.get(url)).status_code == 200


async def test_a_load_through_envoy_has_no_failures(orders: upstreams.Upstream, tmp_path: Path) -> None:
    async with envoys.envoy(static(0, orders.port), tmp_path) as proxy:
        url = f"http://127.0.0.1:{await proxy.listener_port('in')}"
        async with upstreams.load(url, rate=200, connections=4, headers={"x-tenant": "t"}) as traffic:
            await traffic.more(40)
    assert traffic.failures == []
    assert traffic.statuses == {200: traffic.done} == {200: orders.count}
    assert orders.requests[0].headers["x-tenant"] == "t"


async def test_a_load_records_every_failure_and_goes_on(orders: upstreams.Upstream) -> None:
    orders.script.extend((200, 503, upstreams.DROP))
    async with upstreams.load(f"http://127.0.0.1:{orders.port}", rate=200, connections=1) as traffic:
        await traffic.more(10)
    status, broken = traffic.failures
    assert status.what.startswith("503 ")
    assert "RemoteProtocolError" in broken.what
    assert 0 <= status.at <= broken.at
    assert traffic.statuses[200] == traffic.done - 2


async def test_a_load_keeps_its_connections(orders: upstreams.Upstream) -> None:
    async with upstreams.load(f"http://127.0.0.1:{orders.port}", rate=200, connections=2) as traffic:
        await traffic.more(20)
    assert orders.connections == 2


async def test_an_envoy_ends_with_its_block(tmp_path: Path) -> None:
    async with envoys.envoy(bootstrap("edge", "edge-1", ("127.0.0.1", 1)), tmp_path) as proxy:
        os.kill(proxy.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(proxy.pid, 0)


async def test_two_envoys_live_side_by_side(tmp_path: Path) -> None:
    config = bootstrap("edge", "edge-1", ("127.0.0.1", 1))
    async with envoys.envoy(config, tmp_path / "one") as one, envoys.envoy(config, tmp_path / "two") as two:
        assert one.admin_url != two.admin_url
        assert one.pid != two.pid


async def test_a_bootstrap_that_envoy_refuses_is_told_with_its_log(tmp_path: Path) -> None:
    config = bootstrap("edge", "edge-1", ("127.0.0.1", 1))
    del config["static_resources"]
    with pytest.raises(Refused, match=r"(?s)Envoy ended with .*gatecast_xds"):
        async with envoys.envoy(config, tmp_path):
            pass


async def test_a_wait_in_vain_tells_the_last_answer_the_statistics_and_the_log(tmp_path: Path) -> None:
    async with envoys.envoy(bootstrap("edge", "edge-1", ("127.0.0.1", 1)), tmp_path) as proxy:
        with pytest.raises(TimeoutError) as failure:
            await proxy.until(lambda: 0, "three pushes", within=0.05, stats="uptime|concurrency")
    for part in ("three pushes: not within 0.05 s; the last check said 0", "server.concurrency: 1", "envoy.log:"):
        assert part in str(failure.value)


async def test_an_envoy_that_died_is_told_so(tmp_path: Path) -> None:
    async with envoys.envoy(bootstrap("edge", "edge-1", ("127.0.0.1", 1)), tmp_path) as proxy:
        proxy.process.kill()
        await proxy.process.wait()
        with pytest.raises(TimeoutError, match=r"ConnectError.*\nEnvoy ended with -9"):
            await proxy.ready(within=0.05)


async def test_a_wait_takes_a_plain_or_async_check_and_a_failed_assertion_as_not_yet() -> None:
    calls: list[int] = []

    def third() -> int:
        calls.append(1)
        assert len(calls) >= 3
        return len(calls)

    async def at_once() -> str:
        return "yes"

    assert await envoys.until(third, "a third call") == 3
    assert await envoys.until(at_once, "an answer") == "yes"


async def test_a_check_that_hangs_does_not_hold_up_the_wait() -> None:
    with pytest.raises(TimeoutError, match="the check never ended"):
        await envoys.until(asyncio.Event().wait, "an event", within=0.05)


def test_a_free_port_is_given_once_and_is_free() -> None:
    ports = [envoys.free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        monkeypatch.setattr(envoys, "PORTS", range(port, port + 1))
        with pytest.raises(StopIteration):
            envoys.free_port()
