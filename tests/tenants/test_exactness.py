"""`parity: exact`: a tenant whose policies would not be enforced as they are written stays as it was."""

import json
from typing import Any

import pytest
from catalogs import changes

from tenants.catalog import Catalog
from tenants.documents import Gateway
from tenants.errors import Problem

Json = dict[str, Any]

HOW = "approximate: by a whisker"
PAGES = {"cors": {"origins": ["https://a.example"]}}
KINDS = ("Gateway", "Organisation", "Route", "Tenant")


def whisker(policy: str, _value: Any, _gateway: Gateway) -> str:
    """Proxies for which nothing but `cors` is difficult."""
    return HOW if policy == "cors" else ""


def said(kind: str, demands: str = "", **more: Any) -> Json:
    ids = {"Gateway": "edge", "Organisation": "foods", "Route": "orders", "Service": "orders", "Tenant": "acme"}
    fields: dict[str, Json] = {
        "Gateway": {"listeners": [{"name": "public", "port": 8080}]},
        "Route": {"match": {"prefix": "/orders"}, "service": "orders"},
        "Service": {"endpoints": ["10.0.0.1:80"]},
        "Tenant": {"organisation": "foods"},
    }
    exact = {"parity": "exact"} if kind == demands else {}
    return {"kind": kind, "id": ids[kind], **fields.get(kind, {}), **exact, **more}


def given(catalog: Catalog, *documents: Json) -> Catalog:
    for one in documents:
        catalog = catalog.apply(changes(json.dumps(one), f"{one['kind']}-{one['id']}.yaml")).catalog
    return catalog


def world(demands: str = "") -> Catalog:
    kinds = ("Service", "Gateway", "Organisation", "Route", "Tenant")
    return given(Catalog.empty(whisker), *(said(kind, demands) for kind in kinds))


def found(catalog: Catalog) -> list[tuple[str, str, str]]:
    return [(one.code, one.kind, one.path) for one in catalog.problems]


@pytest.mark.parametrize("demands", ["", *KINDS])
def test_a_tenant_that_could_not_be_served_exactly_stays_as_it_was(demands: str) -> None:
    catalog = given(world(demands), said("Tenant", demands, policies=PAGES))
    assert ("cors" in catalog.tenants["acme"].policies) == (demands == "")
    assert found(catalog) == ([("GC303", "Tenant", "policies.cors")] if demands else [])


@pytest.mark.parametrize("demands", KINDS)
def test_it_comes_into_force_when_nobody_demands_more_any_longer(demands: str) -> None:
    catalog = given(world(demands), said("Tenant", demands, policies=PAGES))
    after = given(catalog, said(demands, **({"policies": PAGES} if demands == "Tenant" else {})))
    assert (found(after), "cors" in after.tenants["acme"].policies) == ([], True)


@pytest.mark.parametrize("demands", KINDS)
def test_at_the_start_the_tenant_is_absent_and_all_others_are_there(demands: str) -> None:
    kinds = ("Service", "Gateway", "Organisation", "Route")
    text = "\n---\n".join(json.dumps(said(kind, demands)) for kind in kinds)
    other = {**said("Tenant", demands), "id": "beta"}
    text = "\n---\n".join([text, json.dumps(said("Tenant", demands, policies=PAGES)), json.dumps(other)])
    catalog = Catalog.empty(whisker).apply(changes(text)).catalog
    assert (set(catalog.tenants), found(catalog)) == ({"beta"}, [("GC303", "Tenant", "policies.cors")])


@pytest.mark.parametrize("demands", ["Gateway", "Organisation", "Route"])
def test_a_demand_that_comes_later_is_a_problem_of_the_tenants_it_hurts(demands: str) -> None:
    """They are served on; whoever writes by the API is refused for it."""
    before = given(world(), said("Tenant", policies=PAGES))
    after = given(before, said(demands, demands))
    assert "cors" in after.tenants["acme"].policies
    assert [one.path for one in after.hurt(before)] == ["policies.cors"]
    assert given(after, said(demands)).problems == ()


@pytest.mark.parametrize("kind", ["Gateway", "Organisation", "Route"])
def test_what_a_tenant_inherits_counts(kind: str) -> None:
    before = world("Tenant")
    after = given(before, said(kind, policies=PAGES))
    assert [(one.id, one.path) for one in after.hurt(before)] == [("acme", "parity")]


def test_a_route_that_demands_it_says_nothing_of_others() -> None:
    other = {**said("Route"), "id": "other", "match": {"prefix": "/other"}}
    catalog = given(world("Route"), other, said("Tenant", routes={"other": {"policies": PAGES}}))
    assert (catalog.problems, "other" in catalog.tenants["acme"].routes) == ((), True)
    catalog = given(catalog, said("Tenant", routes={"orders": {"policies": PAGES}}))
    assert found(catalog) == [("GC303", "Tenant", "routes.orders.policies.cors")]


def test_the_problem_says_how_it_is_enforced_and_who_demands_more() -> None:
    (one,) = given(world("Organisation"), said("Tenant", policies=PAGES)).problems
    assert isinstance(one, Problem)
    assert one.message == f"`cors` on gateway 'edge' is {HOW}; Organisation/foods demands `parity: exact`"


def test_what_a_store_holds_is_in_force_and_the_problem_is_told() -> None:
    bad = changes(json.dumps(said("Tenant", policies=PAGES)), "Tenant-acme.yaml")
    catalog = world("Gateway").adopt(bad).catalog
    assert ("cors" in catalog.tenants["acme"].policies, found(catalog)) == (
        True,
        [("GC303", "Tenant", "policies.cors")],
    )
