"""`rate_limit` with `scope: global`: one service counts for all proxies, told its limits by our server."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import edges
import envoys
import httpx
import pytest
import pytest_asyncio
import stages
from rls_servers import Rls

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

ONE = {"requests": 1, "per": "hour", "scope": "global"}
TWO = {"requests": 2, "per": "hour", "scope": "global"}
DENY = {"on_failure": "deny"}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["header", "host"])
async def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[edges.Edge, Rls]]:
    """A gateway with a rate limit service, by each way of naming a tenant: their filters differ."""
    port = envoys.free_port()
    asks = {"rate_limit_service": {"service": "limits", "timeout": "2s"}}
    others = (edges.service("limits", port, protocol="grpc"),)
    async with (
        edges.edge(tmp_path_factory.mktemp("envoy"), by=request.param, more=asks, others=others) as edge,
        Rls(edge.served.port, port=port) as service,
    ):
        yield edge, service
        assert edge.served.rejected("RLS") == 0


@pytest.fixture
def edge(played: tuple[edges.Edge, Rls]) -> edges.Edge:
    return played[0]


@pytest.fixture
def rls(played: tuple[edges.Edge, Rls]) -> Rls:
    """The service, with nothing asked yet and its clock at the start of a day."""
    played[1].now, played[1].delay = 0, 0.0
    played[1].asked.clear()
    return played[1]


async def put(edge: edges.Edge, rls: Rls, *tenants: edges.Json) -> None:
    """Bring tenants into force, on Envoy and with the service."""
    await edge.put(*tenants)
    for one in tenants:
        await rls.told(f"edge/{one['id']}")


async def test_requests_beyond_the_limit_are_429_and_never_reach_the_service(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("limited", rate_limit=TWO))
    before = edge.echo.count
    assert await edge.statuses("limited", times=4) == [200, 200, 429, 429]
    assert edge.echo.count == before + 2
    assert [(one.domain, one.descriptors) for one in rls.asked] == [("edge/limited", ((("tenant", "limited"),),))] * 4


async def test_the_answer_says_what_the_limit_is_and_when_to_come_back(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("told", rate_limit=ONE))
    first, second = await edge.ask("told"), await edge.ask("told")
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("1, 1;w=3600", "0")
    assert first.headers["x-ratelimit-reset"] == "3600"
    assert (second.status_code, edges.error(second)) == (429, "rate_limited")
    assert second.headers["retry-after"] == "3600"
    assert not [name for name in second.headers if name.startswith("x-envoy-ratelimited")]


async def test_a_new_window_begins_with_the_clock(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("hourly", rate_limit=ONE))
    assert await edge.statuses("hourly", times=2) == [200, 429]
    rls.now = 3600
    assert await edge.statuses("hourly", times=2) == [200, 429]


@pytest.mark.parametrize(("per", "seconds"), [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)])
async def test_each_unit_is_the_window_it_says(edge: edges.Edge, rls: Rls, per: str, seconds: int) -> None:
    name = f"each-{per}"
    await put(edge, rls, edges.tenant(name, rate_limit=ONE | {"per": per}))
    assert await edge.statuses(name, times=2) == [200, 429]
    rls.now = seconds - 1
    assert await edge.statuses(name) == [429]
    rls.now = seconds
    assert await edge.statuses(name) == [200]


async def test_all_routes_of_a_tenant_are_counted_together(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("sharing", rate_limit=TWO))
    said = [(await edge.ask("sharing", path)).status_code for path in ("/a", "/b", "/a", "/b")]
    assert said == [200, 200, 429, 429]


async def test_tenants_with_the_same_limit_are_counted_apart(edge: edges.Edge, rls: Rls) -> None:
    limit = ONE | {"by": "header:x-api-key"}
    await put(edge, rls, edges.tenant("twin-1", rate_limit=limit), edges.tenant("twin-2", rate_limit=limit))
    for name in ("twin-1", "twin-2"):
        assert await edge.statuses(name, times=2, headers={"x-api-key": "same"}) == [200, 429]


async def test_an_override_of_a_route_counts_apart_also_with_the_same_limit(edge: edges.Edge, rls: Rls) -> None:
    own = {"b": {"policies": {"rate_limit": ONE}}}
    await put(edge, rls, edges.tenant("apart", own, rate_limit=ONE))
    assert await edge.statuses("apart", "/b", times=2) == [200, 429]
    assert await edge.statuses("apart", "/a", times=2) == [200, 429]
    assert {one.descriptors for one in rls.asked} == {((("route", "b"),),), ((("tenant", "apart"),),)}


async def test_null_switches_the_limit_off_on_one_route_and_nobody_is_asked(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("opened", {"b": {"policies": {"rate_limit": None}}}, rate_limit=ONE))
    assert await edge.statuses("opened", "/b", times=4) == [200] * 4
    assert rls.asked == []
    assert await edge.statuses("opened", "/a", times=2) == [200, 429]


async def test_a_route_may_have_a_limit_of_each_proxy_beside_a_shared_one(edge: edges.Edge, rls: Rls) -> None:
    own = {"b": {"policies": {"rate_limit": {"requests": 1, "scope": "local"}}}}
    await put(edge, rls, edges.tenant("mixed", own, rate_limit=TWO))
    assert await edge.statuses("mixed", "/b", times=2) == [200, 429]
    assert rls.asked == []
    assert await edge.statuses("mixed", "/a", times=3) == [200, 200, 429]


async def test_a_route_may_have_a_shared_limit_beside_one_of_each_proxy(edge: edges.Edge, rls: Rls) -> None:
    own = {"b": {"policies": {"rate_limit": {"scope": "global"}}}}
    await put(edge, rls, edges.tenant("mixed-2", own, rate_limit=TWO | {"scope": "local"}))
    assert await edge.statuses("mixed-2", "/a", times=3) == [200, 200, 429]
    assert rls.asked == []
    assert await edge.statuses("mixed-2", "/b", times=3) == [200, 200, 429]
    assert len(rls.asked) == 3


async def test_by_client_ip_each_address_is_counted_and_a_header_buys_no_other(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("by-ip", rate_limit=ONE | {"by": "client_ip"}))
    assert await edge.statuses("by-ip", times=2, address="127.0.0.2") == [200, 429]
    assert await edge.statuses("by-ip", times=2, address="127.0.0.3") == [200, 429]
    for name in ("x-forwarded-for", "x-real-ip", "x-envoy-external-address", "forwarded"):
        assert await edge.statuses("by-ip", headers={name: "192.0.2.9"}, address="127.0.0.3") == [429], name
    assert await edge.statuses("by-ip", "/b", address="127.0.0.2") == [429]


async def test_by_header_each_value_is_counted_and_requests_without_it_together(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("by-key", rate_limit=ONE | {"by": "header:X-Api-Key"}))
    for key in ("one", "two", "*", "a_b", "tenant_by-key", ""):
        assert await edge.statuses("by-key", times=2, headers={"x-api-key": key}) == [200, 429], key
    assert await edge.statuses("by-key", times=2) == [200, 429]
    assert await edge.statuses("by-key", "/b", headers={"x-api-key": "one"}) == [429]


@pytest.mark.parametrize(("failure", "said"), [("allow", 200), ("deny", 503)])
async def test_a_value_that_is_no_text_cannot_be_told_to_the_service(
    edge: edges.Edge, rls: Rls, failure: str, said: int
) -> None:
    """Envoy hands it on as it is, and no gRPC server reads it: as if there were no answer."""
    limit = ONE | {"by": "header:x-api-key", "on_failure": failure}
    await put(edge, rls, edges.tenant(f"bytes-{failure}", rate_limit=limit))
    text: Any = {"x-api-key": "é".encode()}
    assert await edge.statuses(f"bytes-{failure}", times=2, headers=text) == [200, 429]
    noise: Any = {"x-api-key": b"\xff"}
    assert await edge.statuses(f"bytes-{failure}", times=2, headers=noise) == [said] * 2


async def test_a_new_number_reaches_the_service_and_changes_nothing_on_a_proxy(edge: edges.Edge, rls: Rls) -> None:
    """And resets nobody: what another tenant has used up stays so, and so does what this one has used."""
    grows = edges.tenant("grows", more={"organisation": "plan"})
    await edge.put(edges.organisation("plan", rate_limit=ONE))
    await put(edge, rls, grows, edges.tenant("stays", rate_limit=ONE))
    assert await edge.statuses("grows", times=2) == [200, 429]
    assert await edge.statuses("stays", times=2) == [200, 429]
    closed = await edge.proxy.stats(r"http\.public\.downstream_cx_destroy$")
    before, told = stages.sent(edge.served), edge.served.sent("RLS")
    await edge.put(edges.organisation("plan", rate_limit=ONE | {"requests": 4}))
    await rls.told_number("edge/grows", "tenant_grows", 4)
    assert await edge.statuses("grows", times=3) == [200, 200, 429]
    assert await edge.statuses("stays", times=2) == [429, 429]
    assert stages.since(edge.served, before) == {}
    assert edge.served.sent("RLS") == told + 1
    assert await edge.proxy.stats(r"http\.public\.downstream_cx_destroy$") == closed


async def test_a_limit_comes_and_goes_by_one_table_and_no_listener(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("steady", rate_limit=ONE))
    assert await edge.statuses("steady", times=2) == [200, 429]
    await edge.put(edges.tenant("moving"))
    assert await edge.statuses("moving", times=3) == [200] * 3
    before = stages.sent(edge.served)
    await put(edge, rls, edges.tenant("moving", rate_limit=ONE))
    assert await edge.statuses("moving", times=2) == [200, 429]
    await edge.put(edges.tenant("moving", rate_limit=None))
    await rls.told("edge/moving", gone=True)
    assert await edge.statuses("moving", times=3) == [200] * 3
    assert stages.since(edge.served, before) == {"RDS": 2}
    assert await edge.statuses("steady", times=2) == [429, 429]


async def test_two_proxies_together_let_so_many_pass(edge: edges.Edge, rls: Rls, tmp_path: Path) -> None:
    """They share a port: the kernel spreads the connections over both."""
    await put(edge, rls, edges.tenant("fleet", rate_limit=ONE | {"requests": 10}))
    async with envoys.envoy(edge.served.bootstrap("envoy-2"), tmp_path / "second") as second:
        await second.ready()
        said = Counter([await on_its_own(edge, "fleet") for _ in range(60)])
        assert said == {200: 10, 429: 50}
        for proxy in (edge.proxy, second):
            assert any((await proxy.stats(r"http\.public\.downstream_rq_2xx$")).values())
            assert any((await proxy.stats("ratelimit.over_limit$")).values())


async def on_its_own(edge: edges.Edge, tenant: str) -> int:
    """The status of a request on a connection of its own."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(edge.url(), headers=edge.named(tenant))).status_code


