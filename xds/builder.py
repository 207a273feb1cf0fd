"""Catalog changes to snapshots: translates what was touched, encodes it once, and keeps count of who uses which
cluster.

One owner: the process's assembly (`gatecast.serve`), which feeds it each step of the catalog and hands the
snapshots to `xds.hub`.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial

from google.protobuf.message import Message

from tenants.catalog import Catalog, Touched
from tenants.documents import Gateway, Key
from tenants.effective import serves, view
from tenants.errors import Problem
from tenants.keysets.source import Source
from tenants.supplies import Supplies
from xds import messages, translate
from xds.certificates import Certificates
from xds.shards import Shards
from xds.shelf import Shelf
from xds.snapshot import Resource, Snapshot, resource
from xds.translate import Built, ClusterSpec, Needs, settings

Changes = dict[str, dict[str, Resource | None]]
Snapshots = dict[str, Snapshot]
Build = Callable[[], tuple[Iterable[Built], tuple[Problem, ...]]]
NOBODY = ""  # in place of a tenant: whose the listeners are, and what these need by themselves
SLICE = 50  # tenants translated before the caller gets a turn: about 5 ms


@dataclass(slots=True)
class _Made:
    """What one tenant (or `NOBODY`) came to on one gateway."""

    names: frozenset[tuple[str, str]] = frozenset()
    needs: Needs = Needs()  # noqa: RUF009 - it is immutable


@dataclass(slots=True)
class _Turn:
    """What an update does to one gateway: resources to put or remove, and cluster specs that came or went on the way.

    An update that is broken off is finished by the next one, with the same turn.
    """

    changes: Changes = field(default_factory=dict)
    moved: set[ClusterSpec] = field(default_factory=set)

    def put(self, kind: str, name: str, value: Resource | None) -> None:
        self.changes.setdefault(kind, {})[name] = value


@dataclass(slots=True)
class _Fleet:
    """Everything the builder remembers of one gateway."""

    snapshot: Snapshot
    tenants: dict[str, _Made] = field(default_factory=dict)
    users: dict[ClusterSpec, int] = field(default_factory=dict)
    specs: dict[str, set[ClusterSpec]] = field(default_factory=dict)
    shards: Shards = field(default_factory=Shards)
    secrets: Certificates = field(default_factory=Certificates)
    shelf: Shelf = field(default_factory=Shelf)
    kong: bool = False
    turn: _Turn = field(default_factory=_Turn)

    def owner(self, kind: str, name: str) -> str:
        """The tenant whose resource this is by now, "" if nobody's."""
        changed = self.turn.changes.get(kind, {})
        found = changed[name] if name in changed else self.snapshot.get(kind, name)
        return found.owner if found else ""


