"""A catalog and a builder that counts what it encodes: `bench = world(3)`, then `bench.put(document)` says what.

The tests of `xds.builder` use it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import stages
import worlds
from google.protobuf.message import Message
from stages import Json

from tenants.catalog import Catalog
from xds import messages
from xds.builder import Builder
from xds.kinds import KINDS
from xds.snapshot import Resource, Snapshot

KIND_OF = {row.message: name for name, row in KINDS.items()}
LIMITS = {"circuit_breaker": {"max_requests": 5}}


class Bench:
    """A catalog and a builder that counts what it encodes, by kind and name."""

    def __init__(self, *documents: Json) -> None:
        self.catalog = Catalog.empty()
        self.counted: Counter[tuple[str, str]] = Counter()
        self.broken: set[tuple[str, str]] = set()
        self.builder = Builder(self._encode)
        self.put(*documents)

    def _encode(self, message: Message) -> bytes:
        kind = KIND_OF[message.DESCRIPTOR.full_name]
        name = message.cluster_name if kind == "EDS" else message.name  # type: ignore[attr-defined]
        self.counted[kind, name] += 1
        if (kind, name) in self.broken:
            raise ValueError("no such luck")
        return messages.encode(message)

    def put(self, *documents: Json, drop: Iterable[tuple[str, str]] = ()) -> dict[tuple[str, str], int]:
        """Apply documents, which must be good; what was encoded for them."""
        step = self.catalog.apply(stages.changes(*documents, drop=tuple(drop)))
        assert step.catalog.problems == ()
        self.catalog = step.catalog
        before, count = self.counted.copy(), self.builder.encoded
        self.builder.update(step.catalog, step.touched)
        done = dict(self.counted - before)
        assert self.builder.encoded - count == sum(done.values())
        return done

    def snapshot(self, gateway: str = "edge") -> Snapshot:
        return self.builder.snapshots[gateway]

    def names(self, kind: str, gateway: str = "edge") -> set[str]:
        return set(self.snapshot(gateway).resources[kind])

    def get(self, kind: str, name: str, gateway: str = "edge") -> Resource:
        found = self.snapshot(gateway).get(kind, name)
        assert found is not None
        return found


def service(name: str, port: int = 9001, **more: Any) -> Json:
    return stages.service(name, port, **more)


def gateway(name: str = "edge", port: int = 8080, **more: Any) -> Json:
    return stages.gateway(port, id=name, **more)


def world(tenants: int = 2, *more: Json) -> Bench:
    """A gateway, two services with a route each, tenants t0, t1, ..."""
    services = service("orders"), service("search", 9002)
    routes = worlds.route("orders"), worlds.route("search", service="search")
    return Bench(gateway(), *services, *routes, *(worlds.tenant(f"t{n}") for n in range(tenants)), *more)


def versions(snapshot: Snapshot) -> dict[str, str]:
    return {kind: snapshot.version(kind) for kind in KINDS}


def moved(before: Snapshot, after: Snapshot) -> set[str]:
    """Kinds whose version differs."""
    return {kind for kind in KINDS if before.version(kind) != after.version(kind)}
