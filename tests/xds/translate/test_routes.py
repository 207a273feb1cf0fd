"""A tenant's scopes and route table: who finds it, in which order its routes stand, what they match and answer."""

import json
from typing import Any

import pytest
import tables
import worlds
from worlds import Json, gateway, route, service, tenant, world

from xds import messages, translate
from xds.translate import routes

BY_HOST = {"tenant": {"from": "host"}}


def scopes(documents: worlds.World, name: str = "acme") -> dict[str, Json]:
    built, _specs = translate.tenant(documents.view(name))
    return {one.name: messages.to_dict(one.message) for one in built if one.kind == "SRDS"}


def test_by_header_a_tenant_is_found_by_its_id() -> None:
    assert scopes(tables.small()) == {
        "acme": {"name": "acme", "route_configuration_name": "acme", "key": {"fragments": [{"string_key": "acme"}]}}
    }


def test_by_host_a_tenant_is_found_by_each_of_its_hosts() -> None:
    found = scopes(tables.small(on_gateway=BY_HOST, hosts=["a.example", "B.example"]))
    assert {name: one["key"]["fragments"] for name, one in found.items()} == {
        "a.example": [{"string_key": "a.example"}],
        "b.example": [{"string_key": "b.example"}],
    }
    assert {one["route_configuration_name"] for one in found.values()} == {"acme"}


def test_a_host_that_moves_to_another_tenant_keeps_the_name_of_its_scope() -> None:
    """Two scopes with one key make Envoy refuse both; one resource that changes cannot clash."""
    documents = tables.small(tenant("beta", hosts=["a.example"]), on_gateway=BY_HOST, hosts=["a.example"])
    assert set(scopes(documents, "acme")) == set(scopes(documents, "beta")) == {"a.example"}


def test_a_tenant_that_no_request_can_name_is_nothing() -> None:
    assert translate.tenant(tables.small(on_gateway=BY_HOST).view("acme")) == ((), translate.Needs())


def test_resources_say_what_they_use_and_whose_they_are() -> None:
    documents = tables.small(route("b", service="billing"), service("billing"))
    built, needs = translate.tenant(documents.view("acme"))
    assert [(one.kind, one.name, one.uses, one.owner) for one in built] == [
        ("SRDS", "acme", frozenset({"acme"}), "acme"),
        ("RDS", "acme", frozenset({"billing", "orders"}), "acme"),
    ]
    assert needs.clusters == {translate.ClusterSpec("orders"), translate.ClusterSpec("billing")}


def test_the_first_route_refuses_a_second_tenant_in_the_header() -> None:
    first = tables.routes(tables.small())[0]
    assert first["match"] == {
        "prefix": "/",
        "headers": [{"name": "x-tenant-id", "string_match": {"exact": "acme"}, "invert_match": True}],
    }
    assert first["direct_response"]["status"] == 400
    assert error(first)["code"] == "bad_tenant_header"


def test_by_host_there_is_no_header_to_check_and_our_own_stays_inside() -> None:
    documents = tables.small(on_gateway=BY_HOST, hosts=["a.example"])
    assert [one["name"] for one in tables.routes(documents)] == ["orders", "not-found"]
    assert tables.table(documents)["request_headers_to_remove"] == ["x-gatecast-host"]


def error(one: Json) -> Json:
    return dict(json.loads(one["direct_response"]["body"]["inline_string"])["error"])


def test_the_last_route_is_a_404_of_the_tenant() -> None:
    last = tables.routes(tables.small())[-1]
    assert (last["match"], last["direct_response"]["status"]) == ({"prefix": "/"}, 404)
    assert error(last) == {"code": "not_found", "message": "The tenant has no such path.", "details": {}}


def test_a_suspended_tenant_has_one_answer_and_needs_no_cluster() -> None:
    documents = tables.small(status="suspended", policies={"rate_limit": {"requests": 1, "per": "day"}})
    assert tables.answers(documents) == [("suspended", 403)]
    assert error(tables.routes(documents)[0])["code"] == "tenant_suspended"
    assert len(tables.routes(documents)) == 1
    assert translate.tenant(documents.view("acme"))[1] == translate.Needs()


def test_maintenance_answers_in_place_of_every_route_but_those_that_say_otherwise() -> None:
    policies = {"maintenance": {"status": 599, "message": 'Back "soon" é'}}
    documents = tables.small(route("b"), policies=policies, routes={"b": {"policies": {"maintenance": None}}})
    assert tables.answers(documents) == [("bad-tenant-header", 400), ("orders", 599), ("maintenance", 599)]
    assert tables.real(documents, "b")["route"]["cluster"] == "orders"
    assert error(tables.routes(documents)[-1])["message"] == 'Back "soon" é'


def test_required_headers_refuse_ahead_of_the_real_route() -> None:
    rules = [
        {"name": "Idempotency-Key", "methods": ["POST"]},
        {"name": "x-version", "pattern": "[0-9]+", "status": 428},
    ]
    documents = tables.small(policies={"required_headers": rules})
    missing, absent, malformed, real = (one for one in tables.routes(documents) if one["name"] == "orders")
    assert missing["match"] == {
        "path_separated_prefix": "/orders",
        "headers": [
            {"name": ":method", "string_match": {"exact": "POST"}},
            {"name": "idempotency-key", "present_match": True, "invert_match": True},
        ],
    }
    assert (missing["direct_response"]["status"], error(missing)["code"]) == (400, "missing_header")
    assert (absent["direct_response"]["status"], error(absent)["code"]) == (428, "missing_header")
    assert (malformed["direct_response"]["status"], error(malformed)["code"]) == (428, "invalid_header")
    assert malformed["match"]["headers"][1] == {
        "name": "x-version",
        "string_match": {"safe_regex": {"regex": "[0-9]+"}},
        "invert_match": True,
    }
    assert real["route"]["cluster"] == "orders"


