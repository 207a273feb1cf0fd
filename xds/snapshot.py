"""What a gateway's proxies should hold: resources encoded once, each with the hash of its bytes as version.

`Snapshot` is immutable and shares structure with its predecessor, so a change costs what it changed. Streams keep a
reference to the snapshot their client holds; that reference is all the state a wildcard needs. Built by
`xds.builder`, read by `xds.stream`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import immutables

from protos import discovery_pb2
from xds.kinds import KINDS

VERSION_BITS = 128
SHARED = 64 * 1024  # bytes: bigger responses are worth keeping whole, since many streams send the very same first ones
ENVELOPES = 4
MEMO = 64  # batches a snapshot remembers: streams in the same position share them, odd ones do not fill memory
SMALL = 1_000  # resources that small batches may come to together
RESOURCES_TAG = b"\x12"  # field 2, length-delimited: `resources` of both responses, and `resource` of a delta Resource


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Resource:
    """One resource as it goes over the wire.

    `block` is an encoded delta `Resource` with its `Any` last; from `split` on it reads as the `resources` field of
    a SotW response, so both variants share the same bytes. `digest` is the version as a number, for hashes over
    sets of resources.
    `uses` is None where we cannot know (a version a reconnecting client holds and we no longer have).
    """

    kind: str
    name: str
    version: str
    digest: int = 0
    block: bytes = b""
    split: int = 0
    uses: frozenset[str] | None = frozenset()
    companion: str = ""
    owner: str = ""

    @property
    def body(self) -> bytes:
        """The encoded message itself (without its Any)."""
        wrapped = discovery_pb2.Resource.FromString(self.block)
        return bytes(wrapped.resource.value)


def resource(
    kind: str, name: str, body: bytes, *, uses: frozenset[str] = frozenset(), companion: str = "", owner: str = ""
) -> Resource:
    """Make a resource of an encoded message; the version is the sha256 of its bytes (R43), shortened to 128 bits."""
    digest = hashlib.sha256(body).digest()
    version = digest[: VERSION_BITS // 8].hex()
    wrapped = _TYPES[kind] + _field(2, body)
    head = _field(1, version.encode()) + _field(3, name.encode())
    named = hashlib.sha256(name.encode() + b"\0" + digest).digest()
    block = head + _field(2, wrapped)
    return Resource(
        kind, name, version, int.from_bytes(named[: VERSION_BITS // 8]), block, len(head), uses, companion, owner
    )


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field; written by hand since `resource` must stand last, and twice as fast."""
    size = len(content)
    return (
        bytes((number << 3 | 2, size)) + content if size < 128 else bytes((number << 3 | 2,)) + varint(size) + content
    )


def held_elsewhere(kind: str, name: str, version: str) -> Resource:
    """What a reconnecting client says it holds and we do not have: name and version, nothing else known."""
    return Resource(kind, name, version, uses=None)


def varint(value: int) -> bytes:
    """Protobuf's base-128 number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_TYPES = {kind.name: _field(1, kind.type_url.encode()) for kind in KINDS.values()}
"""The `type_url` field of an Any, by kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Resources that travel together, and the wire bytes made of them: assembled once however many streams send it."""

    resources: tuple[Resource, ...]
    bodies: dict[str | tuple[str, bytes], bytes] = field(default_factory=dict)

    def delta(self) -> bytes:
        """The `resources` fields of a DeltaDiscoveryResponse."""
        if "delta" not in self.bodies:
            parts = ((RESOURCES_TAG, varint(len(r.block)), r.block) for r in self.resources)
            self.bodies["delta"] = b"".join(piece for part in parts for piece in part)
        return self.bodies["delta"]

    def sotw(self) -> bytes:
        """The `resources` fields of a DiscoveryResponse."""
        if "sotw" not in self.bodies:
            self.bodies["sotw"] = b"".join(r.block[r.split :] for r in self.resources)
        return self.bodies["sotw"]

    def whole(self, variant: str, envelope: bytes) -> bytes:
        """A response: the envelope, then the resources of a `variant`. Big ones with equal envelopes share one copy."""
        body = self.delta() if variant == "delta" else self.sotw()
        key = (variant, envelope)
        if len(body) < SHARED or (key not in self.bodies and len(self.bodies) > ENVELOPES):
            return envelope + body
        if key not in self.bodies:
            self.bodies[key] = envelope + body
        return self.bodies[key]


class ChangeLog:
    """Which names changed at which serial. Appended by the builder, read by every snapshot of the gateway; bounded."""

    LIMIT = 2048  # entries
    NAMES = 200_000  # in all entries together: a change of a whole gateway names every tenant

    def __init__(self) -> None:
        self._first = 1
        self._entries: list[Mapping[str, frozenset[str]]] = []
        self._names = 0

    def append(self, changed: Mapping[str, frozenset[str]]) -> int:
        """Note the names a new snapshot changes and return that snapshot's serial."""
        self._entries.append(changed)
        self._names += _count(changed)
        while len(self._entries) > 1 and (len(self._entries) > self.LIMIT or self._names > self.NAMES):
            half = len(self._entries) // 2
            self._names -= sum(map(_count, self._entries[:half]))
            self._first += half
            del self._entries[:half]
        return self._first + len(self._entries) - 1

    def between(self, kind: str, since: int, until: int) -> frozenset[str] | None:
        """Names of `kind` changed after serial `since` up to `until`; None if the log does not reach that far."""
        if since + 1 < self._first:
            return None
        entries = self._entries[since + 1 - self._first : until + 1 - self._first]
        return frozenset().union(*(entry.get(kind, ()) for entry in entries))


