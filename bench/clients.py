"""`GET /api/v1/clients` with 1,000 streams: the default page, and one page of all of them. No network, no proxies."""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import operators

from xds.kinds import KINDS
from xds.stream import Adjust, Ask

STREAMS, ASKED = 1_000, 60


def figures() -> list[dict[str, Any]]:
    """A row a page size."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return asyncio.run(_measured())


async def _measured() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        async with operators.operator(Path(folder)) as here:
            for number in range(STREAMS):
                client = here.join(f"envoy-{number}")
                for kind in KINDS:
                    client.machine.receive(Ask(kind, Adjust(("*",))), 0.0)
                list(client.machine.answers(0.0))
            return [await _row(here, limit) for limit in (100, 1000)]


async def _row(here: operators.Operator, limit: int) -> dict[str, Any]:
    taken = []
    for _ in range(ASKED):
        began = time.perf_counter()
        answer = await here.ask("GET", "/clients", limit=limit)
        taken.append((time.perf_counter() - began) * 1e3)
    taken.sort()
    assert len(answer.json()["clients"]) == limit
    return {
        "streams": STREAMS,
        "page": limit,
        "p50_ms": round(statistics.median(taken), 1),
        "p95_ms": round(taken[int(ASKED * 0.95)], 1),
        "kb": len(answer.content) // 1000,
    }


if __name__ == "__main__":
    for row in figures():
        print(row)
