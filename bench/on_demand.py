"""Envoy's memory with every tenant's table (eager) and with those alone that were asked for (on demand).

10,000 tenants, 100 of them hot. First requests wait for their table: their time is printed beside that of later ones.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fleet
import structlog

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import planes  # noqa: E402
import upstreams  # noqa: E402
from envoys import Envoy, envoy, free_port, until  # noqa: E402

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

FLUSH = 5.5  # seconds: Envoy says how much memory it has each 5 s


async def measure(tenants: int, hot: int, *, on_demand: bool, counted: bool = True) -> dict[str, Any]:
    """One Envoy that is told of `tenants` tenants and asked for `hot` of them, twice each."""
    port = free_port()
    said = f"allow_local_endpoints: true\non_demand: {str(on_demand).lower()}\ntenant_stats: {str(counted).lower()}"
    async with upstreams.Upstream("backend") as upstream:
        shared = fleet.shared(port, upstream.port).replace("allow_local_endpoints: true", said)
        async with planes.plane(shared) as served:
            for text in fleet.batches(tenants):
                await served.apply(text)
            with tempfile.TemporaryDirectory() as folder:
                async with envoy(served.bootstrap(), Path(folder), log_level="warning") as proxy:
                    await until(lambda: _settled(served), "the proxy holds everything", within=180)
                    before = await _memory(proxy)
                    first = await _asked(port, hot)
                    later = await _asked(port, hot)
                    after = await _memory(proxy)
                    counters = len(await proxy.stats("^gatecast"))
    return {
        "tenants": tenants,
        "hot": hot,
        "on_demand": on_demand,
        "tenant_stats": counted,
        "before_mb": round(before / 2**20, 1),
        "after_mb": round(after / 2**20, 1),
        "counters": counters,
        "first_ms": round(statistics.median(first), 2),
        "first_p99_ms": round(sorted(first)[int(len(first) * 0.99)], 2),
        "later_ms": round(statistics.median(later), 2),
    }


def _settled(served: planes.Served) -> bool:
    """Everything that was asked for is sent and acknowledged."""
    clients = list(served.plane.hub.clients.values())
    interests = [one for client in clients for one in client.machine.interests.values() if one.started]
    kinds = {one.kind.name for one in interests if not one.pending and one.sent is None}
    return {"CDS", "LDS", "SRDS"} <= kinds and len(kinds) == len({one.kind.name for one in interests})


async def _memory(proxy: Envoy) -> int:
    await asyncio.sleep(FLUSH)
    return (await proxy.stats("server.memory_allocated"))["server.memory_allocated"]


async def _asked(port: int, hot: int) -> list[float]:
    """Milliseconds of one request for each hot tenant, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    for i in range(hot):
        began = time.perf_counter()
        writer.write(f"GET /api/1 HTTP/1.1\r\nhost: x\r\nx-tenant-id: t{i}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert " 200 " in head.split("\r\n")[0], head
        length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:"))
        await reader.readexactly(int(length))
        taken.append((time.perf_counter() - began) * 1e3)
    writer.close()
    return taken


def figures(tenants: int = 10_000, hot: int = 100) -> list[dict[str, Any]]:
    """Eager and on demand with few hot tenants; then every tenant asked for, with and without counters."""
    rows = [(hot, False, True), (hot, True, True), (tenants, False, True), (tenants, False, False)]
    return [
        asyncio.run(measure(tenants, count, on_demand=on_demand, counted=counted)) for count, on_demand, counted in rows
    ]


if __name__ == "__main__":
    for row in figures(*(int(size) for size in sys.argv[1:])):
        print(row, flush=True)
