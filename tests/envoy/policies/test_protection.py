"""`circuit_breaker`, `outlier` and health checks: what a service is spared, and which of its endpoints are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import edges
import pytest
import upstreams

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


@asynccontextmanager
async def held(edge: edges.Edge, upstream: upstreams.Upstream, tenant: str, path: str) -> AsyncIterator[None]:
    """While the block runs, the service works on one request of this tenant."""
    before = upstream.count
    request = asyncio.ensure_future(edge.ask(tenant, f"{path}?delay=600"))

    async def arrived() -> bool:
        return upstream.count > before

    try:
        await edge.until(arrived, "the request to arrive")
        yield
    finally:
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)


async def answered(edge: edges.Edge, tenant: str, path: str, status: int = 200) -> None:
    """Wait until a request of this tenant gets this status."""

    async def seen() -> bool:
        return await edge.statuses(tenant, path) == [status]

    await edge.until(seen, f"{tenant} {path} to be {status}")


async def test_requests_beyond_a_tenants_own_limit_are_refused_and_its_neighbour_is_not_touched(
    edge: edges.Edge,
) -> None:
    await edge.put(edges.tenant("narrow", circuit_breaker={"max_requests": 1}), edges.tenant("wide"))
    assert await edge.statuses("narrow", times=3) == [200] * 3
    async with held(edge, edge.echo, "narrow", "/a"):
        before = edge.echo.count
        refused = await edge.ask("narrow", "/b")
        assert (refused.status_code, edges.error(refused)) == (503, "overloaded")
        assert edge.echo.count == before
        assert await edge.statuses("wide", times=3) == [200] * 3
    await answered(edge, "narrow", "/a")


async def test_two_tenants_with_the_same_limit_do_not_share_it(edge: edges.Edge) -> None:
    limit = {"max_requests": 1}
    await edge.put(edges.tenant("twin-1", circuit_breaker=limit), edges.tenant("twin-2", circuit_breaker=limit))
    async with held(edge, edge.echo, "twin-1", "/a"):
        assert await edge.statuses("twin-1") == [503]
        assert await edge.statuses("twin-2") == [200]


async def test_a_limit_of_the_service_is_shared_but_not_with_a_tenant_that_has_its_own(edge: edges.Edge) -> None:
    async with upstreams.Upstream("frail") as frail:
        await edge.put(
            edges.service("frail", frail, circuit_breaker={"max_requests": 1}),
            edges.route("frail", service="frail"),
            edges.tenant("one"),
            edges.tenant("other"),
            edges.tenant("apart", circuit_breaker={"max_requests": 5}),
        )
        async with held(edge, frail, "one", "/frail"):
            refused = await edge.ask("other", "/frail")
            assert (refused.status_code, edges.error(refused)) == (503, "overloaded")
            assert await edge.statuses("other", "/a") == [200]
            assert await edge.statuses("apart", "/frail") == [200]


async def test_requests_wait_for_a_connection_and_only_as_many_as_allowed(edge: edges.Edge) -> None:
    limit = {"max_connections": 1, "max_pending_requests": 1}
    await edge.put(edges.tenant("queued", circuit_breaker=limit), edges.tenant("wide"))
    async with held(edge, edge.echo, "queued", "/a"):
        waiting = asyncio.ensure_future(edge.ask("queued", "/b"))

        async def full() -> bool:
            return (await edge.proxy.stats(r"^cluster\.echo@queued\.upstream_rq_pending_active$")).popitem()[1] == 1

        await edge.until(full, "one request to wait")
        refused = await edge.ask("queued", "/b")
        assert (refused.status_code, edges.error(refused)) == (503, "overloaded")
        assert await edge.statuses("wide") == [200]
        assert not waiting.done()
    assert (await waiting).status_code == 200


async def test_an_override_of_a_route_limits_that_route_alone(edge: edges.Edge) -> None:
    own = {"b": {"policies": {"circuit_breaker": {"max_requests": 1}}}}
    await edge.put(edges.tenant("partly", own))
    async with held(edge, edge.echo, "partly", "/b"):
        assert await edge.statuses("partly", "/b") == [503]
        assert await edge.statuses("partly", "/a", times=2) == [200] * 2


async def test_a_new_limit_of_a_tenant_is_in_force(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("growing", circuit_breaker={"max_requests": 1}))
    async with held(edge, edge.echo, "growing", "/a"):
        assert await edge.statuses("growing") == [503]
    await edge.put(edges.tenant("growing", circuit_breaker={"max_requests": 2}))
    async with held(edge, edge.echo, "growing", "/a"):
        await answered(edge, "growing", "/b")
        async with held(edge, edge.echo, "growing", "/b"):
            assert await edge.statuses("growing") == [503]


async def test_an_endpoint_that_keeps_failing_is_left_out_for_the_tenant_that_says_so(edge: edges.Edge) -> None:
    async with upstreams.Upstream("bad", status=500) as bad:
        rule = {"consecutive_5xx": 2, "interval": "1h", "base_ejection": "1h"}
        await edge.put(
            edges.service("half-bad", edge.echo, bad),
            edges.route("half-bad", service="half-bad"),
            edges.tenant("choosy", outlier=rule),
            edges.tenant("patient"),
        )
        said = await edge.statuses("choosy", "/half-bad", times=12)
        assert said.count(500) == 2, said
        assert said[-8:] == [200] * 8
        assert set(await edge.statuses("patient", "/half-bad", times=8)) == {200, 500}


async def test_an_endpoint_that_recovers_is_taken_back(edge: edges.Edge) -> None:
    async with upstreams.Upstream("moody", status=500) as moody:
        rule = {"consecutive_5xx": 1, "interval": "50ms", "base_ejection": "50ms"}
        await edge.put(
            edges.service("half-moody", edge.echo, moody, outlier=rule),
            edges.route("half-moody", service="half-moody"),
            edges.tenant("asking"),
        )

        async def left_out() -> bool:
            return await edge.statuses("asking", "/half-moody", times=4) == [200] * 4

        await edge.until(left_out, "the endpoint to be left out")
        moody.status, before = 200, moody.count

        async def back() -> bool:
            await edge.ask("asking", "/half-moody")
            return moody.count > before

        await edge.until(back, "the endpoint to be back")


CHECK = {"path": "/healthz", "interval": "50ms", "timeout": "1s", "unhealthy_after": 1, "healthy_after": 1}


async def names(edge: edges.Edge, tenant: str, path: str, times: int = 6) -> set[str]:
    """Which upstreams answer a few requests; "" for the gateway's own errors."""
    return {(await edge.ask(tenant, path)).headers.get("x-upstream", "") for _ in range(times)}


