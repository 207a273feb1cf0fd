"""Every policy on a Kong, by the requests it must pass and refuse: the double, or a real one (`kong_gates`)."""

from typing import Any

import pytest
import yaml
from kong_gates import Answer, Gate, Header

from kong_sync.plugins import ROWS
from tenants.policies import POLICIES

ACME: Header = ("x-tenant-id", "acme")
BETA: Header = ("x-tenant-id", "beta")
PATH = "/api/orders/1"
ORIGIN: Header = ("origin", "https://shop.example")
EVIL: Header = ("origin", "https://shop.example.evil")
ASKS: Header = ("access-control-request-method", "POST")


def tenant(name: str = "acme", **more: Any) -> str:
    return yaml.safe_dump({"kind": "Tenant", "id": name, **more})


async def served(gate: Gate, *more: str, gateway: str = "", **policies: Any) -> Gate:
    """acme has these policies; beta has none of its own."""
    await gate.load(gate.world(tenant(policies=policies), tenant("beta"), *more, gateway=gateway))
    return gate


def test_every_policy_has_its_row_and_every_row_says_how_far_it_goes() -> None:
    assert ROWS.keys() == POLICIES.keys()
    for row in ROWS.values():
        degree, _, why = row.parity.partition(": ")
        assert degree in ("exact", "approximate", "unsupported"), row
        assert (degree == "exact") is (why == ""), row


async def test_rate_limit_counts_a_tenant_over_all_its_routes(gate: Gate) -> None:
    more = "kind: Route\nid: other\nmatch: {prefix: /other}\nservice: other"
    await served(gate, more, rate_limit={"requests": 2, "per": "day"})
    assert [(await gate.ask(path, ACME)).status for path in (PATH, "/other", PATH, "/other")] == [200, 200, 429, 429]
    assert await gate.statuses(PATH, (BETA,), (BETA,), (BETA,)) == [200] * 3
    refused = await gate.ask(PATH, ACME)
    assert refused.headers["ratelimit-limit"] == "2"
    assert int(refused.headers["retry-after"]) > 0


async def test_a_route_with_a_limit_of_its_own_counts_apart_and_one_without_is_free(gate: Gate) -> None:
    other = "kind: Route\nid: other\nmatch: {prefix: /other}\nservice: other"
    free = "kind: Route\nid: free\nmatch: {prefix: /free}\nservice: other"
    routes = {
        "other": {"policies": {"rate_limit": {"requests": 1}}},
        "free": {"policies": {"rate_limit": None}},
    }
    limit = {"rate_limit": {"requests": 2, "per": "day"}}
    await gate.load(gate.world(other, free, tenant(policies=limit, routes=routes), tenant("beta")))
    asked = ["/other", "/other", PATH, PATH, PATH, "/free", "/free", "/free"]
    assert [(await gate.ask(path, ACME)).status for path in asked] == [200, 429, 200, 200, 429, 200, 200, 200]


@pytest.mark.parametrize("by", ["client_ip", "header:x-user"])
async def test_what_counts_by_something_else_is_each_tenants_own(gate: Gate, by: str) -> None:
    limit = {"rate_limit": {"requests": 1, "per": "day", "by": by}}
    await gate.load(gate.world(tenant(policies=limit), tenant("beta", policies=limit)))
    user, other = ("x-user", "ann"), ("x-user", "bob")
    assert await gate.statuses(PATH, (ACME, user), (ACME, user), (BETA, user)) == [200, 429, 200]
    assert (await gate.ask(PATH, ACME, other)).status == (200 if by != "client_ip" else 429)


async def test_cors_answers_the_origins_of_the_tenant(gate: Gate) -> None:
    cors = {"origins": ["https://shop.example"], "methods": ["POST"], "max_age": "1m", "credentials": True}
    await served(gate, cors=cors)
    good, bad = await gate.ask(PATH, ACME, ORIGIN), await gate.ask(PATH, ACME, EVIL)
    assert (good.status, bad.status) == (200, 200)
    assert good.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in bad.headers
    assert "access-control-allow-origin" not in (await gate.ask(PATH, BETA, ORIGIN)).headers


