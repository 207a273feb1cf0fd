"""`on_demand` as listeners, scopes and tables say it."""

import pytest
import tables
from worlds import Json, World, document, gateway, route, service, tenant, world

from tenants.settling import shape
from xds import messages, translate
from xds.translate.body_limits import ARRIVED, ARRIVED_HEADER, BUFFER
from xds.translate.filters import FILTERS, GUARDS

BY = {"header": {"from": "header", "name": "x-t"}, "host": {"from": "host"}}


def made(on_demand: bool = True, by: str = "header", **more: object) -> World:
    asked = gateway(on_demand=on_demand, tenant=BY[by])
    return world([asked, service(), route(), tenant(hosts=["a.example"], **more)])


def manager(one: World) -> Json:
    (built,) = translate.listeners(one.gateway)
    return dict(messages.to_dict(built.message)["filter_chains"][0]["filters"][0]["typed_config"])


@pytest.mark.parametrize("on_demand", [True, False])
def test_the_scope_says_when_its_table_is_fetched(on_demand: bool) -> None:
    scopes = [one for one in translate.tenant(made(on_demand).view("acme"))[0] if one.kind == "SRDS"]
    assert [messages.to_dict(one.message).get("on_demand", False) for one in scopes] == [on_demand]


@pytest.mark.parametrize("by", sorted(BY))
def test_a_request_waits_behind_what_finds_its_tenant_and_ahead_of_all_else(by: str) -> None:
    names = [one["name"] for one in manager(made(by=by))["http_filters"]]
    wait = names.index("envoy.filters.http.on_demand")
    rest = {name for name, _make, _off in FILTERS}
    assert not rest & set(names[:wait])
    assert ("envoy.filters.http.set_filter_state" in names[:wait]) == (by == "host")
    assert wait < names.index(ARRIVED) < names.index(BUFFER)


def test_every_filter_is_on_from_the_start() -> None:
    """Envoy keeps the chain of a request that has a body, and what was off stays off."""
    found = {one["name"]: one.get("disabled", False) for one in manager(made())["http_filters"]}
    assert not any(found.values())
    assert found.keys() >= GUARDS


def test_a_body_limit_counts_what_has_arrived_before_the_table() -> None:
    host = tables.host(made(policies={"body_limit": {"max": "1KiB"}}))["typed_per_filter_config"]
    (policy,) = host[ARRIVED]["rbac"]["rules"]["policies"].values()
    (permission,) = policy["permissions"]
    assert permission["header"]["name"] == ARRIVED_HEADER
    assert permission["header"]["range_match"]["start"] == "1025"
    assert host[BUFFER]["buffer"] == {"max_request_bytes": 1024}


def test_a_route_without_the_limit_lets_both_pass() -> None:
    off = {"orders": {"policies": {"body_limit": None}}}
    one = made(policies={"body_limit": {"max": "1KiB"}}, routes=off)
    config = tables.real(one)["typed_per_filter_config"]
    assert "rbac" not in config[ARRIVED]
    assert config[BUFFER]["disabled"] is True


def test_where_nothing_waits_there_is_nothing_of_it() -> None:
    one = made(on_demand=False, policies={"body_limit": {"max": "1KiB"}})
    assert ARRIVED not in tables.host(one)["typed_per_filter_config"]
    assert ARRIVED not in {each["name"] for each in manager(one)["http_filters"]}
    assert manager(one)["stream_idle_timeout"] == "300s"


def test_services_may_take_longer_than_the_control_plane() -> None:
    assert manager(made())["stream_idle_timeout"] == "15s"
    assert tables.real(made())["route"]["idle_timeout"] == "300s"
    own = made(policies={"timeout": {"idle": "1s"}})
    assert tables.real(own)["route"]["idle_timeout"] == "1s"


def test_a_change_of_it_is_a_change_of_every_table() -> None:
    one, other = (document(**gateway(on_demand=said)) for said in (True, False))
    assert shape(one) != shape(other)
