"""The store under a server, SQLite and a real PostgreSQL: 10,000 documents applied in one revision, a start from the
store, and one client's writes until they are published.
"""

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fleet
import structlog
from prometheus_client import CollectorRegistry

from gatecast.ledger import Ledger
from gatecast.plane import Plane
from tenants.reading import body, read
from tenants.store import By, Store, Write
from xds.hub import Hub
from xds.metrics import Metrics

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
WRITES = 300
BY = By("bench", "api")


def figures(tenants: int = 10_000) -> list[dict[str, Any]]:
    """A row an engine."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    texts = (fleet.shared(18080, 18081), *fleet.batches(tenants))
    writes = [Write.put(body(given)) for text in texts for given in read(text, "fleet.yaml").documents]
    with _urls() as urls:
        return [asyncio.run(_measured(name, url, writes)) for name, url in urls]


@contextmanager
def _urls() -> Iterator[list[tuple[str, str]]]:
    from postgres import own_server

    with tempfile.TemporaryDirectory() as folder, own_server() as server:
        yield [("SQLite", f"sqlite:///{folder}/store.db"), ("PostgreSQL", server.url)]


async def _measured(engine: str, url: str, writes: list[Write]) -> dict[str, Any]:
    gc.disable()  # as `gatecast serve` does until it is ready
    async with await Store.open(url) as store:
        ledger = _ledger(store)
        began, work = time.perf_counter(), time.process_time()
        await ledger.write(writes, BY)
        applied, applying = time.perf_counter() - began, time.process_time() - work
    async with await Store.open(url) as store:
        ledger = _ledger(store)
        began, work = time.perf_counter(), time.process_time()
        await ledger.load()
        started, starting = time.perf_counter() - began, time.process_time() - work
        assert len(ledger.plane.hub.snapshots["edge"].resources["RDS"]) == len(ledger.plane.catalog.tenants)
        gc.collect()
        gc.freeze()
        gc.enable()
        spans = sorted([await _written(ledger, number) for number in range(WRITES)])
    return {
        "store": engine,
        "documents": len(writes),
        "apply_s": round(applied, 2),
        "apply_cpu_s": round(applying, 2),
        "start_s": round(started, 2),
        "start_cpu_s": round(starting, 2),
        "write_p50_ms": round(statistics.median(spans) * 1e3, 1),
        "write_p95_ms": round(spans[int(len(spans) * 0.95)] * 1e3, 1),
        "write_p99_ms": round(spans[int(len(spans) * 0.99)] * 1e3, 1),
    }


def _ledger(store: Store) -> Ledger:
    return Ledger(store, Plane(Hub(Metrics(CollectorRegistry()), wall=time.time)))


async def _written(ledger: Ledger, number: int) -> float:
    """Seconds from a change of one tenant to its publication."""
    (given,) = read(fleet.tenant(number * 31 % 10_000, number + 1), "fleet.yaml").documents
    write = Write.put(body(given))
    began = time.perf_counter()
    done = await ledger.write([write], BY)
    assert done.made
    return time.perf_counter() - began


if __name__ == "__main__":
    for row in figures():
        print(row)
