"""`authz` in a tenant's table: who is asked, what is told, and which routes ask. That Envoy acts so: `tests/envoy`."""

import pytest
import tables
from tables import BUFFER, LOCAL_RATE_LIMIT
from worlds import Json, World, gateway, route, service, tenant, world

from tenants.effective import TenantView
from xds import messages, translate
from xds.translate import routes
from xds.translate.authz import ALLOW, DENY, FILTERS
from xds.translate.built import ClusterSpec
from xds.translate.filters import FILTERS as FILTERS_IN_ORDER
from xds.translate.filters import GUARDS, chain

ASK = {"service": "opa"}
OFF = {"disabled": True}


def small(**tenant_fields: object) -> World:
    """The routes `orders` and `b` to the service `orders`, and a server `opa`."""
    return tables.small(service("opa", protocol="grpc"), route("b"), **tenant_fields)  # type: ignore[arg-type]


def told(config: Json) -> Json:
    """What a configuration adds to a question."""
    return dict(config["check_settings"].get("context_extensions", {}))


def asked(config: Json) -> str:
    return str(config["check_settings"]["grpc_service"]["envoy_grpc"]["cluster_name"])


def typed(config: Json) -> Json:
    """A configuration without its type."""
    return {name: value for name, value in config.items() if name != "@type"}


def asking(documents: World) -> dict[str, dict[str, Json]]:
    """The configurations of our two filters on every route, by its name; those that ask nobody are left out."""
    found = {}
    for one in tables.routes(documents):
        configs = one.get("typed_per_filter_config", {})
        own = {name: typed(configs[name]) for name in FILTERS if name in configs}
        if own:
            found[one["name"]] = own
    return found


def test_the_table_says_who_the_tenant_is_and_each_route_which_it_is() -> None:
    foods = {"kind": "Organisation", "id": "foods"}
    acme = tenant(organisation="foods", policies={"authz": ASK | {"context": {"plan": "gold"}}})
    documents = world([gateway(), service(), service("opa"), route(), foods, acme])
    table = tables.table(documents)
    assert [told(table["typed_per_filter_config"][name]) for name in FILTERS] == [
        {"tenant": "acme", "organisation": "foods"}
    ] * 2
    said = {name: told(configs[DENY]) for name, configs in asking(documents).items()}
    assert said == {
        "bad-tenant-header": {"plan": "gold"},
        "orders": {"route": "orders", "plan": "gold"},
        "not-found": {"plan": "gold"},
    }


def test_what_is_told_of_the_tenant_stands_in_no_place_that_routes_say_anew() -> None:
    """Envoy lays the places over each other: what a route takes out of the context must not come from above."""
    documents = small(policies={"authz": ASK | {"context": {"plan": "gold"}}})
    assert told(tables.host(documents)["typed_per_filter_config"][DENY]) == {}


def test_every_route_that_asks_names_the_server_itself() -> None:
    """Envoy takes the server from the most specific place alone."""
    documents = small(policies={"authz": ASK | {"timeout": "1500ms", "body": "64KiB"}})
    for name, configs in asking(documents).items():
        settings = configs[DENY]["check_settings"]
        assert asked(configs[DENY]) == "opa", name
        assert settings["grpc_service"]["timeout"] == "1.500s"
        assert settings["with_request_body"] == {"max_request_bytes": 65536}


@pytest.mark.parametrize(("timeout", "pause"), [("1ms", "0.001s"), ("15ms", "0.002s"), ("200ms", "0.020s")])
def test_each_attempt_has_all_of_the_time(timeout: str, pause: str) -> None:
    """Envoy cuts an attempt after ten times the pause between two."""
    configs = asking(small(policies={"authz": ASK | {"timeout": timeout}}))["orders"]
    again = configs[DENY]["check_settings"]["grpc_service"]["retry_policy"]
    assert (again["num_retries"], again["retry_back_off"]["base_interval"]) == (1, pause)


@pytest.mark.parametrize(("on_failure", "on", "other"), [("deny", DENY, ALLOW), ("allow", ALLOW, DENY)])
def test_the_way_of_failing_is_a_choice_of_filter(on_failure: str, on: str, other: str) -> None:
    documents = small(policies={"authz": ASK | {"on_failure": on_failure}})
    shared = tables.host(documents)["typed_per_filter_config"]
    assert (asked(shared[on]), typed(shared[other])) == ("opa", OFF)
    assert all(set(configs) == {on} for configs in asking(documents).values())


def test_a_route_that_fails_otherwise_changes_the_filter() -> None:
    own = {"b": {"policies": {"authz": {"on_failure": "allow"}}}}
    found = asking(small(policies={"authz": ASK}, routes=own))
    assert set(found["orders"]) == {DENY}
    assert (found["b"][DENY], told(found["b"][ALLOW])) == (OFF, {"route": "b"})


def test_a_route_that_is_switched_off_says_so_and_all_others_ask() -> None:
    found = asking(small(policies={"authz": ASK}, routes={"b": {"policies": {"authz": None}}}))
    assert found.pop("b") == {DENY: OFF}
    assert all(asked(configs[DENY]) == "opa" for configs in found.values())


