"""Owns what was read of the secrets that documents name. `gatecast.plane` asks when documents change, and now and then.

What is bad or gone is a problem of its document, and what was good before stays in use. Blocking: call it in a thread,
`read` one call at a time (`moved` may run beside it).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from immutables import Map

from tenants.documents import Certificate, Document, Gateway, Key, Service
from tenants.errors import Problem
from tenants.secrets.disk import Disk, Spot, Stamp, Unreadable
from tenants.secrets.material import Bad, Flaw, Material, authorities, flaws, material, system, turns
from tenants.served import Served
from tenants.tls import SYSTEM

KINDS = ("Certificate", "Service", "Gateway")
"""The documents that may name secrets."""

Part = tuple[str, Spot]
"""A field of a document and what it names."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What may be used, by id of the Certificate document and by file of the authorities; and what is wrong."""

    certificates: Map[str, Material] = Map()  # noqa: RUF009 - it is immutable
    authorities: Map[str, str] = Map()  # noqa: RUF009 - it is immutable
    problems: Map[Key, tuple[Problem, ...]] = Map()  # noqa: RUF009 - it is immutable


def named(document: Document | None) -> tuple[Part, ...]:
    """The places that a document names, each with its field."""
    if isinstance(document, Certificate):
        said = ("certificate", document.certificate), ("key", document.private_key)
        return tuple((field, Spot(spot.file, spot.env)) for field, spot in said)
    if isinstance(document, Service):
        file = document.tls.authorities if document.tls else None
        return () if file is None else (("tls.ca_file", Spot(file)),)
    if isinstance(document, Gateway):
        files = ((number, one.tls.client_ca) for number, one in enumerate(document.listeners) if one.tls)
        return tuple((f"listeners[{number}].tls.client_ca", Spot(file)) for number, file in files if file)
    return ()


