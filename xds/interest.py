"""What one client asked for of one resource type, and what it holds of it. Owned and driven by `xds.stream`.

What the client holds is `base` (a map shared with a snapshot: no copy, however many resources) overlaid with
`changes` (where this client differs). So a wildcard that is up to date costs nothing a resource, and a subscription
costs its names.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import immutables

from tenants.errors import Refused
from xds.kinds import Kind
from xds.snapshot import NOTHING, Resource, Snapshot, held_elsewhere, total, version_of

WILDCARD = "*"
Uses = frozenset[str] | None  # names that a resource uses; None = unknown, so perhaps any
MAX_NAMES = 200_000  # a stream's memory is bounded by what it may subscribe to


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer that waits for its ACK.

    `settles`: with the ACK the client holds this map and digest of what it asked for, but for the names in
    `except_for`.
    `complete`: it was the full state, so its ACK leaves no doubt about any name.
    """

    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]
    settles: tuple[immutables.Map[str, Resource], int] | None
    except_for: frozenset[str]
    complete: bool
    at: float


class Interest:
    """One (client, type). The fields are read by the stream; only these methods and the stream change them."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.started = False
        self.wildcard = False
        self.legacy = False
        self.names: set[str] = set()
        self.base: immutables.Map[str, Resource] = NOTHING
        self.base_digest = 0
        self.changes: dict[str, Resource | None] = {}
        self.wanted: set[str] = set()  # names to compare with the snapshot
        self.whole = False  # compare every name
        self.due = False  # an answer is owed even if it is empty
        self.forced: set[str] = set()  # names to answer whatever the client holds
        self.doubt: dict[str, Uses] = {}  # names in a rejected answer: the client may hold either version (R18)
        self.parked: dict[str, Resource | None] = {}  # content this client rejected: not sent again (R11)
        self.trials: list[frozenset[str]] = []  # parts of a rejected answer, to be tried apart
        self.sent: Sent | None = None
        self.acknowledged = ""  # nonce of the last ACK
        self.rejections = 0  # since the last ACK

    # -- what is asked ------------------------------------------------------------------------------------------

    def covers(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def adjust(
        self, subscribe: Iterable[str], unsubscribe: Iterable[str], known: Mapping[str, str], snapshot: Snapshot
    ) -> None:
        """Apply a delta request. `known` (initial_resource_versions) counts in the first request only (R40)."""
        first, self.started = not self.started, True
        added = [name for name in subscribe if name != WILDCARD]
        widen = WILDCARD in subscribe or (first and not added and self.kind.legacy_wildcard)
        self._bound(len(self.names) + len(added), len(known))
        if widen and not self.wildcard:
            self._widen(owed=not known)  # first: names given up in the same request are so under the wildcard (R34)
        for name in unsubscribe:
            if not (widen and name == WILDCARD):
                self._unsubscribe(name)
        self._late(set(added) - self.names)
        for name in added:
            self._subscribe(name, forced=not (first and name in known))
        if first:
            self._resume(known, snapshot)

    def replace(self, names: Iterable[str], version: str, snapshot: Snapshot) -> bool:
        """Apply the names of a SotW request; True if they are news. `version` counts in the first one only (R29)."""
        first, self.started = not self.started, True
        explicit = set(names)
        star = WILDCARD in explicit
        explicit.discard(WILDCARD)
        self._bound(len(explicit), 0)
        was = self.wildcard
        self._rewild(first=first, star=star, empty=not explicit and not star)
        added, dropped = explicit - self.names, self.names - explicit
        if self.wildcard and not was:
            self._widen(owed=True)
        elif was and not self.wildcard:
            self._narrow()
        for name in dropped:
            self._forget(name)
        self._late(added)
        for name in added:
            self._subscribe(name, forced=True)
        self.due = self.due or (self.kind.complete and bool(added))
        if first and self.wildcard and not explicit and version == snapshot.version(self.kind.name):
            self._take_over(snapshot)  # never with names: one may have been dropped and added on the way (R29)
        return first or bool(added) or bool(dropped) or self.wildcard != was

    def _rewild(self, *, first: bool, star: bool, empty: bool) -> None:
        """No names at first mean everything; once a name was given, no names mean nothing (R25, R26)."""
        if first:
            self.legacy = empty and self.kind.legacy_wildcard
        elif not empty:
            self.legacy = False
        self.wildcard = star or self.legacy

    def _widen(self, *, owed: bool) -> None:
        """From now on everything is asked for; what the client holds of its names is kept in `changes`."""
        self.changes = {name: self.held(name) for name in self.names}
        self.base, self.base_digest = NOTHING, 0
        if self.sent is not None:
            self.sent = replace(self.sent, settles=None)  # its ACK says nothing of the names that are new now
        self.wildcard = self.whole = True
        self.due = self.due or owed

    def _subscribe(self, name: str, *, forced: bool) -> None:
        if name not in self.names and not self.wildcard:
            self.changes[name] = None
        self.names.add(name)
        self.wanted.add(name)
        if forced:
            self.forced.add(name)

    def _late(self, names: set[str]) -> None:
        """The ACK of an answer on its way says nothing of names asked for since."""
        if self.sent is not None and self.sent.settles is not None and not self.wildcard and names:
            self.sent = replace(self.sent, except_for=self.sent.except_for | names)

    def _unsubscribe(self, name: str) -> None:
        if name == WILDCARD:
            self._narrow()
        elif name not in self.names:
            return  # R34: phantom
        elif self.wildcard:
            self.names.discard(name)
            self.forced.add(name)  # R34: under a wildcard the answer says whether the name still comes
            self.wanted.add(name)
        else:
            self._forget(name)

    def _narrow(self) -> None:
        """R35: without the wildcard only the explicit names stay, also if there are none."""
        if self.whole:
            self.wanted |= self.names  # what was to be compared under the wildcard still is
        self.wildcard = self.legacy = self.whole = False
        self.changes = {name: self.held(name) for name in self.names if name in self.changes}
        self.parked = {name: one for name, one in self.parked.items() if name in self.names}
        self.doubt = {name: uses for name, uses in self.doubt.items() if name in self.names}
        self.wanted &= self.names
        self.forced &= self.names

    def _forget(self, name: str) -> None:
        self.names.discard(name)
        if self.wildcard:
            return
        for held in (self.changes, self.parked, self.doubt):
            held.pop(name, None)
        self.wanted.discard(name)
        self.forced.discard(name)

    def _resume(self, known: Mapping[str, str], snapshot: Snapshot) -> None:
        for name, version in known.items():
            if self.covers(name):
                have = snapshot.get(self.kind.name, name)
                same = have is not None and have.version == version
                self.changes[name] = have if same else held_elsewhere(self.kind.name, name, version)
                self.wanted.add(name)

    def _bound(self, *counts: int) -> None:
        if max(counts) > MAX_NAMES:
            raise Refused(f"{self.kind.name}: more than {MAX_NAMES} resource names on one stream")

    # -- what is held -------------------------------------------------------------------------------------------

    def held(self, name: str) -> Resource | None:
        """The resource the client acknowledged last, for a name it asked for."""
        return self.changes[name] if name in self.changes else self.base.get(name)

    def version_after(self, resources: Iterable[Resource], removed: Iterable[str]) -> str:
        """The SotW version of what the client holds once it accepts these."""
        after: dict[str, Resource | None] = {**self.changes, **{one.name: one for one in resources}}
        after.update(dict.fromkeys(removed))
        if not self.wildcard:
            held = (after[name] if name in after else self.base.get(name) for name in self.names)
            return version_of(total(one for one in held if one))
        moved = ((new, self.base.get(name)) for name, new in after.items())
        return version_of(self.base_digest + sum((n.digest if n else 0) - (o.digest if o else 0) for n, o in moved))

    def state_after(self, resources: Iterable[Resource], removed: Iterable[str]) -> tuple[Resource, ...]:
        """All the client holds once it accepts these: the body of a complete SotW response, by name."""
        names = set(self.base) | self.changes.keys() if self.wildcard else self.names
        after = {name: self.held(name) for name in names}
        after.update({one.name: one for one in resources})
        after.update(dict.fromkeys(removed))
        return tuple(one for _, one in sorted(after.items()) if one and one.block)

    def candidates(self, snapshot: Snapshot) -> frozenset[str]:
        """The names to compare now; parts of a rejected answer come first, each alone. Empties what it takes from."""
        if self.trials:
            return frozenset(name for name in self.trials.pop(0) if self.covers(name))
        names = self.wanted | self.forced
        if self.whole and self.wildcard:
            names = names.union(snapshot.resources[self.kind.name], self.base, self.changes, self.doubt, self.parked)
        elif self.whole:
            names = names | self.names
        self.wanted, self.whole = set(), False
        return frozenset(name for name in names if self.covers(name))

    @property
    def fresh(self) -> bool:
        """A wildcard that holds nothing yet and has nothing special: all of the snapshot is to be sent."""
        special = self.changes or self.doubt or self.parked or self.trials or self.base or self.names or self.forced
        return self.wildcard and self.whole and not special

    def keeps(self, name: str) -> bool:
        """The client holds `name`, and no removal of it is on the way."""
        return self.held(name) is not None and not (self.sent is not None and name in self.sent.removed)

    def holder(self, used: str) -> str:
        """The resource that holds what another one uses by this name."""
        return used.partition("/")[0] if self.kind.parts else used

    def offers(self, used: str) -> bool:
        """The client holds what another resource uses by this name."""
        if not self.kind.parts:
            return self.keeps(used)
        name = self.holder(used)
        on_its_way = [one for one in self.sent.resources if one.name == name] if self.sent else []
        return all(
            one is not None and one.uses is not None and used in one.uses for one in (self.held(name), *on_its_way)
        )

    def waits(self, name: str) -> bool:
        """`name` is still to be sent, and no answer on its way is in the way."""
        return self.sent is None and name in self.wanted

    @property
    def pending(self) -> bool:
        """Something is left to compare or to say."""
        return bool(self.wanted or self.whole or self.trials or self.due or self.forced)

    def settled(self, snapshot: Snapshot) -> bool:
        """The client is known to hold what the snapshot says."""
        same = self.base is snapshot.resources[self.kind.name] and not self.changes
        return same and not (self.sent or self.pending or self.doubt or self.parked)

    def unsettled(self) -> Iterator[Uses]:
        """What the client may still be using through names that are not as the snapshot says."""
        if self.whole or not (self.started or self.kind.legacy_wildcard):
            yield None  # what is asked for by name is asked for late; the others stand at the beginning of a stream
        sent = self.sent.resources if self.sent else ()
        removed = self.sent.removed if self.sent else ()
        names = {one.name for one in sent} | set(removed) | self.wanted | self.doubt.keys() | self.parked.keys()
        for name in names.union(*self.trials):
            yield from self.uses(name)
        yield from (one.uses for one in sent)

    def uses(self, name: str) -> Iterator[Uses]:
        """What the client may use through `name`: by what it holds, and by what it refused and perhaps applied."""
        held = self.held(name)
        if held is not None:
            yield held.uses
        if name in self.doubt:
            yield self.doubt[name]

    # -- what is answered ---------------------------------------------------------------------------------------

    def accept(self) -> Sent:
        """The client ACKed what was sent."""
        sent, self.rejections = self._answered(), 0
        if sent.complete:
            self.doubt = {}
        if sent.settles is not None:
            if sent.except_for:
                self.changes.update({one.name: one for one in sent.resources if one.name in sent.except_for})
            self.changes = {name: self.held(name) for name in sent.except_for if self.covers(name)}
            self.base, self.base_digest = sent.settles
            self.doubt = {name: uses for name, uses in self.doubt.items() if name in sent.except_for}
            return sent
        for name in [*(one.name for one in sent.resources), *sent.removed]:
            self.doubt.pop(name, None)
        self.changes.update({one.name: one for one in sent.resources if self.covers(one.name)})
        self.changes.update({name: None for name in sent.removed if self.covers(name)})
        return sent

    def reject(self, *, removals_apply: bool) -> Sent:
        """The client NACKed what was sent: which parts it applied, nobody knows (R16, R18).

        Several resources are tried again in halves, so that the good ones arrive and the bad one is found; a single
        one is parked.
        `removals_apply`: delta, where removals are applied even beside a rejected resource (R17).
        """
        sent = self._answered()
        self.rejections += 1
        names = sorted(one.name for one in sent.resources if self.covers(one.name))
        for one in sent.resources:
            self._doubt(one)
        if removals_apply:
            self.changes.update({name: None for name in sent.removed if self.covers(name)})
        elif names:
            self.wanted.update(sent.removed)
        else:
            self.parked.update(dict.fromkeys(sent.removed))
        gone = frozenset[str]() if removals_apply else frozenset(sent.removed)  # each part leaves these out again
        if len(sent.resources) == 1:
            self.parked.update({one.name: one for one in sent.resources if self.covers(one.name)})
        elif names:
            half = len(names) // 2
            self.trials[:0] = [part | gone for part in (frozenset(names[:half]), frozenset(names[half:])) if part]
        return sent

    def give_up(self, snapshot: Snapshot) -> None:
        """Nothing is accepted any more: stop trying parts, until there is newer content."""
        for name in frozenset[str]().union(*self.trials):
            self.parked.setdefault(name, snapshot.get(self.kind.name, name))
        self.trials.clear()

    def _doubt(self, rejected: Resource) -> None:
        if self.covers(rejected.name):
            before = self.doubt.get(rejected.name, frozenset())
            unknown = before is None or rejected.uses is None
            self.doubt[rejected.name] = None if unknown else (before or frozenset()) | (rejected.uses or frozenset())

    def _answered(self) -> Sent:
        assert self.sent is not None, "only an answer that was sent can be answered"
        sent, self.sent = self.sent, None
        self.acknowledged = sent.nonce
        return sent

    def _take_over(self, snapshot: Snapshot) -> None:
        """The client holds all of this already: it said so by the version it resumed with."""
        self.base, self.base_digest = snapshot.resources[self.kind.name], snapshot.digests[self.kind.name]
        self.changes, self.wanted, self.forced = {}, set(), set()
        self.whole = self.due = False
