"""Which route takes a request, which service answers, and what that service is asked."""

from collections import Counter
from typing import Any

import edges
import envoys
import pytest
import upstreams

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


def sign(name: str, match: edges.Json, **more: Any) -> edges.Json:
    """A route whose answers tell its name."""
    return edges.route(name, match, policies={"headers": {"response": {"set": {"x-route": name}}}}, **more)


async def taken(edge: edges.Edge, path: str, method: str = "GET", **headers: str) -> str | None:
    """The route that takes this request of tenant `asking`; None if none does."""
    answer = await edge.ask("asking", path, method, {name.replace("_", "-"): value for name, value in headers.items()})
    if answer.status_code == 404:
        assert edges.error(answer) == "not_found"
        return None
    assert answer.status_code == 200, answer.text
    return answer.headers.get("x-route", "")


async def test_a_prefix_ends_at_a_segment(edge: edges.Edge) -> None:
    await edge.put(sign("plain", {"prefix": "/shop"}), sign("slashed", {"prefix": "/store/"}), edges.tenant("asking"))
    for path in ("/shop", "/shop/", "/shop/x", "/shop?x=1", "/shop/x/y.z"):
        assert await taken(edge, path) == "plain", path
    for path in ("/shops", "/shop-1", "/sho", "/x/shop", "/Shop", "/store", "/stores"):
        assert await taken(edge, path) is None, path
    for path in ("/store/", "/store/x"):
        assert await taken(edge, path) == "slashed", path


async def test_a_path_is_the_whole_path(edge: edges.Edge) -> None:
    await edge.put(sign("exact", {"path": "/exact/one"}), edges.tenant("asking"))
    assert await taken(edge, "/exact/one") == "exact"
    assert await taken(edge, "/exact/one?x=1") == "exact"
    for path in ("/exact", "/exact/one/", "/exact/one/x", "/exact/on"):
        assert await taken(edge, path) is None, path


async def test_a_regex_matches_the_whole_path_without_the_query(edge: edges.Edge) -> None:
    await edge.put(sign("numbers", {"regex": r"/items/\d+"}), edges.tenant("asking"))
    assert await taken(edge, "/items/7") == "numbers"
    assert await taken(edge, "/items/77?x=y") == "numbers"
    for path in ("/items/", "/items/7/x", "/items/x7", "/x/items/7"):
        assert await taken(edge, path) is None, path


async def test_methods_choose_among_routes(edge: edges.Edge) -> None:
    await edge.put(
        sign("readers", {"prefix": "/verbs", "methods": ["GET", "HEAD"]}),
        sign("writers", {"prefix": "/verbs", "methods": ["POST"]}),
        edges.tenant("asking"),
    )
    said = [await taken(edge, "/verbs", method) for method in ("GET", "HEAD", "POST")]
    assert said == ["readers", "readers", "writers"]
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert await taken(edge, "/verbs", method) is None, method


@pytest.mark.parametrize(
    ("match", "good", "bad"),
    [
        ("v2", ["v2"], ["v", "v22", "V2", None]),
        ({"exact": "v2"}, ["v2"], ["v22", None]),
        ({"prefix": "v"}, ["v", "v2"], ["x", "V2", None]),
        ({"regex": r"v\d"}, ["v2"], ["v", "v22", "xv2", None]),
        ({"present": True}, ["x", "v2"], [None]),
        ({"present": False}, [None], ["x", "v2"]),
    ],
)
async def test_headers_choose_among_routes(edge: edges.Edge, match: Any, good: list[Any], bad: list[Any]) -> None:
    await edge.put(sign("by-header", {"prefix": "/headed", "headers": {"X-Api": match}}), edges.tenant("asking"))
    for value, wanted in (*((one, "by-header") for one in good), *((one, None) for one in bad)):
        assert await taken(edge, "/headed", **({} if value is None else {"x_api": value})) == wanted, value


async def test_the_most_specific_route_takes_a_request_in_whatever_order_they_are_written(edge: edges.Edge) -> None:
    routes = (
        sign("root", {"prefix": "/deep"}),
        sign("longer", {"prefix": "/deep/er"}),
        sign("whole", {"path": "/deep/er/one"}),
        sign("pattern", {"regex": r"/deep/er/\d+"}),
        sign("posted", {"prefix": "/deep/er", "methods": ["POST"]}),
        sign("marked", {"prefix": "/deep/er", "headers": {"x-beta": "1"}}),
    )
    wanted = {
        "/deep/x": "root", "/deep/er/x": "longer", "/deep/er/one": "whole", "/deep/er/77": "pattern"
    }  # fmt: skip
    for order in (routes, routes[::-1], routes[3:] + routes[:3]):
        await edge.put(*order, edges.tenant("asking"))
        assert {path: await taken(edge, path) for path in wanted} == wanted
        assert await taken(edge, "/deep/er/x", "POST") == "posted"
        assert await taken(edge, "/deep/er/x", x_beta="1") == "marked"
        await edge.served.drop(*(("Route", route["id"]) for route in order))


async def test_a_split_shares_requests_out_by_weight_and_a_tenant_may_have_its_own(edge: edges.Edge) -> None:
    async with upstreams.Upstream("next") as after:
        shares = [{"service": "echo", "weight": 75}, {"service": "next", "weight": 25}]
        everything = [{"service": "echo", "weight": 0}, {"service": "next", "weight": 100}]
        await edge.put(
            edges.service("next", after),
            edges.route("split", split=shares),
            edges.tenant("sharing"),
            edges.tenant("moved", {"split": {"split": everything}}),
            edges.tenant("elsewhere", {"split": {"service": "next"}}),
        )
        told = Counter([(await edge.ask("sharing", "/split")).headers["x-upstream"] for _ in range(400)])
        assert 45 <= told["next"] <= 155  # 100 expected; six standard deviations of 8.7 either way
        for tenant in ("moved", "elsewhere"):
            told = Counter([(await edge.ask(tenant, "/split")).headers["x-upstream"] for _ in range(30)])
            assert told == {"next": 30}


