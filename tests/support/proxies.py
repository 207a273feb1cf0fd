"""A scripted xDS client for dialogues without a network: it behaves as Envoy does (R1-R57), and as badly as Envoy may.

Written from the protocol, not from our stream machine: it shares no code with it. Messages in both directions are
in flight until the dialogue delivers them. It fails the test at once when it is sent something twice without cause.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from xds.kinds import KINDS
from xds.snapshot import Resource
from xds.stream import Adjust, Answer, Ask, Replace


def poison(resource: Resource) -> bool:
    """Content this client rejects."""
    return resource.block.endswith(b"!")


@dataclass
class Subscription:
    """What the client asked of one kind, holds of it, and why it may be sent a name again."""

    wildcard: bool = False
    legacy: bool = False
    names: set[str] = field(default_factory=set)
    holds: dict[str, Resource] = field(default_factory=dict)
    orphans: set[str] = field(default_factory=set)  # applied although the response was rejected (R16, R19)
    expects: Counter[str] = field(default_factory=Counter)  # how often a name may come whatever is held
    ever: set[str] = field(default_factory=set)  # names asked for on this stream
    refused: set[str] = field(default_factory=set)  # names that ever came with content this client rejects
    lost: set[str] = field(default_factory=set)  # names in answers that a broken stream took with it
    nonce: str = ""
    version: str = ""
    started: bool = False
    roamed: bool = False  # it had a wildcard on this stream
    owed: int = 0  # full states it may be sent without news, since it asked for them
    unsure: bool = False  # anything may come again: first answers of a stream

    def covers(self, name: str) -> bool:
        return self.wildcard or name in self.names


class Proxy:
    """One client. `follows`: it derives EDS names from its clusters and RDS names from its scopes, and withholds the
    ACK of a
    CDS answer while a cluster warms (R22), as Envoy does. `partial`: it applies the good part of what it rejects
    (R16)."""

    def __init__(self, *, delta: bool, follows: bool, partial: bool) -> None:
        self.delta, self.follows, self.partial = delta, follows, partial
        self.kinds = {kind: Subscription() for kind in KINDS}
        self.out: deque[Ask] = deque()
        self.held_back: list[tuple[Ask, set[str]]] = []

    # -- asking -------------------------------------------------------------------------------------------------

    def subscribe(
        self, kind: str, names: set[str], drop: set[str], *, star: bool = False, unstar: bool = False
    ) -> None:
        """Change a subscription; on the first call for a kind without names it is the legacy form."""
        sub = self.kinds[kind]
        first = not sub.started
        sub.started = True
        legacy = first and not names and not star and KINDS[kind].legacy_wildcard
        if legacy:
            sub.legacy = True
        if first and (star or legacy):
            sub.unsure = True
        unstar = unstar and (
            self.delta or not sub.legacy
        )  # SotW has no words for leaving the legacy wildcard without a name
        if unstar and sub.wildcard and not star:
            sub.wildcard = sub.legacy = False
            sub.holds = {name: one for name, one in sub.holds.items() if name in sub.names}
        if (star or legacy) and not sub.wildcard:
            sub.wildcard = sub.unsure = sub.roamed = True
        drop = (drop & sub.names) - names
        if not self.delta and (names or drop) and sub.legacy:
            sub.legacy = sub.wildcard = False  # R26: after a name the legacy wildcard never comes back
        sub.names = (sub.names | names) - drop
        if not sub.wildcard:
            for name in drop:
                sub.holds.pop(name, None)
                sub.orphans.discard(name)
            sub.holds = {name: one for name, one in sub.holds.items() if name in sub.names}
        sub.expects.update(names | (drop if sub.wildcard else set()))
        sub.ever |= names
        sub.owed += 1
        self._ask(kind, names, drop, star=star and not legacy, unstar=unstar)

    def _ask(self, kind: str, names: set[str], drop: set[str], *, star: bool, unstar: bool) -> None:
        sub = self.kinds[kind]
        if self.delta:
            more = (*sorted(names), *(("*",) if star else ()))
            less = (*sorted(drop), *(("*",) if unstar and not star else ()))
            self.out.append(Ask(kind, Adjust(more, less)))
        else:
            self.out.append(Ask(kind, self._all(sub), sub.nonce))
            if not KINDS[kind].complete:
                sub.expects.update(sub.names)  # asking again for what it has is how Envoy wants it once more (R47)

    def _all(self, sub: Subscription) -> Replace:
        star = ("*",) if sub.wildcard and not sub.legacy else ()
        return Replace((*star, *sorted(sub.names)), sub.version)

    def reconnect(self, lost: list[Answer]) -> None:
        """A new stream: everything in flight is lost, the first requests say what is held (R29, R40, R41)."""
        self.out.clear()
        self.held_back.clear()
        for kind, sub in self.kinds.items():
            if not sub.started:
                continue
            sub.nonce, sub.unsure = "", sub.unsure or bool(sub.orphans) or not self.delta or not sub.holds
            new = sub.names - sub.holds.keys() | sub.orphans
            sub.expects = Counter(new if self.delta else sub.names | sub.holds.keys())
            sub.lost |= {one.name for a in lost if a.kind == kind for one in a.batch.resources}
            sub.ever = sub.names | sub.lost
            if self.delta:
                known = {name: one.version for name, one in sub.holds.items() if name not in sub.orphans}
                star = ("*",) if sub.wildcard and not (sub.legacy and not sub.names) else ()
                self.out.append(Ask(kind, Adjust((*star, *sorted(sub.names)), (), known)))
            else:
                self.out.append(Ask(kind, self._all(sub)))
        # A cluster that came without its endpoints may be warming: these may come again (F10).
        held = self.kinds["CDS"].holds.values()
        self.kinds["EDS"].expects.update({one.companion for one in held if one.companion})

    def vanished(self, kind: str, names: set[str]) -> None:
        """These left the snapshot. SotW cannot say so where a response is no full state: they may come again."""
        if not self.delta and not KINDS[kind].complete:
            self.kinds[kind].expects.update(names)

    # -- being answered -----------------------------------------------------------------------------------------

    def receive(self, answer: Answer) -> None:
        sub = self.kinds[answer.kind]
        got = {one.name: one for one in answer.batch.resources}
        assert len(got) == len(answer.batch.resources), "a name twice in one response (R20)"
        self._complain_of_repeats(answer, sub, got)
        bad = any(poison(one) for one in got.values())
        sub.refused |= {name for name, one in got.items() if poison(one)}
        changed = {
            name for name, one in got.items() if sub.holds.get(name) is None or sub.holds[name].version != one.version
        }
        self._apply(answer, sub, got, bad)
        sub.nonce = answer.nonce
        sub.unsure = False
        sub.expects -= Counter({*(got.keys() - changed), *answer.removed})
        if bad:
            sub.expects.update(got.keys())  # after a NACK the parts come again, apart
            sub.unsure = sub.unsure or (not self.delta and KINDS[answer.kind].complete)
        else:
            sub.version = answer.version
        self._reply(answer, sub, got, bad, changed)
        if answer.kind == "EDS":
            self._warm(got.keys() | set(answer.removed))
        if self.follows and (not bad or self.partial):
            self._follow(answer.kind)

    def _apply(self, answer: Answer, sub: Subscription, got: dict[str, Resource], bad: bool) -> None:
        good = {name: one for name, one in got.items() if not poison(one) and sub.covers(name)}
        if bad and not self.partial:
            good = {}
        complete = not self.delta and KINDS[answer.kind].complete
        if complete and (not bad or self.partial):
            for name in sub.holds.keys() - got.keys():
                del sub.holds[name]
        if self.delta:
            for name in answer.removed:
                sub.holds.pop(name, None)
                sub.orphans.discard(name)
        sub.holds.update(good)
        if bad:
            sub.orphans |= good.keys()
        else:
            sub.orphans -= good.keys()

    def _complain_of_repeats(self, answer: Answer, sub: Subscription, got: dict[str, Resource]) -> None:
        if sub.unsure:
            return
        same = {name for name, one in got.items() if name in sub.holds and sub.holds[name].version == one.version}
        repeated = same - sub.expects.keys() - sub.orphans
        if self.delta or not KINDS[answer.kind].complete:
            assert not repeated, f"{answer.kind} {sorted(repeated)} sent again without cause"
        else:
            news = got.keys() - same or sub.holds.keys() - got.keys() or sub.expects
            assert news or sub.owed, f"{answer.kind} sent again without news"
            sub.owed -= not news
        if self.delta and not sub.roamed:
            phantom = set(answer.removed) - sub.holds.keys() - sub.expects.keys() - sub.ever
            assert not phantom, f"{answer.kind} {sorted(phantom)} removed without cause"

    def _reply(self, answer: Answer, sub: Subscription, got: dict[str, Resource], bad: bool, changed: set[str]) -> None:
        error = "poison" if bad else None
        if self.delta:
            reply = Ask(answer.kind, Adjust(), answer.nonce, error)
        else:
            reply = Ask(answer.kind, self._all(sub), answer.nonce, error)
        warming = set()
        if answer.kind == "CDS":
            kept = {name for name in changed if name in sub.holds}
            warming = {got[name].companion for name in kept if got[name].companion}
            self.kinds["EDS"].expects.update({one.companion for one in got.values() if one.companion})
        if self.follows and warming and not bad:
            self.held_back.append((reply, warming))
        else:
            self.out.append(reply)

    def _follow(self, kind: str) -> None:
        if kind == "CDS":
            self._track("EDS", {one.companion for one in self.kinds["CDS"].holds.values() if one.companion})
        elif kind == "SRDS":
            self._track("RDS", {name for one in self.kinds["SRDS"].holds.values() for name in one.uses or ()})

    def _track(self, kind: str, names: set[str]) -> None:
        sub = self.kinds[kind]
        if names != sub.names:
            self.subscribe(kind, names - sub.names, sub.names - names)

    def _warm(self, names: set[str]) -> None:
        """Endpoints arrived: clusters that waited for them are active, and the CDS answer is acknowledged (R22)."""
        waiting, self.held_back = self.held_back, []
        alive = {one.companion for one in self.kinds["CDS"].holds.values()}
        for reply, warming in waiting:
            left = (warming - names) & alive
            if left:
                self.held_back.append((reply, left))
            else:
                self.out.append(self._fresh(reply))

    def _fresh(self, reply: Ask) -> Ask:
        return reply if self.delta else Ask(reply.kind, self._all(self.kinds[reply.kind]), reply.nonce, reply.error)