def test_a_header_required_of_all_methods_is_not_required_of_options() -> None:
    """A preflight never carries the headers it asks for."""
    documents = tables.small(policies={"required_headers": [{"name": "x-a"}]})
    (refusal,) = (one for one in tables.routes(documents) if one["name"] == "orders" and "direct_response" in one)
    assert {"name": ":method", "string_match": {"exact": "OPTIONS"}, "invert_match": True} in refusal["match"][
        "headers"
    ]


def test_no_preflight_meets_a_refusal() -> None:
    policies = {"required_headers": [{"name": "x-a", "methods": ["OPTIONS"]}], "cors": {"origins": ["*"]}}
    first, *_others = (one for one in tables.routes(tables.small(policies=policies)) if one["name"] == "orders")
    assert tables.is_preflight(first)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"prefix": "/"}, {"prefix": "/"}),
        ({"prefix": "/api"}, {"path_separated_prefix": "/api"}),
        ({"prefix": "/api/"}, {"prefix": "/api/"}),
        ({"path": "/api/"}, {"path": "/api/"}),
        ({"regex": "/a/[0-9]+"}, {"safe_regex": {"regex": "/a/[0-9]+"}}),
        (
            {"path": "/a", "methods": ["GET", "HEAD"]},
            {"path": "/a", "headers": [{"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}]},
        ),
        (
            {"path": "/a", "headers": {"Host": "x", "x-b": {"prefix": "p"}, "x-c": {"prefix": ""}}},
            {
                "path": "/a",
                "headers": [
                    {"name": ":authority", "string_match": {"exact": "x"}},
                    {"name": "x-b", "string_match": {"prefix": "p"}},
                    {"name": "x-c", "present_match": True},
                ],
            },
        ),
        (
            {"path": "/a", "headers": {"x-d": {"present": True}, "x-e": {"present": False}, "x-f": {"exact": ""}}},
            {
                "path": "/a",
                "headers": [
                    {"name": "x-d", "present_match": True},
                    {"name": "x-e", "present_match": True, "invert_match": True},
                    {"name": "x-f", "string_match": {"exact": ""}},
                ],
            },
        ),
    ],
)
def test_matches(match: Json, expected: Json) -> None:
    assert tables.real(tables.small(route("r", match=match)), "r")["match"] == expected


@pytest.mark.parametrize(
    ("prefix", "new", "expected"),
    [
        ("/api", "/v2", {"prefix_rewrite": "/v2"}),
        ("/api", "/v2/", {"prefix_rewrite": "/v2"}),
        ("/api/", "/v2", {"prefix_rewrite": "/v2/"}),
        ("/", "/v2", {"prefix_rewrite": "/v2/"}),
        ("/api/", "/", {"prefix_rewrite": "/"}),
        ("/a.b", "/", {"regex_rewrite": {"pattern": {"regex": "^/a\\.b/?"}, "substitution": "/"}}),
    ],
)
def test_a_prefix_is_replaced_by_whole_segments(prefix: str, new: str, expected: Json) -> None:
    documents = tables.small(route("r", match={"prefix": prefix}, rewrite={"prefix": new}))
    found = tables.real(documents, "r")["route"]
    assert {name: value for name, value in found.items() if "rewrite" in name} == expected


def test_other_rewrites() -> None:
    whole = route("w", rewrite={"path": "/fixed%20x", "host": "inner.example"})
    part = route("p", rewrite={"regex": "^/p/(.*)$", "substitution": "/\\1"})
    documents = tables.small(whole, part)
    found = tables.real(documents, "w")["route"]
    assert (found["path_rewrite"], found["host_rewrite_literal"]) == ("/fixed%%20x", "inner.example")
    replaced = tables.real(documents, "p")["route"]["regex_rewrite"]
    assert replaced == {"pattern": {"regex": "^/p/(.*)$"}, "substitution": "/\\1"}


def test_a_split_has_the_weights_it_was_given() -> None:
    shares = [{"service": "orders", "weight": 90}, {"service": "next", "weight": 10}]
    body: dict[str, Any] = {"kind": "Route", "id": "s", "match": {"prefix": "/s"}, "split": shares}
    found = tables.real(tables.small(service("next"), body), "s")["route"]
    assert found["weighted_clusters"] == {
        "clusters": [{"name": "orders", "weight": 90}, {"name": "next", "weight": 10}]
    }


def test_routes_that_come_to_the_same_for_many_tenants_are_built_once() -> None:
    many = [tenant(f"t{i}", policies={"rate_limit": {"requests": i + 1, "per": "second"}}) for i in range(50)]
    documents = world([gateway(), service(), route(), route("b", policies={"timeout": {"request": "1s"}}), *many])
    routes._entries.cache_clear()
    for view in documents.views():
        translate.tenant(view)
    assert (routes._entries.cache_info().misses, routes._entries.cache_info().hits) == (2, 98)


def test_the_same_view_comes_to_the_same_bytes() -> None:
    documents = tables.small(policies={"cors": {"origins": ["*"]}, "access": {}, "body_limit": {"max": "1KiB"}})
    once, again = (translate.tenant(documents.view("acme"))[0] for _ in range(2))
    assert [messages.encode(one.message) for one in once] == [messages.encode(one.message) for one in again]
