"""`cors`: preflights are answered at the gateway, and only pages of listed origins may read answers.

Tenants are found by host here: browsers send no header of ours with a preflight.
"""

import edges
import httpx
import pytest

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

SHOP = "https://shop.example.com"
CORS: edges.Json = {
    "origins": [SHOP, r"regex:https://[a-z]+\.dev\.example\.com"],
    "methods": ["GET", "PUT"],
    "headers": ["Content-Type", "If-Match"],
    "expose": ["ETag"],
    "credentials": True,
    "max_age": "10m",
}


async def preflight(
    hosts: edges.Edge, tenant: str, origin: str, path: str = "/a", method: str = "PUT"
) -> httpx.Response:
    asked = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": "if-match"}
    return await hosts.ask(tenant, path, "OPTIONS", asked)


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("access-control-allow-origin")


async def test_a_preflight_is_answered_and_never_reaches_the_service(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("shop", cors=CORS))
    before = hosts.echo.count
    answer = await preflight(hosts, "shop", SHOP)
    assert answer.status_code in (200, 204)
    assert hosts.echo.count == before
    told = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    assert told == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "content-type, if-match",
        "access-control-expose-headers": "etag",
        "access-control-allow-credentials": "true",
        "access-control-max-age": "600",
    }


async def test_a_preflight_of_another_origin_gets_no_permission(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("shop", cors=CORS))
    before = hosts.echo.count
    for origin in (
        "https://evil.example.com",
        "http://shop.example.com",
        SHOP + ".evil.example",
        SHOP + ":8443",
        "null",
    ):
        answer = await preflight(hosts, "shop", origin)
        assert allowed(answer) is None, origin
    assert hosts.echo.count == before


async def test_an_actual_request_of_a_listed_origin_may_be_read(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("shop", cors=CORS))
    answer = await hosts.ask("shop", headers={"origin": SHOP})
    assert (answer.status_code, allowed(answer)) == (200, SHOP)
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-expose-headers"] == "etag"


async def test_an_actual_request_of_another_origin_is_served_and_may_not_be_read(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("shop", cors=CORS))
    answer = await hosts.ask("shop", headers={"origin": "https://evil.example.com"})
    assert (answer.status_code, allowed(answer)) == (200, None)
    assert allowed(await hosts.ask("shop")) is None


@pytest.mark.parametrize(
    ("origin", "listed"),
    [
        ("https://app.dev.example.com", True),
        ("https://app.dev.example.com.evil.example", False),
        ("https://evil.example/https://app.dev.example.com", False),
        ("https://app.devxexample.com", False),
        ("https://.dev.example.com", False),
    ],
)
async def test_a_regex_must_match_the_whole_origin(hosts: edges.Edge, origin: str, listed: bool) -> None:
    await hosts.put(edges.tenant("shop", cors=CORS))
    wanted = origin if listed else None
    assert allowed(await preflight(hosts, "shop", origin)) == wanted
    assert allowed(await hosts.ask("shop", headers={"origin": origin})) == wanted


async def test_every_origin_may_be_listed(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("public", cors={"origins": ["*"]}))
    answer = await hosts.ask("public", headers={"origin": "https://anybody.example.org"})
    assert allowed(answer) in ("*", "https://anybody.example.org")
    assert "access-control-allow-credentials" not in answer.headers


async def test_caches_are_told_that_the_answer_depends_on_the_origin(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("shop", cors=CORS), edges.tenant("plain"))
    for headers in ({}, {"origin": SHOP}):
        assert "origin" in (await hosts.ask("shop", headers=headers)).headers["vary"]
    assert "vary" not in (await hosts.ask("plain")).headers


async def test_a_tenant_without_cors_leaves_it_to_the_service(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("plain"))
    before = hosts.echo.count
    answer = await preflight(hosts, "plain", SHOP)
    assert (answer.json()["method"], allowed(answer), hosts.echo.count) == ("OPTIONS", None, before + 1)


async def test_an_options_request_that_is_no_preflight_reaches_the_service(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("shop", cors=CORS))
    for headers in ({}, {"origin": SHOP}, {"access-control-request-method": "PUT"}):
        assert (await hosts.ask("shop", "/a", "OPTIONS", headers)).json()["method"] == "OPTIONS", headers


async def test_a_route_can_do_without_the_cors_of_its_tenant(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("partly", {"b": {"policies": {"cors": None}}}, cors=CORS))
    assert allowed(await hosts.ask("partly", "/a", headers={"origin": SHOP})) == SHOP
    assert allowed(await hosts.ask("partly", "/b", headers={"origin": SHOP})) is None
    assert (await preflight(hosts, "partly", SHOP, "/b")).json()["method"] == "OPTIONS"


async def test_a_route_has_origins_of_its_own(hosts: edges.Edge) -> None:
    own = {"b": {"policies": {"cors": {"origins": ["https://other.example.com"]}}}}
    await hosts.put(edges.tenant("mixed", own, cors=CORS))
    assert allowed(await preflight(hosts, "mixed", SHOP, "/b")) is None
    assert allowed(await preflight(hosts, "mixed", "https://other.example.com", "/b")) == "https://other.example.com"
    assert allowed(await preflight(hosts, "mixed", SHOP, "/a")) == SHOP


