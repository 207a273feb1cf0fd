"""Decides what a set of writes comes to, given what the store holds. Pure; `Store` calls it under the lock.

Rules: an expectation that does not hold refuses everything. A document belongs to the owner of its source. Operators
are refused what belongs to a file or registry, unless they take it over (`force`). Automatic sources are kept out of
single documents and go on with the others; a pin keeps them out even with `force`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tenants.documents import Key
from tenants.errors import Refused
from tenants.store.errors import Foreign, Stale
from tenants.store.revisions import AUTOMATIC, By, Change, KeptOut, Revision, Stored, Write, canonical, owner


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds under the names of some writes."""

    revision: int
    documents: Mapping[Key, Stored]
    pinned: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What will change, which names get a pin, and which writes are kept out."""

    changes: tuple[Change, ...] = ()
    pins: tuple[Key, ...] = ()
    kept_out: tuple[KeptOut, ...] = ()


def decide(held: Held, writes: Sequence[Write], by: By, *, if_revision: int | None = None, force: bool = False) -> Plan:
    """What these writes come to. Raises `Stale` or `Foreign`, or `Refused` if a name is written twice."""
    if if_revision is not None and if_revision != held.revision:
        raise Stale(None, str(if_revision), str(held.revision))
    _distinct(writes)
    changes: list[Change] = []
    kept_out: list[KeptOut] = []
    for write in writes:
        before, source = held.documents.get(write.key), write.source or by.source
        _expected(write, before)
        change = Change(write.key, before, _after(write, source, held.revision + 1))
        if _same(change):
            continue
        if why := _kept_out(change, source, write.key in held.pinned, force):
            kept_out.append(why)
        else:
            changes.append(change)
    pins = tuple(change.key for change in changes if _would_come_back(change, by))
    return Plan(tuple(changes), pins, tuple(kept_out))


def restored(revision: int, ways: Iterable[Change]) -> Plan:
    """The plan that takes each change back. What a file or registry wrote gets a pin, or it would write it again."""
    changes = tuple(_back(way, revision + 1) for way in ways)
    pins = tuple(change.key for change in changes if _automatic(change.before) or _automatic(change.after))
    return Plan(changes, pins)


def digest(revision: Revision, changes: Iterable[Change]) -> str:
    """A hash of a revision and of every document before and after: what the audit chain says about it."""
    head = [revision.number, revision.at, revision.author, revision.source, revision.reason, revision.request_id]
    lines = [[*change.key, *_traces(change.before), *_traces(change.after)] for change in changes]
    lines.sort(key=lambda line: line[:2])
    return hashlib.sha256(canonical([*head, revision.restores, lines]).encode()).hexdigest()


def _traces(stored: Stored | None) -> tuple[str, str, int]:
    return (stored.etag, stored.source, stored.revision) if stored else ("", "", 0)


def _distinct(writes: Sequence[Write]) -> None:
    seen: set[Key] = set()
    for write in writes:
        if write.key in seen:
            raise Refused(f"{write.key} is written twice in one request: say it once")
        seen.add(write.key)


def _expected(write: Write, before: Stored | None) -> None:
    current = before.etag if before and write.expected else None
    if write.expected and not write.expected.holds(current):
        raise Stale(write.key, str(write.expected), current or "absent")


def _after(write: Write, source: str, revision: int) -> Stored | None:
    return None if write.text is None else Stored(write.key, write.text, source, revision)


def _same(change: Change) -> bool:
    """Whether nothing would be new. An operator's other tool is no news; another file is."""
    before, after = change.before, change.after
    if before is None or after is None:
        return before is after
    moved = before.source != after.source and {owner(before.source), owner(after.source)} != {"operator"}
    return before.text == after.text and not moved


def _kept_out(change: Change, source: str, pinned: bool, force: bool) -> KeptOut | None:
    automatic, before = owner(source) in AUTOMATIC, change.before
    if automatic and pinned:
        return KeptOut(change.key, "pinned", before.source if before else "", source)
    if before is None or owner(before.source) == owner(source) or force:
        return None
    if not automatic:
        raise Foreign(change.key, before.source, source)
    return KeptOut(change.key, "foreign", before.source, source)


def _would_come_back(change: Change, by: By) -> bool:
    """Whether an operator deletes what a file or registry would write again at its next look."""
    return change.after is None and _automatic(change.before) and owner(by.source) not in AUTOMATIC


def _automatic(stored: Stored | None) -> bool:
    return stored is not None and owner(stored.source) in AUTOMATIC


def _back(way: Change, revision: int) -> Change:
    target = way.before and Stored(way.key, way.before.text, way.before.source, revision)
    return Change(way.key, way.after, target)