async def test_a_suspended_tenant_has_no_limits(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("leaving", rate_limit=ONE))
    await edge.put(edges.tenant("leaving", more={"status": "suspended"}, rate_limit=ONE))
    await rls.told("edge/leaving", gone=True)


async def without(rls: Rls, edge: edges.Edge, tenant: str, **more: Any) -> list[tuple[int, str]]:
    """What a tenant's requests are answered while the service is away."""
    await rls.stop()
    try:
        answers = [await edge.ask(tenant, **more) for _ in range(2)]
    finally:
        await rls.start()
    return [(one.status_code, "" if one.is_success else edges.error(one)) for one in answers]


async def test_without_the_service_each_policy_fails_as_it_says(edge: edges.Edge, rls: Rls) -> None:
    own = {"b": {"policies": {"rate_limit": DENY}}}
    await put(edge, rls, edges.tenant("lets-pass", own, rate_limit=ONE), edges.tenant("refuses", rate_limit=ONE | DENY))
    refused = [(503, "rate_limit_unavailable")] * 2
    assert await without(rls, edge, "lets-pass") == [(200, "")] * 2
    assert await without(rls, edge, "lets-pass", path="/b") == refused
    assert await without(rls, edge, "refuses") == refused

    async def asked() -> bool:
        return await edge.statuses("refuses") == [200]

    await edge.until(asked, "the service to be asked again")
    assert await edge.statuses("refuses") == [429]


async def test_a_service_that_is_too_slow_is_one_that_gives_no_answer(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("patient", rate_limit=ONE), edges.tenant("strict", rate_limit=ONE | DENY))
    rls.delay = 3.0
    assert await edge.statuses("patient") == [200]
    assert await edge.statuses("strict") == [503]
    rls.delay = 0.0


async def test_the_failure_mode_of_a_tenant_changes_live(edge: edges.Edge, rls: Rls) -> None:
    await put(edge, rls, edges.tenant("turning", rate_limit=ONE))
    assert await without(rls, edge, "turning") == [(200, "")] * 2
    await put(edge, rls, edges.tenant("turning", rate_limit=ONE | DENY))
    assert await without(rls, edge, "turning") == [(503, "rate_limit_unavailable")] * 2
