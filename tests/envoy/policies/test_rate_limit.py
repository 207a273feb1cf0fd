"""`rate_limit`: who shares a bucket, how large it is, that it is refilled, and by whom it is not."""

import edges
import httpx
import pytest

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

ONE = {"requests": 1, "per": "hour"}
TWO = {"requests": 2, "per": "hour"}


async def test_requests_beyond_the_limit_are_429_and_never_reach_the_service(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("limited", rate_limit=TWO), edges.tenant("free"))
    before = edge.echo.count
    assert await edge.statuses("limited", times=4) == [200, 200, 429, 429]
    assert edge.echo.count == before + 2
    assert await edge.statuses("free", times=4) == [200] * 4


async def test_the_answer_says_what_the_limit_is_and_when_to_come_back(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("told", rate_limit=ONE))
    first, second = await edge.ask("told"), await edge.ask("told")
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("1", "0")
    assert (second.status_code, edges.error(second)) == (429, "rate_limited")
    assert 0 < int(second.headers["retry-after"]) <= 3600


async def test_burst_lets_so_many_more_through_at_once(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("bursting", rate_limit=TWO | {"burst": 3}))
    assert await edge.statuses("bursting", times=6) == [200] * 5 + [429]


async def test_the_bucket_is_refilled(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("refilled", rate_limit={"requests": 2, "per": "second"}))

    async def answered(status: int) -> bool:
        return await edge.statuses("refilled") == [status]

    await edge.until(lambda: answered(429), "the bucket to be empty")
    await edge.until(lambda: answered(200), "the bucket to be refilled")


async def test_all_routes_of_a_tenant_share_one_bucket(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("sharing", rate_limit=TWO))
    said = [(await edge.ask("sharing", path)).status_code for path in ("/a", "/b", "/a", "/b")]
    assert said == [200, 200, 429, 429]


async def test_tenants_with_the_same_limit_have_buckets_of_their_own(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("twin-1", rate_limit=ONE), edges.tenant("twin-2", rate_limit=ONE))
    assert await edge.statuses("twin-1", times=2) == [200, 429]
    assert await edge.statuses("twin-2", times=2) == [200, 429]


async def test_an_override_of_a_route_counts_apart(edge: edges.Edge) -> None:
    own = {"b": {"policies": {"rate_limit": ONE}}}
    await edge.put(edges.tenant("apart", own, rate_limit=TWO))
    assert await edge.statuses("apart", "/b", times=2) == [200, 429]
    assert await edge.statuses("apart", "/a", times=3) == [200, 200, 429]


async def test_an_override_with_the_limit_of_the_tenant_is_a_bucket_of_its_own_too(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("same", {"b": {"policies": {"rate_limit": ONE}}}, rate_limit=ONE))
    assert await edge.statuses("same", "/b", times=2) == [200, 429]
    assert await edge.statuses("same", "/a", times=2) == [200, 429]


async def test_null_switches_the_limit_off_on_one_route(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("opened", {"b": {"policies": {"rate_limit": None}}}, rate_limit=ONE))
    assert await edge.statuses("opened", "/b", times=4) == [200] * 4
    assert await edge.statuses("opened", "/a", times=2) == [200, 429]


async def test_the_limit_of_an_organisation_holds_until_a_tenant_says_otherwise(edge: edges.Edge) -> None:
    await edge.put(
        edges.organisation("limits", rate_limit=ONE),
        edges.tenant("inherits", more={"organisation": "limits"}),
        edges.tenant("extends", more={"organisation": "limits"}, rate_limit={"burst": 1}),
        edges.tenant("refuses", more={"organisation": "limits"}, rate_limit=None),
        edges.tenant("outside"),
    )
    assert await edge.statuses("inherits", times=3) == [200, 429, 429]
    assert await edge.statuses("extends", times=3) == [200, 200, 429]
    assert await edge.statuses("refuses", times=3) == [200] * 3
    assert await edge.statuses("outside", times=3) == [200] * 3


async def test_by_client_ip_each_address_has_a_bucket_and_a_header_buys_no_other(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("by-ip", rate_limit=ONE | {"by": "client_ip"}))
    assert await edge.statuses("by-ip", times=2, address="127.0.0.2") == [200, 429]
    assert await edge.statuses("by-ip", times=2, address="127.0.0.3") == [200, 429]
    for name in ("x-forwarded-for", "x-real-ip", "x-envoy-external-address", "forwarded"):
        assert await edge.statuses("by-ip", headers={name: "192.0.2.9"}, address="127.0.0.3") == [429], name
    assert await edge.statuses("by-ip", "/b", address="127.0.0.2") == [429]


async def test_by_header_each_value_has_a_bucket_and_requests_without_it_share_one(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("by-key", rate_limit=ONE | {"by": "header:X-Api-Key"}))
    for key in ("one", "two"):
        assert await edge.statuses("by-key", times=2, headers={"x-api-key": key}) == [200, 429]
    assert await edge.statuses("by-key", times=2) == [200, 429]
    assert await edge.statuses("by-key", "/b", headers={"x-api-key": "one"}) == [429]


async def test_the_same_header_value_of_two_tenants_is_two_buckets(edge: edges.Edge) -> None:
    limit = ONE | {"by": "header:x-api-key"}
    await edge.put(edges.tenant("key-1", rate_limit=limit), edges.tenant("key-2", rate_limit=limit))
    for name in ("key-1", "key-2"):
        assert await edge.statuses(name, times=2, headers={"x-api-key": "same"}) == [200, 429]


async def test_a_change_of_another_tenant_refills_no_bucket(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("empty", rate_limit=ONE), edges.tenant("busy"))
    assert await edge.statuses("empty", times=2) == [200, 429]
    await edge.put(edges.tenant("busy", rate_limit=TWO, timeout={"request": "3s"}))
    await edge.put(edges.tenant("newcomer", circuit_breaker={"max_requests": 7}))
    assert await edge.statuses("busy", times=3) == [200, 200, 429]
    assert await edge.statuses("empty", times=2) == [429, 429]


async def test_a_new_limit_is_in_force_at_once_and_null_takes_it_away(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("moving"))
    assert await edge.statuses("moving", times=3) == [200] * 3
    await edge.put(edges.tenant("moving", rate_limit=ONE))
    assert await edge.statuses("moving", times=2) == [200, 429]
    await edge.put(edges.tenant("moving", rate_limit=None))
    assert await edge.statuses("moving", times=3) == [200] * 3


async def test_an_error_of_the_service_is_not_taken_for_a_limit(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("served", rate_limit=TWO))
    answer: httpx.Response = await edge.ask("served", "/a?status=429")
    assert (answer.status_code, answer.json()["name"]) == (429, "echo")
