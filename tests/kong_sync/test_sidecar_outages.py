"""A sidecar when something is away, comes back, or is there twice."""

import asyncio
from dataclasses import replace
from pathlib import Path

import kong_worlds
import kongs
import planes
import sidecars
from sidecars import TENANTS, limit, limits, names

from kong_double.double import Double
from kong_double.faults import EVERY, Fault
from kong_double.timers import Hand, Timers
from xds.waiting import until

QUICK = Timers(period=0.02)
ALL = 10**6


async def test_without_its_control_plane_kong_keeps_what_it_has_and_the_newest_comes_when_it_is_back() -> None:
    async with Double(timers=QUICK).serving() as kong, planes.plane(kong_worlds.GATEWAY + limit("acme", 5)) as first:
        port = first.port
        async with sidecars.sidecar(first, kong) as on:
            await sidecars.applied(on, first)
            await first.server.stop(grace=0.1)
            assert limits(kong) == {"acme": 5}
            kong.calls.clear()
            async with planes.plane(kong_worlds.GATEWAY + limit("acme", 6) + limit("beta", 7), port=port) as second:
                await until(lambda: limits(kong) == {"acme": 6, "beta": 7}, "the newest", within=20)
                await sidecars.applied(on, second)
                assert not [one for one in kong.calls if "size=" in one.path]


async def test_a_kong_that_was_emptied_is_filled_again() -> None:
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong, pace=sidecars.BRISK) as on,
    ):
        await sidecars.applied(on, served)
        held = limits(kong)
        kong.restart(empty=True)
        await until(lambda: limits(kong) == held, "all of it", within=20)
        await until(lambda: not on.unready and not sidecars.inner(on).lost, "the end of it")
        await served.apply(limit("acme", 9))
        await sidecars.applied(on, served)
        assert limits(kong)["acme"] == 9


async def test_after_an_outage_of_the_admin_api_only_the_newest_state_is_written() -> None:
    hand = Hand()

    async def sleep(seconds: float) -> None:
        hand.move(seconds)
        await asyncio.sleep(0)

    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + limit("acme", 5)) as served,
        sidecars.sidecar(served, kong, clocks=(hand, sleep)) as on,
    ):
        await sidecars.applied(on, served)
        kong.faults.on(1, Fault(cut=True), methods=EVERY, times=ALL)
        began = hand()
        for requests in range(6, 16):
            await served.apply(limit("acme", requests))
            await until(lambda now=kong.faults.hit + 3: kong.faults.hit >= now, "tries that fail")
        await until(lambda: hand() >= began + 60, "a minute without an Admin API")
        assert on.unready
        kong.calls.clear()
        kong.faults.clear()
        await until(lambda: limits(kong) == {"acme": 15}, "the newest state", within=20)
        await sidecars.applied(on, served)
        puts = [one for one in kong.calls if one.method == "PUT" and one.path.startswith("/plugins/")]
        assert len(puts) == 1, "states between were never written"


async def test_of_two_sidecars_one_writes_and_the_other_takes_over_when_it_ends() -> None:
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong, node="kong-2", pace=sidecars.BRISK) as second,
        sidecars.sidecar(served, kong, pace=sidecars.BRISK) as first,
    ):
        await until(lambda: not first.unready or not second.unready, "one that writes")
        writer, other = (first, second) if not first.unready else (second, first)
        await until(lambda: "another sidecar writes" in other.unready, "the other to say so")
        assert writer.registry.get_sample_value("gatecast_kong_writes") == 1
        assert other.registry.get_sample_value("gatecast_kong_writes") == 0
        writes = len(sidecars.writes(kong))
        writer.stopping.set()
        await until(lambda: not other.unready, "the other to take over", within=20)
        assert len(sidecars.writes(kong)) == writes, "all was there"
        await served.apply(limit("acme", 8))
        await until(lambda: limits(kong)["acme"] == 8, "its writes")


async def test_a_restart_asks_for_what_differs_alone_if_kong_holds_what_was_known(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    async with Double(timers=QUICK).serving() as kong, planes.plane(kong_worlds.GATEWAY + TENANTS) as served:
        async with sidecars.sidecar(served, kong, state=file) as on:
            await sidecars.applied(on, served)
        sent = served.sent("TENANTS")
        await served.apply(limit("beta", 9))
        kong.calls.clear()
        async with sidecars.sidecar(served, kong, state=file) as on:
            await until(lambda: limits(kong).get("beta") == 9, "what changed meanwhile")
            await sidecars.applied(on, served)
            assert served.sent("TENANTS") == sent + 1
            assert len([one for one in kong.calls if one.method == "PUT"]) == 1
        kongs.drop(
            kong,
            f"/consumers/{next(one['id'] for one in sidecars.rows(kong, 'consumers') if one['username'] == 'acme')}",
        )
        async with sidecars.sidecar(served, kong, state=file) as on:
            await sidecars.applied(on, served)
            assert "acme" in names(kong), "it was asked for afresh, and is there again"


async def test_a_kong_without_a_database_is_given_all_at_once_and_again_after_its_restart() -> None:
    kong = replace(kongs.without_database(), clock=asyncio.get_running_loop().time)
    async with (
        kong.serving(),
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        assert limits(kong)["acme"] == 5
        await served.apply(limit("acme", 6))
        await sidecars.applied(on, served)
        assert limits(kong)["acme"] == 6
        assert {one.path.partition("?")[0] for one in kong.calls if one.method != "GET"} == {"/config"}
        kong.restart(empty=True)
        assert limits(kong) == {}
        await until(lambda: limits(kong).get("acme") == 6, "all of it again", within=20)