async def test_a_preflight_for_a_route_of_certain_methods_is_answered(hosts: edges.Edge) -> None:
    match = {"prefix": "/puts", "methods": ["PUT"], "headers": {"if-match": {"present": True}}}
    await hosts.put(edges.route("puts", match), edges.tenant("shop", cors=CORS))
    assert allowed(await preflight(hosts, "shop", SHOP, "/puts")) == SHOP
    assert (await preflight(hosts, "shop", SHOP, "/puts", method="GET")).status_code == 404


async def test_a_preflight_needs_none_of_the_required_headers(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("strict", cors=CORS, required_headers=[{"name": "if-match", "status": 428}]))
    assert allowed(await preflight(hosts, "strict", SHOP)) == SHOP
    assert (await hosts.ask("strict", "/a", "PUT")).status_code == 428


async def test_pages_may_read_the_error_of_a_rate_limit(hosts: edges.Edge) -> None:
    limit = {"requests": 1, "per": "hour", "by": "header:x-key"}
    await hosts.put(edges.tenant("limited", cors=CORS, rate_limit=limit))
    said = [await hosts.ask("limited", headers={"origin": SHOP, "x-key": "k"}) for _ in range(2)]
    assert [(answer.status_code, allowed(answer)) for answer in said] == [(200, SHOP), (429, SHOP)]


async def test_preflights_do_not_use_up_a_rate_limit(hosts: edges.Edge) -> None:
    await hosts.put(edges.tenant("counting", cors=CORS, rate_limit={"requests": 1, "per": "hour"}))
    for _ in range(3):
        assert allowed(await preflight(hosts, "counting", SHOP)) == SHOP
    assert await hosts.statuses("counting", times=2) == [200, 429]


async def test_a_gateway_by_header_answers_preflights_that_name_their_tenant(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("shop", cors=CORS))
    assert allowed(await preflight(edge, "shop", SHOP)) == SHOP


ANSWERS: dict[str, tuple[str, edges.Json, int]] = {
    "maintenance": ("/a", {"maintenance": {}}, 503),
    "maintenance of all paths": ("/nowhere", {"maintenance": {}}, 503),
    "a missing header": ("/a", {"required_headers": [{"name": "x-key"}]}, 400),
    "a malformed header": ("/a", {"required_headers": [{"name": "user-agent", "pattern": "no"}]}, 400),
    "an unknown path": ("/nowhere", {}, 404),
    "a guard before it": ("/a", {"maintenance": {}, "access": {"deny": ["127.0.0.0/8"]}}, 403),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_pages_may_read_the_errors_that_routes_give(hosts: edges.Edge, case: str) -> None:
    path, policies, status = ANSWERS[case]
    await hosts.put(edges.tenant("telling", cors=CORS, **policies))
    for origin in (SHOP, "https://app.dev.example.com"):
        answer = await hosts.ask("telling", path, headers={"origin": origin})
        assert (answer.status_code, allowed(answer)) == (status, origin)
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-expose-headers"].lower() == "etag"
        assert answer.headers.get_list("vary") == ["origin"]
        assert edges.error(answer)
    for headers in ({}, {"origin": "https://evil.example.com"}, [("origin", "https://evil.example"), ("origin", SHOP)]):
        answer = await hosts.ask("telling", path, headers=headers)
        assert (answer.status_code, allowed(answer)) == (status, None)
        assert "access-control-allow-credentials" not in answer.headers


async def test_a_route_of_its_own_origins_lets_these_read_its_errors(hosts: edges.Edge) -> None:
    own = {"b": {"policies": {"cors": {"origins": ["*"], "credentials": False, "expose": []}}}}
    await hosts.put(edges.tenant("telling", own, cors=CORS, maintenance={}))
    answer = await hosts.ask("telling", "/b", headers={"origin": "https://anybody.example"})
    assert (answer.status_code, allowed(answer)) == (503, "https://anybody.example")
    assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-expose-headers" not in answer.headers


async def test_preflights_are_answered_under_maintenance_too(hosts: edges.Edge) -> None:
    """Else a browser would not even ask, and no page could say why."""
    await hosts.put(edges.tenant("telling", cors=CORS, maintenance={}))
    before = hosts.echo.count
    answer = await preflight(hosts, "telling", SHOP)
    assert (answer.status_code, allowed(answer)) == (200, SHOP)
    for origin, method in (("", "PUT"), (SHOP, "")):
        assert (await preflight(hosts, "telling", origin, method=method)).status_code == 503
    assert hosts.echo.count == before


async def test_what_only_looks_like_a_preflight_needs_the_required_headers(hosts: edges.Edge) -> None:
    """To Envoy's CORS filter a header that is empty is none, so it does not answer these."""
    await hosts.put(edges.tenant("strict", cors=CORS, required_headers=[{"name": "x-key", "methods": ["OPTIONS"]}]))
    before = hosts.echo.count
    for origin, method in (("", "PUT"), (SHOP, "")):
        assert (await preflight(hosts, "strict", origin, method=method)).status_code == 400
    assert hosts.echo.count == before


async def test_any_number_of_origins_may_read_errors(hosts: edges.Edge) -> None:
    """More than one regular expression of a proxy can hold."""
    many = [f"https://shop-{number}.customers.example.com" for number in range(300)]
    await hosts.put(edges.tenant("telling", cors={"origins": many}, maintenance={}))
    for origin in (many[0], many[150], many[-1]):
        assert allowed(await hosts.ask("telling", headers={"origin": origin})) == origin
    assert allowed(await hosts.ask("telling", headers={"origin": many[0] + "0"})) is None
