"""Logs and metrics of the process. Assembled by `gatecast.serve`; nothing else configures either.

Logs go to stderr. Names of metrics are part of the product (docs/operations.md); no label grows with tenants or nodes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import GC_COLLECTOR, CollectorRegistry, Histogram, PlatformCollector, ProcessCollector
from prometheus_client import Counter as Total
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gatecast.logs import set_up_logs as set_up_logs
from gatecast.outcomes import SourceState
from gatecast.plane import Applied, Plane
from gatecast.source_metrics import Sources, Syncs
from gatecast.states import State, oldest, standing
from tenants.documents import KINDS
from tenants.keysets.fetcher import Fetcher
from xds.hub import Hub
from xds.kinds import KINDS as TYPES

LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SPANS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 15, 60)
TICK = 0.25  # seconds between two looks at the loop


class Gauges(Collector):
    """What the plane knows, read when metrics are asked for."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def collect(self) -> Iterable[Metric]:
        """One family each: revision, readiness, documents by kind, problems by code, tenants with problems."""
        catalog, hub = self._plane.catalog, self._plane.hub
        problems = self._plane.problems()
        yield _gauge("revision", "Revision of the settings in force", catalog.revision)
        yield _gauge("ready", "1 when streams are accepted", float(hub.ready and not hub.draining))
        yield _gauge("encoded_resources", "Resources encoded since the start", self._plane.builder.encoded)
        tenants = {problem.tenant for problem in problems if problem.tenant}
        yield _gauge("tenants_with_problems", "Tenants whose documents have problems", len(tenants))
        documents = GaugeMetricFamily("gatecast_documents", "Documents in force", labels=["kind"])
        for kind in KINDS:
            documents.add_metric([kind], len(getattr(catalog, f"{kind.lower()}s")))
        yield documents
        counted = GaugeMetricFamily("gatecast_problems", "Problems of documents", labels=["code", "kind", "severity"])
        for labels, number in sorted(Counter((one.code, one.kind, one.severity) for one in problems).items()):
            counted.add_metric(labels, number)
        yield counted


class Clients(Collector):
    """Where the open streams of each gateway stand, read when metrics are asked for. `clock` is their machines'."""

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub, self._clock = hub, clock

    def collect(self) -> Iterable[Metric]:
        """Every gateway has all its series, so that zero is told and an alert ends."""
        clients, now = tuple(self._hub.clients.values()), self._clock()
        states, waits = standing(clients, now), oldest(clients, now)
        counted = GaugeMetricFamily("gatecast_xds_clients", "Open streams by worst state", labels=["gateway", "state"])
        waiting = GaugeMetricFamily(
            "gatecast_xds_oldest_pending_seconds", "Age of the oldest response without an answer",
            labels=["gateway", "kind"],
        )  # fmt: skip
        for gateway in sorted(self._hub.snapshots):
            for state in State:
                counted.add_metric([gateway, state], states[gateway, state])
            for kind in TYPES:
                waiting.add_metric([gateway, kind], waits.get((gateway, kind), 0.0))
        yield counted
        yield waiting


class Keys(Collector):
    """What the fetcher of key sets knows, read when metrics are asked for."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def collect(self) -> Iterable[Metric]:
        """Sources by state; fetches, failures by kind, refetches because of unknown keys."""
        states, counts = self._fetcher.states.values(), self._fetcher.counts
        sources = GaugeMetricFamily("gatecast_key_sources", "Key sets of issuers", labels=["state"])
        fine = sum(state.usable is not None and not state.problem for state in states)
        kept = sum(state.usable is not None and bool(state.problem) for state in states)
        for name, count in (("fresh", fine), ("kept", kept), ("missing", len(states) - fine - kept)):
            sources.add_metric([name], count)
        yield sources
        yield CounterMetricFamily("gatecast_key_fetches", "Fetches of key sets", counts.fetches)
        failures = CounterMetricFamily("gatecast_key_fetch_failures", "Fetches that failed", labels=["kind"])
        for kind, count in sorted(counts.kinds.items()):
            failures.add_metric([kind], count)
        yield failures


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"gatecast_{name}", text)
    family.add_metric([], value)
    return family


class Telemetry:
    """The process's registry and the metrics that belong to no other room."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(GC_COLLECTOR)
        self._lag = Histogram("gatecast_loop_lag_seconds", "How late the loop is", buckets=LAGS, registry=self.registry)
        self._apply = Histogram(
            "gatecast_apply_seconds", "From changed documents to snapshots", buckets=SPANS, registry=self.registry
        )
        self.syncs = Syncs(self.registry)
        self.notifications = Total(
            "gatecast_notifications", "Messages about faults", ["sink", "outcome"], registry=self.registry
        )

    def watch(self, plane: Plane, keys: Fetcher) -> None:
        """Show what this plane, its hub and this fetcher know, too."""
        self.registry.register(Gauges(plane))
        self.registry.register(Keys(keys))
        self.registry.register(Clients(plane.hub))

    def follow(
        self,
        trouble: Callable[[], str],
        states: Callable[[], Iterable[SourceState]],
        lag: Callable[[], Mapping[str, int]],
    ) -> None:
        """Show how the store (its trouble, "" if there is none) and the sources do, and how far clients lag, too."""
        self.registry.register(Sources(trouble, states, lag))

    def notified(self, sink: str, outcome: str, count: int) -> None:
        """Note messages; with `count` 0 that there may be some."""
        self.notifications.labels(sink, outcome).inc(count)

    def applied(self, applied: Applied) -> None:
        """Note one set of changes."""
        self._apply.observe(applied.seconds)

    async def measure_lag(self) -> None:
        """Note, until cancelled, how much later than asked the loop wakes us: what a stream waits then."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self._lag.observe(max(0.0, loop.time() - due))
