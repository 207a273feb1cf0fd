"""The double's data plane: routes, the two timers, targets. Each table was seen on a real Kong (research/kong-mapping).

Without sockets, by a clock that stands.
"""

import kongs
import pytest

from kong_double.double import Double
from kong_double.timers import Hand, Timers
from kong_double.wire import Request

TENANT = "x-tenant-id"
LOW, HIGH = "10000000-0000-4000-8000-000000000001", "f0000000-0000-4000-8000-000000000001"


def routed(**fields: object) -> Double:
    """A service and one route to it, effective."""
    kong = kongs.standing()
    kongs.make(kong, "/services", name="orders", host="orders.test", port=80)
    kongs.make(kong, "/services/orders/routes", name="orders", strip_path=False, **fields)
    kongs.settle(kong)
    return kong


# -- routes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(TENANT, "acme")], 200),
        ([(TENANT, "ACME")], 200),
        ([("x_tenant_id", "acme")], 200),
        ([(TENANT, "acme"), (TENANT, "beta")], 200),
        ([(TENANT, "beta"), (TENANT, "acme")], 200),
        ([(TENANT, "acme2")], 404),
        ([(TENANT, "acme, beta")], 404),
        ([(TENANT, "")], 404),
        ([], 404),
    ],
)
def test_a_header_route_takes_any_of_several_values_and_no_other(headers: list[tuple[str, str]], status: int) -> None:
    kong = routed(paths=["/orders"], headers={TENANT: ["acme"]})
    assert kongs.ask(kong, "/orders", *headers).status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/orders", 200),
        ("/ordersX", 200),
        ("/x/../orders", 200),
        ("/%6Frders", 200),
        ("//orders", 404),
        ("/Orders", 404),
    ],
)
def test_a_path_is_a_prefix_of_the_normal_form(path: str, status: int) -> None:
    assert kongs.ask(routed(paths=["/orders"]), path).status == status


@pytest.mark.parametrize(("path", "status"), [("/seg", 200), ("/seg/", 200), ("/seg/a", 200), ("/segX", 404)])
def test_a_prefix_and_a_pattern_together_keep_to_segments(path: str, status: int) -> None:
    assert kongs.ask(routed(paths=["/seg/", "~/seg$"]), path).status == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("a.example.com", 200),
        ("a.example.com:9999", 200),
        ("x.y.a.example.com", 200),
        ("A.EXAMPLE.COM", 404),
        ("a.example.com.", 404),
        ("evil-a.example.com", 404),
        ("a.example.com.evil.com", 404),
    ],
)
def test_hosts_are_compared_letter_by_letter_and_without_the_port(host: str, status: int) -> None:
    kong = routed(hosts=["a.example.com", "*.a.example.com"])
    assert kongs.ask(kong, "/o", host=host).status == status


def test_more_kinds_of_matches_win_then_the_larger_id() -> None:
    kong = kongs.standing()
    kongs.make(kong, "/services", name="s", host="s.test")
    for id_, name, more in (
        (LOW, "low", {}),
        (HIGH, "high", {}),
        (None, "long", {"paths": ["/o/long"]}),
        (None, "methods", {"headers": {TENANT: ["a"]}, "methods": ["POST"]}),
        (None, "tenant", {"headers": {TENANT: ["a"]}}),
    ):
        fields = {"name": name, "paths": ["/o"], **more, **({"id": id_} if id_ else {})}
        kongs.make(kong, "/services/s/routes", **fields)
        kongs.plugin(kong, f"/routes/{name}", "response-transformer", add={"headers": [f"x-route:{name}"]})
    kongs.settle(kong)
    met = [
        kongs.ask(kong, path, *headers, method=method).header("x-route")
        for method, path, headers in (
            ("GET", "/o", ()),
            ("GET", "/o/long", ()),
            ("GET", "/o/long", ((TENANT, "a"),)),
            ("POST", "/o/long", ((TENANT, "a"),)),
        )
    ]
    assert met == ["high", "long", "tenant", "methods"]


def test_the_service_is_reached_by_its_path_with_or_without_the_routes() -> None:
    kong = kongs.standing()
    kongs.make(kong, "/services", name="s", url="http://s.test:81/base")
    kongs.make(kong, "/services/s/routes", name="r", paths=["/e"])
    kongs.settle(kong)
    assert kongs.ask(kong, "/e/x?y=1").json()["path"] == "/base/x?y=1"
    kongs.change(kong, "/routes/r", strip_path=False)
    kongs.settle(kong)
    assert kongs.ask(kong, "/e/x").json()["path"] == "/base/e/x"


