"""Counts of each tenant at the proxy's own /stats/prometheus: requests by class of status, rejections by reason."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import edges
import pytest
import pytest_asyncio

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

ROW = re.compile(r'^envoy_gatecast_(\w+)\{gatecast_tenant="([^"]*)",gatecast_\w+="([^"]*)"\} (\d+)$')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[edges.Edge]:
    async with edges.edge(tmp_path_factory.mktemp("envoy")) as made:
        yield made


async def counted(edge: edges.Edge) -> Mapping[tuple[str, str, str], int]:
    """Every counter: (requests or rejections, tenant, class or reason)."""
    page = await edge.proxy.admin("/stats/prometheus?filter=gatecast")
    found = {}
    for line in page.splitlines():
        if line.startswith("#") or not line.startswith("envoy_gatecast"):
            continue
        row = ROW.match(line)
        assert row, line
        found[row[1], row[2], row[3]] = int(row[4])
    return found


async def test_requests_are_counted_by_tenant_and_class(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("busy"), edges.tenant("quiet"))
    before = await counted(edge)
    await edge.statuses("busy", times=3)
    await edge.statuses("busy", "/a?status=503", times=2)
    now = await counted(edge)
    assert now["requests", "busy", "2xx"] - before["requests", "busy", "2xx"] == 3
    assert now["requests", "busy", "5xx"] == 2
    assert now["requests", "quiet", "2xx"] == before["requests", "quiet", "2xx"]
    assert not any(name == "rejections" and tenant == "busy" for name, tenant, _why in now)


async def test_rejections_are_counted_by_reason(edge: edges.Edge) -> None:
    limited = edges.tenant("limited", rate_limit={"requests": 1, "per": "hour"})
    await edge.put(limited, edges.tenant("mixed", {"b": {"policies": {"maintenance": {}}}}))
    await edge.statuses("limited", times=4)
    await edge.statuses("mixed", "/b", times=2)
    await edge.statuses("mixed", "/none")
    found = await counted(edge)
    assert {why: found[key] for key in found if key[:2] == ("rejections", "limited") for why in key[2:]} == {
        "rate_limited": 3
    }
    assert {why: found[key] for key in found if key[:2] == ("rejections", "mixed") for why in key[2:]} == {
        "maintenance": 2,
        "not_found": 1,
    }


async def test_made_up_tenants_share_one_counter(edge: edges.Edge) -> None:
    await edge.statuses("nobody-0")
    before = await counted(edge)
    for number in range(50):
        await edge.statuses(f"nobody-{number}", f"/a/{number}")
    now = await counted(edge)
    assert now.keys() == before.keys()
    assert now["rejections", "-", "unknown_tenant"] - before["rejections", "-", "unknown_tenant"] == 50


async def test_counts_go_on_when_the_listener_changes(tmp_path: Path) -> None:
    async with edges.edge(tmp_path) as edge:
        await edge.put(edges.tenant("acme"))
        await edge.statuses("acme", times=2)
        before = await counted(edge)
        taken = await edge.proxy.stats("listener_manager.lds.update_success")
        await edge.put(edges.gateway(edge.port, more={"access_log": {"query": True}}))

        async def updated() -> bool:
            return await edge.proxy.stats("listener_manager.lds.update_success") != taken

        await edge.until(updated, "the new listener")
        assert (await edge.ask("acme")).status_code == 200
        now = await counted(edge)
        assert now["requests", "acme", "2xx"] > before["requests", "acme", "2xx"]


async def test_a_gateway_may_count_no_tenants(tmp_path: Path) -> None:
    async with edges.edge(tmp_path, more={"tenant_stats": False}) as edge:
        await edge.put(edges.tenant("acme"))
        await edge.statuses("acme", times=2)
        assert await counted(edge) == {}