class Keeper:
    """The newest `value`, and how to find out that it is not the newest any more.

    `closed` says why no private key may be used in this process; then none is even read.
    """

    def __init__(self, disk: Disk, clock: Callable[[], datetime] = lambda: datetime.now(UTC), closed: str = "") -> None:
        self.value = Secrets()
        self._disk = disk
        self._clock = clock
        self._closed = closed
        self._stamps: dict[Spot, Stamp] = {}
        self._moving: dict[Spot, Stamp] = {}
        self._users: dict[Spot, set[Key]] = {}
        self._parts: dict[Key, tuple[Part, ...]] = {}
        self._turns: dict[Key, tuple[datetime, ...]] = {}

    def read(self, served: Served, keys: Iterable[Key]) -> Secrets:
        """Read what these documents name; those that name nothing, or are gone, are forgotten.

        If a file that others name too is seen to have changed, those are read as well.
        """
        todo = sorted({key for key in keys if key.kind in KINDS}, reverse=True)
        while todo:
            key = todo.pop()
            document = served.get(key)
            todo += self._use(key, named(document))
            self._judge(key, document)
        used = {spot.file for spot in self._users}
        for file in [file for file in self.value.authorities if file not in used]:
            self._keep(authorities=self.value.authorities.delete(file))
        return self.value

    def moved(self) -> frozenset[Key]:
        """The documents of which something changed, by two looks that agree: a file is not read while it is written.

        Also those that a date has reached.
        """
        known, now = dict(self._stamps), self._clock()
        seen = {spot: self._disk.stamp(spot) for spot in known}
        changed = {spot: stamp for spot, stamp in seen.items() if stamp != known[spot]}
        settled = [spot for spot, stamp in changed.items() if self._moving.get(spot) == stamp]
        self._moving = changed
        due = {key for key, moments in list(self._turns.items()) if moments and now >= moments[0]}
        return frozenset(due.union(*(self._users.get(spot, ()) for spot in settled)))

    def _judge(self, key: Key, document: Document | None) -> None:
        found: tuple[Flaw, ...] = ()
        if isinstance(document, Certificate):
            found = self._certificate(document)
        elif key.kind == "Certificate" and key.id in self.value.certificates:
            self._keep(certificates=self.value.certificates.delete(key.id))
        else:
            found = tuple(flaw for part in self._parts.get(key, ()) for flaw in self._authorities(part))
        problems = tuple(_problem(document, flaw) for flaw in found) if document else ()
        rest = self.value.problems
        if problems:
            self._keep(problems=rest.set(key, problems))
        elif key in rest:
            self._keep(problems=rest.delete(key))

    def _use(self, key: Key, parts: tuple[Part, ...]) -> set[Key]:
        """Note which places to watch, and their stamps before they are read. Who else names one that has changed."""
        others: set[Key] = set()
        for _field, spot in self._parts.pop(key, ()):
            self._users[spot].discard(key)
            if not self._users[spot]:
                del self._users[spot]
                self._stamps.pop(spot, None)
        self._turns.pop(key, None)
        for _field, spot in parts:
            self._users.setdefault(spot, set()).add(key)
            stamp = self._disk.stamp(spot)
            if self._stamps.get(spot, stamp) != stamp:
                others |= self._users[spot]
            self._stamps[spot] = stamp
        if parts:
            self._parts[key] = parts
        return others - {key}

    def _certificate(self, document: Certificate) -> tuple[Flaw, ...]:
        if self._closed:
            return (Flaw("GC417", "key", self._closed, "see docs/operations.md, TLS for proxies"),)
        now, last = self._clock(), self.value.certificates.get(document.id)
        try:
            new = material(*(self._content(part) for part in named(document)))
        except Bad as bad:
            self._turns[document.key] = _after(now, last)
            return (_instead(bad.flaw, last), *(flaws(last, (), now) if last else ()))
        self._turns[document.key] = _after(now, new)
        found = flaws(new, document.hosts, now)
        errors = tuple(flaw for flaw in found if flaw.severity == "error")
        if not errors and new != last:
            self._keep(certificates=self.value.certificates.set(document.id, new))
        return tuple(_instead(flaw, last, same=new == last) for flaw in errors) or found

    def _authorities(self, part: Part) -> tuple[Flaw, ...]:
        field, spot = part
        file, now = spot.file or "", self._clock()
        last = self.value.authorities.get(file)
        try:
            content = self._content(part)
            new = system(content, field) if file == SYSTEM else authorities(content, field, now)
        except Bad as bad:
            return (_instead(bad.flaw, last),)
        if new != last:
            self._keep(authorities=self.value.authorities.set(file, new))
        return ()

    def _content(self, part: Part) -> bytes:
        field, spot = part
        try:
            return self._disk.read(spot)
        except Unreadable as error:
            text = f"{spot} cannot be read: {error}"
            raise Bad(Flaw("GC411", field, text, "put it there, or name another")) from None

    def _keep(self, **fields: Map) -> None:  # type: ignore[type-arg]
        value = {name: fields.get(name, getattr(self.value, name)) for name in Secrets.__slots__}
        self.value = Secrets(**value)


def _after(now: datetime, found: Material | None) -> tuple[datetime, ...]:
    return tuple(moment for moment in turns(found) if moment > now) if found else ()


def _instead(flaw: Flaw, last: object, *, same: bool = False) -> Flaw:
    """The flaw, and what is used now."""
    after = "the one from before stays in use" if last else "nothing is used in its place"
    after = "it stays in use, there is no other" if same else after
    return Flaw(flaw.code, flaw.part, f"{flaw.message}; {after}", flaw.hint, flaw.severity)


def _problem(document: Document, flaw: Flaw) -> Problem:
    tenant = document.tenant or "" if isinstance(document, Certificate) else ""
    return Problem(
        flaw.code, document.kind, document.id, _path(document, flaw.part), flaw.message, flaw.hint,
        tenant=tenant, severity=flaw.severity,
    )  # fmt: skip


def _path(document: Document, part: str) -> str:
    """The field as the user wrote it: `key.file`."""
    spot = next((spot for field, spot in named(document) if field == part), None)
    if spot is None or not isinstance(document, Certificate):
        return part
    return f"{part}.{'file' if spot.file else 'env'}"
