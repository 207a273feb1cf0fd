"""A change by the HTTP API to traffic on a real Envoy: 10,000 tenants, one client that writes, SQLite and PostgreSQL.

Measured from the request until an answer through Envoy shows the change: commit with fsync, translation, push and the
prober's own round trip included. Server and client share one process here, and the machine.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import fleet
import httpx
import structlog

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import upstreams  # noqa: E402
from envoys import envoy, free_port, until  # noqa: E402
from store import BY, _urls  # noqa: E402
from traffic import _seen  # noqa: E402

from gatecast.collector import tune_gc  # noqa: E402
from gatecast.config import Settings  # noqa: E402
from gatecast.serve import running  # noqa: E402
from tenants.reading import body, read  # noqa: E402
from tenants.store import Write  # noqa: E402
from xds.bootstrap import bootstrap  # noqa: E402

TENANTS, CHANGES = 10_000, 200
NAME = f"t{TENANTS // 2}"


def figures() -> list[dict[str, Any]]:
    """A row an engine."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with _urls() as urls:
        return [asyncio.run(_measured(name, url)) for name, url in urls]


async def _measured(engine: str, url: str) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "none").mkdir()
        settings = Settings(settings=folder / "none", allow_empty=True, store=url, xds="127.0.0.1:0", api="127.0.0.1:0")
        server = await stack.enter_async_context(running(settings))
        await server.ready()
        upstream = await stack.enter_async_context(upstreams.Upstream("backend"))
        port = free_port()
        texts = (fleet.shared(port, upstream.port), *fleet.batches(TENANTS))
        writes = [Write.put(body(given)) for text in texts for given in read(text, "fleet.yaml").documents]
        await server.ledger.write(writes, BY)
        tune_gc()
        file = bootstrap("edge", "envoy-1", ("127.0.0.1", server.xds.port))
        proxy = await stack.enter_async_context(envoy(file, folder / "envoy", log_level="warning"))
        await until(lambda: _settled(server.plane), "the proxy holds everything", within=180)
        taken = sorted(await _changes(server.api.port, port))
        assert proxy.process.returncode is None
    return {
        "store": engine,
        "tenants": TENANTS,
        "p50_ms": round(statistics.median(taken), 1),
        "p95_ms": round(taken[int(CHANGES * 0.95)], 1),
        "p99_ms": round(taken[int(CHANGES * 0.99)], 1),
    }


def _settled(plane: Any) -> bool:
    kinds = [
        one.machine.interests[kind] for one in plane.hub.clients.values() for kind in ("CDS", "LDS", "SRDS", "RDS")
    ]
    return bool(kinds) and all(one.started and not one.pending and one.sent is None for one in kinds)


async def _changes(api: int, port: int) -> list[float]:
    prober = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "prober.py"), str(port), NAME, "x-revision", stdout=PIPE
    )
    assert prober.stdout is not None
    await _seen(prober.stdout, "0")
    taken = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api}", trust_env=False) as http:
        for number in range(1, CHANGES + 1):
            (given,) = read(fleet.tenant(TENANTS // 2, number), "fleet.yaml").documents
            began = time.monotonic()
            answer = await http.put(f"/api/v1/documents/Tenant/{NAME}", json=body(given), headers={"if-match": "*"})
            assert answer.status_code == 200, answer.text
            taken.append((await _seen(prober.stdout, str(number)) - began) * 1e3)
    prober.kill()
    await prober.wait()
    return taken


if __name__ == "__main__":
    for row in figures():
        print(row)
