"""Catalog changes to snapshots: translates what was touched, encodes it once, and keeps count of who uses which
cluster.

One owner: the process's assembly (`gatecast.serve`), which feeds it each step of the catalog and hands the
snapshots to `xds.hub`.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from google.protobuf.message import Message

from tenants.catalog import Catalog, Touched
from tenants.documents import Gateway
from tenants.effective import serves, view
from tenants.errors import Problem
from xds import messages, translate
from xds.snapshot import Resource, Snapshot, resource
from xds.translate import Built, ClusterSpec

Changes = dict[str, dict[str, Resource | None]]
Snapshots = dict[str, Snapshot]
SLICE = 50  # tenants translated before the caller gets a turn: about 5 ms


@dataclass(slots=True)
class _Made:
    """What one tenant came to on one gateway."""

    names: frozenset[tuple[str, str]] = frozenset()
    specs: frozenset[ClusterSpec] = frozenset()


@dataclass(slots=True)
class _Turn:
    """What one update does to one gateway: resources to put or remove, and the cluster specs that came or went on the
    way.
    """

    changes: Changes = field(default_factory=dict)
    moved: set[ClusterSpec] = field(default_factory=set)

    def put(self, kind: str, name: str, value: Resource | None) -> None:
        self.changes.setdefault(kind, {})[name] = value


@dataclass(slots=True)
class _Fleet:
    """Everything the builder remembers of one gateway."""

    snapshot: Snapshot
    listeners: frozenset[str] = frozenset()
    tenants: dict[str, _Made] = field(default_factory=dict)
    users: dict[ClusterSpec, int] = field(default_factory=dict)
    specs: dict[str, set[ClusterSpec]] = field(default_factory=dict)


class Builder:
    """Keeps the newest snapshot of every gateway.

    `problems` holds, by tenant, what translation itself could not do: such a tenant stays as it was, the others go on.
    `encoded` counts the messages encoded so far: the work that a push must never do.
    """

    def __init__(self, encode: Callable[[Message], bytes] = messages.encode) -> None:
        self.snapshots: Snapshots = {}
        self.problems: dict[str, Problem] = {}
        self.encoded = 0
        self._encode = encode
        self._fleets: dict[str, _Fleet] = {}
        self._known: WeakValueDictionary[tuple[str, str, str], Resource] = WeakValueDictionary()

    def update(self, catalog: Catalog, touched: Touched) -> Snapshots:
        """Bring every gateway up to `catalog`; returns all newest snapshots (unchanged ones are the same objects)."""
        steps = self.steps(catalog, touched)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]

    def steps(self, catalog: Catalog, touched: Touched) -> Generator[None, None, Snapshots]:
        """`update` in slices: yields now and then, so that a caller with an event loop can serve others in between."""
        for name in self._fleets.keys() - set(catalog.gateways):
            del self._fleets[name]
        for name in sorted(catalog.gateways):
            yield from self._gateway(catalog, catalog.gateways[name], touched)
        self.snapshots = {name: fleet.snapshot for name, fleet in self._fleets.items()}
        return self.snapshots

    def _gateway(self, catalog: Catalog, gateway: Gateway, touched: Touched) -> Generator[None, None, None]:
        fleet = self._fleets.get(gateway.id)
        tenants: Iterable[str] = touched.tenants
        if fleet is None:
            fleet = self._fleets[gateway.id] = _Fleet(Snapshot.empty(gateway.id))
            tenants = catalog.tenants
        turn = _Turn()
        if gateway.id in touched.gateways or not fleet.listeners:
            self._listeners(fleet, gateway, turn)
        for count, tenant in enumerate(sorted(tenants), 1):
            self._tenant(catalog, fleet, gateway, tenant, turn)
            if count % SLICE == 0:
                yield
        self._clusters(catalog, fleet, touched.services, turn)
        fleet.snapshot = fleet.snapshot.next(turn.changes)

    def _listeners(self, fleet: _Fleet, gateway: Gateway, turn: _Turn) -> None:
        built = translate.listeners(gateway)
        names = frozenset(one.name for one in built)
        for gone in fleet.listeners - names:
            turn.put("LDS", gone, None)
        self._put(built, turn)
        fleet.listeners = names

    def _tenant(self, catalog: Catalog, fleet: _Fleet, gateway: Gateway, name: str, turn: _Turn) -> None:
        """Translate one tenant anew. A tenant that cannot be translated keeps what it had."""
        tenant = catalog.tenants.get(name)
        built: tuple[Built, ...] = ()
        specs: frozenset[ClusterSpec] = frozenset()
        self.problems.pop(name, None)
        if tenant is not None and serves(gateway, tenant):
            try:
                built, specs = translate.tenant(view(catalog, gateway, tenant))
            except Exception as error:  # a defect of ours met by one tenant's settings must not stop the others
                self.problems[name] = _defect(name, gateway.id, error)
                return
        self._replace(fleet, name, built, specs, turn)

    def _replace(
        self, fleet: _Fleet, name: str, built: tuple[Built, ...], specs: frozenset[ClusterSpec], turn: _Turn
    ) -> None:
        old = fleet.tenants.pop(name, _Made())
        new = _Made(frozenset((one.kind, one.name) for one in built), specs)
        for kind, gone in old.names - new.names:
            turn.put(kind, gone, None)
        self._put(built, turn)
        turn.moved.update(new.specs ^ old.specs)
        for spec in new.specs - old.specs:
            fleet.users[spec] = fleet.users.get(spec, 0) + 1
        for spec in old.specs - new.specs:
            fleet.users[spec] -= 1
            if not fleet.users[spec]:
                del fleet.users[spec]
        if built:
            fleet.tenants[name] = new

    def _clusters(self, catalog: Catalog, fleet: _Fleet, services: frozenset[str], turn: _Turn) -> None:
        """Clusters that came into use, went out of use, or whose service changed; endpoints follow their services."""
        known = {spec for spec in turn.moved if spec in fleet.specs.get(spec.service, ())}
        used = {spec for spec in turn.moved if spec in fleet.users}
        for spec in known - used:
            fleet.specs[spec.service].discard(spec)
            turn.put("CDS", spec.name, None)
        came = used - known
        for spec in came:
            fleet.specs.setdefault(spec.service, set()).add(spec)
        for spec in came | {spec for service in services for spec in fleet.specs.get(service, ())}:
            if spec.service in catalog.services:
                self._put(translate.cluster(catalog.services[spec.service], spec), turn)
        for service in {spec.service for spec in turn.moved} | services:
            self._endpoints(catalog, fleet, service, turn)

    def _endpoints(self, catalog: Catalog, fleet: _Fleet, service: str, turn: _Turn) -> None:
        used = bool(fleet.specs.get(service)) and service in catalog.services
        built = translate.endpoints(catalog.services[service]) if used else ()
        if not used:
            fleet.specs.pop(service, None)
        if not built:
            turn.put("EDS", service, None)
        self._put(built, turn)

    def _put(self, built: Iterable[Built], turn: _Turn) -> None:
        for one in built:
            turn.put(one.kind, one.name, self._resource(one))

    def _resource(self, one: Built) -> Resource:
        """Encode, or find the very same resource of another gateway."""
        self.encoded += 1
        uses = one.uses | {one.companion} if one.companion else one.uses
        made = resource(
            one.kind, one.name, self._encode(one.message), uses=uses, companion=one.companion, owner=one.owner
        )
        return self._known.setdefault((made.kind, made.name, made.version), made)


def _defect(tenant: str, gateway: str, error: Exception) -> Problem:
    text = f"cannot be translated for gateway {gateway}: {type(error).__name__}: {error}"
    return Problem("GC900", "Tenant", tenant, "", text, "this is a defect of gatecast: please report it", tenant=tenant)
