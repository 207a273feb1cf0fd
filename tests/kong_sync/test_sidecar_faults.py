"""Every call of a plan goes wrong once, in every way; the sidecar is killed in the middle. After one clean run Kong
holds what is wanted, nothing twice, and what others have is untouched."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import kong_worlds
import kongs
import pytest
from sidecars import TENANTS, limit

from kong_double.double import Double
from kong_double.faults import Fault
from kong_double.timers import Hand
from kong_double.transport import Direct
from kong_sync.admin import Access, Admin, Patience, client
from kong_sync.database import Database
from kong_sync.entities import KINDS, STAMPS
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.translate import Desired, translate
from tenants.errors import Unavailable

FAULTS = {
    "500": Fault(status=500),
    "timed out after commit": Fault(delay=60.0, done=True),
    "reset after commit": Fault(cut=True, done=True),
    "reset": Fault(cut=True),
    "409": Fault(status=409),
}
BEFORE = kong_worlds.GATEWAY + TENANTS + limit("gone", 7) + limit("moved", 3)
AFTER = (
    kong_worlds.GATEWAY
    + TENANTS.replace("requests: 5", "requests: 6")
    + limit("new", 8)
    + "---\nkind: Tenant\nid: moved\npolicies: {rate_limit: {requests: 3, per: minute}, maintenance: {}}\n"
)
ONCE, PATIENT = Patience(tries=1, races=0), Patience()


def held(kong: Double) -> dict[str, list[Mapping[str, Any]]]:
    """All rows, without stamps."""
    return {
        kind: [{name: one for name, one in row.items() if name not in STAMPS} for row in kong.store.all(kind)]
        for kind in KINDS
    }


def started() -> Double:
    """A Kong where others have a service with a route and a plugin."""
    kong = kongs.standing()
    first, second, third = (f"{n}0000000-0000-4000-8000-000000000001" for n in (1, 2, 3))
    kongs.make(kong, "/services", id=first, name="theirs", host="theirs.test", tags=["them"])
    kongs.make(kong, "/services/theirs/routes", id=second, name="theirs", paths=["/theirs"])
    kongs.make(kong, "/services/theirs/plugins", id=third, name="key-auth")
    return kong


async def brought(kong: Double, desired: Desired, patience: Patience = PATIENT) -> list[str]:
    """One run of a sidecar that has just started; what could not be done."""
    hand = kong.clock
    assert isinstance(hand, Hand)
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, patience=patience, sleep=hand.sleep)
        executor = Executor(admin, lambda: 5.5, Gauges(), clock=hand, sleep=hand.sleep)
        database = Database(admin, "edge", executor, Gauges())
        return [one.text for one in await database.bring(desired)]


@pytest.fixture(scope="module")
def desired() -> tuple[Desired, Desired]:
    return translate(kong_worlds.world(BEFORE)), translate(kong_worlds.world(AFTER))


async def clean(before: Desired, after: Desired) -> tuple[dict[str, list[Mapping[str, Any]]], int]:
    """What Kong holds without any fault, and how many writes that takes."""
    kong = started()
    assert await brought(kong, before) == []
    kong.calls.clear()
    assert await brought(kong, after) == []
    return held(kong), sum(one.method != "GET" for one in kong.calls)


@pytest.mark.parametrize("name", FAULTS)
async def test_whichever_call_fails_one_clean_run_later_all_is_as_wanted(
    name: str, desired: tuple[Desired, Desired]
) -> None:
    wanted, calls = await clean(*desired)
    assert calls > 8
    for k in range(1, calls + 1):
        kong = started()
        assert await brought(kong, desired[0]) == []
        kong.faults.on(k, FAULTS[name])
        with contextlib.suppress(Unavailable):
            await brought(kong, desired[1], ONCE)
        assert kong.faults.hit == 1, f"call {k}"
        kong.faults.clear()
        assert await brought(kong, desired[1]) == [], f"call {k}"
        assert held(kong) == wanted, f"call {k}"
        kong.calls.clear()
        assert await brought(kong, desired[1]) == []
        assert {one.method for one in kong.calls} == {"GET"}, "a no-op is never written"


async def test_killed_at_any_call_the_next_run_ends_where_it_should(desired: tuple[Desired, Desired]) -> None:
    wanted, calls = await clean(*desired)
    for k in range(1, calls + 1):
        kong = started()
        assert await brought(kong, desired[0]) == []
        reached = asyncio.Event()

        async def hang(_seconds: float, reached: asyncio.Event = reached) -> None:
            reached.set()
            await asyncio.Event().wait()

        kong.sleep = hang
        kong.faults.on(k, Fault(delay=1.0))
        task = asyncio.create_task(brought(kong, desired[1]))
        await reached.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        kong.faults.clear()
        assert await brought(kong, desired[1]) == [], f"call {k}"
        assert held(kong) == wanted, f"call {k}"
