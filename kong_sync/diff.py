"""The plan: what to write so that a Kong holds what we want, in an order that is safe at every moment. Pure.

    made = plan(desired, actual)                          everything
    made = plan(desired, actual, owners=("tenant:acme",)) what is tagged so, without looking at the rest

Called by the sidecar after each change and at each reconciliation, by `kong diff` and `kong sync`. `actual` holds our
entities alone; what others have is never in a step. Compared are short forms (`forms`), matched by `adoption`, put in
order by `order`. After a step that failed, plan again with what failed in `held`, or in `kept` if it was to go.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from kong_sync import order, routing
from kong_sync.adoption import Match, closed_over, faults
from kong_sync.entities import KINDS, Entity
from kong_sync.gates import GATES
from kong_sync.phases import Change, Plan
from kong_sync.routing import Crowd
from kong_sync.states import EMPTY, Key, State, reference, references
from kong_sync.work import Work
from tenants.errors import Problem


def plan(
    desired: State,
    actual: State,
    *,
    owners: Iterable[str] | None = None,
    others: State = EMPTY,
    held: Iterable[Key] = (),
    kept: Iterable[Key] = (),
    unsettled: frozenset[str] = frozenset(),
) -> Plan:
    """Desired against actual.

    owners     look only at entities of these owners (see `states.owner`), and at what hangs on them; None: at all
    others     entities that are not ours, as far as they are known: who has a name of theirs gets a problem
    held       desired entities that Kong refused: they and all that must not be done without them stay as they are
    kept       entities that Kong does not let go: they and what they need stay as they are
    unsettled  timers that may not yet show what was written before: both after a start, `Plan.pending` of the plan
               before if its last write is no full propagation ago
    """
    draft = _Draft(desired, actual, others)
    draft.keep(kept)
    draft.hold(held)
    scope = None if owners is None else tuple(owners)
    draft.compare(*(_all(desired, actual) if scope is None else _owned(desired, actual, scope)))
    if draft.problems:  # of what cannot be done, nothing may be done by halves
        draft = draft.again()
        draft.compare(*(_all(desired, actual) if scope is None else _owned(desired, actual, scope)))
    return draft.planned(unsettled)


def _all(desired: State, actual: State) -> tuple[Iterable[Key], Iterable[Key]]:
    return desired.rows, actual.rows


def _owned(desired: State, actual: State, owners: tuple[str, ...]) -> tuple[Iterable[Key], Iterable[Key]]:
    return ([key for name in owners for key in state.owned(name)] for state in (desired, actual))  # type: ignore[return-value]


@dataclass(slots=True)
class _Draft:
    """One plan in the making. Owns what it collects."""

    desired: State
    actual: State
    others: State
    match: Match = field(init=False)
    held: frozenset[Key] = frozenset()
    kept: frozenset[Key] = frozenset()
    work: Work = field(init=False)
    problems: dict[Key, list[Problem]] = field(default_factory=dict)
    _fixed: set[Key] = field(default_factory=set)
    _needed: set[Key] = field(default_factory=set)
    _seen: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.match = Match(self.desired, self.actual)
        self.work = Work(self.actual)

    def again(self) -> "_Draft":
        """Without what has problems."""
        other = _Draft(self.desired, self.actual, EMPTY)
        other.problems = self.problems
        other.keep(self.kept)
        other.hold([*self.held, *self.problems])
        return other

    def keep(self, keys: Iterable[Key]) -> None:
        """Leave these of Kong as they are, though nobody wants them, with what they need. To be done before `hold`."""
        self.kept = frozenset(keys)
        self._stay(self.kept)

    def _stay(self, keys: Iterable[Key]) -> None:
        todo = list(keys)
        while todo:
            key = todo.pop()
            if key in self._fixed or key not in self.actual.rows or self.match.wanted(*key):
                continue
            self._fixed.add(key)
            above = [*references(KINDS[key[0]], self.actual.rows[key])]
            self._needed.update(above if key[0] != "services" else [*above, key])
            todo.extend(above)

    def hold(self, keys: Iterable[Key]) -> None:
        """Leave these as they are in Kong, with what protects them."""
        self.held = closed_over(self.desired, keys)
        while more := (self._behind() | self._beneath()) - self.held:
            self.held = closed_over(self.desired, self.held | more)
        for kind, id_ in self.held:
            mine = kind, self.match.id(kind, id_)
            if mine in self.actual.rows:
                self._fixed.add(mine)
                self._needed.update(references(KINDS[kind], self.actual.rows[mine]))
        routes = {key for key in self._fixed if key[0] == "routes"}
        for key in routes | {key for key in self._needed if key[0] == "services"}:
            self._fixed.update(user for user in self.actual.referring(*key) if user[0] == "plugins")
        if routes:
            self._fixed.update(self._everywhere())
        for key in [key for key in self._fixed if key[0] == "upstreams"]:  # old targets go when the new ones are there
            self._fixed.update(user for user in self.actual.referring(*key) if user[0] == "targets")

    def _everywhere(self) -> Iterator[Key]:
        """Gates that stand before all routes, and are to go: not while one stays that knows nothing else."""
        kind = KINDS["plugins"]
        gates = (key for key, row in self.actual.rows.items() if key[0] == kind.name and row["name"] in GATES)
        everywhere = (key for key in gates if not any(references(kind, self.actual.rows[key])))
        yield from (key for key in everywhere if not self.match.wanted(*key))

    def _behind(self) -> frozenset[Key]:
        """Routes that would take what a held one is to take, perhaps without its gates."""
        waiting = [self.match.entity(*key) for key in self.held if key[0] == "routes" and not self.match.same(key)]
        if not waiting:
            return frozenset()
        free = (key for key in self.desired.rows if key[0] == "routes" and key not in self.held)
        crowd = Crowd(self.desired.rows[key] for key in free if not self.match.same(key))
        hidden = (other for one in waiting for other in crowd.near(one) if crowd.hides(one, other))
        return frozenset(("routes", str(other["id"])) for other in hidden)

    def _beneath(self) -> frozenset[Key]:
        """What must stay because a route does: the routes before it whose requests would fall to it, and its service
        if that is to point elsewhere. Routes that nobody wants any more stay at once."""
        found: set[Key] = set()
        while left := self._remaining():
            found |= {("services", one) for row in left.values() if (one := self._elsewhere(reference(row, "service")))}
            before = self._uncovering(left)
            wanted = {key: self.match.wanted(*key) for key in before}
            found |= {("routes", one) for one in wanted.values() if one}
            gone = [key for key, one in wanted.items() if not one]
            self._stay(gone)
            if not gone:
                break
        return frozenset(found)

    def _remaining(self) -> dict[Key, Entity]:
        """Routes of Kong that reach something and stay as they are, though they or their gates are wanted otherwise."""
        held = ((key[0], self.match.id(*key)) for key in self.held if key[0] == "routes")
        keys = {mine for mine in held if mine in self.actual.rows}
        keys |= {key for key in self._fixed if key[0] == "routes"}
        return {key: row for key in keys if reference(row := self.actual.rows[key], "service")}

    def _elsewhere(self, service: str) -> str:
        """The desired id of a service in Kong that is to point elsewhere, else ""."""
        before = self.actual.get("services", service)
        wanted = self.match.wanted("services", service) if before else ""
        after = self.desired.get("services", wanted)
        return wanted if before and after and order.moved(before, after) else ""

    def _uncovering(self, left: Mapping[Key, Entity]) -> set[Key]:
        """Routes of Kong that would leave these something of what they take before them."""
        parts = {key[1]: found for key, row in self.actual.rows.items() if (found := self._leaving(key, row))}
        crowd = Crowd(self.actual.rows["routes", id_] for id_ in parts)
        pairs = ((low, row) for low in left.values() for row in crowd.near(low))
        return {
            ("routes", str(row["id"]))
            for low, row in pairs
            if any(crowd.hides(row, low, part) for part in parts[row["id"]])
        }

    def _leaving(self, key: Key, row: Entity) -> list[routing.Match]:
        """What a route of Kong gives to others, in parts: all of it if it gets another place among them."""
        if key[0] != "routes" or key in self._fixed:
            return []
        wanted = self.match.wanted(*key)
        if ("routes", wanted) in self.held:
            return []
        after = self.match.entity("routes", wanted) if wanted else None
        return routing.lost(row, after if after and routing.ranked_alike(row, after) else None)

    # -- comparing --------------------------------------------------------------------------------------------------

    def compare(self, wanted: Iterable[Key], there: Iterable[Key]) -> None:
        for key in wanted:
            self._compare(key)
        for key in there:
            self._drop(key)

    def _compare(self, key: Key) -> None:
        if key in self.held or key in self._seen:
            return
        self._seen.add(key)
        if self.match.same(key):
            return
        after = self.match.entity(*key)
        mine = key[0], str(after["id"])
        before = self.actual.rows.get(mine)
        if mine in self._fixed or before == after:
            return
        for _key, problem in faults(self.desired, self.match, self.others, (key,)):
            self.problems.setdefault(key, []).append(problem)
        self.work.put(mine, before, after)

    def _drop(self, key: Key) -> None:
        """Delete what nobody wants any more, and what cannot be without it."""
        todo = [key]
        while todo:
            one = todo.pop()
            if one in self.work.drops or one in self._fixed or one in self._needed:
                continue
            if found := self.match.wanted(*one):
                self._compare((one[0], found))
                continue
            self.work.drops[one] = self.actual.rows[one]
            todo.extend(self.actual.referring(*one))

    # -- the result -------------------------------------------------------------------------------------------------

    def planned(self, unsettled: frozenset[str]) -> Plan:
        made = order.ordered(self.work, unsettled)
        return replace(
            made,
            changes=tuple(self._changes()),
            problems=tuple(problem for found in self.problems.values() for problem in found),
            held=self.held,
            looked=self.match.looked,
            ours=len(self.actual),
        )

    def _changes(self) -> Iterator[Change]:
        rank = {name: n for n, name in enumerate(KINDS)}
        for kind, id_ in sorted(self.work.puts, key=lambda key: (rank[key[0]], key[1])):
            before, after = self.work.puts[kind, id_]
            yield Change(kind, id_, before, after)
        for kind, id_ in sorted(self.work.drops, key=lambda key: (-rank[key[0]], key[1])):
            yield Change(kind, id_, self.work.drops[kind, id_], None)