async def test_the_weight_of_an_endpoint_is_its_share(edge: edges.Edge) -> None:
    async with upstreams.Upstream("light") as light, upstreams.Upstream("heavy") as heavy:
        endpoints = [{"address": f"127.0.0.1:{light.port}"}, {"address": f"127.0.0.1:{heavy.port}", "weight": 3}]
        await edge.put(
            edges.service("weighted", endpoints=endpoints),
            edges.route("weighted", service="weighted"),
            edges.tenant("asking"),
        )
        assert await edge.statuses("asking", "/weighted", times=40) == [200] * 40
        assert 8 <= light.count <= 12  # 10 expected; the first round may begin anywhere
        assert light.count + heavy.count == 40


@pytest.mark.parametrize(
    ("match", "rewrite", "paths"),
    [
        (
            {"prefix": "/old"},
            {"prefix": "/new"},
            {"/old": "/new", "/old/": "/new/", "/old/x?y=z": "/new/x?y=z", "/old/old": "/new/old"},
        ),
        ({"prefix": "/old"}, {"prefix": "/"}, {"/old": "/", "/old/": "/", "/old/x": "/x", "/old?y": "/?y"}),
        ({"prefix": "/old/"}, {"prefix": "/new"}, {"/old/": "/new/", "/old/x": "/new/x"}),
        ({"prefix": "/old"}, {"path": "/one"}, {"/old": "/one", "/old/x?y=z": "/one?y=z"}),
        ({"prefix": "/old"}, {"path": "/100%/x"}, {"/old": "/100%/x"}),
        (
            {"prefix": "/old"},
            {"regex": r"^/old/(\w+)/(\w+)", "substitution": r"/\2/\1"},
            {"/old/a/b": "/b/a", "/old/a": "/old/a", "/old/a/b/c?d=e": "/b/a/c?d=e"},
        ),
    ],
)
async def test_a_rewrite_changes_the_path_the_service_sees(
    edge: edges.Edge, match: edges.Json, rewrite: edges.Json, paths: dict[str, str]
) -> None:
    await edge.put(edges.route("rewritten", match, rewrite=rewrite), edges.tenant("asking"))
    for path, seen in paths.items():
        assert (await edge.ask("asking", path)).json()["path"] == seen, path
    assert (await edge.ask("asking", "/a/old")).json()["path"] == "/a/old"


async def test_a_rewrite_changes_the_host_the_service_sees(edge: edges.Edge) -> None:
    await edge.put(edges.route("hosted", rewrite={"host": "inside.example"}), edges.tenant("asking"))
    told = {path: (await edge.ask("asking", path)).json()["headers"]["host"] for path in ("/hosted", "/a")}
    assert told == {"/hosted": "inside.example", "/a": f"127.0.0.1:{edge.port}"}


async def test_a_service_by_dns_name_is_resolved_by_the_proxy(edge: edges.Edge) -> None:
    async with upstreams.Upstream("named") as named:
        await edge.put(
            edges.service("named", dns=f"localhost:{named.port}"),
            edges.route("named", service="named"),
            edges.tenant("asking"),
        )
        assert (await edge.ask("asking", "/named")).headers["x-upstream"] == "named"


async def test_a_changed_endpoint_takes_the_requests_and_no_cluster_is_sent(edge: edges.Edge) -> None:
    async with upstreams.Upstream("before") as before, upstreams.Upstream("after") as after:
        await edge.put(edges.service("moving", before), edges.route("moving", service="moving"), edges.tenant("asking"))
        assert (await edge.ask("asking", "/moving")).headers["x-upstream"] == "before"
        clusters = edge.served.sent("CDS")
        await edge.put(edges.service("moving", after))

        async def moved() -> bool:
            return (await edge.ask("asking", "/moving")).headers["x-upstream"] == "after"

        await edge.until(moved, "the new endpoint to answer")
        assert edge.served.sent("CDS") == clusters


async def test_one_tenant_may_have_another_service_on_a_route(edge: edges.Edge) -> None:
    async with upstreams.Upstream("special") as special:
        await edge.put(
            edges.service("special", special),
            edges.tenant("private", {"a": {"service": "special"}}),
            edges.tenant("common"),
        )
        for tenant, path, wanted in (("private", "/a", "special"), ("private", "/b", "echo"), ("common", "/a", "echo")):
            assert (await edge.ask(tenant, path)).headers["x-upstream"] == wanted, (tenant, path)


async def test_a_route_comes_and_goes(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("asking"))
    assert await taken(edge, "/brief") is None
    await edge.put(edges.route("brief"), edges.tenant("asking"))
    assert await taken(edge, "/brief") == ""
    await edge.served.drop(("Route", "brief"))
    await edge.put(edges.tenant("asking"))
    assert await taken(edge, "/brief") is None


async def test_a_service_that_nobody_listens_for_is_503(edge: edges.Edge) -> None:
    await edge.put(
        edges.service("dead", envoys.free_port()), edges.route("dead", service="dead"), edges.tenant("asking")
    )
    refused = await edge.ask("asking", "/dead")
    assert (refused.status_code, edges.error(refused)) == (503, "upstream_unavailable")
