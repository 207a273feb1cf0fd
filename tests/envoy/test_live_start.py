"""A real Envoy starts: with the control plane, before it, without a tenant, with a first request of 61 KB."""

from pathlib import Path
from typing import Any

import envoys
import httpx
import planes
import pytest
import stages
import upstreams
import worlds
from stages import Json

from protos import discovery_pb2
from xds import wire
from xds.bootstrap import bootstrap

pytestmark = pytest.mark.envoy
ALL = stages.VARIANTS | stages.SEPARATE


@pytest.fixture(params=ALL)
def variant(request: pytest.FixtureRequest) -> Json:
    return ALL[request.param]


@pytest.fixture(params=stages.VARIANTS)
def ads(request: pytest.FixtureRequest) -> Json:
    return stages.VARIANTS[request.param]


async def test_a_cold_start_serves_every_tenant_and_nothing_is_refused(tmp_path: Path, variant: Json) -> None:
    async with stages.stage(tmp_path, variant) as stage:
        assert (await stage.get("acme")).json()["name"] == "orders"
        assert (await stage.get("beta")).status_code == 200
        assert (await stage.get("nobody")).status_code == 404
        await stage.holds()
        expected = 3 if "separate" in variant else 1
        assert len(stage.served.plane.hub.clients) == expected


async def test_one_cold_start_takes_one_response_of_each_kind(tmp_path: Path, ads: Json) -> None:
    async with stages.stage(tmp_path, ads) as stage:
        await stage.quiet()
        assert stages.sent(stage.served) == {"CDS": 1, "EDS": 1, "LDS": 1, "SRDS": 1, "RDS": 1}


async def test_an_envoy_that_starts_before_the_control_plane_gets_its_config_when_that_comes(
    tmp_path: Path, variant: Json
) -> None:
    port, xds = envoys.free_port(), envoys.free_port()
    file = bootstrap("edge", "early", ("127.0.0.1", xds), **variant)
    async with (
        upstreams.Upstream("orders") as upstream,
        httpx.AsyncClient(trust_env=False) as http,
        envoys.envoy(file, tmp_path / "envoy") as proxy,
    ):
        await proxy.until(lambda: _tried(proxy), "Envoy to have tried in vain")
        async with planes.plane(stages.text(*stages.basics(port, upstream)), port=xds) as served:
            await proxy.ready()
            stage = stages.Stage(served, proxy, port, upstream, http)
            assert (await stage.get("acme")).status_code == 200
            await stage.holds()


async def _tried(proxy: envoys.Envoy) -> bool:
    return any((await proxy.stats(r"cluster\.gatecast_xds\.upstream_cx_connect_fail$")).values())


async def test_a_gateway_without_tenants_is_ready_at_once_and_takes_its_first_tenant(
    tmp_path: Path, variant: Json
) -> None:
    """R39, R52: Envoy waits 15 s for a kind that is not answered."""
    port = envoys.free_port()
    async with upstreams.Upstream("orders") as upstream, httpx.AsyncClient(trust_env=False) as http:
        documents = stages.gateway(port), stages.service("orders", upstream.port), worlds.route("orders")
        async with planes.plane(stages.text(*documents)) as served:
            file = bootstrap("edge", "empty", ("127.0.0.1", served.port), **variant)
            async with envoys.envoy(file, tmp_path / "e") as proxy:
                await proxy.ready()
                await stages.none(proxy, stages.STALLS)
                stage = stages.Stage(served, proxy, port, upstream, http)
                await stage.until_status("acme", 404)
                await stage.change(worlds.tenant("acme"))
                await stage.until_status("acme", 200)
                await stage.change(drop=(("Tenant", "acme"),))
                await stage.until_status("acme", 404)
                await stage.holds()


async def test_a_first_request_of_61_kb_and_a_node_in_every_request_are_taken(
    tmp_path: Path, ads: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1, R53: so it is without `set_node_on_first_message_only`."""
    heard: list[bytes] = []
    name, kind = ("sotw_request", "DiscoveryRequest") if ads else ("delta_request", "DeltaDiscoveryRequest")
    real = getattr(wire, name)

    def listen(data: bytes, implied: str = "") -> Any:
        heard.append(data)
        return real(data, implied)

    monkeypatch.setattr(wire, name, listen)
    port = envoys.free_port()
    async with (
        upstreams.Upstream("orders") as upstream,
        httpx.AsyncClient(trust_env=False) as http,
        planes.plane(stages.text(*stages.basics(port, upstream))) as served,
    ):
        file = served.bootstrap(**ads)
        del file["dynamic_resources"]["ads_config"]["set_node_on_first_message_only"]
        async with envoys.envoy(file, tmp_path / "envoy") as proxy:
            await proxy.ready()
            stage = stages.Stage(served, proxy, port, upstream, http)
            await stage.change(stages.tagged("acme", "second"))
            await stage.until_tag("acme", "second")
            await stage.holds()
    requests = [getattr(discovery_pb2, kind).FromString(data) for data in heard]
    assert len(heard[0]) > 50_000
    assert len(requests) > 10
    assert {request.node.id for request in requests} == {"envoy-1"}
