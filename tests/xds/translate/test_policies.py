"""The policy table, and what each policy comes to on a route. That Envoy acts so is proved in `tests/envoy`."""

import json
from typing import Any

import pytest
import tables
from tables import BUFFER, CORS, LOCAL_RATE_LIMIT, RBAC
from worlds import Json, route

from tenants.policies import POLICIES
from xds.translate.filters import FILTERS, ROWS


def test_every_policy_has_a_row_and_every_row_a_policy() -> None:
    assert set(ROWS) == set(POLICIES)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_row_says_how_its_policy_is_enforced(name: str) -> None:
    row = ROWS[name]
    ways = [row.config, row.configs, row.edits, row.action, row.elsewhere]
    assert any(ways)
    assert bool(row.filter) == bool(row.config) == bool(row.off)
    assert not (row.config and row.configs)
    assert row.configs or not row.named


def test_every_filter_a_row_uses_is_in_the_chain_and_the_router_is_last() -> None:
    names = [name for name, _make, _off in FILTERS]
    assert {row.filter for row in ROWS.values() if row.filter} <= set(names)
    assert names[-1] == "envoy.filters.http.router"
    assert names.index(CORS) < names.index(RBAC) < names.index(LOCAL_RATE_LIMIT) < names.index(BUFFER)


def of_tenant(name: str, **policy: Any) -> Json:
    """The filter configuration that a tenant-wide policy comes to."""
    found = tables.host(tables.small(policies={name: policy}))["typed_per_filter_config"]
    return dict(found[{"rate_limit": LOCAL_RATE_LIMIT, "body_limit": BUFFER}.get(name) or ROWS[name].filter])


def on_route(name: str, policy: Any) -> Json:
    """The route of a tenant with this policy."""
    return tables.real(tables.small(policies={name: policy}))


@pytest.mark.parametrize(
    ("limit", "tokens", "refill", "interval"),
    [
        ({"requests": 10, "per": "second"}, 10, 10, "1s"),
        ({"requests": 600, "per": "minute", "burst": 50}, 650, 600, "60s"),
        ({"requests": 1, "per": "hour"}, 1, 1, "3600s"),
        ({"requests": 1_000_000_000, "per": "day", "burst": 1_000_000_000}, 2_000_000_000, 1_000_000_000, "86400s"),
    ],
)
def test_a_rate_limit_is_a_bucket_with_room_for_the_burst(limit: Json, tokens: int, refill: int, interval: str) -> None:
    found = of_tenant("rate_limit", **limit)
    assert found["token_bucket"] == {"max_tokens": tokens, "tokens_per_fill": refill, "fill_interval": interval}
    assert found["filter_enabled"] == found["filter_enforced"] == {"default_value": {"numerator": 100}}


@pytest.mark.parametrize(
    ("by", "action", "key"),
    [
        ("client_ip", {"remote_address": {}}, "remote_address"),
        ("header:X-Key", {"request_headers": {"header_name": "x-key", "descriptor_key": "by"}}, "by"),
        ("header:host", {"request_headers": {"header_name": ":authority", "descriptor_key": "by"}}, "by"),
    ],
)
def test_a_rate_limit_by_something_has_a_bucket_for_each_value(by: str, action: Json, key: str) -> None:
    found = of_tenant("rate_limit", requests=5, per="second", by=by)
    assert found["rate_limits"] == [{"actions": [action]}]
    assert found["descriptors"] == [{"entries": [{"key": key}], "token_bucket": found["token_bucket"]}]
    assert found["always_consume_default_token_bucket"] is False


def test_a_limit_of_the_tenant_is_one_bucket_for_all_its_routes() -> None:
    documents = tables.small(route("b"), policies={"rate_limit": {"requests": 5, "per": "second"}})
    assert LOCAL_RATE_LIMIT in tables.host(documents)["typed_per_filter_config"]
    assert all("typed_per_filter_config" not in one for one in tables.routes(documents))


