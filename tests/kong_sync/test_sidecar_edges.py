"""Probes, the lease, backups, an orderly end in the middle of a plan, and what a control plane says when asked once."""

import asyncio
import stat
from pathlib import Path

import httpx
import kong_worlds
import kongs
import planes
import pytest
import sidecars
from sidecars import TENANTS, limit, limits

from gatecast.exits import NotFound
from gatecast.kong import running
from gatecast.kong_asked import asked
from kong_double.double import Double
from kong_double.faults import EVERY, Fault
from kong_double.timers import Hand, Timers
from kong_double.transport import Direct
from kong_sync.admin import Access, Admin, client
from kong_sync.backups import KEPT, keeper, loaded
from kong_sync.database import Database
from kong_sync.executor import Executor, Stopped
from kong_sync.gauges import Gauges
from kong_sync.lease import Leases, LostLease
from kong_sync.listing import ours
from kong_sync.states import State
from kong_sync.translate import translate
from tenants.errors import Refused
from xds.waiting import until

QUICK = Timers(period=0.02)


async def test_probes_and_metrics_say_where_it_stands() -> None:
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        kong.faults.on(1, Fault(status=503), methods=EVERY, times=10**6)
        async with sidecars.sidecar(served, kong) as on:
            url = f"http://127.0.0.1:{on.port}"
            assert (await http.get(f"{url}/livez")).status_code == 200
            waiting = await http.get(f"{url}/readyz")
            assert (waiting.status_code, waiting.json()["status"]) == (503, "waiting")
            kong.faults.clear()
            await sidecars.applied(on, served)
            assert (await http.get(f"{url}/readyz")).json() == {"status": "ready"}
            text = (await http.get(f"{url}/metrics")).text
            for name in ("runs_total", "written_total", "drift_total", "phase_waits_total", "refused_tenants"):
                assert f"gatecast_kong_{name}" in text
            assert "gatecast_kong_last_success_timestamp_seconds" in text


async def test_a_lease_goes_to_one_is_found_missing_and_is_taken_over_when_it_is_over() -> None:
    kong, hand = kongs.standing(), Hand()
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=hand.sleep)
        one, other = (Leases(admin, "edge", who, wall=hand) for who in ("one", "other"))
        assert sorted(await asyncio.gather(one.take(), other.take())) == [False, True]
        first, second = (one, other) if one.held else (other, one)
        assert not await second.take()
        assert second.other == ("one" if first is one else "other")
        hand.move(20)
        assert await first.keep()
        hand.move(20)
        assert not await second.take()
        hand.move(20)
        assert await second.take()
        assert not await first.check()
        assert len(list(kong.store.all("consumers"))) == 1
        kong.restart(empty=True)
        assert not await second.check()
        await second.give_up()


async def test_without_its_lease_a_sidecar_writes_nothing() -> None:
    kong, hand = kongs.standing(), Hand()
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=hand.sleep)
        leases = Leases(admin, "edge", "one", wall=hand)
        executor = Executor(admin, lambda: 5.5, Gauges(), clock=hand, sleep=hand.sleep)
        with pytest.raises(LostLease):
            await Database(admin, "edge", executor, Gauges(), leases=leases).bring(
                translate(kong_worlds.world(kong_worlds.GATEWAY, TENANTS))
            )
    assert not any(one.method != "GET" for one in kong.calls)


async def test_asked_to_end_it_finishes_the_phase_and_the_next_run_ends_where_it_should() -> None:
    kong = kongs.standing()
    hand = kong.clock
    assert isinstance(hand, Hand)
    desired = translate(kong_worlds.world(kong_worlds.GATEWAY, TENANTS))
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin, stopping = Admin(http, sleep=hand.sleep), asyncio.Event()

        async def stop(_seconds: float) -> None:
            stopping.set()
            await asyncio.Event().wait()

        executor = Executor(admin, lambda: 5.5, Gauges(), stopping=stopping, clock=hand, sleep=stop)
        with pytest.raises(Stopped):
            await Database(admin, "edge", executor, Gauges()).bring(desired)
        assert sum(len(table) for table in kong.store.tables.values()) > 0
        again = Executor(admin, lambda: 5.5, Gauges(), clock=hand, sleep=hand.sleep)
        database = Database(admin, "edge", again, Gauges())
        assert await database.bring(desired) == ()
        await database.look()
        assert not database.planned()


async def test_before_something_is_deleted_there_is_a_backup_and_few_are_kept(tmp_path: Path) -> None:
    gateway = kong_worlds.GATEWAY + TENANTS
    async with (
        Double(timers=QUICK).serving() as kong,
        planes.plane(gateway + limit("gone", 7)) as served,
        sidecars.sidecar(served, kong, backups=tmp_path) as on,
    ):
        await sidecars.applied(on, served)
        assert list(tmp_path.iterdir()) == [], "there was nothing to keep"
        await served.drop(("Tenant", "gone"))
        await sidecars.applied(on, served)
        assert "gone" not in limits(kong)
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "gone" in [row.get("username") for kind, row in loaded(file) if kind == "consumers"]
    keep, state = keeper(tmp_path, "edge", ours("edge")), State.of(loaded(file))
    for _ in range(KEPT + 3):
        keep(state)
    files = sorted(tmp_path.iterdir())
    assert len(files) == KEPT
    assert State.of(loaded(files[0])).rows == state.rows


@pytest.mark.parametrize("text", ["", "a: [", "_format_version: '1.1'", "_format_version: '3.0'\nvaults: []"])
def test_a_file_that_is_no_backup_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with pytest.raises(Refused):
        loaded(file)


async def test_a_sidecar_of_a_gateway_that_is_not_there_writes_nothing_and_says_so() -> None:
    kong = kongs.standing()
    async with (
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong, gateway="nix") as on,
    ):

        def said() -> bool:
            clients = list(served.plane.hub.clients.values())
            return bool(clients) and all(clients[0].of(kind).error for kind in ("SHARED", "TENANTS"))

        await until(said, "both types to be rejected", within=20)
        (client,) = served.plane.hub.clients.values()
        assert "no gateway 'nix', but 'edge': say --gateway edge" in client.of("TENANTS").error
        await served.apply(limit("acme", 7))
        await until(lambda: served.sent("TENANTS") > 2, "more of it", within=20)
        assert on.unready == "the control plane has no gateway 'nix', but 'edge': say --gateway edge"
    assert sidecars.writes(kong) == []


async def test_where_no_admin_api_answers_a_sidecar_ends_and_says_so() -> None:
    async with Double().serving() as kong, planes.plane(kong_worlds.GATEWAY) as served:
        told = sidecars.told(served, kong, access=Access(kong.proxy_url))
        async with running(told) as (_on, work):
            await asyncio.wait({work})
    with pytest.raises(NotFound, match=rf"^there is no Admin API of Kong at {kong.proxy_url}: it answers 404$"):
        work.result()


async def test_a_control_plane_asked_once_says_all() -> None:
    async with planes.plane(kong_worlds.GATEWAY + TENANTS) as served:
        world = await asked(sidecars.told(served, kongs.standing()))
        assert sorted(world.tenants) == ["acme", "beta"]
        assert sorted(world.routes) == ["orders"]
