"""Random dialogues between the stream machine and a client that behaves as Envoy does (`proxies`): whatever crosses on
the way, a dialogue that comes to rest ends with the client holding what the snapshot says for what it asked, and
nothing outstanding.

GATECAST_DIALOGUES sets how many (four tests share them), each time others; unless told, it is the same 20,000.
"""

import os
import random
from collections import deque
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxies import Proxy, poison

from xds.kinds import KINDS
from xds.snapshot import Resource, Snapshot, resource
from xds.stream import Answer, Stream

SHARDS = 2
EACH = int(os.environ.get("GATECAST_DIALOGUES", "20000")) // 4
SIZE = 4


@dataclass(frozen=True)
class World:
    """Settings in miniature: tenants with a table each, clusters with endpoints, listeners, filters with parts that
    tables demand. Numbers are content; 4 is poison. `kept`: parts that stay though nobody may demand them any more.
    """

    tenants: dict[int, tuple[int, int]] = field(default_factory=lambda: {0: (0, 0), 1: (1, 0)})  # -> cluster, content
    clusters: tuple[int, ...] = (0,) * SIZE
    endpoints: tuple[int, ...] = (0,) * SIZE
    listeners: tuple[int, ...] = (0,)
    filters: tuple[int, ...] = (0,) * SHARDS
    kept: frozenset[str] = frozenset()

    def demanded(self) -> frozenset[str]:
        return frozenset(part(i, content) for i, (_, content) in self.tenants.items())

    def resources(self) -> dict[str, dict[str, Resource]]:
        used = {cluster for cluster, _ in self.tenants.values()}
        parts = {f"f{i}": {one for one in self.kept | self.demanded() if holder(one) == f"f{i}"} for i in range(SHARDS)}
        rows = [
            *(("CDS", f"c{i}", self.clusters[i], {f"e{i}"}, f"e{i}") for i in used),
            *(("EDS", f"e{i}", self.endpoints[i], set(), "") for i in used),
            *(("LDS", f"l{i}", content, set(), "") for i, content in enumerate(self.listeners)),
            *(("SRDS", f"s{i}", 0, {f"r{i}"}, "") for i in self.tenants),
            *(("ECDS", f"f{i}", content, parts[f"f{i}"], "") for i, content in enumerate(self.filters)),
            *(("RDS", f"r{i}", content, {f"c{c}", part(i, content)}, "") for i, (c, content) in self.tenants.items()),
        ]
        found: dict[str, dict[str, Resource]] = {kind: {} for kind in KINDS}
        for kind, name, content, uses, companion in rows:
            body = f"{name} {content} {sorted(uses)}{'!' if content == 4 else ''}".encode()
            found[kind][name] = resource(kind, name, body, uses=frozenset(uses), companion=companion)
        return found

    def changed(self, what: int, which: int, content: int) -> "World":
        i = which % SIZE
        kept = self.kept | self.demanded()
        if what == 0:
            return replace(self, tenants={**self.tenants, i: (content % SIZE, content)}, kept=kept)
        if what == 1:
            return replace(self, tenants={k: v for k, v in self.tenants.items() if k != i}, kept=kept)
        if what == 2:
            return replace(self, clusters=(*self.clusters[:i], content, *self.clusters[i + 1 :]))
        if what == 3:
            return replace(self, endpoints=(*self.endpoints[:i], content, *self.endpoints[i + 1 :]))
        if what == 4:
            filters = (*self.filters[: i % SHARDS], content, *self.filters[i % SHARDS + 1 :])
            return replace(self, filters=filters)
        if what == 5:
            return replace(self, kept=frozenset())  # a sweep
        return replace(self, listeners=tuple([content] * (which % 3)))

    def healed(self) -> "World":
        said = (self.clusters, self.endpoints, self.listeners, self.filters)
        heal = [tuple(n % 4 for n in numbers) for numbers in said]
        tenants = {i: (cluster, content % 4) for i, (cluster, content) in self.tenants.items()}
        return World(tenants, heal[0], heal[1], heal[2], heal[3], self.kept | self.demanded())


