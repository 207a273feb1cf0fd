"""Prometheus metrics of the xDS side. Made once by the assembly with its registry; written by `xds.server` and
`xds.hub`.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from xds.kinds import KINDS

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)


@dataclass(frozen=True, slots=True)
class Traffic:
    """The series of one type, looked up once: they are written for every response and every ACK."""

    pushes: Counter
    bytes: Counter
    acks: Counter
    nacks: Counter
    latency: Histogram


class Metrics:
    """Names and labels are part of the product surface (docs/operations.md). No label grows with tenants or nodes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.streams = Gauge("gatecast_xds_streams", "Open xDS streams", ["variant"], registry=registry)
        self.pushes = Counter("gatecast_xds_pushes", "Responses sent", ["kind"], registry=registry)
        self.bytes = Counter("gatecast_xds_pushed_bytes", "Bytes of responses sent", ["kind"], registry=registry)
        self.acks = Counter("gatecast_xds_acks", "Responses accepted by a client", ["kind"], registry=registry)
        self.nacks = Counter("gatecast_xds_nacks", "Responses rejected by a client", ["kind"], registry=registry)
        self.latency = Histogram(
            "gatecast_xds_ack_latency_seconds",
            "From a response to its ACK",
            ["kind"],
            registry=registry,
            buckets=LATENCIES,
        )
        self.refused = Counter("gatecast_xds_refused_streams", "Streams ended by us", ["code"], registry=registry)
        self.overdue = Counter(
            "gatecast_xds_overdue", "Resources sent without the ACK they waited for", ["kind"], registry=registry
        )
        self.resources = Gauge(
            "gatecast_xds_resources", "Resources in the newest snapshot", ["gateway", "kind"], registry=registry
        )
        self.published = Gauge(
            "gatecast_xds_snapshot_timestamp_seconds",
            "When the newest snapshot was made",
            ["gateway"],
            registry=registry,
        )
        self.traffic = {
            kind: Traffic(
                self.pushes.labels(kind),
                self.bytes.labels(kind),
                self.acks.labels(kind),
                self.nacks.labels(kind),
                self.latency.labels(kind),
            )
            for kind in KINDS
        }
