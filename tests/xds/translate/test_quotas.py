"""`rate_limit` as one tenant has it: what the rate limit service is told, what a table has it asked, and when not."""

from typing import Any

import pytest
import tables
from worlds import Json, World, route, service

from tenants.documents import RateLimitService
from xds import messages, translate
from xds.translate.filters import FILTERS
from xds.translate.quotas import ALLOW, DENY, LOCAL, SHARED, filters

SERVED: Json = {"rate_limit_service": {"service": "limits"}}
LIMIT: Json = {"requests": 5, "per": "minute", "scope": "global"}


def world(*more: Json, on_gateway: Json | None = None, **fields: Any) -> World:
    """As `tables.small`, with a rate limit service."""
    limits = service("limits", protocol="grpc")
    return tables.small(limits, *more, on_gateway=SERVED | (on_gateway or {}), **fields)


def told(documents: World) -> list[Json]:
    """What the service is told of acme."""
    built, _needs = translate.tenant(documents.view("acme"))
    return [messages.to_dict(one.message) for one in built if one.kind == "RLS"]


def asked(config: Json) -> list[Json]:
    """The actions of one route's or table's question."""
    (only,) = config["rate_limits"]
    return list(only["actions"])


def test_a_limit_of_the_tenant_is_one_domain_with_one_descriptor() -> None:
    documents = world(route("b"), policies={"rate_limit": LIMIT})
    per_minute = {"unit": "MINUTE", "requests_per_unit": 5}
    descriptor = {"key": "tenant", "value": "acme", "rate_limit": per_minute}
    assert told(documents) == [{"name": "edge/acme", "domain": "edge/acme", "descriptors": [descriptor]}]
    (config,) = tables.host(documents)["typed_per_filter_config"].values()
    assert (config["domain"], asked(config)) == (
        "edge/acme",
        [{"generic_key": {"descriptor_key": "tenant", "descriptor_value": "acme"}}],
    )
    assert all("typed_per_filter_config" not in one for one in tables.routes(documents))


def test_the_resource_belongs_to_its_tenant_and_needs_nothing() -> None:
    built, needs = translate.tenant(world(policies={"rate_limit": LIMIT}).view("acme"))
    (one,) = (one for one in built if one.kind == "RLS")
    assert (one.name, one.owner, one.uses, one.companion) == ("edge/acme", "acme", frozenset(), "")
    assert "limits" not in {spec.name for spec in needs.clusters}  # that is the listeners' need


@pytest.mark.parametrize(
    ("per", "unit"), [("second", "SECOND"), ("minute", "MINUTE"), ("hour", "HOUR"), ("day", "DAY")]
)
def test_every_unit_is_known_to_the_service(per: str, unit: str) -> None:
    most = {"requests": 1_000_000_000, "per": per, "scope": "global"}
    ((descriptor,),) = (one["descriptors"] for one in told(world(policies={"rate_limit": most})))
    assert descriptor["rate_limit"] == {"unit": unit, "requests_per_unit": 1_000_000_000}


def test_by_client_address_each_is_counted_apart() -> None:
    documents = world(policies={"rate_limit": LIMIT | {"by": "client_ip"}})
    ((descriptor,),) = (one["descriptors"] for one in told(documents))
    assert "rate_limit" not in descriptor
    assert [one["key"] for one in descriptor["descriptors"]] == ["remote_address"]
    assert asked(tables.host(documents)["typed_per_filter_config"][ALLOW])[1:] == [{"remote_address": {}}]


@pytest.mark.parametrize(("header", "name"), [("X-Key", "x-key"), ("host", ":authority")])
def test_by_header_each_value_is_counted_apart_and_requests_without_it_together(header: str, name: str) -> None:
    documents = world(policies={"rate_limit": LIMIT | {"by": f"header:{header}"}})
    ((descriptor,),) = (one["descriptors"] for one in told(documents))
    (inner,) = descriptor["descriptors"]
    assert (inner["key"], inner["rate_limit"]) == ("header", descriptor["rate_limit"])
    assert "value" not in inner
    (action,) = asked(tables.host(documents)["typed_per_filter_config"][ALLOW])[1:]
    assert action == {"request_headers": {"header_name": name, "descriptor_key": "header", "skip_if_absent": True}}


@pytest.mark.parametrize("own", [LIMIT, LIMIT | {"requests": 1}], ids=["same", "another"])
def test_a_route_with_a_limit_of_its_own_is_counted_under_its_name(own: Json) -> None:
    override = {"orders": {"policies": {"rate_limit": own}}}
    documents = world(route("b"), policies={"rate_limit": LIMIT}, routes=override)
    ((first, second),) = (one["descriptors"] for one in told(documents))
    assert (first["key"], first["value"], first["rate_limit"]["requests_per_unit"]) == (
        "route",
        "orders",
        own["requests"],
    )
    assert (second["key"], second["value"], second["rate_limit"]["requests_per_unit"]) == ("tenant", "acme", 5)
    (action,) = asked(tables.real(documents)["typed_per_filter_config"][ALLOW])
    assert action == {"generic_key": {"descriptor_key": "route", "descriptor_value": "orders"}}
    assert "typed_per_filter_config" not in tables.real(documents, "b")


def test_a_limit_of_a_route_document_is_counted_for_each_tenant_apart() -> None:
    documents = world(route("b", policies={"rate_limit": LIMIT}))
    (config,) = told(documents)
    assert config["domain"] == "edge/acme"
    assert [(one["key"], one["value"]) for one in config["descriptors"]] == [("route", "b")]
    assert "typed_per_filter_config" not in tables.host(documents)