async def test_preflights_name_no_tenant_and_are_answered_for_all(gate: Gate) -> None:
    one = tenant(policies={"cors": {"origins": ["https://shop.example"], "methods": ["POST"]}})
    other = tenant("beta", policies={"cors": {"origins": ["regex:https://[a-z]+[.]beta[.]example"]}})
    await gate.load(gate.world(one, other))

    async def told(*headers: Header) -> str | None:
        found = await gate.ask(PATH, *headers, ASKS, method="OPTIONS")
        assert found.status == 200
        return found.headers.get("access-control-allow-origin")

    assert await told(ORIGIN) == "https://shop.example"
    assert await told(("origin", "https://a.beta.example")) == "https://a.beta.example"
    assert await told(EVIL) is None
    assert await told(("origin", "https://a.beta.example.evil")) is None
    assert (await gate.ask(PATH, ORIGIN, method="OPTIONS")).status == 404
    assert (await gate.ask("/nowhere", ORIGIN, ASKS, method="OPTIONS")).status == 404


async def test_required_headers_are_asked_for_by_method_and_form(gate: Gate) -> None:
    rules = [
        {"name": "Idempotency-Key", "methods": ["POST"], "status": 400},
        {"name": "If-Match", "methods": ["PUT"], "status": 428},
        {"name": "X-Api-Version", "pattern": "[0-9]{4}-[0-9]{2}"},
    ]
    await served(gate, required_headers=rules)
    version, key = ("x-api-version", "2026-11"), ("idempotency-key", "1")
    missing = await gate.ask(PATH, ACME, version, method="POST")
    assert (missing.status, missing.code) == (400, "missing_header")
    assert missing.json()["error"]["details"] == {"header": "idempotency-key"}
    assert missing.headers["content-type"].startswith("application/json")
    assert (await gate.ask(PATH, ACME, version, key, method="POST")).status == 200
    assert (await gate.ask(PATH, ACME, version, method="PUT")).status == 428
    assert await gate.statuses(PATH, (ACME,), (ACME, version), (BETA,)) == [400, 200, 200]
    for wrong in ("2026", "x2026-11", "2026-111"):
        bad = await gate.ask(PATH, ACME, ("x-api-version", wrong))
        assert (bad.status, bad.code) == (400, "invalid_header")
    assert (await gate.ask(PATH, ACME, method="OPTIONS")).status == 200


async def test_a_correlation_id_is_kept_or_made_and_goes_back(gate: Gate) -> None:
    await served(gate, correlation_id={"header": "x-id"})
    kept, made = await gate.ask(PATH, ACME, ("x-id", "mine")), await gate.ask(PATH, ACME)
    assert (kept.headers["x-id"], kept.sent["x-id"]) == ("mine", "mine")
    assert made.headers["x-id"] == made.sent["x-id"] != ""
    assert "x-id" not in (await gate.ask(PATH, BETA)).headers


async def test_a_correlation_id_that_is_not_made_is_sent_back_where_there_is_one(gate: Gate) -> None:
    await served(gate, correlation_id={"header": "x-id", "generate": False})
    assert (await gate.ask(PATH, ACME, ("x-id", "mine"))).headers["x-id"] == "mine"
    assert "x-id" not in (await gate.ask(PATH, ACME)).headers


async def test_headers_are_set_added_and_removed_with_literal_values(gate: Gate) -> None:
    request = {"set": {"x-plan": "gold $(headers.host) 100%"}, "add": {"x-more": "2"}, "remove": ["x-debug"]}
    response = {"set": {"x-served-by": "us"}, "remove": ["via"]}
    await served(gate, headers={"request": request, "response": response})
    found = await gate.ask(PATH, ACME, ("x-plan", "iron"), ("x-debug", "1"))
    assert found.sent["x-plan"] == "gold $(headers.host) 100%"
    assert found.sent["x-more"] == "2"
    assert "x-debug" not in found.sent
    assert found.headers["x-served-by"] == "us"
    assert "via" not in found.headers
    assert "x-plan" not in (await gate.ask(PATH, BETA)).sent


async def test_access_goes_by_the_address_of_the_connection(gate: Gate) -> None:
    await served(gate, access={"deny": ["127.0.0.0/8"]})
    assert await gate.statuses(PATH, (ACME,), (ACME, ("x-forwarded-for", "10.0.0.1")), (BETA,)) == [403, 403, 200]
    await served(gate, access={"allow": ["127.0.0.0/8"], "deny": ["127.0.0.9"]})
    assert (await gate.ask(PATH, ACME)).status == 200


