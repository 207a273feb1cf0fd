"""The whole way: documents, control plane, stream, sidecar, Admin API of the double, its data plane."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import kong_worlds
import kongs
import planes
import pytest
import sidecars
from sidecars import TENANTS, limit, limits, names

from gatecast.views import client_view
from kong_double.double import Double
from kong_double.timers import Timers
from kong_double.wire import Request, Response, as_json
from kong_sync.entities import KINDS, STAMPS
from kong_sync.model import World
from kong_sync.runner import Pace
from kong_sync.translate import Desired, translate
from xds.waiting import until

QUICK = Timers(period=0.02)


async def test_tenants_are_served_and_a_change_of_a_limit_needs_two_calls_and_no_listing() -> None:
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        assert {"acme", "beta"} <= set(names(kong))
        kong.calls.clear()
        await served.apply(TENANTS.replace("requests: 5", "requests: 6"))
        await sidecars.applied(on, served)
        assert len(sidecars.writes(kong)) == 1, "the limit"
        assert len(sidecars.reads(kong)) <= 1, "the lease is looked at"
        assert not [one for one in kong.calls if "size=" in one.path]
        limits = [one for one in sidecars.rows(kong, "plugins") if one["name"] == "rate-limiting"]
        assert 6 in [one["config"]["minute"] for one in limits]


class Picky(Double):
    """A Kong that refuses a limit of 13."""

    def admin(self, request: Request) -> Response:
        if not re.search(rb'"minute": ?13\b', request.body):
            return super().admin(request)
        said = {"config": {"minute": "thirteen brings bad luck"}}
        return as_json(400, {"code": 2, "name": "schema violation", "message": "schema violation", "fields": said})


async def test_a_tenant_that_kong_refuses_among_50_is_refused_by_name_and_49_are_applied() -> None:
    fifty = "".join(limit(f"t{i:02}", 5 + i) for i in range(50))
    worse = "".join(limit(f"t{i:02}", 13 if i == 17 else 105 + i) for i in range(50))
    async with Picky(timers=QUICK).serving() as kong, planes.plane(kong_worlds.GATEWAY + fifty) as served:
        first = fifty.count("requests: 13")
        assert first == 1, "t08 is refused from the start"
        async with sidecars.sidecar(served, kong) as on:
            await sidecars.applied(on, served)
            assert sorted(limits(kong)) == [f"t{i:02}" for i in range(50) if i != 8]
            assert sorted(sidecars.inner(on).refused) == ["t08"]
            await served.apply(worse)
            await sidecars.applied(on, served)
            assert limits(kong) == {f"t{i:02}": 22 if i == 17 else 105 + i for i in range(50)}
            assert sorted(sidecars.inner(on).refused) == ["t17"]
            (client,) = served.plane.hub.clients.values()
            said = client.of("TENANTS").error
            assert "tenant t17" in said
            assert "config.minute: thirteen brings bad luck" in said
            await served.apply(limit("t17", 17))
            await sidecars.applied(on, served)
            assert limits(kong)["t17"] == 17
            assert sidecars.inner(on).refused == {}


async def test_a_tenant_whose_reason_is_gone_from_kong_is_accepted_without_a_change_of_its_settings() -> None:
    async with Double(timers=QUICK).serving() as kong, planes.plane(kong_worlds.GATEWAY + TENANTS) as served:
        theirs = kongs.make(kong, "/consumers", username="acme", tags=["them"])
        pace = Pace(look=0.1, again=0.2, lease=1.0, soon=0.05)
        async with sidecars.sidecar(served, kong, pace=pace) as on:
            await sidecars.applied(on, served)
            assert sorted(sidecars.inner(on).refused) == ["acme"]
            kongs.drop(kong, f"/consumers/{theirs['id']}")
            await until(lambda: limits(kong) == {"acme": 5}, "the limit of acme")
            await until(lambda: not sidecars.inner(on).refused, "no refusal")
            await sidecars.applied(on, served)
            (client,) = served.plane.hub.clients.values()
            assert client.of("TENANTS").error == ""


async def test_what_others_have_in_this_kong_stays_and_what_they_change_of_ours_is_found_and_healed() -> None:
    async with Double(timers=QUICK).serving() as kong, planes.plane(kong_worlds.GATEWAY + TENANTS) as served:
        kongs.make(kong, "/services", name="theirs", host="theirs.test", tags=["them"])
        kongs.make(kong, "/services/theirs/routes", name="theirs", paths=["/theirs"])
        foreign = [row for kind in ("services", "routes") for row in sidecars.rows(kong, kind)]
        async with sidecars.sidecar(served, kong) as on:
            await sidecars.applied(on, served)
            before = {kind: sidecars.rows(kong, kind) for kind in KINDS}
            (plugin,) = [one for one in sidecars.rows(kong, "plugins") if one["name"] == "rate-limiting"]
            kongs.change(kong, f"/plugins/{plugin['id']}", config={"minute": 99})
            acme = next(one for one in sidecars.rows(kong, "consumers") if one["username"] == "acme")
            kongs.drop(kong, f"/consumers/{acme['id']}")
            (ours,) = [one for one in sidecars.rows(kong, "services") if one["name"] != "theirs"]
            when = kongs.change(kong, f"/services/{ours['id']}", retries=9)["updated_at"]
            report = await sidecars.inner(on).reconcile()
            assert any("consumers/acme" in one and one.endswith("deleted by somebody else") for one in report.drift)
            (told,) = [one for one in report.drift if one.startswith("services/")]
            stamp = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            assert re.fullmatch(rf".* was updated by somebody else at {stamp} \(retries: .* became 9\)", told)
            assert on.registry.get_sample_value("gatecast_kong_last_drift_timestamp_seconds") == when
            assert report.faults == ()
            assert (await sidecars.inner(on).reconcile()).drift == ()
            after = {kind: sidecars.rows(kong, kind) for kind in KINDS}
            assert {k: _bare(v) for k, v in after.items()} == {k: _bare(v) for k, v in before.items()}
            found = on.registry.get_sample_value("gatecast_kong_drift_total")
            assert found == len(report.drift) > 1
            assert [
                row for row in sidecars.rows(kong, "services") + sidecars.rows(kong, "routes") if row in foreign
            ] == foreign


async def test_what_others_change_is_healed_at_the_next_look_without_any_push() -> None:
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong, pace=Pace(look=0.1, lease=1.0, soon=0.05)) as on,
    ):
        await sidecars.applied(on, served)
        sent = served.sent("TENANTS")
        (plugin,) = [one for one in sidecars.rows(kong, "plugins") if one["name"] == "rate-limiting"]
        kongs.change(kong, f"/plugins/{plugin['id']}", config={"minute": 99})
        await until(lambda: limits(kong) == {"acme": 5}, "what was wanted")
        assert on.registry.get_sample_value("gatecast_kong_drift_total") == 1
        writes = len(sidecars.writes(kong))
        looks = len([one for one in kong.calls if "size=" in one.path])
        await until(lambda: len([one for one in kong.calls if "size=" in one.path]) > looks + 20, "more looks")
        assert (len(sidecars.writes(kong)), served.sent("TENANTS")) == (writes, sent), "a no-op is never written"


def _bare(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: one for name, one in row.items() if name not in STAMPS} for row in rows]


async def test_a_push_that_takes_nearly_all_away_is_refused_and_kong_keeps_what_it_has() -> None:
    names = [f"t{i:02}" for i in range(30)]
    many = "".join(limit(name, 5) for name in names)
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + many) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        held = limits(kong)
        await served.drop(*(("Tenant", name) for name in names))
        await until(lambda: "nothing was changed" in sidecars.inner(on).problem, "the refusal")
        await sidecars.applied(on, served)
        assert limits(kong) == held
        await served.apply(limit("t01", 6))
        await sidecars.applied(on, served)
        assert limits(kong) == held
        await served.apply(many)  # somebody puts it right
        await sidecars.applied(on, served)
        await until(lambda: not sidecars.inner(on).problem, "the end of the refusal")
        assert limits(kong) == held
        assert all(
            not interest.parked
            for client in served.plane.hub.clients.values()
            for interest in client.machine.interests.values()
        )


async def test_the_sidecar_is_in_the_list_of_clients_with_its_kong_and_the_tenants_it_refused() -> None:
    async with (
        Picky(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS + limit("bad", 13) + limit("worse", 13)) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        (client,) = served.plane.hub.clients.values()
        shown = client_view(client, time.monotonic(), time.time())
        assert (shown.kind, shown.node, shown.gateway, shown.state) == ("kong", "kong-1", "edge", "REJECTED")
        assert shown.address.startswith("ipv4:127.0.0.1:")
        assert shown.build.endswith(" kong 3.9.1")
        states = {one.type: one for one in shown.types if one.state != "NOT_SUBSCRIBED"}
        assert {name: one.state for name, one in states.items()} == {"SHARED": "SYNCED", "TENANTS": "REJECTED"}
        refused = states["TENANTS"]
        assert refused.rejected == refused.tenants == ("bad", "worse")
        assert sorted(refused.words) == ["bad", "worse"]
        for name, why in refused.words.items():
            assert f"tenant {name}" in why
            assert "config.minute: thirteen brings bad luck" in why


async def test_a_tenant_that_cannot_be_translated_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World, *more: Any) -> Desired:
        assert "bad" not in world.tenants, "a defect"
        return translate(world, *more)

    monkeypatch.setattr("kong_sync.sidecar.translate", broken)
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        await served.apply(limit("acme", 8) + limit("bad", 1) + limit("new", 9))
        await sidecars.applied(on, served)
        assert limits(kong) == {"acme": 8, "new": 9}
        (client,) = served.plane.hub.clients.values()
        assert "a defect of gatecast" in client.of("TENANTS").error
