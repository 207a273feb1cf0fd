"""`gatecast kong` as a process: told by flags and the environment, ended by a signal, or killed."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

import kong_worlds
import planes
import sidecars
from sidecars import TENANTS, limits

from kong_double.double import Double
from kong_double.faults import WRITES, Fault
from kong_double.pages import Node
from kong_double.timers import Timers
from kong_sync.entities import KINDS
from xds.waiting import until

QUICK = 0.01
NODE = Node(state=QUICK, database=QUICK)


async def started(kong: Double, served: planes.Served) -> Process:
    told = {"GATECAST_KONG_ADMIN_URL": kong.admin_url, "GATECAST_KONG_XDS": f"127.0.0.1:{served.port}"}
    flags = ("--gateway", "edge", "--node", "kong-1", "--listen", "127.0.0.1:0", "--log-format", "json")
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gatecast.cli", "kong", *flags, env=os.environ | told, stdout=PIPE, stderr=PIPE
    )


async def stopped(process: Process, number: signal.Signals) -> bytes:
    """What it said, when it has ended by this signal."""
    process.send_signal(number)
    _out, err = await asyncio.wait_for(process.communicate(), 20)
    return err


async def test_it_follows_until_sigterm_and_gives_up_its_lease() -> None:
    async with (
        Double(node=NODE, timers=Timers(period=QUICK)).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
    ):
        process = await started(kong, served)
        try:
            await until(lambda: limits(kong) == {"acme": 5}, "its writes", within=30)
            assert len(list(kong.store.all("consumers"))) == len(sidecars.rows(kong, "consumers")) + 1
            process.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(process.communicate(), 20)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert (process.returncode, out) == (0, b"")
        assert b'"event": "stopped"' in err
        assert b"Traceback" not in err
        assert len(list(kong.store.all("consumers"))) == len(sidecars.rows(kong, "consumers"))


async def test_killed_in_the_middle_of_a_plan_the_next_one_ends_where_it_should() -> None:
    async with (
        Double(node=NODE, timers=Timers(period=QUICK)).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
    ):
        kong.faults.on(1, Fault(delay=0.05), methods=WRITES, times=10**6)
        first = await started(kong, served)
        await until(lambda: bool(sidecars.rows(kong, "services")), "some of its writes", within=30)
        await stopped(first, signal.SIGKILL)
        assert not [one for one in sidecars.rows(kong, "routes") if "orders" in one["name"]], "it was in the middle"
        (lease,) = [one for one in kong.store.all("consumers") if "lease" in (one.get("tags") or ())]
        kong.store.drop(KINDS["consumers"], lease["id"])  # as if its time were over
        kong.faults.clear()
        second = await started(kong, served)
        await until(lambda: limits(kong) == {"acme": 5}, "the limit, which comes last", within=30)
        err = await stopped(second, signal.SIGTERM)
        assert sidecars.names(kong) == ["acme", "beta"]
        assert [one for one in sidecars.rows(kong, "routes") if "orders" in one["name"]]
        assert b"Traceback" not in err
