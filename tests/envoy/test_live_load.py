"""Tenants, services, endpoints and listeners come, change and go under steady load, and no request fails."""

from pathlib import Path

import envoys
import pytest
import stages
import upstreams
import worlds
from stages import Json

pytestmark = pytest.mark.envoy
ALL = stages.VARIANTS | stages.SEPARATE


@pytest.fixture(params=stages.VARIANTS)
def ads(request: pytest.FixtureRequest) -> Json:
    return stages.VARIANTS[request.param]


@pytest.fixture(params=ALL)
def variant(request: pytest.FixtureRequest) -> Json:
    return ALL[request.param]


async def test_tenants_come_change_and_go(tmp_path: Path, variant: Json) -> None:
    async with (
        stages.stage(tmp_path, variant) as stage,
        stage.load("acme") as steady,
        stage.load("gamma", allowed={200, 404}) as passing,
    ):
        for value in ("one", "two"):
            await stage.change(stages.tagged("gamma", value), *(worlds.tenant(f"t{n}") for n in range(20)))
            await stage.until_tag("gamma", value)
            await passing.more(5)
            await stage.change(stages.tagged("acme", value))
            await stage.until_tag("acme", value)
            await stage.change(drop=(("Tenant", "gamma"), *(("Tenant", f"t{n}") for n in range(20))))
            await stage.until_status("gamma", 404)
            await passing.more(5)
        await steady.more(20)
        await stage.holds()
    assert (steady.failures, passing.failures) == ([], [])
    assert set(passing.statuses) == {200, 404}


async def test_a_tenant_is_there_from_its_first_answer_on(tmp_path: Path, ads: Json) -> None:
    """Once a tenant was answered, no later request of it may find it missing or half there."""
    async with stages.stage(tmp_path, ads) as stage:
        for count in range(10):
            name = f"new{count}"
            await stage.change(worlds.tenant(name))
            await stage.until_status(name, 200)
            async with stage.load(name, rate=400) as traffic:
                await stage.change(stages.tagged(name, "later"))
                await traffic.more(10)
            assert traffic.failures == []


async def test_a_route_moves_to_another_service_and_the_first_is_deleted_in_the_same_change_f24(
    tmp_path: Path, ads: Json
) -> None:
    async with (
        stages.stage(tmp_path, ads) as stage,
        upstreams.Upstream("next") as following,
        stage.load(rate=300) as traffic,
    ):
        orders = stages.service("orders", stage.upstream.port)
        other = stages.service("next", following.port)
        for _ in range(4):
            await stage.change(other, worlds.route("orders", service="next"), drop=(("Service", "orders"),))
            await stage.until_from("acme", "next")
            await stage.change(orders, worlds.route("orders", service="orders"), drop=(("Service", "next"),))
            await stage.until_from("acme", "orders")
        await stage.proxy.until(lambda: _clusters(stage.proxy, {"orders"}), "the deleted cluster to be gone")
        await stage.holds()
    assert traffic.failures == []


async def _clusters(proxy: envoys.Envoy, names: set[str]) -> bool:
    found = {one["cluster"]["name"] for one in await proxy.config_dump("dynamic_active_clusters")}
    assert found == names
    return True


async def test_endpoints_come_and_go_and_only_endpoints_are_sent(tmp_path: Path, variant: Json) -> None:
    async with (
        stages.stage(tmp_path, variant) as stage,
        upstreams.Upstream("second") as second,
        stage.load(rate=200) as traffic,
    ):
        await stage.quiet()
        before = stages.sent(stage.served)
        for _ in range(3):
            await stage.change(stages.service("orders", stage.upstream.port, second.port))
            await stage.until_from("acme", "second")
            await stage.change(stages.service("orders", second.port))
            await stage.proxy.until(lambda: _hosts(stage.proxy, {second.port}), "one endpoint")
            await stage.change(stages.service("orders", stage.upstream.port))
            await stage.until_from("acme", "orders")
        await stage.holds()
        assert stages.since(stage.served, before) == {"EDS": 9}
    assert traffic.failures == []


async def _hosts(proxy: envoys.Envoy, ports: set[int]) -> bool:
    rows = (await proxy.admin_json("/clusters?format=json"))["cluster_statuses"]
    (orders,) = [row for row in rows if row["name"] == "orders"]
    found = {host["address"]["socket_address"]["port_value"] for host in orders.get("host_statuses", [])}
    assert found == ports
    return True