@pytest.mark.parametrize("own", [{"requests": 1, "per": "second"}, {"requests": 5, "per": "second"}, None])
def test_a_route_that_says_its_own_limit_has_its_own_bucket_or_none(own: Json | None) -> None:
    """Also if it says the same as the tenant: two buckets of five are not one."""
    override = {"orders": {"policies": {"rate_limit": own}}}
    documents = tables.small(route("b"), policies={"rate_limit": {"requests": 5, "per": "second"}}, routes=override)
    config = tables.real(documents)["typed_per_filter_config"][LOCAL_RATE_LIMIT]
    assert ("filter_enabled" in config) == (own is not None)
    assert "typed_per_filter_config" not in tables.real(documents, "b")


def test_a_limit_of_a_route_document_is_a_bucket_of_that_route() -> None:
    documents = tables.small(route("b", policies={"rate_limit": {"requests": 1, "per": "day"}}))
    assert "typed_per_filter_config" not in tables.host(documents)
    assert LOCAL_RATE_LIMIT in tables.real(documents, "b")["typed_per_filter_config"]


def test_cors_lets_the_listed_origins_in_and_answers_every_preflight() -> None:
    found = of_tenant(
        "cors",
        origins=["https://A.example", "regex:https://.*\\.b\\.example", "*"],
        methods=["GET", "PUT"],
        headers=["X-One", "x-two"],
        expose=["x-three"],
        max_age="10m",
    )
    assert found["allow_origin_string_match"] == [
        {"exact": "https://a.example"},
        {"safe_regex": {"regex": "https://.*\\.b\\.example"}},
        {"exact": "*"},
    ]
    assert (found["allow_methods"], found["allow_headers"], found["max_age"]) == ("GET, PUT", "x-one, x-two", "600")
    assert (found["expose_headers"], found["allow_credentials"]) == ("x-three", False)
    assert found["forward_not_matching_preflights"] is False


def test_answers_that_depend_on_the_origin_say_so_to_caches() -> None:
    found = on_route("cors", {"origins": ["https://a.example"]})
    assert {"key": "vary", "value": "origin"} in [one["header"] for one in found["response_headers_to_add"]]


@pytest.mark.parametrize(
    "extra", [{"match": {"prefix": "/p", "methods": ["POST"]}}, {"match": {"prefix": "/p", "headers": {"x-a": "1"}}}]
)
def test_preflights_find_a_route_that_takes_certain_methods_or_headers_only(extra: Json) -> None:
    documents = tables.small(route("p", **extra), policies={"cors": {"origins": ["https://a.example"]}})
    first, second = (one for one in tables.routes(documents) if one["name"] == "p")
    assert tables.is_preflight(first)
    assert not tables.is_preflight(second)
    assert first["match"]["headers"][0] == {"name": ":method", "string_match": {"exact": "OPTIONS"}}
    assert "x-a" not in json.dumps(first)
    assert first["route"]["cluster"] == "orders"  # Envoy answers preflights on routes that send somewhere only


def test_a_route_without_cors_has_no_preflights() -> None:
    documents = tables.small(route("p", match={"prefix": "/p", "methods": ["POST"]}))
    assert not any(tables.is_preflight(one) for one in tables.routes(documents))
    off = {"p": {"policies": {"cors": None}}}
    documents = tables.small(
        route("p", match={"prefix": "/p", "methods": ["POST"]}), policies={"cors": {"origins": ["*"]}}, routes=off
    )
    assert not any(tables.is_preflight(one) for one in tables.routes(documents))
    assert "vary" not in json.dumps(tables.real(documents, "p"))


