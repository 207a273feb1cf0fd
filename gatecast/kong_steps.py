"""What a Kong should hold, compared with what it holds, and brought about: the work of `gatecast kong diff`, `sync`,
`drift` and `restore`, for a Kong with a database and for one without.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gatecast.kong_offline import Opened, writing
from gatecast.kong_told import data
from gatecast.output import note
from kong_sync import declarative
from kong_sync.adoption import Match, faults
from kong_sync.backups import loaded
from kong_sync.entities import Entity
from kong_sync.listing import ours
from kong_sync.model import World
from kong_sync.phases import Change, Plan
from kong_sync.states import EMPTY, State
from kong_sync.translate import Options, translate
from kong_sync.verdicts import Fault
from kong_sync.whole import lost, named
from tenants.errors import Problem, Refused


@dataclass(frozen=True, slots=True)
class Wanted:
    """Entities of a gateway. `problems`: what of the settings Kong cannot have."""

    gateway: str
    state: State
    problems: tuple[str, ...] = ()

    @property
    def rows(self) -> Iterator[tuple[str, Entity]]:
        return ((key[0], row) for key, row in self.state.rows.items())


def of_world(world: World, *, alone: bool) -> Wanted:
    """What settings come to."""
    assert world.gateway is not None, "it was chosen"
    desired = translate(world, options=Options(alone))
    state = State.of((key[0], row) for key, row in desired.entities.items())
    return Wanted(world.gateway.id, state, tuple(str(one) for one in desired.problems() if one.severity == "error"))


def of_file(file: Path, gateway: str) -> Wanted:
    """What a backup holds. Raises Refused if it is not one of this gateway."""
    rows = loaded(file)
    if strange := [row["id"] for _kind, row in rows if not {*ours(gateway)} <= {*(row.get("tags") or ())}]:
        raise Refused(f"{file}: {strange[0]} does not carry the tags {', '.join(ours(gateway))}: nothing was changed")
    state = State.of(rows)
    if wrong := [str(one) for _key, one in faults(state, Match(state, EMPTY), EMPTY, state.rows)]:
        raise Refused(f"{file}: {wrong[0]}: nothing was changed")
    return Wanted(gateway, state)


async def compared(on: Opened, wanted: Wanted) -> dict[str, Any]:
    """What leads this Kong there, as JSON; nothing is written."""
    return await _shown(on, wanted, await _planned(on, wanted))


async def _planned(on: Opened, wanted: Wanted) -> Plan:
    await on.database.look()
    await on.database.hold(wanted.rows)
    return on.database.planned()


async def _shown(on: Opened, wanted: Wanted, made: Plan) -> dict[str, Any]:
    if on.whole is None:
        return _with(data(made), wanted.problems)
    found = data(await _replaced(on, wanted.state, made))
    return _with(found | {"digest": named(wanted.state), "waits": 0}, (*wanted.problems, *_told(wanted.state)))


async def brought(on: Opened, wanted: Wanted) -> dict[str, Any]:
    """Do it; what was done, and what Kong refused. Raises limits.TooMuch, Conflict, Unavailable."""
    async with writing(on):
        made = await _planned(on, wanted)
        found = await _shown(on, wanted, made)
        if on.whole is not None:
            faults = await on.whole.give(wanted.state)
            return _with(found, tuple(one.text for one in faults))
        faults = await _written(on, made)
        found = done(found, on.database.planned()) if faults else found
    return _with(found, tuple(one.text for one in faults))


async def _written(on: Opened, made: Plan) -> tuple[Fault, ...]:
    """Carry out a plan, and wait until it is in effect."""
    on.database.allow(made)
    if made.waits:
        note(f"{made.waits} times it waits until what was written is in effect, before it goes on")
    faults = await on.database.converge()
    await on.database.settle()
    return faults


def done(found: dict[str, Any], left: Plan) -> dict[str, Any]:
    """What of a plan was done, where Kong refused some of it; `left` counts the rest."""
    open_ = {(one.kind, one.id) for one in left.changes}
    changes = [one for one in found["changes"] if (one["kind"], one["id"]) not in open_]
    kinds = {verb: Counter(one["kind"] for one in changes if one["change"] == verb) for verb in found["summary"]}
    counts = {verb: sum(each.values()) for verb, each in kinds.items()}
    rest = len(found["changes"]) - len(changes)
    return {
        **found,
        "changes": changes,
        "kinds": {v: {**each} for v, each in kinds.items()},
        "summary": counts,
        "left": rest,
    }


def _with(found: dict[str, Any], problems: tuple[str, ...]) -> dict[str, Any]:
    return {**found, "problems": list(dict.fromkeys([*found["problems"], *problems]))}


async def _replaced(on: Opened, state: State, made: Plan) -> Plan:
    """A push takes away what others gave it, too."""
    assert on.whole is not None, "it has no database"
    assert on.database.mirror is not None, "it was listed"
    held, mine = await on.whole.held(), on.database.mirror.ours.rows
    theirs = tuple(Change(*key, held.rows[key], None) for key in lost(state, held) if key not in mine)
    return replace(made, changes=(*made.changes, *theirs))


def _told(state: State) -> tuple[str, ...]:
    """What is wrong with a whole configuration; warnings are said."""
    found: list[Problem] = list(declarative.problems(state, len(declarative.text(state).encode())))
    for one in found:
        if one.severity != "error":
            note(f"Warning: {one}")
    return tuple(str(one) for one in found if one.severity == "error")
