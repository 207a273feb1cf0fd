"""A plan as a value: what is written, in which order, and where to wait until it is in effect.

Made by `diff.plan`, carried out by the sidecar: a phase's steps in any order and at once; the next phase after the last
answer, and where it says `wait` after one full propagation. `docs/decisions/0012-kong-plan.md` says why.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kong_sync.entities import KINDS, Entity
from kong_sync.states import Key
from tenants.errors import Problem

ROUTER, PLUGINS = "router", "plugins"
"""The two timers. What is of neither (consumers, credentials, groups, upstreams, targets) is in effect at once."""
BOTH = frozenset({ROUTER, PLUGINS})
TIMERS = {"routes": ROUTER, "services": ROUTER, "plugins": PLUGINS}


@dataclass(frozen=True, slots=True)
class Step:
    """One write. `verb`: put (create or replace by id), patch (only `body`), delete. `parent`: of a nested kind.

    `part`: the entity is written again in a later phase; this is not its last form.
    """

    verb: str
    kind: str
    id: str
    body: Entity = field(default_factory=dict, repr=False)
    parent: str = ""
    part: bool = False

    @property
    def key(self) -> Key:
        return self.kind, self.id


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps whose order means nothing. `wait`: not before all earlier writes are in effect on every node."""

    name: str
    steps: tuple[Step, ...]
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What a plan does to an entity: None before: created; None after: deleted (also if its parent takes it along)."""

    kind: str
    id: str
    before: Entity | None
    after: Entity | None

    @property
    def verb(self) -> str:
        return "created" if self.before is None else "deleted" if self.after is None else "updated"


@dataclass(frozen=True, slots=True)
class Plan:
    """`held`: desired entities that are left as they are, for a problem of their own or of one they need.

    `pending`: the timers that have not yet brought everything into effect when the last step is done. `looked`: how
    many entities the plan looked at. `ours`: how many there were.
    """

    phases: tuple[Phase, ...] = ()
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
    held: frozenset[Key] = frozenset()
    pending: frozenset[str] = frozenset()
    looked: int = 0
    ours: int = 0

    @property
    def steps(self) -> Iterator[Step]:
        return (step for phase in self.phases for step in phase.steps)

    @property
    def waits(self) -> int:
        return sum(phase.wait for phase in self.phases)

    def __bool__(self) -> bool:
        return bool(self.phases)


@dataclass(slots=True)
class Drafting:
    """Collects phases and decides about waits. Owned by one call of `diff.plan`. `pending`: not in effect yet."""

    pending: frozenset[str]
    phases: list[Phase] = field(default_factory=list)

    def add(self, name: str, steps: list[Step], after: frozenset[str] = frozenset()) -> None:
        """A phase, if it has steps; what was written before on the timers `after` must be in effect."""
        if not steps:
            return
        wait = bool(after & self.pending)
        self.phases.append(Phase(name, tuple(steps), wait))
        written = {TIMERS[step.kind] for step in steps if step.kind in TIMERS}
        self.pending = (frozenset() if wait else self.pending) | written


def put(kind: str, body: Entity, *, part: bool = False) -> Step:
    row = KINDS[kind]
    parent: Any = body[row.parent]["id"] if row.nested else ""
    return Step("put", kind, str(body["id"]), body, str(parent), part)
