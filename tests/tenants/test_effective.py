"""Merging, route order, overrides, provenance, and what happens when a merge stops being valid."""

import pytest
from catalogs import BASE, catalog, changes
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from tenants.catalog import Catalog
from tenants.documents import Key
from tenants.effective import Backend, TenantView, gateway_of, patched, provenance, serves, view
from tenants.values import freeze, thaw

LAYERS = (
    BASE.replace("service: orders\n", "service: orders\npolicies: {timeout: {request: 3s}}\n").replace(
        "id: foods", "id: foods\npolicies: {rate_limit: {burst: 7}, cors: {origins: ['https://a.b'], max_age: 1m}}"
    )
    + """
---
kind: Tenant
id: acme
organisation: foods
policies: {rate_limit: {requests: 9}, timeout: {idle: 1s}, cors: {max_age: null}}
routes: {orders: {service: orders-next, policies: {rate_limit: {per: minute}, circuit_breaker: {max_requests: 1}}}}
---
kind: Tenant
id: plain
"""
)


def seen(made: Catalog, tenant: str = "acme") -> TenantView:
    return view(made, made.gateways["edge"], made.tenants[tenant])


def test_policies_merge_from_gateway_to_the_tenants_own_route() -> None:
    made = catalog(LAYERS)
    assert made.problems == ()
    whole, (route,) = seen(made).policies, seen(made).routes
    assert whole.rate_limit
    assert (whole.rate_limit.requests, whole.rate_limit.per, whole.rate_limit.burst) == (
        9,
        "second",
        7,
    )
    assert whole.timeout
    assert whole.timeout.request is None
    limit, timeout = route.policies.rate_limit, route.policies.timeout
    assert limit
    assert (limit.requests, limit.per, limit.burst) == (9, "minute", 7)
    assert timeout
    assert timeout.request
    assert timeout.idle
    assert route.policies.cors
    assert route.policies.cors.max_age is None
    assert route.backends == (Backend("orders-next", 100),)
    assert route.own == {"rate_limit", "timeout", "cors", "circuit_breaker"}


def test_a_tenant_that_says_nothing_shares_the_very_same_policies() -> None:
    made = catalog(LAYERS)
    (route,) = seen(made, "plain").routes
    assert route.own == frozenset()
    assert route.policies.rate_limit
    assert route.policies.rate_limit.requests == 100
    assert seen(made, "plain").routes[0].policies is route.policies


def test_null_switches_an_inherited_policy_off() -> None:
    made = catalog(BASE + "---\nkind: Tenant\nid: acme\npolicies: {rate_limit: null}\n")
    assert seen(made).policies.rate_limit is None
    assert seen(made).routes[0].policies.rate_limit is None


def test_lists_replace() -> None:
    headers = "required_headers: [{name: x-a}, {name: x-b}]"
    text = BASE.replace("rate_limit", headers + ", rate_limit")
    made = catalog(text + "---\nkind: Tenant\nid: acme\npolicies: {required_headers: [{name: x-c}]}\n")
    assert [header.name for header in seen(made).policies.required_headers or ()] == ["x-c"]


def test_provenance_names_the_document_that_set_each_field() -> None:
    assert provenance(catalog(LAYERS), "edge", "acme", "orders") == {
        "circuit_breaker.max_requests": Key("Tenant", "acme"),
        "cors.origins": Key("Organisation", "foods"),
        "rate_limit.burst": Key("Organisation", "foods"),
        "rate_limit.per": Key("Tenant", "acme"),
        "rate_limit.requests": Key("Tenant", "acme"),
        "timeout.idle": Key("Tenant", "acme"),
        "timeout.request": Key("Route", "orders"),
    }
    assert provenance(catalog(LAYERS), "edge", "nobody", "orders") == {}


MATCHES = [
    "{path: /api/orders/latest}",
    "{path: /api, methods: [GET]}",
    "{path: /api}",
    "{regex: '/api/orders/[0-9]+'}",
    "{prefix: /api/orders, headers: {x-version: '2'}}",
    "{prefix: /api/orders, methods: [GET]}",
    "{prefix: /api/orders, methods: [POST, PUT]}",
    "{prefix: /api/orders}",
    "{regex: '/api/(a|b)'}",
    "{prefix: /api}",
    "{regex: '/[a-z]+'}",
    "{prefix: /}",
]