def test_a_route_that_switches_it_off_asks_nothing() -> None:
    off = {"orders": {"policies": {"rate_limit": None}}}
    documents = world(policies={"rate_limit": LIMIT}, routes=off)
    found = tables.real(documents)["typed_per_filter_config"]
    assert {name: one.keys() for name, one in found.items()} == {ALLOW: {"@type"}}


@pytest.mark.parametrize(("failure", "name"), [("allow", ALLOW), ("deny", DENY)])
def test_the_failure_mode_chooses_the_filter(failure: str, name: str) -> None:
    found = tables.host(world(policies={"rate_limit": LIMIT | {"on_failure": failure}}))["typed_per_filter_config"]
    assert set(found) == {name}


def test_a_route_that_fails_otherwise_leaves_the_tables_filter() -> None:
    own = {"orders": {"policies": {"rate_limit": {"on_failure": "deny"}}}}
    found = tables.real(world(policies={"rate_limit": LIMIT}, routes=own))["typed_per_filter_config"]
    assert "rate_limits" not in found[ALLOW]
    assert asked(found[DENY])


@pytest.mark.parametrize("first", ["local", "global"])
def test_a_route_may_count_otherwise_than_its_tenant(first: str) -> None:
    other = {"local": "global", "global": "local"}[first]
    own = {"orders": {"policies": {"rate_limit": {"scope": other}}}}
    documents = world(policies={"rate_limit": LIMIT | {"scope": first}}, routes=own)
    shared, mine = tables.host(documents)["typed_per_filter_config"], tables.real(documents)["typed_per_filter_config"]
    used = {"local": LOCAL, "global": ALLOW}
    assert (set(shared), set(mine)) == ({used[first]}, {LOCAL, ALLOW})
    assert ("filter_enabled" in mine[LOCAL]) == (other == "local")
    assert ("rate_limits" in mine[ALLOW]) == (other == "global")
    assert len(told(documents)) == 1


@pytest.mark.parametrize(
    "fields", [{"policies": {"rate_limit": LIMIT | {"scope": "local"}}}, {"status": "suspended"}, {}]
)
def test_a_tenant_without_a_shared_limit_is_nothing_to_the_service(fields: Json) -> None:
    assert told(world(on_gateway={}, **fields)) == []
    assert told(world(on_gateway={"policies": {"rate_limit": LIMIT}}, status="suspended")) == []


def test_without_a_service_each_proxy_counts_and_that_is_said() -> None:
    documents = tables.small(policies={"rate_limit": LIMIT})
    assert told(documents) == []
    assert set(tables.host(documents)["typed_per_filter_config"]) == {LOCAL}
    (problem,) = translate.unsupported(documents.view("acme"))
    assert (problem.code, problem.severity) == ("GC301", "warning")
    assert "'edge' has no `rate_limit_service`" in problem.message


def test_a_burst_is_left_out_and_that_is_said() -> None:
    documents = world(policies={"rate_limit": LIMIT | {"burst": 3}})
    ((descriptor,),) = (one["descriptors"] for one in told(documents))
    assert descriptor["rate_limit"]["requests_per_unit"] == 5
    (problem,) = translate.unsupported(documents.view("acme"))
    assert (problem.code, problem.severity, problem.path) == ("GC301", "warning", "policies.rate_limit")
    assert "`burst`" in problem.message


def test_with_a_service_a_shared_limit_is_no_problem() -> None:
    assert translate.unsupported(world(policies={"rate_limit": LIMIT}).view("acme")) == ()


def listener(documents: World) -> tuple[list[Json], frozenset[str]]:
    """The HTTP filters of the one listener, and the clusters it says it uses."""
    (built,) = translate.listeners(documents.gateway)
    (chain,) = messages.to_dict(built.message)["filter_chains"]
    return chain["filters"][0]["typed_config"]["http_filters"], built.uses


@pytest.mark.parametrize("by", ["header", "host"])
def test_a_gateway_with_a_service_has_both_filters_ahead_of_its_own_bucket(by: str) -> None:
    said = {"tenant": {"from": by} | ({"name": "x-t"} if by == "header" else {})}
    found, uses = listener(world(on_gateway=said))
    names = [one["name"] for one in found]
    assert names.index(DENY) < names.index(ALLOW) < names.index(LOCAL)
    assert all(bool(one.get("disabled")) == (by == "header") for one in found if one["name"] in SHARED)
    assert "limits" in uses
    plain, none = listener(tables.small(on_gateway=said))
    assert [one["name"] for one in plain] == [name for name in names if name not in SHARED]
    assert none == frozenset()


def test_the_filters_ask_nothing_by_themselves_and_fail_as_they_are_called() -> None:
    made = {name: messages.to_dict(one) for name, one in filters(RateLimitService(service="limits")).items()}
    assert made[DENY].pop("failure_mode_deny") is True
    assert made[DENY] == made[ALLOW]
    assert "rate_limits" not in made[ALLOW]
    assert made[ALLOW]["timeout"] == made[ALLOW]["rate_limit_service"]["grpc_service"]["timeout"] == "0.100s"
    assert made[ALLOW]["rate_limit_service"]["grpc_service"]["envoy_grpc"] == {"cluster_name": "limits"}


def test_the_filters_stand_behind_those_that_keep_somebody_out() -> None:
    names = [name for name, _make, _off in FILTERS]
    assert max(names.index(one) for one in names if one.startswith("gatecast.authz")) < names.index(DENY)
