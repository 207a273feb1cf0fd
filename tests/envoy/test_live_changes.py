"""A change reaches a real Envoy's traffic, alone: nothing else is sent, warmed or reset by it."""

from pathlib import Path
from typing import Any

import envoys
import pytest
import stages
import worlds
from stages import Json, Stage

pytestmark = pytest.mark.envoy
ALL = stages.VARIANTS | stages.SEPARATE
UPDATES = r"(update_success|config_reload)$"


@pytest.fixture(params=ALL)
def variant(request: pytest.FixtureRequest) -> Json:
    return ALL[request.param]


@pytest.fixture(params=stages.VARIANTS)
def ads(request: pytest.FixtureRequest) -> Json:
    return stages.VARIANTS[request.param]


async def test_one_tenants_change_is_one_route_configuration_and_nothing_else(tmp_path: Path) -> None:
    async with stages.stage(tmp_path, stages.DELTA) as stage:
        await stage.quiet()
        before, taken = stages.sent(stage.served), await stage.proxy.stats(UPDATES)
        size = bytes_sent(stage)
        for count in range(1, 6):
            await stage.change(stages.tagged("acme", f"v{count}"))
            await stage.until_tag("acme", f"v{count}")
            await stage.quiet()
            assert stages.since(stage.served, before) == {"RDS": count}
        moved = {name for name, value in (await stage.proxy.stats(UPDATES)).items() if value != taken[name]}
        assert moved == {"http.l0.rds.acme.update_success", "http.l0.rds.acme.config_reload"}
        assert bytes_sent(stage) - size < 5 * 2_000
        assert (await stage.get("beta")).headers["x-tag"] == "first"


def bytes_sent(stage: Stage) -> int:
    return int(stage.served.registry.get_sample_value("gatecast_xds_pushed_bytes_total", {"kind": "RDS"}) or 0)


async def test_in_sotw_a_change_sends_the_route_configurations_and_no_other_kind(tmp_path: Path) -> None:
    async with stages.stage(tmp_path, stages.SOTW) as stage:
        await stage.quiet()
        before = stages.sent(stage.served)
        await stage.change(stages.tagged("acme", "second"))
        await stage.until_tag("acme", "second")
        await stage.quiet()
        assert stages.since(stage.served, before) == {"RDS": 1}


async def test_documents_given_again_as_they_are_send_nothing(tmp_path: Path, ads: Json) -> None:
    async with stages.stage(tmp_path, ads) as stage:
        await stage.quiet()
        before = stages.sent(stage.served)
        await stage.change(*stages.basics(stage.port, stage.upstream))
        assert stages.quiet(stage.served)
        await stage.change(stages.tagged("beta", "second"))
        await stage.until_tag("beta", "second")
        await stage.quiet()
        assert stages.since(stage.served, before) == {"RDS": 1}


async def test_a_change_of_one_tenant_does_not_refill_the_bucket_of_another(tmp_path: Path, ads: Json) -> None:
    async with stages.stage(tmp_path, ads, stages.limited("beta", 3), stages.limited("gamma", 1000)) as stage:
        assert [(await stage.get("beta")).status_code for _ in range(4)] == [200, 200, 200, 429]
        left = int((await stage.get("gamma")).headers["x-ratelimit-remaining"])
        for count in range(5):
            await stage.change(stages.tagged("acme", f"v{count}"))
            await stage.until_tag("acme", f"v{count}")
            assert (await stage.get("beta")).status_code == 429
        await stage.change(worlds.tenant("delta"))
        await stage.until_status("delta", 200)
        await stage.change(drop=(("Tenant", "delta"),))
        await stage.until_status("delta", 404)
        assert (await stage.get("beta")).status_code == 429
        assert int((await stage.get("gamma")).headers["x-ratelimit-remaining"]) == left - 1


async def test_a_limit_is_in_force_when_the_change_has_arrived_and_a_new_one_starts_full(
    tmp_path: Path, ads: Json
) -> None:
    async with stages.stage(tmp_path, ads, stages.limited("acme", 1)) as stage:
        assert [(await stage.get("acme")).status_code for _ in range(2)] == [200, 429]
        await stage.change(stages.limited("acme", 100))
        await stage.until_status("acme", 200)
        assert (await stage.get("acme")).headers["x-ratelimit-limit"] == "100"


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({"connect_timeout": "7s"}, "connect_timeout", "7s"),
        ({"lb": "random"}, "lb_policy", "RANDOM"),
        ({"circuit_breaker": {"max_requests": 77}}, "circuit_breakers", {"thresholds": [{"max_requests": 77}]}),
    ],
)
async def test_a_change_of_a_cluster_does_not_warm_and_no_request_fails(
    tmp_path: Path, variant: Json, more: Json, field: str, value: Any
) -> None:
    """§0.1: without its endpoints an updated cluster waits 15 s; in delta Envoy does not even ask for them."""
    async with stages.stage(tmp_path, variant) as stage, stage.load(rate=200) as traffic:
        await traffic.more(5)
        await stage.change(stages.service("orders", stage.upstream.port, **more))
        await stage.proxy.until(lambda: _active(stage.proxy, field, value), f"the cluster with {more} to be active")
        await traffic.more(20)
        await stage.holds()
    assert traffic.failures == []


async def _active(proxy: envoys.Envoy, field: str, value: Any) -> bool:
    clusters = [one["cluster"] for one in await proxy.config_dump("dynamic_active_clusters")]
    (found,) = [one for one in clusters if one["name"] == "orders"]
    assert found.get(field) == value, found
    return True


async def test_a_cluster_that_changes_a_hundred_times_ends_as_the_last_document_says(tmp_path: Path, ads: Json) -> None:
    """F22; and at most one answer a kind is on the way, however fast the changes come."""
    async with stages.stage(tmp_path, ads) as stage, stage.load() as traffic:
        for count in range(1, 101):
            await stage.change(stages.service("orders", stage.upstream.port, connect_timeout=f"{count}s"))
        await stage.proxy.until(lambda: _active(stage.proxy, "connect_timeout", "100s"), "the last change")
        await stage.holds()
    assert traffic.failures == []
