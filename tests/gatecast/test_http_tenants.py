"""One tenant over HTTP: what holds and who says so, its resources, and how exactly each gateway enforces it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from operators import SETTINGS, Operator, operator

MORE = (
    SETTINGS
    + """---
kind: Route
id: other
match: {prefix: /other}
service: orders
policies: {timeout: {request: 5s}}
---
kind: Organisation
id: drinks
policies: {rate_limit: {requests: 600, per: minute, by: client_ip}, cors: {origins: ["https://a.example"]}}
---
kind: Tenant
id: gamma
organisation: drinks
policies: {rate_limit: {burst: 3}, headers: {request: {set: {x.plan: gold, authorization: hush}}}}
routes: {other: {policies: {maintenance: {message: later}}}}
---
kind: Gateway
id: inner
kong: true
listeners: [{name: inner, port: 9999}]
tenants: [gamma]
allow_local_endpoints: true
"""
)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Operator]:
    async with operator(tmp_path, MORE) as made:
        assert not [one for one in made.plane.problems() if one.severity == "error"]
        yield made


def field(route: dict[str, Any], path: str) -> tuple[Any, str]:
    (found,) = [one for one in route["fields"] if one["path"] == path]
    return found["value"], f"{found['kind']}/{found['id']}"


async def test_every_field_in_force_says_where_it_comes_from(here: Operator) -> None:
    found = (await here.ask("GET", "/tenants/gamma/effective")).json()
    assert [one["gateway"] for one in found["gateways"]] == ["edge", "inner"]
    assert found["revision"] == here.ledger.revision
    routes = {one["route"]: one for one in found["gateways"][0]["routes"]}
    assert field(routes["other"], "rate_limit.requests") == (600, "Organisation/drinks")
    assert field(routes["other"], "rate_limit.burst") == (3, "Tenant/gamma")
    assert field(routes["other"], "timeout.request") == ("5s", "Route/other")
    assert field(routes["other"], "maintenance.message") == ("later", "Tenant/gamma")
    assert field(routes["other"], "headers.request.set.x.plan") == ("gold", "Tenant/gamma")
    assert field(routes["other"], "headers.request.set.authorization") == ("(secret)", "Tenant/gamma")
    assert routes["other"]["services"] == {"orders": 100}
    assert "maintenance" not in next(one for name, one in routes.items() if name != "other")["policies"]


async def test_the_list_is_narrowed_to_a_route_and_to_gateways(here: Operator) -> None:
    found = (await here.ask("GET", "/tenants/gamma/effective", route="other")).json()
    assert [[one["route"] for one in each["routes"]] for each in found["gateways"]] == [["other"], ["other"]]
    for scope, wanted in (("gateway.*", ["edge", "inner"]), ("gateway.in*", ["inner"]), ("gateway.nix", [])):
        page = (await here.ask("GET", "/settings/effective", tenant="gamma", scope=scope)).json()
        assert [one["gateway"] for one in page["gateways"]] == wanted
    await here.refused("GET", "/settings/effective", 422, "invalid_parameter", tenant="gamma", scope="route.x")
    await here.refused("GET", "/settings/effective", 422, "invalid_parameter")


@pytest.mark.parametrize("what", ["effective", "resources", "parity"])
async def test_a_tenant_that_is_not_there_is_not_found(what: str, here: Operator) -> None:
    await here.refused("GET", f"/tenants/nobody/{what}", 404, "not_found")
    if what == "effective":
        await here.refused("GET", "/tenants/gamma/effective", 404, "not_found", route="nix")


async def test_the_resources_of_a_tenant_are_those_that_proxies_are_sent(here: Operator) -> None:
    found = (await here.ask("GET", "/tenants/gamma/resources")).json()["resources"]
    (table,) = [one for one in found if (one["gateway"], one["type"]) == ("edge", "RDS")]
    shown = (await here.ask("GET", "/snapshots/edge/rds/gamma")).json()["resource"]
    assert table["resource"] == shown
    assert "hush" not in str(found)
    assert {"CDS", "EDS", "SRDS"} <= {one["type"] for one in found}


async def test_the_entities_of_a_tenant_are_those_that_a_kong_is_given(here: Operator) -> None:
    found = (await here.ask("GET", "/tenants/gamma/resources")).json()["entities"]
    assert {one["gateway"] for one in found} == {"inner"}
    assert {"routes", "services", "upstreams", "targets", "plugins"} <= {one["kind"] for one in found}
    assert all(one["entity"]["tags"][:2] == ["gatecast", "gateway:inner"] for one in found)
    assert any("gamma" in str(one["entity"]) for one in found)
    assert "hush" not in str(found)
    (edits,) = {str(one["entity"]["config"]["add"]) for one in found if "request-transformer" in one["name"]}
    assert "authorization:(secret)" in edits


async def test_parity_says_how_each_proxy_enforces_each_policy(here: Operator) -> None:
    rows = (await here.ask("GET", "/tenants/gamma/parity")).json()["policies"]
    found = {(one["gateway"], one["proxy"], one["policy"]): (one["parity"], one["routes"]) for one in rows}
    assert found["edge", "envoy", "maintenance"] == ("exact", ["other"])
    assert found["edge", "envoy", "cors"][0] == "exact"
    assert found["edge", "envoy", "rate_limit"][0] == "approximate"
    assert ("edge", "kong", "cors") not in found
    assert found["inner", "kong", "rate_limit"][0] == "approximate"
    assert all(bool(one["why"]) == (one["parity"] != "exact") for one in rows)
