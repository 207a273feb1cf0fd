"""How routes get from one match to another: widened, narrowed, closed first, or blocked meanwhile. Pure; called by
`order`, which says when. Why: `docs/decisions/0012-kong-plan.md`.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from kong_sync import routing
from kong_sync.entities import Entity
from kong_sync.gates import Finds, acting, alike, replaced
from kong_sync.phases import Step, put
from kong_sync.states import reference
from kong_sync.work import Work

Write = tuple[Entity, Entity]
"""The body of a write, and the route whose place among the others counts for it."""


@dataclass(frozen=True, slots=True)
class Moves:
    """The writes to routes, by id; `early`: opened before gates change in place. Those that are `blocked` have steps
    of their own."""

    early: dict[str, Write] = field(default_factory=dict)
    close: dict[str, Write] = field(default_factory=dict)
    open: dict[str, Write] = field(default_factory=dict)
    narrow: dict[str, Write] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)


def moves(work: Work, finds: Finds, moved: frozenset[str]) -> Moves:
    """What is written to routes that are there or are to be opened. `moved`: services that will point elsewhere."""
    made, look = Moves(), _Look(work)
    changed = [(before, after) for _key, before, after in work.put_of("routes")]
    for before, after in [*changed, *((row, None) for key, row in work.drops.items() if key[0] == "routes")]:
        if before is None or routing.parked(before):
            if after is not None:
                made.open[after["id"]] = after, after
        elif after is not None and (_leaves(before, after, moved) or _outranks(look, before, after)):
            made.blocked.add(after["id"])
        elif after is not None and routing.covers(routing.match(after), routing.match(before)):
            made.open[after["id"]] = after, after
        else:
            _losing(made, before, after, _other(finds, moved, before, after))
    if moved or finds.changed:
        _go_early(made, finds, moved, look)
    made.blocked.update(*(_tangled(writes) for writes in (made.early, made.open, made.narrow)))
    if made.close or made.blocked:
        _close_safely(made, work, look)
        _block_behind(made, work, look, lambda place: _robbed(finds, moved, look, place))
    return made


def _other(finds: Finds, moved: Container[str], before: Entity, after: Entity | None) -> bool:
    """Whether what a route loses would meanwhile meet another gate, or another place."""
    everywhere = after is None or after.get("paths") != before.get("paths")
    gates = replaced(finds.now, finds.mid, before, everywhere=everywhere)
    return reference(before, "service") in moved or next(gates, None) is not None


def _go_early(made: Moves, finds: Finds, moved: Container[str], look: "_Look") -> None:
    """A route that takes something from one whose gate or place changes goes before that: else what it takes would
    meanwhile meet what is not meant for it. If its own gates do not allow that, the other is blocked."""
    for id_, (_body, place) in list(made.open.items()):
        robbed = _robbed(finds, moved, look, place)
        if not robbed or id_ in made.early:
            continue
        first = _before(made, look, id_)
        if all(_ready(finds, moved, made.open[one][1]) for one in first):
            made.early.update({one: made.open[one] for one in first})
        else:
            made.blocked.update(robbed)
    for id_ in made.early:
        del made.open[id_]


def _robbed(finds: Finds, moved: Container[str], look: "_Look", place: Entity) -> set[str]:
    """Routes as they are from which this one takes something, and whose gate or place changes."""
    near = (row for row in look.crowd.near(place) if look.there.get(row["id"]) is row)
    return {row["id"] for row in near if look.crowd.hides(place, row) and _differs(finds, moved, row, place)}


def _differs(finds: Finds, moved: Container[str], robbed: Entity, place: Entity) -> bool:
    service = reference(robbed, "service")
    if service in moved and service != reference(place, "service"):
        return True
    mine = place["id"], reference(place, "service")
    for row in replaced(finds.now, finds.mid, robbed, everywhere=False):
        here = acting(finds.mid, row["name"], *mine)
        if here is None or here["id"] != row["id"]:
            return True
    return False


def _ready(finds: Finds, moved: Container[str], place: Entity) -> bool:
    return reference(place, "service") not in moved and alike(finds.early, finds.mid, place)


def _before(made: Moves, look: "_Look", id_: str) -> set[str]:
    """A route, and all that must be opened before it."""
    found, todo = {id_}, [id_]
    while todo:
        place = made.open[todo.pop()][1]
        near = {row["id"] for row in look.crowd.near(place)} & made.open.keys() - found
        more = {one for one in near if look.crowd.hides(made.open[one][1], place)}
        found |= more
        todo.extend(more)
    return found


def _leaves(before: Entity, after: Entity, moved: Container[str]) -> bool:
    """Whether a route goes away from a service that points elsewhere by then."""
    service = reference(before, "service")
    return service in moved and service != reference(after, "service")


def _outranks(look: "_Look", before: Entity, after: Entity) -> bool:
    """Whether its place among routes changes while others may take the same requests, now or then."""
    if routing.ranked_alike(before, after):
        return False
    forms = (before, after)
    return any(look.crowd.meet(other, form) for form in forms for other in look.crowd.near(form))


class _Look:
    """All routes as they are and as they will be; made when it is first needed."""

    def __init__(self, work: Work) -> None:
        self._work = work

    @cached_property
    def there(self) -> dict[str, Entity]:
        return {key[1]: row for key, row in self._work.actual.rows.items() if key[0] == "routes"}

    @cached_property
    def crowd(self) -> routing.Crowd:
        return routing.Crowd([*self.there.values(), *(row for _key, _before, row in self._work.put_of("routes"))])


def _losing(moves: Moves, before: Entity, after: Entity | None, replaced: bool) -> None:
    """A route that loses values: at last if it can be, else at first."""
    id_ = before["id"]
    if after is None:
        if reference(before, "service"):
            (moves.close if replaced else moves.narrow)[id_] = routing.park(before), before
        return
    mine, theirs = routing.match(before), routing.match(after)
    stays = reference(before, "service") == reference(after, "service")
    if stays and routing.covers(mine, theirs):
        (moves.close if replaced else moves.narrow)[id_] = after, before
    elif stays and not replaced and routing.unites(mine, theirs):
        moves.open[id_] = routing.both(after, before), after
        moves.narrow[id_] = after, before
    else:
        moves.close[id_] = routing.shared(before, after), before
        moves.open[id_] = after, after


def _close_safely(moves: Moves, work: Work, look: _Look) -> None:
    """What is given away at first must not fall to a route that is not yet, or no more, meant to have it.

    One that is about to lose it too goes at first as well, before. Otherwise the route keeps what it takes and answers
    503 until all others are as they will be; so do those behind it that change.
    """
    there, todo = look.there, list(moves.close)
    while todo:
        id_ = todo.pop()
        parts = routing.lost(there[id_], work.after("routes", id_))
        heirs = {row["id"] for row in look.crowd.near(there[id_]) if there.get(row["id"]) is row}
        heirs = {one for one in heirs if _inherits(look, there[id_], there[one], parts)}
        for heir in heirs & moves.narrow.keys():
            moves.narrow.pop(heir)
            moves.open.pop(heir, None)
            _losing(moves, there[heir], work.after("routes", heir), True)
            todo.append(heir)
        left = (moves.close[heir][0] if heir in moves.close else there[heir] for heir in heirs)
        if any(_inherits(look, there[id_], row, parts) for row in left):
            moves.blocked.add(id_)
    moves.blocked.update(_tangled(moves.close))


def _tangled(writes: Mapping[str, Write]) -> set[str]:
    """Those that no order puts right: they hide parts of each other."""
    return writes.keys() - routing.layers(places(writes)).keys()


def _inherits(look: _Look, before: Entity, other: Entity, parts: Iterable[routing.Match]) -> bool:
    return any(look.crowd.hides(before, other, part) for part in parts)


def _block_behind(moves: Moves, work: Work, look: _Look, robbed: Callable[[Entity], set[str]]) -> None:
    """Routes that change and stand behind a blocked one are blocked too, and those from which it takes something."""
    kinds = (moves.early, moves.close, moves.open, moves.narrow)
    changing = {id_ for writes in kinds for id_ in writes} - moves.blocked
    todo = list(moves.blocked)
    while todo:
        id_ = todo.pop()
        after = work.after("routes", id_)
        todo.extend(new := (robbed(after) if after else set()) - moves.blocked)
        moves.blocked.update(new)
        for mine in (one for one in (look.there.get(id_), after) if one):
            for other in look.crowd.near(mine):
                if other["id"] in changing and look.crowd.hides(mine, other):
                    changing.remove(other["id"])
                    moves.blocked.add(other["id"])
                    todo.append(other["id"])
    for id_ in moves.blocked:
        for writes in kinds:
            writes.pop(id_, None)


def blocked(work: Work, ids: Iterable[str], step: str) -> list[Step]:
    """One of the four steps of blocked routes: nothing behind them; all they took and will take; only that; open."""
    made = []
    for id_ in sorted(ids):
        if ("routes", id_) not in work.puts and ("routes", id_) not in work.drops and step in ("cover", "settle"):
            continue
        before, after = work.actual.get("routes", id_), work.after("routes", id_)
        before = None if before and routing.parked(before) else before
        if step == "close" and before and reference(before, "service"):
            made.append((routing.blocked(before), after))
        elif step == "cover" and after:
            made.append((routing.blocked(routing.hull(after, before) if before else after), after))
        elif step == "settle" and before:
            made.append((routing.blocked(after) if after else routing.park(before), after))
        elif step == "reopen" and after and reference(after, "service"):
            made.append((after, after))
    return [put("routes", body, part=body != last) for body, last in made]


def places(writes: Mapping[str, tuple[Entity, Entity]]) -> list[tuple[str, Entity]]:
    return [(id_, place) for id_, (_body, place) in writes.items()]
