"""With the proxy's address a change is acknowledged when it was seen there, and not before."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import idps
import kong_worlds
import kongs
import planes
import pytest
import sidecars
from sidecars import TENANTS, limit, limits

from gatecast.kong import Running
from kong_double.double import Double
from kong_double.timers import Timers
from kong_sync import probe
from xds.waiting import until

QUICK = Timers(period=0.05, router=0.01, plugins=0.04)
WAIT = 0.1
NEVER = 1e9
WAYS = {
    "header": ("", TENANTS),
    "claim": (
        "tenant: {from: claim, name: tenant}\npolicies: {jwt: {issuer: 'https://idp.test', jwks: KEYS}}",
        TENANTS,
    ),
    "host": ("tenant: {from: host}", "---\nkind: Tenant\nid: acme\nhosts: [acme.test]\n"),
}


@asynccontextmanager
async def seeing(served: planes.Served, kong: Double, **more: Any) -> AsyncIterator[Running]:
    """A sidecar that knows the proxy."""
    told = {"wait": WAIT, "proxy": kong.proxy_url, **more}
    async with sidecars.sidecar(served, kong, **told) as on:
        yield on


def own(kong: Double) -> list[str]:
    return [one["name"] for kind in ("routes", "plugins") for one in kong.store.all(kind) if "live" in one["tags"]]


async def test_a_limit_is_seen_through_the_proxy_before_it_is_acknowledged_and_needs_three_calls() -> None:
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        seeing(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        kong.calls.clear()
        await served.apply(TENANTS.replace("requests: 5", "requests: 6"))
        await sidecars.applied(on, served)
        assert [method for method, _path in sidecars.writes(kong)] == ["PUT", "PUT"], "the limit, the probe's plugin"
        assert len(sidecars.reads(kong)) <= 1, "the lease is looked at"
        assert not [one for one in kong.calls if "size=" in one.path]
        report = await sidecars.inner(on).reconcile()
        assert (report.drift, report.faults) == ((), ())
        assert own(kong) == ["gatecast.edge.~live", "request-termination"], "it is no drift and not taken away"


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("way", WAYS)
async def test_the_guard_of_a_gateway_lets_the_probe_pass_however_tenants_are_told(way: str, shared: bool) -> None:
    said, tenants = WAYS[way]
    idp = idps.Idp(name="main")
    idp.add()
    said = said.replace("KEYS", json.dumps(idp.jwks()))
    gateway = kong_worlds.GATEWAY.replace("kong: true\n", f"kong: true\n{said}\n")
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(gateway + tenants) as served,
        seeing(served, kong, alone=not shared) as on,
    ):
        assert not [one for one in served.plane.problems() if one.severity == "error"], served.problems()
        await sidecars.applied(on, served)
        assert len(own(kong)) == 2
        assert sidecars.inner(on).faults == frozenset()


@pytest.mark.parametrize("still", ["router", "plugins"])
async def test_while_the_proxy_does_not_show_it_nothing_is_acknowledged(
    still: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.3)
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        seeing(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        (stream,) = served.plane.hub.clients.values()
        accepted = stream.of("TENANTS").accepted_version
        kong.view.reset(Timers(period=0.05, **{still: NEVER}))
        await served.apply(TENANTS.replace("requests: 5", "requests: 6") + limit("new", 3))
        await until(lambda: "the proxy does not show what was written" in on.unready, "the word for it", within=20)
        for one in served.plane.hub.clients.values():
            assert one.of("TENANTS").accepted_version in (accepted, "")
        kong.view.reset(QUICK)
        await sidecars.applied(on, served)
        assert limits(kong) == {"acme": 6, "new": 3}


async def test_a_plan_does_not_go_on_to_its_next_phase_while_the_proxy_does_not_show_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.3)
    moved = "---\nkind: Tenant\nid: beta\npolicies: {maintenance: {}}\n"
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        seeing(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        before = holding(kong, "beta")
        kong.view.reset(Timers(period=0.05, router=NEVER))
        await served.apply(moved)
        await until(lambda: outages(on) > 1, "another try, when the time of the wait is over", within=30)
        assert "the proxy does not show" in on.unready
        assert before <= holding(kong, "beta"), "it has not left its old class"
        kong.view.reset(QUICK)
        await sidecars.applied(on, served)
        assert not before & holding(kong, "beta")


def outages(on: Running) -> float:
    return on.registry.get_sample_value("gatecast_kong_runs_total", {"outcome": "unavailable"}) or 0


def holding(kong: Double, tenant: str) -> set[str]:
    """The routes that take this tenant."""
    rows = sidecars.rows(kong, "routes")
    return {one["name"] for one in rows if tenant in (one["headers"] or {}).get("x-tenant-id", ())}


async def test_a_probe_that_somebody_takes_away_is_written_again() -> None:
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        seeing(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        kongs.drop(kong, "/routes/gatecast.edge.~live")
        assert own(kong) == []
        await served.apply(limit("acme", 7))
        await sidecars.applied(on, served)
        assert len(own(kong)) == 2


async def test_a_proxy_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.3)
    async with Double(timers=QUICK).serving() as gone:
        nobody = gone.proxy_url
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        seeing(served, kong, proxy=nobody) as on,
    ):
        await until(lambda: "ConnectError" in on.unready, "the word for it", within=20)
        assert nobody in on.unready
