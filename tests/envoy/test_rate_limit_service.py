"""The standard rate limit service, as it is, takes its limits from our server and counts for a real Envoy.

Needs its program and a Redis (`tests/support/standard_rls.py`); what it is told and asked is tested without them in
`tests/envoy/policies/test_global_limits.py`. Windows are days: a test at midnight UTC may see two of them.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import edges
import envoys
import planes
import pytest
import pytest_asyncio
import stages
import standard_rls
from standard_rls import Process

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(standard_rls.MISSING), reason=standard_rls.MISSING),
]

TWO = {"requests": 2, "per": "day", "scope": "global", "on_failure": "deny"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[edges.Edge, Process]]:
    """A gateway, and the service that counts for it."""
    port, folder = envoys.free_port(), tmp_path_factory.mktemp("rls")
    asks = {"rate_limit_service": {"service": "limits", "timeout": "2s"}}
    others = (edges.service("limits", port, protocol="grpc"),)
    async with (
        edges.edge(tmp_path_factory.mktemp("envoy"), more=asks, others=others) as edge,
        standard_rls.standard(edge.served.port, port, folder) as service,
    ):
        yield edge, service


@pytest.fixture
def edge(played: tuple[edges.Edge, Process]) -> edges.Edge:
    return played[0]


@pytest.fixture
def service(played: tuple[edges.Edge, Process]) -> Process:
    return played[1]


def limits(edge: edges.Edge) -> Any:
    """The stream of the service; it asks for one type."""
    clients = edge.served.plane.hub.clients.values()
    return next((one for one in clients if one.machine.interests["RLS"].started), None)


async def put(edge: edges.Edge, *documents: edges.Json) -> None:
    """Bring documents into force, on Envoy and with the service, which has taken them."""
    before = edge.served.sent("RLS")
    await edge.put(*documents)
    await envoys.until(lambda: edge.served.sent("RLS") > before and stages.quiet(edge.served), "the service to be told")
    assert edge.served.rejected("RLS") == 0


async def test_it_takes_its_limits_and_they_hold(edge: edges.Edge, service: Process) -> None:
    await put(edge, edges.tenant("limited", rate_limit=TWO), edges.tenant("free"))
    first = await edge.ask("limited")
    assert (first.status_code, first.headers["x-ratelimit-limit"]) == (200, "2, 2;w=86400")
    assert first.headers["x-ratelimit-remaining"] == "1"
    assert await edge.statuses("limited", times=3) == [200, 429, 429]
    assert await edge.statuses("free", times=3) == [200] * 3
    assert (limits(edge).gateway, limits(edge).variant) == ("edge", "sotw")


async def test_it_counts_apart_by_route_address_and_header(edge: edges.Edge, service: Process) -> None:
    by = {"b": {"policies": {"rate_limit": {"requests": 1}}}}
    await put(
        edge,
        edges.tenant("routes", by, rate_limit=TWO),
        edges.tenant("addresses", rate_limit=TWO | {"by": "client_ip"}),
        edges.tenant("keys", rate_limit=TWO | {"by": "header:x-key"}),
    )
    assert await edge.statuses("routes", "/b", times=2) == [200, 429]
    assert await edge.statuses("routes", "/a", times=3) == [200, 200, 429]
    for address in ("127.0.0.2", "127.0.0.3"):
        assert await edge.statuses("addresses", times=3, address=address) == [200, 200, 429]
    for key in ("one", "*", "a_b", "tenant_keys", "/", "x" * 500):
        assert await edge.statuses("keys", times=3, headers={"x-key": key}) == [200, 200, 429], key
    assert await edge.statuses("keys", times=3) == [200, 200, 429]


async def test_a_new_number_resets_nobody(edge: edges.Edge, service: Process) -> None:
    await put(edge, edges.tenant("grows", rate_limit=TWO), edges.tenant("stays", rate_limit=TWO))
    assert await edge.statuses("grows", times=3) == [200, 200, 429]
    assert await edge.statuses("stays", times=3) == [200, 200, 429]
    await put(edge, edges.tenant("grows", rate_limit=TWO | {"requests": 5}))
    assert await edge.statuses("grows", times=3) == [200, 200, 429]
    assert await edge.statuses("stays") == [429]
    await put(edge, edges.tenant("grows", rate_limit=None))
    assert await edge.statuses("grows", times=3) == [200] * 3


async def test_what_was_counted_outlives_the_service_and_it_is_told_again(edge: edges.Edge, service: Process) -> None:
    await put(edge, edges.tenant("counted", rate_limit=TWO))
    assert await edge.statuses("counted", times=3) == [200, 200, 429]
    await service.stop()
    answer = await edge.ask("counted")
    assert (answer.status_code, edges.error(answer)) == (503, "rate_limit_unavailable")
    await service.start()

    async def counted() -> bool:
        return await edge.statuses("counted") == [429]

    await edge.until(counted, "the service to count on")


async def test_it_follows_a_control_plane_that_comes_back(tmp_path: Path) -> None:
    """It resumes with the version it has, and nonces of the stream before: that is no ACK of anything new."""
    xds, port = envoys.free_port(), envoys.free_port()
    first = _documents(port, {"requests": 1})
    async with planes.plane(first, port=xds) as served:
        service = standard_rls.standard(xds, port, tmp_path)
        await service.__aenter__()
        await _told(served)
    try:
        async with planes.plane(first, port=xds) as served:
            await envoys.until(lambda: stages.quiet(served), "the service to come back", within=20.0)
            assert served.sent("RLS") == 0
            await served.apply(_documents(port, {"requests": 2}))
            await _told(served)
    finally:
        await service.__aexit__(None, None, None)


def _documents(port: int, limit: edges.Json) -> str:
    gateway = edges.gateway(envoys.free_port(), more={"rate_limit_service": {"service": "limits"}})
    return edges.text(
        [gateway, edges.service("limits", port, protocol="grpc"), edges.tenant("acme", rate_limit=TWO | limit)]
    )


async def _told(served: planes.Served) -> None:
    await envoys.until(lambda: served.sent("RLS") == 1 and stages.quiet(served), "the service to be told", within=20.0)
    assert served.rejected("RLS") == 0
