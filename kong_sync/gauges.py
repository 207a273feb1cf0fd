"""Metrics of a sidecar. Their names are part of the product (docs/kong.md); no label grows with tenants."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SPANS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300)


class Gauges:
    """One of each sidecar; without a registry nobody reads them."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        to = registry or CollectorRegistry()
        self.runs = Counter("gatecast_kong_runs", "Runs by what they came to", ["outcome"], registry=to)
        self.written = Counter("gatecast_kong_written", "Entities written", ["verb", "kind"], registry=to)
        self.drift = Counter("gatecast_kong_drift", "Entities that others had changed", registry=to)
        self.drifted = Gauge(
            "gatecast_kong_last_drift_timestamp_seconds", "When by Kong's clock others last wrote to ours", registry=to
        )
        self.unlike = Counter("gatecast_kong_unlike", "Entities that Kong holds otherwise than written", registry=to)
        self.success = Gauge("gatecast_kong_last_success_timestamp_seconds", "When a run last went well", registry=to)
        self.waits = Counter("gatecast_kong_phase_waits", "Waits for changes to be in effect", registry=to)
        self.waited = Counter("gatecast_kong_phase_wait_seconds", "Seconds of these waits", registry=to)
        self.refused = Gauge("gatecast_kong_refused_tenants", "Tenants whose settings Kong refuses", registry=to)
        self.faults = Gauge("gatecast_kong_faults", "What Kong refuses and no tenant is to blame for", registry=to)
        self.entities = Gauge("gatecast_kong_entities", "Entities of ours in this Kong", registry=to)
        self.leader = Gauge("gatecast_kong_writes", "1 if this sidecar is the one that writes", registry=to)
        self.seconds = Histogram("gatecast_kong_run_seconds", "From a push to its verdict", buckets=SPANS, registry=to)