def test_a_disabled_service_and_a_route_without_service_answer_by_themselves() -> None:
    kong = routed(paths=["/o"])
    kongs.make(kong, "/routes", name="bare", paths=["/bare"])
    kongs.change(kong, "/services/orders", enabled=False)
    kongs.settle(kong)
    assert [kongs.ask(kong, path).status for path in ("/o", "/bare")] == [404, 503]


# -- timers -------------------------------------------------------------------------------------------------------


def tenant(kong: Double, route: bool = True) -> None:
    """A service with a route and with protection, written at once."""
    kongs.make(kong, "/services", name="s", host="s.test")
    if route:
        kongs.make(kong, "/services/s/routes", name="r", paths=["/s"])
    kongs.plugin(kong, "/services/s", "key-auth")


def watched(kong: Double, seconds: float) -> set[int]:
    """The statuses of requests without a key over so long."""
    seen = set()
    for _ in range(int(seconds * 10)):
        seen.add(kongs.ask(kong, "/s").status)
        kongs.move(kong, 0.1)
    return seen


def test_a_route_and_its_plugin_written_together_leave_a_window() -> None:
    kong = kongs.standing(kongs.BEHIND)
    tenant(kong)
    assert watched(kong, 6.0) == {404, 200, 401}


def test_the_window_is_not_there_when_the_plugins_timer_is_ahead() -> None:
    kong = kongs.standing(kongs.AHEAD)
    tenant(kong)
    assert watched(kong, 6.0) == {404, 401}


@pytest.mark.parametrize("timers", [kongs.BEHIND, kongs.AHEAD])
def test_a_wait_between_the_plugin_and_the_route_closes_it(timers: Timers) -> None:
    kong = kongs.standing(timers)
    tenant(kong, route=False)
    kongs.settle(kong)
    kongs.make(kong, "/services/s/routes", name="r", paths=["/s"])
    assert watched(kong, 6.0) == {404, 401}


@pytest.mark.parametrize(("timers", "seen"), [(kongs.AHEAD, {401, 200, 404}), (kongs.BEHIND, {401, 404})])
def test_deleting_a_route_with_its_plugins_leaves_a_window_the_other_way_round(timers: Timers, seen: set[int]) -> None:
    kong = kongs.standing(timers)
    kongs.make(kong, "/services", name="s", host="s.test")
    kongs.make(kong, "/services/s/routes", name="r", paths=["/s"])
    kongs.plugin(kong, "/routes/r", "key-auth")
    kongs.settle(kong)
    kongs.drop(kong, "/routes/r")
    assert watched(kong, 6.0) == seen


def test_a_rebuild_takes_its_time() -> None:
    kong = kongs.standing(Timers(period=1.0, router=0.5, build=0.25))
    kongs.make(kong, "/services", name="s", host="s.test")
    kongs.make(kong, "/services/s/routes", name="r", paths=["/s"])
    seen = []
    for _ in range(10):
        kongs.move(kong, 0.125)
        seen.append(kongs.ask(kong, "/s").status)
    assert seen == [404] * 5 + [200] * 5


def test_a_change_between_two_ticks_is_seen_at_the_second_though_nobody_asked_in_between() -> None:
    kong = kongs.standing(Timers(period=1.0, router=0.5, plugins=0.5))
    kongs.make(kong, "/services", name="s", host="s.test")
    kongs.make(kong, "/services/s/routes", name="first", paths=["/first"])
    kongs.move(kong, 0.7)
    kongs.make(kong, "/services/s/routes", name="second", paths=["/second"])
    assert [kongs.ask(kong, path).status for path in ("/first", "/second")] == [200, 404]
    kongs.move(kong, 1.0)
    assert [kongs.ask(kong, path).status for path in ("/first", "/second")] == [200, 200]


def test_credentials_groups_and_targets_are_effective_at_once() -> None:
    kong = kongs.standing()
    tenant(kong)
    kongs.plugin(kong, "/services/s", "acl", allow=["g"])
    kongs.make(kong, "/consumers", username="c")
    kongs.settle(kong)
    key = ("apikey", "k")
    seen = [kongs.ask(kong, "/s", key).status]
    kongs.make(kong, "/consumers/c/key-auth", key="k")
    seen.append(kongs.ask(kong, "/s", key).status)
    kongs.make(kong, "/consumers/c/acls", group="g")
    seen.append(kongs.ask(kong, "/s", key).status)
    kongs.drop(kong, "/consumers/c/acls/g")
    seen.append(kongs.ask(kong, "/s", key).status)
    assert seen == [401, 403, 200, 403]


