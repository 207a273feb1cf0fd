"""`gatecast kong` as a process: told by flags and the environment, ended by a signal."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE

import kong_worlds
import planes
import sidecars
from kong_double.double import Double
from kong_double.pages import Node
from kong_double.timers import Timers
from sidecars import TENANTS, limits

from xds.waiting import until

QUICK = 0.01
NODE = Node(state=QUICK, database=QUICK)


async def test_it_follows_until_sigterm_and_gives_up_its_lease() -> None:
    async with (
        Double(node=NODE, timers=Timers(period=QUICK)).serving() as kong,
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
    ):
        told = {"GATECAST_KONG_ADMIN_URL": kong.admin_url, "GATECAST_KONG_XDS": f"127.0.0.1:{served.port}"}
        flags = ("--gateway", "edge", "--node", "kong-1", "--listen", "127.0.0.1:0", "--log-format", "json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gatecast.cli", "kong", *flags, env=os.environ | told, stdout=PIPE, stderr=PIPE
        )
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