def test_where_one_route_asks_the_table_is_off_and_that_route_on() -> None:
    documents = small(routes={"b": {"policies": {"authz": ASK}}})
    shared = tables.host(documents)["typed_per_filter_config"]
    assert {name: typed(shared[name]) for name in FILTERS} == {DENY: OFF, ALLOW: OFF}
    assert list(asking(documents)) == ["b"]
    assert told(tables.table(documents)["typed_per_filter_config"][DENY]) == {"tenant": "acme"}


def test_who_asks_nobody_has_nothing_of_it() -> None:
    for documents in (small(), small(status="suspended", policies={"authz": ASK})):
        assert "typed_per_filter_config" not in tables.table(documents)
        assert "typed_per_filter_config" not in tables.host(documents)
        assert asking(documents) == {}


def test_where_the_table_is_found_late_the_filters_are_off_until_a_tenant_says_more() -> None:
    by_host = {"tenant": {"from": "host"}}
    plain = tables.host(tables.small(on_gateway=by_host, hosts=["a.example"]))["typed_per_filter_config"]
    assert {name: typed(plain[name]) for name in FILTERS} == {DENY: OFF, ALLOW: OFF}
    documents = tables.small(on_gateway=by_host, hosts=["a.example"], policies={"authz": ASK})
    assert asked(tables.host(documents)["typed_per_filter_config"][DENY]) == "opa"
    filters = {one.name: one for one in chain(late=True)}  # type: ignore[attr-defined]
    assert not any(filters[name].disabled for name in FILTERS)  # type: ignore[attr-defined]


def test_what_a_route_answers_itself_is_behind_the_server_too() -> None:
    rules = [{"name": "x-a"}]
    for more in ({"required_headers": rules}, {"maintenance": {}}):
        documents = small(routes={"orders": {"policies": {"authz": ASK, **more}}})
        own = [one for one in tables.routes(documents) if one["name"] == "orders"]
        assert own
        assert all(asked(one["typed_per_filter_config"][DENY]) == "opa" for one in own)


def test_a_route_for_preflights_is_behind_it_for_what_is_none() -> None:
    policies = {"authz": ASK, "cors": {"origins": ["*"]}}
    documents = tables.small(
        route("p", match={"prefix": "/p", "methods": ["POST"]}), routes={"p": {"policies": policies}}
    )
    (first,) = (one for one in tables.routes(documents) if tables.is_preflight(one))
    assert asked(first["typed_per_filter_config"][DENY]) == "opa"


def needs(view: TenantView) -> tuple[frozenset[str], frozenset[ClusterSpec]]:
    """What the table says it uses, and the clusters that are counted for it."""
    (*_scopes, table), found = translate.tenant(view)
    return table.uses, found.clusters


def test_the_server_is_a_cluster_that_the_table_needs_and_all_tenants_share() -> None:
    limits = {"circuit_breaker": {"max_requests": 1}}
    documents = small(policies={"authz": ASK, **limits}, routes={"b": {"policies": {"authz": {"service": "other"}}}})
    uses, clusters = needs(documents.view("acme"))
    assert uses == {"orders@acme", "opa", "other"}
    assert {ClusterSpec("opa"), ClusterSpec("other")} <= clusters
    assert needs(small(status="suspended", policies={"authz": ASK}).view("acme")) == (frozenset(), frozenset())
    assert needs(small().view("acme"))[0] == {"orders"}


def test_tenants_with_the_same_policy_share_their_routes() -> None:
    many = [tenant(f"t{i}", policies={"authz": ASK}) for i in range(50)]
    documents = world([gateway(), service(), service("opa"), route(), *many])
    routes._entries.cache_clear()
    for view in documents.views():
        translate.tenant(view)
    assert (routes._entries.cache_info().misses, routes._entries.cache_info().hits) == (1, 49)


def test_a_filter_without_a_word_of_a_route_lets_nobody_pass_unasked() -> None:
    """Its own server is nowhere, and an answer that cannot be had is 503; only one of the two lets failures pass."""
    found = {name: messages.to_dict(make()) for name, make, _off in FILTERS_IN_ORDER if name in FILTERS}
    assert list(found) == [DENY, ALLOW]
    for config in found.values():
        assert config["grpc_service"]["envoy_grpc"]["cluster_name"] == "gatecast.nowhere"
        assert config["status_on_error"] == {"code": "ServiceUnavailable"}
    assert [config.get("failure_mode_allow", False) for config in found.values()] == [False, True]


def test_a_server_is_asked_after_the_token_was_checked_and_before_anything_is_used_up() -> None:
    names = [name for name, _make, _off in FILTERS_IN_ORDER]
    assert max(names.index(name) for name in GUARDS - set(FILTERS)) < names.index(DENY)
    assert names.index(ALLOW) < min(names.index(LOCAL_RATE_LIMIT), names.index(BUFFER))
