"""In the middle of a plan: another took the lease, we are asked to end; and a workspace of an Enterprise edition."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import kong_worlds
import kongs
import planes
import pytest
import sidecars
from sidecars import TENANTS, limit

from kong_double.double import Call, Double
from kong_double.faults import EVERY, Fault
from kong_double.timers import Hand, Timers
from kong_double.transport import Direct
from kong_sync.admin import Access, Admin, client, connected
from kong_sync.database import Database
from kong_sync.entities import KINDS
from kong_sync.executor import Executor, Stopped
from kong_sync.gauges import Gauges
from kong_sync.lease import Leases, LostLease
from kong_sync.translate import Desired, translate

BEFORE = kong_worlds.GATEWAY + TENANTS
AFTER = kong_worlds.GATEWAY + "".join(limit(f"t{i:02}", 5 + i) for i in range(30)) + TENANTS.replace("5,", "6,")


@dataclass
class Two:
    """A Kong, one sidecar that writes, and another that waits for its lease."""

    kong: Double
    hand: Hand
    admin: Admin
    mine: Leases
    other: Leases
    taken: int = 0

    def database(self, executor: Executor) -> Database:
        return Database(self.admin, "edge", executor, Gauges(), leases=self.mine)

    async def lose(self) -> None:
        """This process stood still for a minute; the other took over."""
        self.hand.move(60)
        assert await self.other.take()
        self.taken = len(self.kong.calls)

    @property
    def written(self) -> list[Call]:
        """What came to be since then."""
        return [one for one in self.kong.calls[self.taken :] if one.method != "GET" and one.status < 300]


@asynccontextmanager
async def two() -> AsyncIterator[Two]:
    kong = kongs.standing()
    hand = kong.clock
    assert isinstance(hand, Hand)
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=hand.sleep)
        mine, other = (Leases(admin, "edge", who, wall=hand) for who in ("mine", "other"))
        assert await mine.take()
        yield Two(kong, hand, admin, mine, other)


def wanted(text: str) -> Desired:
    return translate(kong_worlds.world(text))


async def test_when_another_takes_the_lease_in_a_wait_nothing_more_is_written() -> None:
    async with two() as on:

        async def slept(_seconds: float) -> None:
            await on.lose()

        executor = Executor(on.admin, lambda: 5.5, Gauges(), leases=on.mine, clock=on.hand, sleep=slept)
        with pytest.raises(LostLease):
            await on.database(executor).bring(wanted(BEFORE))
        assert on.taken, "the plan had begun"
        assert on.written == []


async def test_when_another_takes_the_lease_in_a_phase_only_what_was_under_way_is_written() -> None:
    async with two() as on:
        executor = Executor(on.admin, lambda: 5.5, Gauges(), leases=on.mine, clock=on.hand, sleep=on.hand.sleep)
        database = on.database(executor)
        assert await database.bring(wanted(BEFORE)) == ()
        assert await on.mine.keep()

        async def stood(_seconds: float) -> None:
            await on.lose()

        on.kong.sleep = stood
        on.kong.faults.on(12, Fault(delay=1.0))
        with pytest.raises(LostLease):
            await database.bring(wanted(AFTER))
        assert len(on.written) <= 1
        assert len(sidecars.rows(on.kong, "consumers")) < 30, "much was left to do"


async def test_asked_to_end_in_a_phase_it_finishes_that_phase_and_begins_no_other() -> None:
    kong, stopping = kongs.standing(), asyncio.Event()
    hand = kong.clock
    assert isinstance(hand, Hand)
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=hand.sleep)
        executor = Executor(admin, lambda: 5.5, Gauges(), stopping=stopping, clock=hand, sleep=hand.sleep)
        database = Database(admin, "edge", executor, Gauges())
        await database.look()
        await database.want(wanted(AFTER))
        first, second, *_more = database.planned().phases
        assert len(first.steps) > 10

        async def told(_seconds: float) -> None:
            stopping.set()

        kong.sleep = told
        kong.faults.on(5, Fault(delay=1.0))
        with pytest.raises(Stopped):
            await database.converge()
        kept = {(kind, id_) for kind in kong.store.tables for id_ in kong.store.tables[kind]}
        assert {step.key for step in first.steps} <= kept
        assert not {step.key for step in second.steps} & kept


async def test_in_a_workspace_is_all_that_a_sidecar_writes_and_its_lease() -> None:
    kong = Double(timers=Timers(period=0.02), workspaces=("blue",))
    async with kong.serving(), planes.plane(BEFORE) as served:
        access = Access(kong.admin_url, workspace="blue")
        async with sidecars.sidecar(served, kong, access=access) as on, connected(access) as blue:
            await sidecars.applied(on, served)
            assert not any(kong.store.tables.values()), "the others' workspace stays as it is"
            consumers = await blue.rows(KINDS["consumers"])
            assert len(consumers) == 3, "two tenants and the lease"
            assert [one["config"]["minute"] for one in await blue.rows(KINDS["plugins"]) if "minute" in one["config"]]
            assert {one.path.split("/")[1] for one in kong.calls} == {"blue"}


async def test_an_upstream_that_somebody_deletes_during_a_listing_is_no_reason_to_give_up() -> None:
    kong = kongs.standing()
    hand = kong.clock
    assert isinstance(hand, Hand)
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=hand.sleep)
        database = Database(
            admin, "edge", Executor(admin, lambda: 5.5, Gauges(), clock=hand, sleep=hand.sleep), Gauges()
        )
        assert await database.bring(wanted(BEFORE)) == ()
        (upstream,) = sidecars.rows(kong, "upstreams")

        async def gone(_seconds: float) -> None:
            kongs.drop(kong, f"/upstreams/{upstream['id']}")

        kong.sleep = gone
        kinds = [kind for kind in KINDS.values() if not kind.nested]
        kong.faults.on(len(kinds) + 1, Fault(delay=1.0), methods=EVERY)
        (told,) = [one for one in await database.look() if "targets" in one]
        assert "deleted" in told
        await database.look()
        assert await database.converge() == ()
        assert len(sidecars.rows(kong, "targets")) == 1