async def test_an_unhealthy_endpoint_gets_no_requests_until_it_is_healthy_again(edge: edges.Edge) -> None:
    async with upstreams.Upstream("first") as first, upstreams.Upstream("second") as second:
        await edge.put(
            edges.service("checked", first, second, health_check=CHECK),
            edges.route("checked", service="checked"),
            edges.tenant("asking"),
        )

        async def answering(*wanted: str) -> bool:
            return await names(edge, "asking", "/checked") == set(wanted)

        await edge.until(lambda: answering("first", "second"), "both to answer")
        second.healthy = False
        await edge.until(lambda: answering("first"), "the healthy one to answer alone")
        before = second.count
        assert await names(edge, "asking", "/checked", times=20) == {"first"}
        assert second.count == before
        second.healthy = True
        await edge.until(lambda: answering("first", "second"), "both to answer again")


async def test_a_service_without_a_healthy_endpoint_is_503(edge: edges.Edge) -> None:
    async with upstreams.Upstream("ill", healthy=False) as ill:
        await edge.put(
            edges.service("ailing", ill, health_check=CHECK),
            edges.route("ailing", service="ailing"),
            edges.tenant("asking"),
        )
        refused = await edge.ask("asking", "/ailing")
        assert (refused.status_code, edges.error(refused), ill.count) == (503, "no_healthy_upstream", 0)
        assert await edge.statuses("asking", "/a") == [200]
        ill.healthy = True
        await answered(edge, "asking", "/ailing")


async def test_a_check_without_a_path_asks_for_a_connection(edge: edges.Edge) -> None:
    async with upstreams.Upstream("plain", healthy=False) as plain:
        check = {name: value for name, value in CHECK.items() if name != "path"}
        await edge.put(
            edges.service("connecting", plain, health_check=check),
            edges.route("connecting", service="connecting"),
            edges.tenant("asking"),
        )
        await answered(edge, "asking", "/connecting")
        await plain.stop()

        async def refused() -> bool:
            answer = await edge.ask("asking", "/connecting")
            return answer.status_code == 503 and edges.error(answer) == "no_healthy_upstream"

        await edge.until(refused, "the endpoint to be unhealthy")
        await plain.start()
        await answered(edge, "asking", "/connecting")
