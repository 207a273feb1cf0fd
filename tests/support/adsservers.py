"""A real `AdsServer` with a real `Hub` for a test, and snapshots made by hand: no documents, no translation.

async with adsservers.serving(snapshot) as served:
    await served.publish(CDS={"a": b"new", "b": None})
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from xds.hub import Hub
from xds.metrics import Metrics
from xds.server import UNREAD, AdsServer
from xds.snapshot import Resource, Snapshot, resource

GATEWAY = "edge"
Contents = Mapping[str, bytes | None]


def changed(snapshot: Snapshot, **kinds: Contents) -> Snapshot:
    """The snapshot after these changes: kind -> name -> body, None = removed."""
    return snapshot.next({kind: _made(kind, names) for kind, names in kinds.items()})


def snapshot(**kinds: Contents) -> Snapshot:
    """A first snapshot of the gateway `edge`."""
    return changed(Snapshot.empty(GATEWAY), **kinds)


def _made(kind: str, names: Contents) -> dict[str, Resource | None]:
    return {name: None if body is None else resource(kind, name, body) for name, body in names.items()}


@dataclass
class Served:
    """A server that listens on `port` of the loopback."""

    hub: Hub
    server: AdsServer
    registry: CollectorRegistry
    port: int

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def snapshot(self) -> Snapshot:
        return self.hub.snapshots[GATEWAY]

    async def publish(self, **kinds: Contents) -> None:
        """Change what the gateway's proxies should hold."""
        await self.hub.publish({GATEWAY: changed(self.snapshot, **kinds)})

    def pushes(self, kind: str) -> int:
        """Responses of this kind sent so far, over all streams."""
        return int(self.registry.get_sample_value("gatecast_xds_pushes_total", {"kind": kind}) or 0)


@asynccontextmanager
async def serving(
    *snapshots: Snapshot, port: int = 0, unread: float = UNREAD, grace: float = 5.0
) -> AsyncIterator[Served]:
    """A server on a free port (or on `port`, to come back), stopped at the end. Without snapshots it is not ready."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    hub = Hub(metrics, wall=lambda: 0.0)
    server = AdsServer(hub, metrics, identifier="test", unread=unread)
    if snapshots:
        await hub.publish({one.gateway: one for one in snapshots})
    bound = await server.start(f"127.0.0.1:{port}")
    try:
        yield Served(hub, server, registry, bound)
    finally:
        await server.stop(grace)