@pytest.mark.parametrize("seed", range(5))
def test_routes_go_from_most_to_least_specific_whatever_their_ids(seed: int) -> None:
    names = [f"r{(index * 7 + seed) % len(MATCHES):02}" for index in range(len(MATCHES))]
    routes = "".join(
        f"---\nkind: Route\nid: {name}\nmatch: {match}\nservice: orders\n"
        for name, match in zip(names, MATCHES, strict=True)
    )
    made = catalog(
        BASE.replace("match: {prefix: /api/orders}", "match: {path: /zzzzzzzzzzzzzzzzzzzzzzzz}") + routes, TENANT
    )
    assert made.problems == ()
    assert [one.route.id for one in seen(made).routes][1:] == names


TENANT = "kind: Tenant\nid: acme\n"


def test_a_merge_that_stops_being_valid_falls_back_and_is_listed() -> None:
    made = catalog(BASE, "kind: Tenant\nid: acme\npolicies: {rate_limit: {requests: 9}}\n")
    after = made.apply(changes(BASE.replace("{rate_limit: {requests: 100, per: second}}", "{}"))).catalog
    assert [(problem.code, problem.tenant) for problem in after.problems] == [("GC207", "acme")]
    assert seen(after).policies.rate_limit is None
    assert seen(after).policies.maintenance is None


@pytest.mark.parametrize("own", ["{audiences: [a]}", "{audiences: [a]}, maintenance: null"])
def test_a_guard_that_stops_being_valid_closes_the_tenant_alone(own: str) -> None:
    jwt = "{jwt: {issuer: i, jwks: {uri: 'https://a.b/'}}}"
    base = BASE.replace("{rate_limit: {requests: 100, per: second}}", jwt)
    made = catalog(base, f"kind: Tenant\nid: acme\npolicies: {{jwt: {own}}}\n---\nkind: Tenant\nid: plain\n")
    assert made.problems == ()
    after = made.apply(changes(base.replace(jwt, "{}"))).catalog
    assert {(problem.code, problem.tenant) for problem in after.problems} == {("GC207", "acme")}
    assert all(route.policies.maintenance for route in seen(after).routes)
    assert seen(after, "plain").policies.maintenance is None


def test_a_gateway_serves_everybody_or_those_it_names() -> None:
    made = catalog(LAYERS)
    acme, plain, edge = made.tenants["acme"], made.tenants["plain"], made.gateways["edge"]
    assert serves(edge, acme)
    assert serves(edge, plain)
    by_organisation = edge.model_copy(update={"organisations": ("foods",)})
    assert (serves(by_organisation, acme), serves(by_organisation, plain)) == (True, False)
    by_name = edge.model_copy(update={"tenants": ("plain",)})
    assert (serves(by_name, acme), serves(by_name, plain)) == (False, True)


def test_a_single_gateway_is_everybodys_and_several_go_by_name() -> None:
    made = catalog(BASE)
    assert gateway_of(made, "anything") == made.gateways["edge"]
    two = made.apply(changes("kind: Gateway\nid: inner\nlisteners: [{name: a, port: 1}]\n", "b.yaml")).catalog
    assert gateway_of(two, "inner") == two.gateways["inner"]
    assert gateway_of(two, "anything") is None
    assert gateway_of(Catalog.empty(), "anything") is None


JSON = st.recursive(
    st.sampled_from([None, True, False, 0, 1, "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def merge_patch(target: object, patch: object) -> object:
    """RFC 7396, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.dictionaries(st.sampled_from("abc"), JSON))
def test_patching_is_json_merge_patch(target: dict[str, object], patch: dict[str, object]) -> None:
    frozen: Map[str, object] = freeze(patch)
    assert thaw(patched(target, frozen)) == thaw(merge_patch(target, patch))