class Builder:
    """Keeps the newest snapshot of every gateway.

    `problems` holds, by gateway and document, what translation could not do (that document stays as it was, the others
    go on) and what Envoy is not told.
    `encoded` counts the messages encoded so far: the work that a push must never do.
    """

    def __init__(self, encode: Callable[[Message], bytes] = messages.encode) -> None:
        self.snapshots: Snapshots = {}
        self.problems: dict[tuple[str, Key], tuple[Problem, ...]] = {}
        self.encoded = 0
        self._encode = encode
        self._fleets: dict[str, _Fleet] = {}
        self._supplies = Supplies()

    def update(
        self, catalog: Catalog, touched: Touched, supplies: Supplies | None = None, *, sweep: bool = False
    ) -> Snapshots:
        """Bring every gateway up to `catalog`; returns all newest snapshots (unchanged ones are the same objects)."""
        steps = self.steps(catalog, touched, supplies, sweep=sweep)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]

    def steps(
        self, catalog: Catalog, touched: Touched, supplies: Supplies | None = None, *, sweep: bool = False
    ) -> Generator[None, None, Snapshots]:
        """`update` in slices: yields now and then, so that a caller with an event loop can serve others in between.

        `supplies`: newer ones, if there are. `sweep`: let go of what is kept beyond its last use (see `Shards`).
        """
        self._supply(supplies)
        for name in self._fleets.keys() - set(catalog.gateways):
            del self._fleets[name]
            self.problems = {place: found for place, found in self.problems.items() if place[0] != name}
        for name in sorted(catalog.gateways):
            yield from self._gateway(catalog, catalog.gateways[name], touched, sweep=sweep)
        self.snapshots = {name: fleet.snapshot for name, fleet in self._fleets.items()}
        return self.snapshots

    @property
    def sources(self) -> frozenset[Source]:
        """Where the keys come from that anybody's tokens are checked with."""
        return frozenset().union(*(fleet.shards.sources for fleet in self._fleets.values()))

    def users(self, sources: Iterable[Source]) -> dict[Source, list[tuple[str, str]]]:
        """The gateways and tenants whose tokens are checked with the keys of each source."""
        fleets = self._fleets.items()
        return {
            one: [(name, tenant) for name, fleet in fleets for tenant in fleet.shards.users(one)] for one in sources
        }

    def sources_of(self, gateway: str, tenant: str) -> frozenset[Source]:
        """Where the keys come from that a tenant's tokens are checked with; of the gateway itself with tenant ""."""
        fleet = self._fleets.get(gateway)
        made = fleet.tenants.get(tenant) if fleet else None
        return frozenset(one.source for one in made.needs.providers if one.source) if made else frozenset()

    @property
    def lingering(self) -> bool:
        """A sweep would find something."""
        return any(fleet.shards.unused for fleet in self._fleets.values())

    def _supply(self, supplies: Supplies | None) -> None:
        """Note whose content changes with what was supplied."""
        before, after = self._supplies.keys, (supplies or self._supplies).keys
        if after is not before:
            changed = {source for source in {*before, *after} if before.get(source) != after.get(source)}
            for fleet in self._fleets.values():
                fleet.shards.supplied(changed)
        for fleet in self._fleets.values():
            fleet.secrets.supplied(self._supplies, supplies or self._supplies)
        self._supplies = supplies or self._supplies

    def _gateway(
        self, catalog: Catalog, gateway: Gateway, touched: Touched, *, sweep: bool
    ) -> Generator[None, None, None]:
        fleet = self._fleets.get(gateway.id)
        tenants: Iterable[str] = touched.tenants
        certificates: Iterable[str] = touched.certificates
        if fleet is None:
            fleet = self._fleets[gateway.id] = _Fleet(Snapshot.empty(gateway.id))
            tenants, certificates = catalog.tenants, catalog.certificates
        if gateway.kong != fleet.kong:
            fleet.kong, tenants = gateway.kong, catalog.tenants
        lacking = fleet.secrets.lacks(gateway, self._supplies)
        if gateway.id in touched.gateways or NOBODY not in fleet.tenants or lacking != fleet.secrets.lacking:
            certificates = catalog.certificates
            self._listeners(fleet, gateway, lacking)
        for count, tenant in enumerate(sorted(tenants), 1):
            self._tenant(catalog, fleet, gateway, tenant)
            if count % SLICE == 0:
                yield
        self._clusters(catalog, fleet, touched.services | fleet.secrets.turned(self._supplies))
        fleet.secrets.follow(catalog, gateway, tenants, certificates)
        for count, (name, one) in enumerate(fleet.secrets.stale(gateway, self._supplies), 1):
            self._secret(fleet, name, one)
            if count % SLICE == 0:
                yield
        if sweep:
            fleet.shards.sweep()
        self._shards(fleet)
        for name, one in fleet.shelf.stale(catalog, gateway, fleet.shards.sources, self._supplies.keys):
            self._shared(fleet, name, one)
        fleet.snapshot = fleet.snapshot.next(fleet.turn.changes)
        fleet.turn = _Turn()

    def _listeners(self, fleet: _Fleet, gateway: Gateway, lacking: frozenset[str]) -> None:
        def build() -> tuple[Iterable[Built], tuple[Problem, ...]]:
            return (*translate.listeners(gateway, lacking), *translate.unnamed(gateway)), ()

        made = self._made(fleet, Key("Gateway", gateway.id), build)
        fleet.secrets.lacking = lacking
        if made is not None:
            self._replace(fleet, NOBODY, made, Needs(translate.gateway_needs(gateway), translate.claimed(gateway)))

    def _tenant(self, catalog: Catalog, fleet: _Fleet, gateway: Gateway, name: str) -> None:
        """Translate one tenant anew. A tenant that cannot be translated keeps what it had."""
        tenant = catalog.tenants.get(name)
        needs = Needs()

        def build() -> tuple[Iterable[Built], tuple[Problem, ...]]:
            nonlocal needs
            if tenant is None or not serves(gateway, tenant):
                return (), ()
            seen = view(catalog, gateway, tenant)
            built, needs = translate.tenant(seen)
            return (*built, *settings.tenant(seen, needs.providers)), translate.unsupported(seen)

        made = self._made(fleet, Key("Tenant", name), build)
        if made is not None:
            self._replace(fleet, name, made, needs)

    def _replace(self, fleet: _Fleet, name: str, made: tuple[Resource, ...], needs: Needs) -> None:
        old, turn = fleet.tenants.pop(name, _Made()), fleet.turn
        new = _Made(frozenset((one.kind, one.name) for one in made), needs)
        for kind, gone in old.names - new.names:
            if fleet.owner(kind, gone) == name:  # a host may have moved to another tenant, in this very turn
                turn.put(kind, gone, None)
        _put(made, turn)
        specs, were = needs.clusters, old.needs.clusters
        turn.moved.update(specs ^ were)
        fleet.shards.use(name, needs.providers, old.needs.providers)
        for spec in specs - were:
            fleet.users[spec] = fleet.users.get(spec, 0) + 1
        for spec in were - specs:
            fleet.users[spec] -= 1
            if not fleet.users[spec]:
                del fleet.users[spec]
        if made:
            fleet.tenants[name] = new

    def _shards(self, fleet: _Fleet) -> None:
        """The filter configurations whose providers or keys changed."""
        for name in sorted(fleet.shards.dirty):
            build = partial(translate.shard, name, fleet.shards.of(name), self._supplies.keys)
            made = self._made(fleet, Key("Filter", name), lambda build=build: ((build(),), ()))  # type: ignore[misc]
            if made is not None:
                _put(made, fleet.turn)
        fleet.shards.dirty.clear()

    def _secret(self, fleet: _Fleet, name: str, one: Built | None) -> None:
        made = self._made(fleet, Key("Secret", name), lambda: (((one,) if one else ()), ()))
        if made is not None:
            fleet.turn.put("SDS", name, made[0] if made else None)

    def _shared(self, fleet: _Fleet, name: str, one: Built | None) -> None:
        made = self._made(fleet, Key("Shared", name), lambda: (((one,) if one else ()), ()))
        if made is not None:
            fleet.turn.put(settings.SHARED, name, made[0] if made else None)

    def _clusters(self, catalog: Catalog, fleet: _Fleet, services: frozenset[str]) -> None:
        """Clusters that came into use, went out of use, or whose service changed; endpoints follow their services."""
        turn = fleet.turn
        known = {spec for spec in turn.moved if spec in fleet.specs.get(spec.service, ())}
        used = {spec for spec in turn.moved if spec in fleet.users}
        for spec in known - used:
            fleet.specs[spec.service].discard(spec)
            turn.put("CDS", spec.name, None)
        for spec in used - known:
            fleet.specs.setdefault(spec.service, set()).add(spec)
        for service in sorted({spec.service for spec in turn.moved} | services):
            came = {spec for spec in used - known if spec.service == service}
            self._service(catalog, fleet, service, fleet.specs.get(service, set()) if service in services else came)

    def _service(self, catalog: Catalog, fleet: _Fleet, name: str, specs: Iterable[ClusterSpec]) -> None:
        """These clusters of a service, and its endpoints: both together, or as they were."""
        service = catalog.services.get(name)
        if service is None or not fleet.specs.get(name):
            fleet.specs.pop(name, None)
            fleet.turn.put("EDS", name, None)
            fleet.secrets.use(name, None, self._supplies)
            self.problems.pop((fleet.snapshot.gateway, Key("Service", name)), None)
            return

        ready = fleet.secrets.use(name, service, self._supplies)

        def build() -> tuple[Iterable[Built], tuple[Problem, ...]]:
            clusters = (one for spec in specs for one in translate.cluster(service, spec, ready=ready))
            return (*clusters, *translate.endpoints(service, ready=ready)), ()

        made = self._made(fleet, Key("Service", name), build)
        if made is None:
            return
        if not any(one.kind == "EDS" for one in made):
            fleet.turn.put("EDS", name, None)
        _put(made, fleet.turn)

    def _made(self, fleet: _Fleet, key: Key, build: Build) -> tuple[Resource, ...] | None:
        """Translate and encode a document for a gateway. A defect of ours, met by one, must not stop the others."""
        made, place = None, (fleet.snapshot.gateway, key)
        try:
            built, problems = build()
            made = tuple(self._resource(fleet, one) for one in built)
        except Exception as error:
            problems = (_defect(key, fleet.snapshot.gateway, error),)
        self.problems.pop(place, None)
        if problems:
            self.problems[place] = problems
        return made

    def _elsewhere(self, fleet: _Fleet, made: Resource) -> Resource | None:
        """The same resource as another gateway has it."""
        for other in self._fleets.values():
            found = other.snapshot.get(made.kind, made.name) if other is not fleet else None
            if found is not None and found.version == made.version:
                return found
        return None

    def _resource(self, fleet: _Fleet, one: Built) -> Resource:
        """Encode, or find the very same resource of another gateway."""
        self.encoded += 1
        uses = one.uses | {one.companion} if one.companion else one.uses
        made = resource(
            one.kind, one.name, self._encode(one.message), uses=uses, companion=one.companion, owner=one.owner
        )
        return self._elsewhere(fleet, made) or made


def _put(made: Iterable[Resource], turn: _Turn) -> None:
    for one in made:
        turn.put(one.kind, one.name, one)


def _defect(key: Key, gateway: str, error: Exception) -> Problem:
    text = f"cannot be translated for gateway {gateway}: {type(error).__name__}: {error}"
    hurt = key.id if key.kind == "Tenant" else ""
    return Problem("GC900", key.kind, key.id, "", text, "this is a defect of gatecast: please report it", tenant=hurt)
