"""A control plane in the test's own process: `async with planes.plane(YAML) as served:` and then `served.apply(...)`.

The real rooms in the real order (reading, catalog, builder, hub, gRPC server on a free loopback port); only the
directory is missing.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from gatecast.plane import Applied, Plane
from tenants.catalog import Changes
from tenants.documents import Key
from tenants.reading import read
from tenants.secrets.disk import Disk
from tenants.secrets.keeper import Keeper
from xds.bootstrap import bootstrap
from xds.builder import Builder
from xds.hub import Hub
from xds.metrics import Metrics
from xds.server import AdsServer


@dataclass(frozen=True, slots=True)
class Served:
    """A running control plane: change it with `apply` and `drop`; point an Envoy at it with `bootstrap`."""

    plane: Plane
    server: AdsServer
    registry: CollectorRegistry
    port: int

    async def apply(self, text: str, file: str = "test.yaml") -> Applied:
        """Put the documents of a YAML text; documents given before stay as they are."""
        found = read(text, file)
        return await self.plane.apply(Changes(put=found.documents, broken=found.problems))

    async def drop(self, *keys: tuple[str, str]) -> Applied:
        """Take documents away, each as (kind, id)."""
        return await self.plane.apply(Changes(drop=frozenset(Key(*key) for key in keys)))

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.plane.problems()]

    def bootstrap(self, node: str = "envoy-1", gateway: str = "edge", *, sotw: bool = False) -> dict[str, Any]:
        return bootstrap(gateway, node, ("127.0.0.1", self.port), sotw=sotw)

    def sent(self, kind: str) -> int:
        """How many responses of a kind went out so far, over all streams."""
        return int(self.registry.get_sample_value("gatecast_xds_pushes_total", {"kind": kind}) or 0)

    def rejected(self, kind: str) -> int:
        return int(self.registry.get_sample_value("gatecast_xds_nacks_total", {"kind": kind}) or 0)


@asynccontextmanager
async def plane(
    text: str, *, port: int = 0, encode: Callable[[Message], bytes] | None = None, secrets: Path | None = None
) -> AsyncIterator[Served]:
    """Serve the documents of `text`; the port is free unless given. `encode`: in place of `messages.encode`.

    `secrets`: the directory of certificates and keys; `plane.look` says when to look at it again.
    """
    async with bare(port=port, encode=encode, secrets=secrets) as served:
        await served.apply(text)
        await served.server.serving()
        yield served


@asynccontextmanager
async def bare(
    *, port: int = 0, encode: Callable[[Message], bytes] | None = None, secrets: Path | None = None
) -> AsyncIterator[Served]:
    """A control plane that was told nothing yet: it listens and is not ready."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    hub = Hub(metrics, wall=time.time)
    server = AdsServer(hub, metrics, identifier="test")
    bound = await server.start(f"127.0.0.1:{port}")
    made = Plane(hub, secrets=Keeper(Disk(secrets, {})) if secrets else None)
    if encode is not None:
        made.builder = Builder(encode)
    try:
        yield Served(made, server, registry, bound)
    finally:
        await server.stop(grace=2.0)


def folder(tmp_path: Path, name: str) -> Path:
    """A folder of its own for one of several Envoys of a test."""
    made = tmp_path / name
    made.mkdir()
    return made
