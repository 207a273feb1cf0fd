"""What went wrong with whom: from an entity that Kong refuses to the tenants it hurts, and to the text of a rejection.
Pure; called by `sidecar` and the writers.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from kong_sync.entities import KINDS, label
from kong_sync.states import Key, State, owner
from kong_sync.translate import Desired
from tenants.errors import Problem

MOST = 20
"""Faults told in one text; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A desired entity that could not be brought into Kong; `key` is None where it is about all or about none."""

    key: Key | None
    text: str


def located(problem: Problem, wanted: State) -> Fault:
    """The fault of a problem that names an entity of ours by kind and label."""
    rows = (key for key, row in wanted.rows.items() if key[0] == problem.kind and label(KINDS[key[0]], row))
    found = next((key for key in rows if label(KINDS[key[0]], wanted.rows[key]) == problem.id), None)
    return Fault(found, str(problem))


def hurt(fault: Fault, desired: Desired, among: Container[str]) -> frozenset[str]:
    """The tenants, of those that changed just now, that an entity is there for."""
    entity = desired.entities.get(fault.key) if fault.key else None
    if entity is None:
        return frozenset()
    kind, _, name = owner(entity).partition(":")
    if kind == "tenant":
        return frozenset({name}) if name in among else frozenset()
    members = (names for one, names in desired.members.items() if kind == "class" and one.hash == name)
    return frozenset(name for names in members for name in names if name in among)


def unserved(desired: Desired) -> Iterator[Fault]:
    """What the settings say and Kong cannot have, whoever's it is. All else of them is brought into Kong."""
    said = dict.fromkeys(str(one) for one in desired.problems() if one.severity == "error")
    return (Fault(None, one) for one in said)


def text(refused: Iterable[tuple[str, str]], faults: Iterable[Fault]) -> str | None:
    """Why a response is rejected, with the tenants; None if it is not."""
    said = [f"tenant {name}: {why}" for name, why in sorted(refused)]
    said += [one.text for one in faults]
    if not said:
        return None
    more = f"; and {len(said) - MOST} more" if len(said) > MOST else ""
    return "; ".join(said[:MOST]) + more
