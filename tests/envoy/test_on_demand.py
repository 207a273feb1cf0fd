"""`on_demand`: a proxy fetches a tenant's table with its first request, which no policy lets pass unseen."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import edges
import envoys
import httpx
import idps
import planes
import pytest
import pytest_asyncio
import tokens

from xds.translate.on_demand import PATIENCE

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MORE = {"on_demand": True}
LIMIT = {"requests": 1, "per": "hour"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp("ES256") as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["header", "host", "claim"])
async def edge(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, idp: idps.Idp
) -> AsyncIterator[edges.Edge]:
    folder: Path = tmp_path_factory.mktemp("envoy")
    policies = {"jwt": tokens.policy(idp)} if request.param == "claim" else {}
    async with edges.edge(folder, request.param, more=MORE, **policies) as made:
        made.token = lambda tenant: idp.token(tenant=tenant)
        if policies:
            await tokens.known(made, idp)
        yield made


async def known(edge: edges.Edge, *documents: edges.Json) -> None:
    """Bring these tenants into force; comes back when the proxy knows of them, before any request."""
    await edge.served.apply(edges.text(documents))
    names = [one["hosts"][0] if edge.by == "host" else one["id"] for one in documents]

    async def there() -> bool:
        scopes = json.dumps(await edge.proxy.config_dump("dynamic_scoped_route_configs"))
        return all(json.dumps(name) in scopes for name in names)

    await edge.until(there, f"the scopes of {names}")


async def tables(edge: edges.Edge) -> set[str]:
    """The tenants whose tables the proxy has."""
    found = await edge.proxy.config_dump("dynamic_route_configs")
    return {one["route_config"]["name"] for one in found if "route_config" in one}


async def test_a_table_comes_with_the_first_request_of_its_tenant(edge: edges.Edge) -> None:
    await known(edge, edges.tenant("first"), edges.tenant("idle"))
    assert not {"first", "idle"} & await tables(edge)
    before = edge.served.sent("RDS")
    assert await edge.statuses("first", times=3) == [200] * 3
    assert edge.served.sent("RDS") == before + 1
    assert "first" in await tables(edge)
    assert "idle" not in await tables(edge)


async def test_a_first_request_is_one_request_in_the_log_and_in_the_counts(edge: edges.Edge) -> None:
    await known(edge, edges.tenant("once"))
    answers = [await edge.ask("once"), await edge.ask("once", method="POST", content=b"x")]
    ids = [one.headers["x-request-id"] for one in answers]
    await edge.until(lambda: _read(edge, ids[1]), "the line of the second request")
    lines = [json.loads(line) for line in edge.proxy.access_log.splitlines()]
    assert [line["request_id"] for line in lines if line["tenant"] == "once"] == ids
    page = await edge.proxy.admin("/stats/prometheus?filter=gatecast")
    assert 'envoy_gatecast_requests{gatecast_tenant="once",gatecast_class="2xx"} 2' in page


async def _read(edge: edges.Edge, request_id: str) -> bool:
    return request_id in edge.proxy.access_log


PROTECTED = {
    "deny": ({"access": {"deny": ["127.0.0.0/8"]}}, 403, "access_denied"),
    "maintenance": ({"maintenance": {}}, 503, "maintenance"),
    "required": ({"required_headers": [{"name": "if-match", "status": 428}]}, 428, "missing_header"),
}


@pytest.mark.parametrize("body", [None, b"x", b"x" * 200_000])
@pytest.mark.parametrize("name", sorted(PROTECTED))
async def test_the_very_first_request_meets_every_policy(edge: edges.Edge, name: str, body: bytes | None) -> None:
    policies, status, code = PROTECTED[name]
    tenant = f"{name}-{len(body or b'')}"
    await known(edge, edges.tenant(tenant, **policies))
    before = edge.echo.count
    answer = await edge.ask(tenant, method="GET" if body is None else "POST", content=body)
    assert (answer.status_code, edges.error(answer), edge.echo.count) == (status, code, before)


@pytest.mark.parametrize("body", [None, b"x"])
async def test_the_very_first_request_is_counted(edge: edges.Edge, body: bytes | None) -> None:
    tenant = f"counted-{len(body or b'')}"
    await known(edge, edges.tenant(tenant, rate_limit=LIMIT))
    method = "GET" if body is None else "POST"
    assert await edge.statuses(tenant, times=3, method=method, content=body) == [200, 429, 429]


async def test_the_very_first_request_has_its_body_measured(edge: edges.Edge) -> None:
    sizes = {"4": 5, "1024": 3000, "65536": 400_000, "1048576": 1_200_000}
    exact = [edges.tenant(f"exact-{most}", body_limit={"max": f"{most}B"}) for most in sizes]
    small = [edges.tenant(f"small-{most}-{way}", body_limit={"max": f"{most}B"}) for most in sizes for way in "ab"]
    await known(edge, edges.tenant("large"), *exact, *small)
    before = edge.echo.count
    for most, size in sizes.items():
        for way, body in (("a", b"x" * size), ("b", pieces(size))):
            answer = await edge.ask(f"small-{most}-{way}", method="POST", content=body)
            assert (answer.status_code, edges.error(answer)) == (413, "body_too_large")
    assert edge.echo.count == before
    for most in sizes:
        answer = await edge.ask(f"exact-{most}", method="POST", content=b"x" * int(most))
        assert (answer.status_code, answer.json()["length"]) == (200, int(most))
        assert "x-gatecast-arrived" not in answer.json()["headers"]
    answer = await edge.ask("large", method="POST", content=b"x" * 3_000_000)
    assert (answer.status_code, answer.json()["length"]) == (200, 3_000_000)


async def pieces(size: int, piece: int = 16_384) -> AsyncIterator[bytes]:
    """A body whose length is not told ahead."""
    for start in range(0, size, piece):
        yield b"x" * min(piece, size - start)


@pytest.mark.parametrize("body", [None, b"x"])
async def test_the_very_first_request_needs_its_token(edge: edges.Edge, idp: idps.Idp, body: bytes | None) -> None:
    if edge.by == "claim":
        pytest.skip("without a token there is no tenant")
    tenant = f"guarded-{len(body or b'')}"
    guard = tokens.policy(idp, tenant_claim="tenant")
    warm = f"warm-{tenant}"
    await edge.put(edges.tenant(warm, jwt=guard))
    await tokens.known(edge, idp)
    good = tokens.bearer(idp.token(tenant=warm))
    await edge.until(lambda: _is(edge, warm, good, 200), "the keys to be there")
    await known(edge, edges.tenant(tenant, jwt=guard))
    before, method = edge.echo.count, "GET" if body is None else "POST"
    for headers, status in (({}, 401), (good, 403), (tokens.bearer(idp.token(tenant=tenant)), 200)):
        assert await edge.statuses(tenant, method=method, content=body, headers=headers) == [status]
    assert edge.echo.count == before + 1


async def _is(edge: edges.Edge, tenant: str, headers: dict[str, str], status: int) -> bool:
    return await edge.statuses(tenant, headers=headers) == [status]


async def test_first_requests_at_once_all_are_answered_and_counted(edge: edges.Edge) -> None:
    await known(edge, edges.tenant("rush", rate_limit={"requests": 5, "per": "hour"}))
    answers = await asyncio.gather(*(edge.ask("rush", method="POST", content=b"x") for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [200] * 5 + [429] * 15


async def test_a_flood_of_unknown_tenants_never_reaches_the_control_plane(edge: edges.Edge) -> None:
    await known(edge, edges.tenant("real"))
    assert await edge.statuses("real") == [200]
    before, sent = await _said(edge), {kind: edge.served.sent(kind) for kind in ("SRDS", "RDS", "CDS", "LDS")}
    for number in range(200):
        answer = await edge.ask(f"made-up-{number}")
        assert (answer.status_code, edges.error(answer)) == (404, "unknown_tenant")
    assert await _said(edge) - before < 100  # bytes: a ping, at most
    assert {kind: edge.served.sent(kind) for kind in sent} == sent
    counted = await edge.proxy.admin("/stats/prometheus?filter=gatecast")
    assert 'gatecast_tenant="-",gatecast_reason="unknown_tenant"' in counted


async def _said(edge: edges.Edge) -> int:
    """Bytes that the proxy sent to the control plane so far."""
    return sum((await edge.proxy.stats(r"cluster\.gatecast_xds\.upstream_cx_tx_bytes_total$")).values())


async def test_a_table_that_was_fetched_follows_its_tenant(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("moving"))
    await edge.put(edges.tenant("moving", headers={"response": {"set": {"x-new": "1"}}}))
    assert (await edge.ask("moving")).headers["x-new"] == "1"
    await edge.served.drop(("Tenant", "moving"))
    await edge.until(lambda: _is(edge, "moving", {}, 404), "the tenant to be gone")
    await known(edge, edges.tenant("moving"))
    assert await edge.statuses("moving") == [200]


async def test_the_first_request_waits_one_round_trip(edge: edges.Edge, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"timed-{number}" for number in range(50)]
    await known(edge, *map(edges.tenant, names))
    await edge.statuses("timed-0")
    taken: tuple[list[float], list[float]] = ([], [])
    for name in names[1:]:
        for times in taken:
            began = time.perf_counter()
            assert await edge.statuses(name) == [200]
            times.append((time.perf_counter() - began) * 1e3)
    first, later = (sorted(times)[len(times) // 2] for times in taken)
    print(f"{edge.by}: first request {first:.1f} ms, later {later:.1f} ms (medians of {len(names) - 1})")


async def test_without_a_control_plane_who_was_served_is_and_who_was_not_waits_for_a_limited_time(
    tmp_path: Path,
) -> None:
    async with edges.edge(tmp_path, more=MORE) as edge:
        await known(edge, edges.tenant("served"), edges.tenant("new"))
        assert await edge.statuses("served") == [200]
        await edge.served.server.stop(grace=0.0)
        assert (await edge.statuses("served"), await edge.statuses("nobody")) == ([200], [404])
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE.total_seconds() * 2) as patient:
            url, named = edge.url(), edge.named("new")
            answers = await asyncio.gather(
                patient.get(url, headers=named), patient.post(url, headers=named, content=b"x")
            )
        assert [(one.status_code, edges.error(one)) for one in answers] == [(503, "tenant_unavailable")] * 2


@pytest.mark.parametrize("sotw", [False, True])
async def test_either_variant_of_the_protocol_fetches_one_table_a_tenant(tmp_path: Path, sotw: bool) -> None:
    port = envoys.free_port()
    documents = (edges.gateway(port, more=MORE), edges.service("echo", 1), edges.route("a"))
    tenants = (edges.tenant("one", maintenance={}), edges.tenant("two", maintenance={}), edges.tenant("three"))
    async with (
        planes.plane(edges.text((*documents, *tenants))) as served,
        envoys.envoy(served.bootstrap(sotw=sotw), tmp_path) as proxy,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        await proxy.ready()
        for name, code in (("one", "maintenance"), ("two", "maintenance"), ("nobody", "unknown_tenant")):
            answer = await client.get(f"http://127.0.0.1:{port}/a", headers={"x-tenant-id": name})
            assert edges.error(answer) == code
        found = await proxy.config_dump("dynamic_route_configs")
        assert {one["route_config"]["name"] for one in found if "route_config" in one} == {"one", "two"}
