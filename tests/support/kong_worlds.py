"""From documents to what a sidecar is told and to a Kong that has it: `from kong_worlds import world, load`.

told = world(GATEWAY, TENANTS)                 through the builder and the wire, as a sidecar gets it
load(kong, translate(told))                    straight into the double, effective
"""

import json
from pathlib import Path

import catalogs
import kongs
from immutables import Map

from kong_double.double import Double
from kong_sync import model
from kong_sync.entities import KINDS
from kong_sync.model import World
from kong_sync.translate import Desired
from tenants.catalog import Catalog
from tenants.keysets.source import Source
from tenants.supplies import Supplies
from xds.builder import Builder
from xds.snapshot import Snapshot

GATEWAY = """
kind: Gateway
id: edge
kong: true
listeners: [{name: public, port: 8080}]
---
kind: Service
id: orders
endpoints: ["10.0.0.1:80"]
---
kind: Route
id: orders
match: {prefix: /api/orders}
service: orders
"""


def folder(path: Path, *texts: str) -> Path:
    """A new directory there with the gateway and these documents."""
    made = path / "settings"
    made.mkdir()
    (made / "all.yaml").write_text("".join((GATEWAY, *texts)))
    return made


def told(snapshot: Snapshot) -> World:
    """What a sidecar makes of all it is sent."""
    found = World()
    for one in snapshot.full("SHARED").resources:
        found = found.with_shared(one.name, model.shared(one.body))
    return found.with_tenants({one.name: model.tenant(one.body) for one in snapshot.full("TENANTS").resources})


def world(*texts: str, keys: dict[Source, str] | None = None) -> World:
    """What these documents come to on their only gateway. `keys`: fetched key sets, as JSON."""
    catalog, builder = Catalog.empty(), Builder()
    step = catalog.apply(catalogs.changes("\n---\n".join(texts)))
    assert not [one for one in step.catalog.problems if one.severity == "error"], step.catalog.problems
    (snapshot,) = builder.update(step.catalog, step.touched, Supplies(keys=Map(keys or {}))).values()
    assert not [one for found in builder.problems.values() for one in found if one.code == "GC900"], builder.problems
    return told(snapshot)


def load(kong: Double, desired: Desired) -> Double:
    """Put every entity into the double, and let it be effective."""
    for kind in KINDS.values():
        rows = [one for (name, _id), one in sorted(desired.entities.items()) if name == kind.name]
        for row in rows:
            path = f"/{kind.path}/{row['id']}"
            if kind.nested:
                path = f"/upstreams/{row['upstream']['id']}/{kind.under}"
            answer = kongs.call(kong, "POST" if kind.nested else "PUT", path, dict(row))
            assert answer.status in (200, 201), f"{kind.name} {json.dumps(row)}: {answer.body!r}"
    kong.restart()
    return kong