def part(tenant: int, content: int) -> str:
    """What the table of a tenant demands of a filter."""
    return f"f{tenant % SHARDS}/p{content % 3}"


def holder(used: str) -> str:
    return used.partition("/")[0]


class Dialogue:
    """A proxy, a stream, and the messages between them."""

    def __init__(self, *, delta: bool, follows: bool, partial: bool) -> None:
        self.proxy = Proxy(delta=delta, follows=follows, partial=partial)
        self.world = World()
        self.snapshot = Snapshot.empty().next(self.world.resources())
        self.stream = Stream(self.snapshot, delta=delta)
        self.back: deque[Answer] = deque()
        self.now = 0.0
        self.lacks: dict[str, set[str]] = {}  # what the tables the client holds name, and it does not hold
        self.away = self.swept = False
        self.untold = False  # SotW: it applied a part of what it rejected, and resumes by the version from before
        self.blind = False  # the server cannot know what this client holds: order is not promised
        if follows:
            for kind in ("CDS", "LDS", "SRDS"):
                self.proxy.subscribe(kind, set(), set())
            self.proxy.subscribe("ECDS", {f"f{i}" for i in range(SHARDS)}, set())

    def play(self, steps: list[int]) -> None:
        for step in steps:
            self._step(step % 10, step // 10)

    def _step(self, action: int, how: int) -> None:
        if action <= 2:
            self.deliver_request()
        elif action <= 5:
            self.deliver_answer()
        elif action <= 7:
            self.publish(self.world.changed(how % 7, how // 7, how // 35 % 5))
        elif action == 8 and not self.proxy.follows:
            self._resubscribe(how)
        elif action == 9 and how % 4 == 0:
            self.reconnect()

    def _resubscribe(self, how: int) -> None:
        letters = {"CDS": "c", "EDS": "e", "LDS": "l", "SRDS": "s", "RDS": "r", "ECDS": "f"}
        kind = tuple(letters)[how % len(letters)]
        letter = letters[kind]
        more = {f"{letter}{i}" for i in range(SIZE) if how >> (4 + i) & 1}
        less = {f"{letter}{i}" for i in range(SIZE) if how >> (8 + i) & 1}
        self.proxy.subscribe(kind, more, less, star=how >> 12 & 3 == 1, unstar=how >> 12 & 3 == 2)

    def deliver_request(self) -> bool:
        if not self.proxy.out:
            return False
        self.stream.receive(self.proxy.out.popleft(), self.now)
        self._drain()
        return True

    def deliver_answer(self) -> bool:
        if not self.back:
            return False
        self.proxy.receive(self.back.popleft())
        self._routes_find_their_clusters()
        return True

    def publish(self, world: World) -> None:
        self.swept = self.swept or not world.kept >= self.world.kept
        self.blind = self.blind or (self.away and self.swept)  # a part that went while the client was away is missed
        self.world = world
        wanted = world.resources()
        gone = {kind: dict.fromkeys(set(self.snapshot.resources[kind]) - set(names)) for kind, names in wanted.items()}
        for kind, names in gone.items():
            self.proxy.vanished(kind, names.keys() - wanted[kind].keys())
        self.snapshot = self.snapshot.next({kind: {**gone[kind], **wanted[kind]} for kind in KINDS})
        self.stream.publish(self.snapshot)
        self._drain()

    def reconnect(self) -> None:
        self.stream = Stream(self.snapshot, delta=self.proxy.delta, doubts=self.stream.doubts())
        self.away = True
        refused = any(sub.refused for sub in self.proxy.kinds.values())
        self.untold = self.untold or (not self.proxy.delta and self.proxy.partial and refused)
        self.blind = self.blind or not self.proxy.delta or self.swept
        self.proxy.reconnect(list(self.back))
        self.back.clear()

    def rest(self) -> None:
        """Deliver everything; the clock moves only when nothing else does."""
        for _ in range(1000):
            if self.deliver_request() or self.deliver_answer():
                continue
            deadline = self.stream.deadline()
            if deadline is None:
                return
            self.blind = True
            self.now = deadline
            self._drain()
        pytest.fail("the dialogue does not come to rest")

    def _drain(self) -> None:
        for answer in self.stream.answers(self.now):
            self.back.append(answer)
        assert len({answer.kind for answer in self.back}) == len(self.back), "two unacknowledged answers of one type"

    def _routes_find_their_clusters(self) -> None:
        """Make before break, and break after make (R46, R37): no table in use names a cluster that the client lacks, or
        a part of a filter.

        But for what the client refused: a table that is new to it goes without, and may change without.
        """
        if not self.proxy.follows or self.blind:
            return
        clusters, tables = self.proxy.kinds["CDS"], self.proxy.kinds["RDS"].holds
        filters = self.proxy.kinds["ECDS"]
        there = clusters.holds.keys() | {used for one in filters.holds.values() for used in one.uses or ()}
        lacks = {name: set(table.uses or ()) - there for name, table in tables.items()}
        refused = clusters.refused | filters.refused
        for name, missing in lacks.items():
            before = {holder(one) for one in self.lacks.get(name, missing)}
            excused = {one for one in missing if holder(one) in refused & before}
            assert missing <= excused, f"{name} uses what is not there: {missing - excused}"
        self.lacks = lacks

    def agrees(self) -> None:
        """The client holds exactly what the snapshot says for what it asked, and nothing is outstanding."""
        for kind, sub in self.proxy.kinds.items():
            said = self.snapshot.resources[kind]
            wanted = {name: one.version for name, one in said.items() if sub.started and sub.covers(name)}
            held = {name: one.version for name, one in sub.holds.items()}
            if not self.proxy.delta and not KINDS[kind].complete:  # R23: SotW cannot say that these are gone
                held = {name: version for name, version in held.items() if name in said}
            assert held == wanted, kind
            assert self.stream.interests[kind].sent is None, kind
            assert not self.stream.interests[kind].pending, kind
        assert not self.proxy.held_back, "a cluster still warms"

    def siblings_arrived(self) -> None:
        """Good content is there although other content is rejected (what it depends on may be rejected too)."""
        if self.untold:
            return
        needed = {**self.snapshot.resources["CDS"], **self.snapshot.resources["ECDS"]}
        for kind, sub in self.proxy.kinds.items():
            for name, one in self.snapshot.resources[kind].items():
                names = {holder(used) for used in one.uses or ()} - {name}
                blocked = any(poison(needed[used]) for used in names if used in needed)
                if sub.started and sub.covers(name) and not poison(one) and not blocked:
                    held = sub.holds.get(name)
                    assert held is not None, (kind, name)
                    assert held.version == one.version, (kind, name)


def talk(steps: list[int], *, delta: bool, follows: bool) -> None:
    dialogue = Dialogue(delta=delta, follows=follows, partial=bool(steps and steps[0] % 2))
    dialogue.play(steps)
    dialogue.rest()
    dialogue.siblings_arrived()
    dialogue.publish(dialogue.world.healed())
    dialogue.rest()
    dialogue.agrees()


def long(seed: int) -> list[int]:
    """Sixty steps: hypothesis prefers short lists, and some crossings need many."""
    dice = random.Random(seed)
    return [dice.randrange(2**18) for _ in range(60)]


STEPS = st.lists(st.integers(0, 2**18), max_size=40) | st.integers(0, 2**32).map(long)
MANY = settings(
    max_examples=EACH,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize="GATECAST_DIALOGUES" not in os.environ,
)


@MANY
@given(STEPS)
def test_a_delta_envoy_ends_with_what_the_snapshot_says(steps: list[int]) -> None:
    talk(steps, delta=True, follows=True)


@MANY
@given(STEPS)
def test_a_sotw_envoy_ends_with_what_the_snapshot_says(steps: list[int]) -> None:
    talk(steps, delta=False, follows=True)


@MANY
@given(STEPS)
def test_a_delta_client_that_asks_for_anything_ends_with_it(steps: list[int]) -> None:
    talk(steps, delta=True, follows=False)


@MANY
@given(STEPS)
def test_a_sotw_client_that_asks_for_anything_ends_with_it(steps: list[int]) -> None:
    talk(steps, delta=False, follows=False)
