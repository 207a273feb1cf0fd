"""Kong refuses one thing of many: what depends on it stops, the rest goes on, and the next run continues.

Of what tenants share: who is told, what is applied all the same, and that it is healed when it is put right.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import kong_worlds
import kongs
import planes
import pytest
import sidecars
from prometheus_client import CollectorRegistry
from sidecars import TENANTS, limit, limits, names

from kong_double.double import Double
from kong_double.timers import Hand, Timers
from kong_double.transport import Direct
from kong_double.wire import Request, Response, as_json
from kong_sync.admin import Access, Admin, client
from kong_sync.database import GUARD, Database, Guard
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.limits import TooMuch
from kong_sync.translate import Desired, translate
from kong_sync.verdicts import Fault

QUICK = Timers(period=0.02)
BEFORE = kong_worlds.GATEWAY + TENANTS + limit("gone", 7)
AFTER = kong_worlds.GATEWAY + TENANTS.replace("requests: 5", "requests: 6") + limit("new", 8)
ABSENT = """
---
kind: Route
id: plain
match: {prefix: /plain, headers: {x-beta: {present: false}}}
service: orders
"""
WORDS = "the moon is in the wrong house"


@dataclass(eq=False)
class Stubborn(Double):
    """A Kong that refuses the calls that `minds` picks out."""

    minds: Callable[[Request], bool] = field(default=lambda _request: False)

    def admin(self, request: Request) -> Response:
        if request.method == "GET" or not self.minds(request):
            return super().admin(request)
        return as_json(400, {"code": 2, "name": "schema violation", "message": WORDS, "fields": {"host": WORDS}})


def stubborn() -> Stubborn:
    """One whose time stands."""
    hand = Hand()
    return Stubborn(timers=kongs.BEHIND, clock=hand, wall=hand)


async def brought(kong: Double, desired: Desired, guard: Guard = GUARD) -> tuple[tuple[Fault, ...], CollectorRegistry]:
    """One run of a sidecar that has just started; its faults, and what it counted."""
    hand, registry = kong.clock, CollectorRegistry()
    assert isinstance(hand, Hand)
    gauges = Gauges(registry)
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=hand.sleep)
        executor = Executor(admin, lambda: 5.5, gauges, clock=hand, sleep=hand.sleep)
        return await Database(admin, "edge", executor, gauges, guard=guard).bring(desired), registry


def held(kong: Double) -> dict[str, list[object]]:
    return {kind: [row["id"] for row in kong.store.all(kind)] for kind in kong.store.tables}


async def test_what_kong_does_not_let_go_stays_and_all_else_is_done_and_counted() -> None:
    before, after = (translate(kong_worlds.world(one)) for one in (BEFORE, AFTER))
    clean, kong = stubborn(), stubborn()
    for one in (clean, kong):
        assert (await brought(one, before))[0] == ()
    assert (await brought(clean, after))[0] == ()
    (gone,) = [one["id"] for one in sidecars.rows(kong, "consumers") if one["username"] == "gone"]
    kong.minds = lambda request: request.method == "DELETE" and str(gone) in request.target
    kong.calls.clear()
    faults, registry = await brought(kong, after)
    assert len(faults) == 1
    assert WORDS in faults[0].text
    assert names(kong) == ["acme", "beta", "gone", "new"]
    assert limits(kong) == {"acme": 6, "new": 8}, "the limit of who goes is not his any more, and goes"
    told = [one for one in kong.calls if one.method in ("PUT", "DELETE", "PATCH", "POST")]
    done = sum(one.status in (200, 201, 204) for one in told)
    refused = [one for one in told if one.status == 400]
    counted = [
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "gatecast_kong_written_total"
    ]
    assert (sum(counted), len(refused)) == (done, 1), "what is counted is what Kong took"
    kong.minds = lambda _request: False
    kong.calls.clear()
    assert (await brought(kong, after))[0] == ()
    assert [one.method for one in kong.calls if one.method != "GET"] == ["DELETE"], "the next run does what was left"
    assert held(kong) == held(clean)


async def test_a_service_that_others_use_stays_until_they_leave_it() -> None:
    second = "---\nkind: Service\nid: second\nendpoints: ['10.0.0.2:80']\n"
    route = "---\nkind: Route\nid: second\nmatch: {prefix: /api/second}\nservice: second\n"
    before = translate(kong_worlds.world(BEFORE + second + route))
    after = translate(kong_worlds.world(AFTER))
    kong = stubborn()
    assert (await brought(kong, before))[0] == ()
    (mine,) = [one for one in sidecars.rows(kong, "services") if "second" in one["name"]]
    theirs = kongs.make(kong, f"/services/{mine['name']}/routes", name="theirs", paths=["/theirs"], tags=["them"])
    (fault,), _counts = await brought(kong, after)
    assert "services" in fault.text
    assert names(kong) == ["acme", "beta", "new"]
    assert [one["name"] for one in sidecars.rows(kong, "routes") if "second" in one["name"]] == []
    assert mine["id"] in [one["id"] for one in sidecars.rows(kong, "services")]
    kongs.drop(kong, f"/routes/{theirs['id']}")
    assert (await brought(kong, after))[0] == ()
    assert mine["id"] not in [one["id"] for one in sidecars.rows(kong, "services")]


async def test_a_forced_plan_of_which_a_step_fails_goes_on_with_the_rest_of_it() -> None:
    many = "".join(limit(f"t{i:02}", 5) for i in range(40))
    before, after = (translate(kong_worlds.world(one)) for one in (BEFORE + many, AFTER))
    kong = stubborn()
    assert (await brought(kong, before))[0] == ()
    (stays,) = [one["id"] for one in sidecars.rows(kong, "acls") if "tenant:t17" in one["tags"]]  # the first to go
    kong.minds = lambda request: request.method == "DELETE" and str(stays) in request.target
    with pytest.raises(TooMuch) as caught:
        await brought(kong, after)
    (fault,), _counts = await brought(kong, after, Guard(caught.value.digest))
    assert WORDS in fault.text
    assert names(kong) == ["acme", "beta", "new", "t17"]


async def test_a_shared_service_that_kong_refuses_is_refused_with_its_words_and_tenants_go_on() -> None:
    moved = kong_worlds.GATEWAY.replace("10.0.0.1:80", "10.0.0.66:80")
    async with (
        Stubborn(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        targets = [one["target"] for one in sidecars.rows(kong, "targets")]
        assert targets == ["10.0.0.1:80"]
        kong.minds = lambda request: b"10.0.0.66" in request.body
        await served.apply(moved)
        await sidecars.applied(on, served)
        (stream,) = served.plane.hub.clients.values()
        assert WORDS in stream.of("SHARED").error
        assert "10.0.0.66:80" in stream.of("SHARED").error
        assert list(stream.machine.interests["SHARED"].parked) == ["Service/orders"]
        assert stream.of("TENANTS").rejections == 0, "no tenant is to blame"
        assert [one["target"] for one in sidecars.rows(kong, "targets")] == ["10.0.0.1:80"], "the old one stays"
        await served.apply(limit("acme", 9))
        await sidecars.applied(on, served)
        assert limits(kong) == {"acme": 9}
        assert stream.of("TENANTS").rejections == 0
        kong.minds = lambda _request: False
        await served.apply(moved.replace("66", "67"))
        await sidecars.applied(on, served)
        assert [one["target"] for one in sidecars.rows(kong, "targets")] == ["10.0.0.67:80"]
        assert not stream.machine.interests["SHARED"].parked
        assert sidecars.inner(on).faults == frozenset()


async def test_what_a_class_shares_and_kong_refuses_is_refused_for_each_tenant_of_the_class() -> None:
    cors = "policies: {cors: {origins: ['https://ODD.example']}}"
    odd = "".join(f"---\nkind: Tenant\nid: {name}\n{cors}\n" for name in ("beta", "gamma"))
    async with (
        Stubborn(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS + limit("gamma", 3)) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        kong.minds = lambda request: b"odd" in request.body.lower()
        await served.apply(odd + limit("acme", 6))
        await sidecars.applied(on, served)
        (stream,) = served.plane.hub.clients.values()
        assert sorted(stream.machine.interests["TENANTS"].parked) == ["beta", "gamma"]
        assert sorted(sidecars.inner(on).refused) == ["beta", "gamma"]
        assert all(WORDS in why for why in sidecars.inner(on).refused.values())
        assert limits(kong) == {"acme": 6, "gamma": 3}, "they keep what they had, and others get what is theirs"
        assert _header_values(kong) >= {"acme", "beta", "gamma"}, "all are still routed"
        await served.apply(odd.replace("ODD", "even"))
        await sidecars.applied(on, served)
        assert sidecars.inner(on).refused == {}
        assert not stream.machine.interests["TENANTS"].parked
        assert limits(kong) == {"acme": 6}


async def test_a_catch_all_that_kong_refuses_is_told_tenants_are_served_and_the_next_look_heals_it() -> None:
    async with Stubborn(timers=QUICK).serving() as kong, planes.plane(kong_worlds.GATEWAY + TENANTS) as served:
        kong.minds = lambda request: b"~unknown" in request.body
        async with sidecars.sidecar(served, kong) as on:
            await sidecars.applied(on, served)
            (stream,) = served.plane.hub.clients.values()
            assert "routes/gatecast.edge.~unknown" in stream.of("TENANTS").error
            assert WORDS in stream.of("TENANTS").error
            assert (stream.of("TENANTS").rejections, sidecars.inner(on).refused) == (1, {}), "told once, none to blame"
            assert not stream.machine.interests["TENANTS"].parked
            assert limits(kong) == {"acme": 5}
            assert _header_values(kong) == {"acme", "beta"}
            assert WORDS in sidecars.inner(on).problem
            assert on.registry.get_sample_value("gatecast_kong_faults") == 1
            kong.minds = lambda _request: False
            assert (await sidecars.inner(on).reconcile()).faults == ()
            assert "gatecast.edge.~unknown" in [one["name"] for one in sidecars.rows(kong, "routes")]
            assert (sidecars.inner(on).problem, on.registry.get_sample_value("gatecast_kong_faults")) == ("", 0)


async def test_a_route_that_kong_cannot_have_is_told_once_all_else_is_served_and_it_is_forgotten_when_mended() -> None:
    strange = kong_worlds.GATEWAY + ABSENT + TENANTS
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(strange) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        (stream,) = served.plane.hub.clients.values()
        assert "Route/plain: Kong cannot ask that the header 'x-beta' is absent" in stream.of("TENANTS").error
        assert (sidecars.inner(on).refused, limits(kong)) == ({}, {"acme": 5})
        assert on.registry.get_sample_value("gatecast_kong_faults") == 1
        await served.apply(limit("beta", 7))
        await sidecars.applied(on, served)
        assert stream.of("TENANTS").rejections == 1, "told once"
        assert limits(kong) == {"acme": 5, "beta": 7}
        await served.drop(("Route", "plain"))
        await sidecars.applied(on, served)
        assert (sidecars.inner(on).problem, on.registry.get_sample_value("gatecast_kong_faults")) == ("", 0)


async def test_a_tenant_that_kong_does_not_let_go_is_out_of_its_routes_and_told_and_goes_at_the_next_look() -> None:
    async with (
        Stubborn(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS + limit("gone", 3)) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        (gone,) = [str(one["id"]) for one in sidecars.rows(kong, "consumers") if one["username"] == "gone"]
        kong.minds = lambda request: request.method == "DELETE" and gone in request.target
        await served.drop(("Tenant", "gone"))
        await sidecars.applied(on, served)
        (stream,) = served.plane.hub.clients.values()
        assert WORDS in stream.of("TENANTS").error
        assert not stream.machine.interests["TENANTS"].parked
        assert names(kong) == ["acme", "beta", "gone"]
        assert (_header_values(kong), limits(kong)) == ({"acme", "beta"}, {"acme": 5})
        assert on.registry.get_sample_value("gatecast_kong_faults") == 1
        kong.minds = lambda _request: False
        report = await sidecars.inner(on).reconcile()
        assert (report.drift, report.faults) == ((), ())
        assert names(kong) == ["acme", "beta"]
        assert on.registry.get_sample_value("gatecast_kong_faults") == 0


def _header_values(kong: Double) -> set[str]:
    rows = sidecars.rows(kong, "routes")
    return {value for row in rows for value in (row["headers"] or {}).get("x-tenant-id", ())}