def test_header_changes_are_literal_text() -> None:
    changes = {"set": {"X-Set": "100% %REQ(host)%"}, "add": {"x-add": ""}, "remove": ["X-Gone"]}
    found = on_route("headers", {"request": changes, "response": {"remove": ["server"]}})
    assert found["request_headers_to_add"] == [
        {"header": {"key": "x-set", "value": "100%% %%REQ(host)%%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        {"header": {"key": "x-add"}, "keep_empty_value": True},
    ]
    assert found["request_headers_to_remove"] == ["x-gone"]
    assert found["response_headers_to_remove"] == ["server"]


@pytest.mark.parametrize(
    ("policy", "towards", "back"),
    [
        ({}, ["%REQ(x-request-id)%"], ["%REQ(x-correlation-id?x-request-id)%"]),
        ({"generate": False}, [], ["%REQ(x-correlation-id)%"]),
        ({"echo": False}, ["%REQ(x-request-id)%"], []),
        ({"echo": False, "generate": False}, [], []),
    ],
)
def test_a_correlation_id_is_the_callers_or_the_request_id(policy: Json, towards: list[str], back: list[str]) -> None:
    found = on_route("correlation_id", policy)
    for name, expected in (("request_headers_to_add", towards), ("response_headers_to_add", back)):
        assert [one["header"]["value"] for one in found.get(name, [])] == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, {}),
        ({"request": "5s"}, {"timeout": "5s"}),
        ({"request": "10m"}, {"timeout": "600s", "idle_timeout": "600s"}),
        ({"request": "10m", "idle": "1s"}, {"timeout": "600s", "idle_timeout": "1s"}),
        ({"idle": "500ms"}, {"idle_timeout": "0.500s"}),
    ],
)
def test_a_request_that_may_take_long_is_not_cut_by_envoys_idle_timeout(policy: Json, expected: Json) -> None:
    found = on_route("timeout", policy)["route"]
    assert {name: value for name, value in found.items() if "timeout" in name} == expected


def test_a_retry_goes_to_another_endpoint() -> None:
    found = on_route("retry", {"attempts": 2, "on": ["5xx", "reset"], "per_try_timeout": "1s"})["route"]["retry_policy"]
    assert (found["retry_on"], found["num_retries"], found["per_try_timeout"]) == ("5xx,reset", 2, "1s")
    assert [one["name"] for one in found["retry_host_predicate"]] == ["envoy.retry_host_predicates.previous_hosts"]


def test_a_body_limit_is_in_bytes() -> None:
    assert of_tenant("body_limit", max="64KiB")["buffer"] == {"max_request_bytes": 65536}


def cidr(text: str) -> Json:
    address, _, length = text.partition("/")
    return {"remote_ip": {"address_prefix": address, "prefix_len": int(length)}}


@pytest.mark.parametrize(
    ("policy", "ids"),
    [
        ({}, [{"any": True}]),
        ({"allow": ["10.0.0.0/8", "::1/128"]}, [{"or_ids": {"ids": [cidr("10.0.0.0/8"), cidr("::1/128")]}}]),
        ({"deny": ["0.0.0.0/0"]}, [{"any": True}, {"not_id": {"or_ids": {"ids": [cidr("0.0.0.0/0")]}}}]),
        (
            {"allow": ["10.0.0.0/8"], "deny": ["10.0.0.1/32"]},
            [{"or_ids": {"ids": [cidr("10.0.0.0/8")]}}, {"not_id": {"or_ids": {"ids": [cidr("10.0.0.1/32")]}}}],
        ),
    ],
)
def test_access_is_for_who_is_allowed_and_not_denied(policy: Json, ids: list[Json]) -> None:
    (rule,) = of_tenant("access", **policy)["rbac"]["rules"]["policies"].values()
    assert rule["principals"] == [{"and_ids": {"ids": ids}}]


def test_access_holds_for_what_a_route_answers_itself() -> None:
    rules = [{"name": "x-a"}]
    own = {"orders": {"policies": {"access": {"deny": ["10.0.0.0/8"]}, "required_headers": rules}}}
    documents = tables.small(routes=own)
    refusals = [one for one in tables.routes(documents) if one["name"] == "orders" and "direct_response" in one]
    assert refusals
    assert all(set(one["typed_per_filter_config"]) == {RBAC} for one in refusals)
