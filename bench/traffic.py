"""From a tenant's change to the first request on a real Envoy that sees it, at 100 to 50,000 tenants.

Measured from the call that changes the catalog to the moment the answer with the new header is read. The prober
asks without pause over one connection, so its own round trip (printed beside it) is part of the figure.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import fleet
import structlog

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import planes  # noqa: E402
import upstreams  # noqa: E402
from envoys import envoy, free_port, until  # noqa: E402

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


async def measure(tenants: int, changes: int) -> dict[str, Any]:
    """One Envoy, `tenants` tenants, `changes` changes of one tenant after another."""
    port = free_port()
    async with upstreams.Upstream("backend") as upstream, planes.plane(fleet.shared(port, upstream.port)) as served:
        began = time.perf_counter()
        for text in fleet.batches(tenants):
            await served.apply(text)
        loaded = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            async with envoy(served.bootstrap(), Path(folder), log_level="warning") as proxy:
                await until(lambda: settled(served), "the proxy holds everything", within=180)
                millis = await _changes(served, port, tenants, changes)
                memory = (await proxy.stats("server.memory_allocated"))["server.memory_allocated"]
    millis.sort()
    return {
        "tenants": tenants,
        "changes": changes,
        "median_ms": round(statistics.median(millis), 2),
        "p99_ms": round(millis[int(len(millis) * 0.99)], 2),
        "load_s": round(loaded, 2),
        "envoy_mb": memory // 2**20,
    }


def settled(served: planes.Served) -> bool:
    """Every type that an Envoy asks for was asked for, and every answer acknowledged."""
    clients = [one for one in served.plane.hub.clients.values() if one.machine.interests["LDS"].started]
    kinds = [client.machine.interests[kind] for client in clients for kind in ("CDS", "EDS", "LDS", "SRDS", "RDS")]
    return bool(kinds) and all(one.started and not one.pending and one.sent is None for one in kinds)


async def _changes(served: planes.Served, port: int, tenants: int, changes: int) -> list[float]:
    name = f"t{tenants // 2}"
    prober = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "prober.py"), str(port), name, "x-revision", stdout=PIPE
    )
    assert prober.stdout is not None
    await _seen(prober.stdout, "0")
    taken = []
    for revision in range(1, changes + 1):
        began = time.monotonic()
        await served.apply(fleet.tenant(tenants // 2, revision))
        taken.append((await _seen(prober.stdout, str(revision)) - began) * 1e3)
    prober.kill()
    await prober.wait()
    return taken


async def _seen(out: asyncio.StreamReader, value: str) -> float:
    while line := (await out.readline()).split():
        if line[0].decode() == value:
            return float(line[1])
    raise RuntimeError("the prober ended")


def figures(sizes: tuple[int, ...] = (100, 1_000, 10_000, 50_000), changes: int = 200) -> list[dict[str, Any]]:
    """A row a size."""
    return [asyncio.run(measure(size, changes)) for size in sizes]


if __name__ == "__main__":
    for row in figures(tuple(int(size) for size in sys.argv[1:]) or (100, 1_000, 10_000, 50_000)):
        print(row, flush=True)