async def test_a_tenants_own_circuit_breaker_gives_it_a_cluster_and_takes_it_away(tmp_path: Path, ads: Json) -> None:
    async with stages.stage(tmp_path, ads) as stage, stage.load(rate=200) as traffic, stage.load("beta") as other:
        for limit in (10, 20):
            own = worlds.tenant("acme", policies={"circuit_breaker": {"max_requests": limit}})
            await stage.change(own)
            await stage.proxy.until(lambda: _clusters(stage.proxy, {"orders", "orders@acme"}), "a cluster of its own")
            await traffic.more(20)
        await stage.change(worlds.tenant("acme"))
        await stage.proxy.until(lambda: _clusters(stage.proxy, {"orders"}), "the own cluster to be gone")
        await stage.holds()
    assert (traffic.failures, other.failures) == ([], [])


async def test_listeners_come_and_go_and_the_first_never_notices(tmp_path: Path, variant: Json) -> None:
    second = envoys.free_port()
    async with stages.stage(tmp_path, variant) as stage, stage.load(rate=200) as traffic:
        for _ in range(3):
            await stage.change(stages.gateway(stage.port, second))
            await stage.until_status("acme", 200, port=second)
            await stage.change(stages.gateway(stage.port))
            await stage.proxy.until(lambda: _listeners(stage.proxy, {"l0"}), "the second listener to be gone")
        await traffic.more(20)
        await stage.holds()
    assert traffic.failures == []


async def _listeners(proxy: envoys.Envoy, names: set[str]) -> bool:
    found = (await proxy.admin_json("/listeners?format=json")).get("listener_statuses", [])
    assert {one["name"] for one in found} == names
    return True


async def test_a_request_under_way_ends_well_though_its_listener_goes(tmp_path: Path, variant: Json) -> None:
    second = envoys.free_port()
    async with stages.stage(tmp_path, variant) as stage:
        await stage.change(stages.gateway(stage.port, second))
        await stage.until_status("acme", 200, port=second)
        url = f"http://127.0.0.1:{second}/orders"
        stage.upstream.go.clear()
        async with upstreams.load(url, headers={stages.HEADER: "acme"}, connections=1, rate=1) as slow:
            seen = stage.upstream.count
            await stage.proxy.until(lambda: stage.upstream.count > seen, "the slow request to be under way")
            await stage.change(stages.gateway(stage.port))
            await stage.proxy.until(lambda: _listeners(stage.proxy, {"l0"}), "the second listener to be gone")
            assert slow.done == 0
            stage.upstream.go.set()
            await slow.more(1)
    assert slow.failures == []


async def test_a_listener_that_changes_drains_its_connections_and_no_request_fails(
    tmp_path: Path, variant: Json
) -> None:
    """Another tenant header is another connection manager: the old connections are told to close, not cut."""
    other = "x-customer"
    drain = ("--drain-strategy", "immediate", "--drain-time-s", "60")
    async with stages.stage(tmp_path, variant, arguments=drain) as stage:
        url, both = f"http://127.0.0.1:{stage.port}/orders", {stages.HEADER: "acme", other: "acme"}
        async with upstreams.load(url, headers=both, rate=300) as traffic:
            for name in (other, stages.HEADER, other):
                await traffic.more(20)
                await stage.change(stages.gateway(stage.port, tenant={"from": "header", "name": name}))
                await stage.proxy.until(lambda name=name: _answers(stage, name), f"tenants to come by {name}")  # type: ignore[misc]
            await traffic.more(20)
            await stage.holds()
        assert traffic.failures == []


async def _answers(stage: stages.Stage, header: str) -> bool:
    """By a connection of its own: an old one keeps its old connection manager."""
    async with stages.httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{stage.port}/orders", headers={header: "acme"})
    return answer.status_code == 200


async def test_everything_changes_at_once(tmp_path: Path, ads: Json) -> None:
    """A listener, a service, a route and all tenants in one change, back and forth."""
    second = envoys.free_port()
    async with (
        stages.stage(tmp_path, ads) as stage,
        upstreams.Upstream("next") as following,
        stage.load(rate=200) as traffic,
    ):
        first = stages.basics(stage.port, stage.upstream)
        changed = (
            stages.gateway(stage.port, second, policies={"retry": {"attempts": 1}}),
            stages.service("next", following.port),
            worlds.route("orders", service="next"),
            *(stages.tagged(name, "changed") for name in ("acme", "beta", "gamma")),
        )
        for _ in range(3):
            await stage.change(*changed, drop=(("Service", "orders"),))
            await stage.until_from("acme", "next")
            await stage.until_status("gamma", 200, port=second)
            await stage.change(*first, drop=(("Service", "next"), ("Tenant", "gamma")))
            await stage.until_from("acme", "orders")
            await stage.until_status("gamma", 404)
        await stage.holds()
    assert traffic.failures == []
