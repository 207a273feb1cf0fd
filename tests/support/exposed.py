"""What a server process exposes at /metrics, so that pages, rules and dashboards can be held against it.

exposed.families()      # {"gatecast_xds_pushes_total": ("counter", {"kind"}), ...}, also those of the process
exposed.samples()       # what an expression may name: {"gatecast_apply_seconds_bucket": {"le"}, ...}
"""

from collections.abc import Mapping
from functools import cache

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from gatecast.outcomes import SourceState
from gatecast.plane import Plane
from gatecast.telemetry import Telemetry
from tenants.catalog import Changes
from tenants.keysets.fetcher import Fetcher
from tenants.reading import read
from xds.hub import Hub
from xds.metrics import Metrics
from xds.snapshot import Snapshot

BROKEN = "kind: Tenant\nid: acme\norganisation: nix\n"


def registry() -> CollectorRegistry:
    """That of a server which has met everything once, so that each metric has a series with all of its labels."""
    telemetry = Telemetry()
    metrics = Metrics(telemetry.registry)
    plane = Plane(Hub(metrics, wall=lambda: 0.0))
    fetcher = Fetcher(plane.keyed)
    telemetry.watch(plane, fetcher)
    telemetry.follow(lambda: "", lambda: (SourceState("settings", "file", 1.0),), lambda: {"edge": 0})
    plane.catalog = plane.catalog.apply(Changes(put=read(BROKEN, "a.yaml").documents)).catalog
    plane.hub.snapshots = {"edge": Snapshot.empty("edge")}
    fetcher.counts.kinds["dns"] += 1
    for one in (*vars(metrics).values(), *vars(telemetry).values(), *vars(telemetry.syncs).values()):
        if isinstance(one, MetricWrapperBase) and one._labelnames:
            one.labels(*["x"] * len(one._labelnames))
    return telemetry.registry


def families() -> Mapping[str, tuple[str, frozenset[str]]]:
    """Type and labels by the name that an operator sees."""
    found = {}
    for family in registry().collect():
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, frozenset(labels))
    return found


@cache
def samples() -> Mapping[str, frozenset[str]]:
    """Labels by the name of a series."""
    found: dict[str, frozenset[str]] = {}
    for family in registry().collect():
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, frozenset()) | sample.labels.keys()
    return found
