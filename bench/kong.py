"""The Kong sidecar at 1,000 and 10,000 tenants: first sync, one tenant's change, memory. `python bench/kong.py`.

The sidecar is a process of its own (`gatecast kong`); control plane and the double of Kong are in this one, over HTTP
and gRPC on loopback, so a row's seconds are those of the double too. Each tenant has a consumer, a key and a limit of
its own. The wait until a change is in effect is Kong's (here 0.5 s, with Kong's own settings 10.5 s) and stands apart.
CPU is the sidecar's alone; `load` is the machine's after the first sync.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import kong_worlds  # noqa: E402
import planes  # noqa: E402
from envoys import free_port  # noqa: E402
from sidecars import limit  # noqa: E402

from kong_double.double import Double  # noqa: E402
from kong_double.pages import Node  # noqa: E402
from kong_double.timers import Timers  # noqa: E402
from xds.waiting import until  # noqa: E402

CHANGES = 9


@asynccontextmanager
async def sidecar(served: planes.Served, kong: Double, port: int) -> AsyncIterator[int]:
    """The process; yields its id."""
    command = [
        sys.executable, "-m", "gatecast.cli", "kong", "--admin", kong.admin_url, "--gateway", "edge",
        "--node", "kong-1",
        "--xds", f"127.0.0.1:{served.port}", "--listen", f"127.0.0.1:{port}", "--single", "--log-level", "error",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


def acknowledged(served: planes.Served) -> bool:
    clients = list(served.plane.hub.clients.values())
    newest = served.plane.builder.snapshots["edge"]
    kinds = [one.machine.interests[kind] for one in clients for kind in ("SHARED", "TENANTS")]
    return (
        bool(kinds)
        and all(one.machine.snapshot is newest for one in clients)
        and all(one.started and one.sent is None and not one.pending for one in kinds)
    )


async def waited(port: int) -> float:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    return float(re.findall(r"^gatecast_kong_phase_wait_seconds_total (\S+)", text, re.M)[0])


def cpu(pid: int) -> float:
    """Seconds that a process has used, in its own code and in the system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """MiB in memory now."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) // 1024


async def measure(tenants: int) -> dict[str, Any]:
    text = kong_worlds.GATEWAY + "".join(limit(f"t{i:05}", 100 + i % 7) for i in range(tenants))
    node, port = Node(state=0.0, database=0.0), free_port()
    async with Double(node=node, timers=Timers(period=0.05)).serving() as kong, planes.plane(text) as served:
        began = time.perf_counter()
        async with sidecar(served, kong, port) as pid:
            await until(lambda: acknowledged(served), "the first sync", within=900)
            first = time.perf_counter() - began
            entities = sum(len(kong.store.tables[kind]) for kind in kong.store.tables)
            pause, spent, first_calls, load = await waited(port), cpu(pid), len(kong.calls), os.getloadavg()[0]
            after_first, rows = resident(pid), []
            for i in range(CHANGES):
                kong.calls.clear()
                before, start = await waited(port), time.perf_counter()
                await served.apply(limit(f"t{i:05}", 500 + i))
                await until(lambda: acknowledged(served), "the change", within=60)
                seconds = time.perf_counter() - start
                calls = [one for one in kong.calls if "tags=" not in one.path]
                rows.append((seconds, (await waited(port)) - before, len(calls), len(kong.calls)))
            return {
                "tenants": tenants,
                "entities": entities,
                "first_sync_s": round(first - pause, 2),
                "first_calls": first_calls,
                "entities_per_s": round(entities / (first - pause)),
                "cpu_s": round(spent, 2),
                "entities_per_cpu_s": round(entities / spent),
                "change_ms": round(median(one[0] - one[1] for one in rows) * 1e3, 1),
                "wait_ms": round(median(one[1] for one in rows) * 1e3),
                "calls": max(one[2] for one in rows),
                "listings": max(one[3] - one[2] for one in rows),
                "change_cpu_s": round((cpu(pid) - spent) / CHANGES, 3),
                "rss_mb": max(after_first, resident(pid)),
                "load": round(load, 1),
            }


def figures(sizes: tuple[int, ...] = (1_000, 3_300, 10_000)) -> list[dict[str, Any]]:
    """One row a size."""
    return [asyncio.run(measure(size)) for size in sizes]


if __name__ == "__main__":
    os.environ.pop("GATECAST_KONG_TOKEN", None)
    for line in figures(tuple(map(int, sys.argv[1:])) or (1_000, 3_300, 10_000)):
        print(line, flush=True)