async def test_a_body_that_is_too_large_is_refused(gate: Gate) -> None:
    await served(gate, body_limit={"max": "8B"})
    asked = [(await gate.ask(PATH, ACME, method="POST", body=body)).status for body in (b"12345678", b"123456789")]
    assert asked == [200, 413]


async def test_maintenance_answers_in_place_of_the_service_after_the_guards(gate: Gate) -> None:
    await served(gate, maintenance={"message": "Back at 10:00."}, access={"deny": ["10.0.0.0/8"]})
    found = await gate.ask(PATH, ACME)
    assert (found.status, found.code, found.json()["error"]["message"]) == (503, "maintenance", "Back at 10:00.")
    assert (await gate.ask(PATH, BETA)).status == 200
    await served(gate, maintenance={}, access={"deny": ["127.0.0.0/8"]})
    assert (await gate.ask(PATH, ACME)).status == 403


async def test_what_kong_cannot_ask_lets_nobody_in(gate: Gate) -> None:
    opa = "kind: Service\nid: opa\nprotocol: grpc\nendpoints: ['10.0.0.5:9191']"
    for policy in ({"service": "opa"}, {"service": "opa", "on_failure": "allow"}):
        await served(gate, opa, authz=policy, maintenance={})
        found = await gate.ask(PATH, ACME)
        assert (found.status, found.code) == (503, "closed")


async def test_a_suspended_tenant_is_refused_on_every_path(gate: Gate) -> None:
    await gate.load(gate.world(tenant(status="suspended"), tenant("beta")))
    answers: list[Answer] = [await gate.ask(path, ACME) for path in (PATH, "/nowhere")]
    assert [(one.status, one.code) for one in answers] == [(403, "tenant_suspended")] * 2
    assert (await gate.ask(PATH, BETA)).status == 200


async def test_a_split_a_moved_route_and_a_rewrite_reach_what_they_name(gate: Gate) -> None:
    split = "kind: Route\nid: half\nmatch: {prefix: /half}\n"
    split += "split: [{service: orders, weight: 50}, {service: other, weight: 50}]"
    inner = "kind: Route\nid: inner\nmatch: {prefix: /in}\nservice: orders\nrewrite: {prefix: /v2/inner}"
    regex = "kind: Route\nid: regex\nmatch: {regex: '/r/[0-9]+'}\nservice: orders\n"
    regex += "rewrite: {regex: '^/r/([0-9]+)$', substitution: '/items/\\1'}"
    moved = tenant(routes={"orders": {"service": "other"}})
    await gate.load(gate.world(split, inner, regex, moved, tenant("beta")))
    assert [(await gate.ask(PATH, who)).json()["name"] for who in (ACME, BETA)] == ["other", "orders"]
    met = [(await gate.ask("/half", BETA)).json()["name"] for _ in range(8)]
    assert sorted(met) == ["orders"] * 4 + ["other"] * 4
    paths = ["/in", "/in/", "/in/x?y=1", "/r/12"]
    seen = [(await gate.ask(path, BETA)).json()["path"] for path in paths]
    assert seen == ["/v2/inner", "/v2/inner/", "/v2/inner/x?y=1", "/items/12"]
    assert await gate.statuses("/r/1x", (BETA,)) == [404]


async def test_routes_go_in_our_order_and_prefixes_are_whole_segments(gate: Gate) -> None:
    matches = {
        "long": "{prefix: /api/orders/special}",
        "whole": "{path: /api/orders/one}",
        "pattern": "{regex: '/api/[a-z]+/[0-9]+'}",
        "posts": "{prefix: /api/orders, methods: [POST]}",
    }
    routes = [f"kind: Route\nid: {name}\nmatch: {match}\nservice: orders" for name, match in matches.items()]
    marks = {name: {"policies": {"headers": {"response": {"set": {"x-route": name}}}}} for name in matches}
    await gate.load(gate.world(*routes, tenant(routes=marks)))

    async def met(path: str, method: str = "GET") -> str:
        return (await gate.ask(path, ACME, method=method)).headers.get("x-route", "")

    assert [await met(path) for path in ("/api/orders/special/x", "/api/orders/one", "/api/x/12")] == [
        "long",
        "whole",
        "pattern",
    ]
    assert [await met(PATH), await met(PATH, "POST"), await met("/api/orders/specials")] == ["", "posts", ""]
    assert await gate.statuses("/api/ordersX", (ACME,)) == [404]