NOTHING: immutables.Map[str, Resource] = immutables.Map()


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All resources of one gateway at one moment. `serial` counts snapshots in this process; 0 is the empty one."""

    gateway: str
    serial: int
    resources: Mapping[str, immutables.Map[str, Resource]]
    digests: Mapping[str, int]
    log: ChangeLog
    memo: dict[object, Batch] = field(default_factory=dict)

    @classmethod
    def empty(cls, gateway: str = "") -> Self:
        return cls(gateway, 0, dict.fromkeys(KINDS, NOTHING), dict.fromkeys(KINDS, 0), ChangeLog())

    def get(self, kind: str, name: str) -> Resource | None:
        return self.resources[kind].get(name)

    def version(self, kind: str) -> str:
        """Version of all resources of a kind: it depends on their names and contents only."""
        return version_of(self.digests[kind])

    def changed(self, kind: str, since: int) -> frozenset[str] | None:
        """Names whose resource differs from that of snapshot `since`, perhaps a few more; None = compare them all."""
        return self.log.between(kind, since, self.serial)

    def full(self, kind: str) -> Batch:
        """All resources of a kind, by name."""
        if kind not in self.memo:
            self.memo[kind] = Batch(tuple(self.resources[kind][name] for name in sorted(self.resources[kind])))
        return self.memo[kind]

    def batch(self, kind: str, names: frozenset[str]) -> Batch:
        """These resources of a kind, by name; shared by all streams that ask for the same ones."""
        key = (kind, names)
        if key in self.memo:
            return self.memo[key]
        made = Batch(tuple(self.resources[kind][name] for name in sorted(names)))
        if len(self.memo) < MEMO and self._memorised() + len(names) <= 2 * len(self.resources[kind]) + SMALL:
            self.memo[key] = made
        return made

    def _memorised(self) -> int:
        """Resources in all remembered batches: odd subscriptions must not each leave a copy of everything here."""
        return sum(len(batch.resources) for batch in self.memo.values())

    def next(self, changes: Mapping[str, Mapping[str, Resource | None]]) -> "Snapshot":
        """The snapshot after `changes` (kind -> name -> resource, None = removed); itself if they change no version."""
        real = {kind: self._real(kind, names) for kind, names in changes.items()}
        real = {kind: names for kind, names in real.items() if names}
        if not real:
            return self
        digests = {
            kind: self.digests[kind] + sum(self._digest_change(kind, name, new) for name, new in names.items())
            for kind, names in real.items()
        }
        serial = self.log.append({kind: frozenset(names) for kind, names in real.items()})
        merged = {kind: _merge(self.resources[kind], names) for kind, names in real.items()}
        return Snapshot(self.gateway, serial, {**self.resources, **merged}, {**self.digests, **digests}, self.log)

    def _real(self, kind: str, names: Mapping[str, Resource | None]) -> dict[str, Resource | None]:
        return {name: new for name, new in names.items() if _version(self.get(kind, name)) != _version(new)}

    def _digest_change(self, kind: str, name: str, new: Resource | None) -> int:
        old = self.get(kind, name)
        return (new.digest if new else 0) - (old.digest if old else 0)


def _count(changed: Mapping[str, frozenset[str]]) -> int:
    return sum(map(len, changed.values()))


def version_of(digest: int) -> str:
    """A version string of a sum of digests: hex, 128 bits. Addition makes it independent of order and cheap to keep
    up.
    """
    return f"{digest % (1 << VERSION_BITS):032x}"


def total(resources: Iterable[Resource]) -> int:
    """The sum of the digests, as `version_of` takes it."""
    return sum(one.digest for one in resources)


def _version(one: Resource | None) -> str | None:
    return one.version if one else None


def _merge(old: immutables.Map[str, Resource], names: Mapping[str, Resource | None]) -> immutables.Map[str, Resource]:
    draft = old.mutate()
    for name, new in names.items():
        if new is not None:
            draft[name] = new
        elif name in draft:
            del draft[name]
    return draft.finish()