def test_another_node_hears_of_it_at_its_next_poll() -> None:
    kong = kongs.standing(Timers(period=5.0, router=1.0, plugins=1.0, poll=4.0))
    tenant(kong)
    kongs.settle(kong)
    kongs.make(kong, "/consumers", username="c")
    kongs.make(kong, "/consumers/c/key-auth", key="k")
    assert kongs.ask(kong, "/s", ("apikey", "k")).status == 401
    kongs.move(kong, 4.0)
    assert kongs.ask(kong, "/s", ("apikey", "k")).status == 200


def test_another_nodes_router_is_rebuilt_of_what_it_has_heard_of() -> None:
    kong = kongs.standing(Timers(period=2.0, router=1.0, plugins=1.0, poll=10.0))
    tenant(kong)
    seen = []
    for seconds in (9.0, 1.5, 1.0):
        kongs.move(kong, seconds)
        seen.append(kongs.ask(kong, "/s").status)
    assert seen == [404, 404, 401]


def test_a_restart_brings_everything_into_effect_and_may_lose_it() -> None:
    kong = kongs.standing()
    tenant(kong)
    kong.restart()
    assert kongs.ask(kong, "/s").status == 401
    kong.restart(empty=True)
    assert kongs.ask(kong, "/s").status == 404
    assert kongs.call(kong, "GET", "/services").json()["data"] == []


def test_without_a_database_a_configuration_is_effective_whole_and_at_once() -> None:
    kong = kongs.without_database()
    service = "{name: s, host: s.test, routes: [{paths: [/s]}], plugins: [{name: key-auth}]}"
    text = f"_format_version: '3.0'\nservices: [{service}]"
    assert kongs.call(kong, "POST", "/config?check_hash=1", {"config": text}).status == 201
    assert kongs.ask(kong, "/s").status == 401
    assert kongs.call(kong, "POST", "/config?check_hash=1", {"config": text}).status == 304
    dangling = text + "\nplugins: [{name: cors, service: nobody}]"
    assert kongs.call(kong, "POST", "/config", {"config": dangling}).status == 500
    assert kongs.ask(kong, "/s").status == 401


# -- targets ------------------------------------------------------------------------------------------------------


def pooled(**checks: object) -> Double:
    """A service of two targets, a with three times the weight of b."""
    kong = kongs.standing()
    kongs.make(kong, "/upstreams", name="pool", **({"healthchecks": checks} if checks else {}))
    for target, weight in (("10.0.0.1:80", 300), ("10.0.0.2:80", 100)):
        kongs.make(kong, "/upstreams/pool/targets", target=target, weight=weight)
    kongs.make(kong, "/services", name="s", host="pool", retries=0)
    kongs.make(kong, "/services/s/routes", name="r", paths=["/s"])
    kongs.settle(kong)
    return kong


def reached(kong: Double, times: int = 8) -> list[str]:
    return [kongs.ask(kong, "/s").json()["address"] for _ in range(times)]


def test_targets_are_met_by_weight_and_none_is_503() -> None:
    kong = pooled()
    assert reached(kong).count("10.0.0.2:80") == 2
    kongs.drop(kong, "/upstreams/pool/targets/10.0.0.1:80")
    assert set(reached(kong)) == {"10.0.0.2:80"}
    kongs.change(kong, "/upstreams/pool/targets/10.0.0.2:80", weight=0)
    assert kongs.ask(kong, "/s").status == 503
    kongs.drop(kong, "/upstreams/pool")
    assert kongs.ask(kong, "/s").json()["address"] == "pool:80"


def test_a_target_that_fails_is_left_out_and_a_threshold_shuts_the_rest() -> None:
    kong = pooled(passive={"unhealthy": {"http_failures": 2}})
    (upstream,) = kong.store.all("upstreams")
    for _ in range(2):
        kong.plane.balancer.report(upstream, "10.0.0.1:80", 500)
    assert set(reached(kong)) == {"10.0.0.2:80"}
    health = {one["target"]: one["health"] for one in kongs.call(kong, "GET", "/upstreams/pool/health").json()["data"]}
    assert health == {"10.0.0.1:80": "UNHEALTHY", "10.0.0.2:80": "HEALTHY"}
    kongs.change(kong, "/upstreams/pool", healthchecks={"threshold": 50})
    assert kongs.ask(kong, "/s").status == 503


def test_the_clock_of_a_standing_double_is_the_tests() -> None:
    kong = kongs.standing()
    assert isinstance(kong.clock, Hand)
    before = kong.clock()
    kong.proxy(Request("GET", "/"))
    assert kong.clock() == before
