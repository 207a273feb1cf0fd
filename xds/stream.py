"""The stream machine: what one client asks, what it is answered, in which order. Pure: no I/O, no clock, no protobuf.

    stream.receive(ask, now)      a request arrived (`xds.wire` makes an Ask of either protocol variant)
    stream.publish(snapshot)      there is a newer snapshot
    stream.answers(now)           drain what is to be sent now

The two variants share everything but what a SotW response must carry. Rules are cited as R.. of
shared/research/xds.md and as XP, the xDS protocol document. At most one answer of a type waits for its ACK, so a
slow client costs a set of names, never a queue.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from xds.interest import Interest, Sent
from xds.kinds import KINDS
from xds.order import Order, Overdue
from xds.snapshot import Batch, Resource, Snapshot

STORM = 256  # rejections in a row, after which the parts of a rejected answer are not tried any further


@dataclass(frozen=True, slots=True)
class Replace:
    """SotW: these are all the names asked for."""

    names: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class Adjust:
    """Delta: names more, names less; what the client held before it reconnected."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. `error` is None for an ACK or a plain subscription; any text, also an empty one, is a NACK (R10)."""

    kind: str
    change: Replace | Adjust
    nonce: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. SotW carries `version` as version_info, delta as system_version_info; `removed` is delta's alone."""

    kind: str
    nonce: str
    version: str
    batch: Batch
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request said about the answer it refers to: for metrics, logs and the list of clients."""

    kind: str
    accepted: bool
    sent: Sent
    error: str = ""


class Stream:
    """One client's stream. `kinds` are the types it may ask for: all on ADS, one on a service of its own.

    `doubts`: names (by kind) that this node was sent on an earlier stream and may hold without knowing their
    version (R19).
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        delta: bool,
        kinds: tuple[str, ...] = tuple(KINDS),
        doubts: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.delta = delta
        self.snapshot = snapshot
        self.interests = {name: Interest(KINDS[name]) for name in KINDS if name in kinds}
        self.order = Order(self.interests)
        self._doubts = dict(doubts or {})
        self._promised: dict[str, Resource] = {}  # endpoints of clusters in an unacknowledged CDS answer
        self._warming: frozenset[str] = frozenset()  # endpoints of clusters that an earlier stream sent without them
        self._nonces = 0

    # -- in -----------------------------------------------------------------------------------------------------

    def receive(self, ask: Ask, now: float) -> Reply | None:
        """Take a request; the reply it contains, if any. `Refused` if it asks for more names than a stream may hold.

        Names first, then ACK or NACK (R13). A stale nonce acknowledges nothing, but the names it carries are still
        news: dropping them loses a subscription (R5, R6).
        """
        interest = self.interests[ask.kind]
        first, news = not interest.started, True
        match ask.change:
            case Replace(names, version):
                news = interest.replace(names, version, self.snapshot)
            case Adjust(subscribe, unsubscribe, known):
                interest.adjust(subscribe, unsubscribe, known, self.snapshot)
        if first:
            self._recall(interest)
        if first and ask.kind == "EDS":
            self.companions(self._warming.union(self._promised))
        if interest.sent is not None and ask.nonce == interest.sent.nonce:
            return self._answered(interest, ask)
        if (
            not news
            and ask.nonce
            and ask.nonce == interest.acknowledged
            and interest.sent is None
            and ask.error is None
        ):
            self._ask_again(interest)
        return None

    def publish(self, snapshot: Snapshot) -> None:
        """Take a newer snapshot. Costs what changed, not what there is."""
        before, self.snapshot = self.snapshot, snapshot
        for interest in self.interests.values():
            if interest.started and not interest.whole:
                self._note(interest, snapshot.changed(interest.kind.name, before.serial))

    def companions(self, names: frozenset[str]) -> None:
        """Send these EDS names (again): their clusters were sent, here or on another stream of the node (§0.1)."""
        eds = self.interests.get("EDS")
        if eds is None or not eds.started:
            return
        eds.forced |= {name for name in names if eds.covers(name)}

    # -- out ----------------------------------------------------------------------------------------------------

    def answers(self, now: float) -> Iterator[Answer]:
        """What is to be sent now, in order. Drain it whole before the next `receive` or `publish`."""
        self.order.begin()
        for interest in self.interests.values():
            while interest.started and interest.sent is None and interest.pending:
                trial = bool(interest.trials)
                answer = self._answer(interest, now)
                if answer is not None:
                    yield answer
                elif not trial:
                    break

    @property
    def due(self) -> bool:
        """`answers` may have something to say: most ACKs leave nothing."""
        return any(one.started and one.sent is None and one.pending for one in self.interests.values())

    def deadline(self) -> float | None:
        """When to call `answers` again though nothing arrived: a resource will have waited for PATIENCE."""
        return self.order.deadline()

    def overdue(self) -> list[Overdue]:
        """What went without the ACK it waited for, since the last call: for the log."""
        found, self.order.overdue = self.order.overdue, []
        return found

    def doubts(self) -> dict[str, frozenset[str]]:
        """Names the client may hold in a version we do not know; for the next stream of the same node."""
        found = dict(self._doubts)
        for name, interest in self.interests.items():
            unanswered = interest.sent.resources if interest.sent else ()
            names = interest.doubt.keys() | {one.name for one in unanswered}
            if names and self.delta:
                found[name] = found.get(name, frozenset()) | names
        return found

    # -- rules --------------------------------------------------------------------------------------------------

    def _promise(self, clusters: tuple[Resource, ...]) -> None:
        """A cluster warms until its endpoints come, and its ACK with it (R22): they will, also if they leave the
        snapshot now.
        """
        names = {one.companion for one in clusters if one.companion}
        found = {name: self.snapshot.get("EDS", name) for name in names}
        self._promised = {name: one for name, one in found.items() if one is not None}
        self.companions(frozenset(names))

    def _keep_promises(self) -> None:
        eds = self.interests.get("EDS")
        if eds is not None and eds.started:
            eds.wanted |= {name for name in self._promised if eds.covers(name)}
        self._promised = {}

    def _want(self, kind: str, name: str) -> Resource | None:
        found = self.snapshot.get(kind, name)
        return self._promised.get(name) if found is None and kind == "EDS" else found

    def _batch(self, kind: str, names: frozenset[str]) -> tuple[Batch, set[str]]:
        """These resources, and the names of those that are only promised."""
        gone = {name for name in self._promised if name in names and self.snapshot.get(kind, name) is None}
        if not gone:
            return self.snapshot.batch(kind, names), gone
        return Batch(tuple(one for one in (self._want(kind, name) for name in sorted(names)) if one)), gone

    def _only_promised(self, kind: str) -> set[str]:
        """Endpoints that left the snapshot and are kept for a cluster on its way: their removal is still to come."""
        return {name for name in self._promised if self.snapshot.get(kind, name) is None} if kind == "EDS" else set()

    def _recall(self, interest: Interest) -> None:
        doubts = self._doubts.pop(interest.kind.name, frozenset())
        names = doubts - interest.changes.keys()
        if interest.kind.name == "CDS":  # applied, but cut off before its endpoints came: it may still be warming
            held = map(interest.held, doubts - names)
            self._warming = frozenset(one.companion for one in held if one and one.companion)
        if self.delta and interest.wildcard:
            interest.doubt.update(dict.fromkeys(names))
            interest.wanted |= names

    def _answered(self, interest: Interest, ask: Ask) -> Reply:
        if interest.kind.name == "CDS":
            self._keep_promises()
        if ask.error is None:
            return Reply(ask.kind, accepted=True, sent=interest.accept())
        reply = Reply(ask.kind, accepted=False, sent=interest.reject(removals_apply=self.delta), error=ask.error)
        if interest.rejections > STORM:
            interest.give_up(self.snapshot)
        return reply

    def _ask_again(self, interest: Interest) -> None:
        """SotW: the same request with the nonce already acknowledged. Envoy sends it while a cluster warms (R47)."""
        if not self.delta and not interest.kind.complete:
            interest.forced |= interest.names - interest.parked.keys()

    def _note(self, interest: Interest, changed: frozenset[str] | None) -> None:
        if changed is None:
            interest.whole = True
        elif interest.wildcard:
            interest.wanted |= changed
        elif changed:
            interest.wanted |= changed & interest.names

    def _answer(self, interest: Interest, now: float) -> Answer | None:
        kind, trial = interest.kind, bool(interest.trials)
        if interest.fresh and self.order.all_there(kind, self.snapshot):
            interest.whole = interest.due = False
            return self._send(interest, self.snapshot.full(kind.name), frozenset(), (), frozenset(), now, trial=False)
        send, remove, later, refused = self._sort(interest, interest.candidates(self.snapshot), now)
        interest.wanted |= later
        due, interest.due = interest.due and not later, interest.due and bool(later)
        if not (send or remove or due):
            self._settle(interest, later | refused, trial=trial)
            return None
        batch, gone = self._batch(kind.name, send)
        return self._send(interest, batch, send, tuple(sorted(remove)), later | refused | gone, now, trial=trial)

    def _sort(
        self, interest: Interest, names: frozenset[str], now: float
    ) -> tuple[frozenset[str], set[str], set[str], set[str]]:
        """Names to send, to remove, to keep for later, and not to send because the client refused just that."""
        send: set[str] = set()
        remove: set[str] = set()
        later: set[str] = set()
        refused: set[str] = set()
        free = self.order.all_there(interest.kind, self.snapshot)
        for name in names:
            want, have = self._want(interest.kind.name, name), interest.held(name)
            forced, doubt = name in interest.forced, name in interest.doubt
            if not forced and not doubt and _same(want, have):
                continue
            if not forced and name in interest.parked and _same(want, interest.parked[name]):
                refused.add(name)
            elif not (
                (forced if want is None else free) or self.order.may_go(interest.kind, name, want, self.snapshot, now)
            ):
                later.add(name)
            elif want is None and not self._says_removals(interest):
                interest.changes[name] = None
                interest.doubt.pop(name, None)
            else:
                (send if want else remove).add(name)
        interest.forced -= names - later
        return frozenset(send), remove, later, refused

    def _says_removals(self, interest: Interest) -> bool:
        return self.delta or interest.kind.complete

    def _send(
        self, interest: Interest, batch: Batch, names: frozenset[str], removed: tuple[str, ...],
        except_for: frozenset[str] | set[str], now: float, *, trial: bool,
    ) -> Answer:  # fmt: skip
        kind = interest.kind.name
        self._nonces += 1
        nonce, version = str(self._nonces), self.snapshot.version(kind)
        for name in [*names, *removed]:
            interest.parked.pop(name, None)
        settles = None if trial else (self.snapshot.resources[kind], self.snapshot.digests[kind])
        unsure = (interest.doubt.keys() | interest.parked.keys()) - names - set(removed)
        left = frozenset(except_for) | unsure | self._only_promised(kind)
        body = batch
        if not self.delta and batch is not self.snapshot.full(kind):
            version = interest.version_after(batch.resources, removed)
            body = self._complete(interest, batch, removed) if interest.kind.complete else batch
        complete = interest.kind.complete and not self.delta
        interest.sent = Sent(nonce, batch.resources, removed, settles, left, complete, now)
        if kind == "CDS":  # a full state may also take back what the client refused and yet applied: that warms again
            again = (one for one in body.resources if one.name in interest.doubt and one.name not in names)
            self._promise((*batch.resources, *again))
        return Answer(kind, nonce, version, body, removed)

    def _complete(self, interest: Interest, batch: Batch, removed: tuple[str, ...]) -> Batch:
        """A SotW response of a complete kind: what the client keeps, and what is new (R23)."""
        state = interest.state_after(batch.resources, removed)
        full = self.snapshot.full(interest.kind.name)
        return full if state == full.resources else Batch(state)

    def _settle(self, interest: Interest, except_for: set[str], *, trial: bool) -> None:
        """Nothing to say: the client holds what the snapshot says, but for these names. Lets go of older snapshots."""
        if trial or interest.trials or interest.sent:
            return
        left = except_for | interest.doubt.keys() | interest.parked.keys() | self._only_promised(interest.kind.name)
        interest.changes = {name: interest.held(name) for name in left if interest.covers(name)}
        kind = interest.kind.name
        interest.base, interest.base_digest = self.snapshot.resources[kind], self.snapshot.digests[kind]


def _same(one: Resource | None, other: Resource | None) -> bool:
    return one is other or (one is not None and other is not None and one.version == other.version)
