"""Metrics of the store and of the sources that fill it. `gatecast.telemetry` registers them."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as Total
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gatecast.feeds import Feed
from gatecast.outcomes import SourceState

SPANS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 15, 60)


class Sources(Collector):
    """How the store and each source do, read when metrics are asked for."""

    def __init__(
        self,
        trouble: Callable[[], str],
        states: Callable[[], Iterable[SourceState]],
        lag: Callable[[], Mapping[str, int]],
    ) -> None:
        self._trouble, self._states, self._lag = trouble, states, lag

    def collect(self) -> Iterable[Metric]:
        """Whether the store answered last time; of each source whether its last look was good, and when one was."""
        up = GaugeMetricFamily("gatecast_store_up", "1 if the store answered last time")
        up.add_metric([], float(not self._trouble()))
        yield up
        good = GaugeMetricFamily("gatecast_source_up", "1 if the last look was good", labels=["source"])
        when = GaugeMetricFamily(
            "gatecast_source_success_timestamp_seconds", "When a source last said what there is", labels=["source"]
        )
        for one in self._states():
            good.add_metric([one.name], float(not one.last_error))
            if one.last_success is not None:
                when.add_metric([one.name], one.last_success)
        yield good
        yield when
        behind = GaugeMetricFamily(
            "gatecast_revision_lag", "Newest revisions that the most outdated client lacks", labels=["gateway"]
        )
        for gateway, count in sorted(self._lag().items()):
            behind.add_metric([gateway], count)
        yield behind


class Syncs:
    """Counts and times the writing of what sources say."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds = Histogram(
            "gatecast_sync_seconds", "From what a source says to its revision", ["source"], buckets=SPANS,
            registry=registry,
        )  # fmt: skip
        self.count = Total("gatecast_syncs", "Looks at a source", ["source", "outcome"],
                           registry=registry)  # fmt: skip

    def timed(self, reconcile: Callable[[Feed], Awaitable[None]]) -> Callable[[Feed], Awaitable[None]]:
        """The same, noted."""

        async def noted(feed: Feed) -> None:
            name, began, outcome = feed.source.name, self._clock(), "failed"
            try:
                await reconcile(feed)
                outcome = "failed" if feed.source.trouble else "done"
            finally:
                self.count.labels(name, outcome).inc()
                self.seconds.labels(name).observe(self._clock() - began)

        return noted
