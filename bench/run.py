"""`make bench`: every figure of docs/benchmarks.md, as a table and as JSON under bench/results/.

Loopback only, bounded in count and time. Figures depend on the machine: compare rows of one run, never runs of two
machines.
`python bench/run.py cold traffic` runs only those.
"""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import api
import clients
import cold
import deck
import issuers
import kong
import kong_plan
import load
import on_demand
import policies
import store
import streams
import traffic
from rich.console import Console
from rich.table import Table

PARTS = {
    "load": ("Reading and validating tenant documents", load.figures),
    "cold": ("From documents in memory to an encoded snapshot", cold.figures),
    "traffic": ("One tenant's change to traffic on a real Envoy", traffic.figures),
    "policies": ("A change of each policy for one tenant of 10,000, to traffic", policies.figures),
    "overhead": ("What a policy costs a request: CPU of Envoy, microseconds", policies.overhead),
    "issuers": ("New issuers while 200 connections are open, 10,000 tenants", issuers.figures),
    "on_demand": ("Envoy's memory with all tables and with those asked for", on_demand.figures),
    "store": ("10,000 documents in one revision, a start from the store, one client's writes", store.figures),
    "kong_plan": ("A plan for Kong at 10,000 tenants", kong_plan.figures),
    "kong": ("The Kong sidecar against the double: first sync, one tenant's change, memory", kong.figures),
    "deck": ("decK, the sidecar and `kong sync --once` on the same file and double", deck.figures),
    "clients": ("GET /api/v1/clients with 1,000 streams", clients.figures),
    "api": ("A change by the HTTP API, to traffic, 10,000 tenants", api.figures),
    "streams": ("1,000 delta streams, 10,000 tenants, one tenant changes", streams.figures),
}


def main(names: list[str]) -> None:
    console, results = Console(width=140), {}
    for name in names or PARTS:
        title, figures = PARTS[name]
        results[name] = rows = figures()
        console.print(_table(title, rows) if rows else f"{title}: skipped")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    stamp = datetime.now(UTC)
    about = {"at": stamp.isoformat(), "python": platform.python_version(), "cores": os.cpu_count()}
    file = folder / f"{stamp:%Y%m%dT%H%M%S}.json"
    file.write_text(json.dumps({"about": about, "figures": results}, indent=2) + "\n")
    console.print(f"written to {file}")


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
