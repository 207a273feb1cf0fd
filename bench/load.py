"""How long it takes to read, validate and apply many tenant documents, and to merge every tenant's settings.

`python bench/load.py [--json] [--tenants 1000 10000]`: one line a count and a way of reading (one file of many
documents, many files of one), with seconds of CPU a step: the same a document at both counts means it is linear.
"""

import argparse
import gc
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tenants.catalog import Catalog, Changes
from tenants.effective import view
from tenants.reading import read

SHARED = """
kind: Gateway
id: edge
listeners: [{name: public, port: 8080}]
policies: {rate_limit: {requests: 100, per: second}, correlation_id: {header: x-correlation-id}}
---
kind: Organisation
id: foods
policies: {cors: {origins: ["https://shop.foods.example"], methods: [GET, POST], credentials: true, max_age: 10m}}
"""
ROUTE = """---
kind: Service
id: service-{n}
endpoints: ["10.0.0.{n}:8080"]
---
kind: Route
id: route-{n}
match: {{prefix: /api/{n}}}
service: service-{n}
policies: {{timeout: {{request: {n}s}}}}
"""
TENANT = """kind: Tenant
id: tenant-{n}
organisation: foods
hosts: [tenant-{n}.example.com]
status: active
policies:
  rate_limit: {{requests: {n}, per: minute, burst: 50, by: tenant}}
  required_headers:
    - {{name: Idempotency-Key, methods: [POST], status: 400}}
    - {{name: If-Match, methods: [PUT, PATCH, DELETE], status: 428}}
  timeout: {{idle: {idle}s}}
routes:
  route-1: {{service: service-2, policies: {{rate_limit: {{requests: 10, per: second}}}}}}
"""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of CPU and result."""
    gc.collect()
    start = process_time()
    result = work()
    return process_time() - start, result


def tenants(count: int) -> list[str]:
    """Tenant documents, no two alike."""
    return [TENANT.format(n=n, idle=n % 50 + 1) for n in range(1, count + 1)]


def measure(count: int, files: int) -> dict[str, Any]:
    """One row: seconds to read and validate, to apply, to view everybody on every route, to change one."""
    texts = tenants(count)
    given = texts if files > 1 else ["---\n".join(texts)]
    reading, read_all = timed(lambda: [read(text, f"{index}.yaml") for index, text in enumerate(given)])
    shared = read(SHARED + "".join(ROUTE.format(n=n) for n in range(1, 6)), "shared.yaml").documents
    catalog = Catalog.empty().apply(Changes(put=shared)).catalog
    put = tuple(document for one in read_all for document in one.documents)
    applying, step = timed(lambda: catalog.apply(Changes(put=put)))
    full = step.catalog
    assert len(full.tenants) == count, full.problems[:3]
    viewing, _ = timed(lambda: view_all(full))
    edit = read(TENANT.format(n=7, idle=51), "0.yaml" if files == 1 else "6.yaml").documents
    changing, after = timed(lambda: full.apply(Changes(put=edit)))
    return {
        "tenants": count,
        "files": files,
        "read_s": round(reading, 3),
        "apply_s": round(applying, 3),
        "views_s": round(viewing, 3),
        "one_change_ms": round(changing * 1000, 2),
        "one_change_checks": after.checked,
    }


def view_all(catalog: Catalog) -> None:
    """Every tenant's settings on every route."""
    gateway = catalog.gateways["edge"]
    for tenant in catalog.tenants.values():
        view(catalog, gateway, tenant)


def figures(counts: Sequence[int] = (1_000, 10_000)) -> list[dict[str, Any]]:
    """A row for each count, in one file and in a file each."""
    return [measure(count, files) for count in counts for files in (1, count)]


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tenants", type=int, nargs="+", default=[1000, 10000])
    options = parser.parse_args()
    rows = figures(options.tenants)
    if options.json:
        print(json.dumps({"load": rows}))
        return
    print("  ".join(f"{name:>17}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>17}" for value in row.values()))


if __name__ == "__main__":
    main()
