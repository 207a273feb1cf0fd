"""Cold start: 10,000 tenants from documents in memory to a complete encoded snapshot (catalog, checks, translation,
encoding).
"""

import gc
import sys
import time
from typing import Any

import fleet

from tenants.catalog import Catalog, Changes
from tenants.reading import read
from xds.builder import Builder


def figures(tenants: int = 10_000) -> list[dict[str, Any]]:
    """One row: seconds of each step, and what came out."""
    readings = [read(text, "fleet.yaml") for text in (fleet.shared(18080, 18081), *fleet.batches(tenants))]
    documents = tuple(document for reading in readings for document in reading.documents)
    gc.disable()  # as `gatecast serve` does until it is ready
    began = time.perf_counter()
    step = Catalog.empty().apply(Changes(put=documents))
    checked = time.perf_counter()
    builder = Builder()
    snapshot = builder.update(step.catalog, step.touched)["edge"]
    done = time.perf_counter()
    gc.enable()
    assert not step.catalog.problems, step.catalog.problems[0]
    resources = sum(len(rows) for rows in snapshot.resources.values())
    size = sum(len(one.block) for rows in snapshot.resources.values() for one in rows.values())
    return [
        {
            "tenants": tenants,
            "catalog_s": round(checked - began, 2),
            "snapshot_s": round(done - checked, 2),
            "total_s": round(done - began, 2),
            "resources": resources,
            "encoded": builder.encoded,
            "mb": round(size / 2**20, 1),
        }
    ]


if __name__ == "__main__":
    if "--profile" in sys.argv:
        import cProfile
        import pstats

        with cProfile.Profile() as profile:
            figures()
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    for row in figures():
        print(row)
