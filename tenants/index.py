"""The books of a catalog: who said what, what is in force, who refers to whom, who waits for what. All values.

`Books` changes by returning new books; every step is O(log n). Called by `tenants.catalog` alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from immutables import Map

from tenants.documents import Document, Key
from tenants.errors import Problem
from tenants.faults import Fault
from tenants.findings import Token
from tenants.reading import Given
from tenants.references import exclusive, references

Keys = Map[Key, None]
_NOBODY: Keys = Map()


@dataclass(frozen=True, slots=True)
class Claim:
    """What one file says under one name: a good document, or the problems that keep it from being one."""

    file: str
    given: Given | None
    problems: tuple[Problem, ...] = ()

    @property
    def line(self) -> int:
        """Where it stands."""
        return self.given.line if self.given else min((problem.line for problem in self.problems), default=0)


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything about one name. The first claim counts; `served` is what is in force."""

    claims: tuple[Claim, ...] = ()
    served: Given | None = None
    waits: frozenset[Token] = frozenset()

    @property
    def wanted(self) -> Given | None:
        """What should be in force: the first claim, the last good version while that is broken, else nothing."""
        if not self.claims:
            return None
        return self.claims[0].given or self.served

    def own_problems(self, key: Key) -> tuple[Problem, ...]:
        """Broken claims, and claims beside the first."""
        broken = [problem for claim in self.claims for problem in claim.problems]
        return (*broken, *(self._twice(key, claim) for claim in self.claims[1:] if claim.given))

    def _twice(self, key: Key, claim: Claim) -> Problem:
        first = self.claims[0]
        place = f"{first.file}:{first.line}" if first.line else first.file
        hint = "another id, or take one of the two away"
        assert claim.given is not None
        return claim.given.problem(Fault("GC212", ("id",), f"{key} is given in {place} already", hint))


@dataclass(frozen=True, slots=True)
class Books:
    """The index. `flawed` has the problems by name, `files` those of text that could not be told apart into names."""

    entries: Map[Key, Entry] = Map()  # noqa: RUF009 - it is immutable
    holders: Map[str, Keys] = Map()  # noqa: RUF009 - it is immutable
    users: Map[Key, Keys] = Map()  # noqa: RUF009 - it is immutable
    waiters: Map[Token, Keys] = Map()  # noqa: RUF009 - it is immutable
    flawed: Map[Key, tuple[Problem, ...]] = Map()  # noqa: RUF009 - it is immutable
    files: Map[str, tuple[Problem, ...]] = Map()  # noqa: RUF009 - it is immutable

    def entry(self, key: Key) -> Entry:
        """What is known under a name."""
        return self.entries.get(key) or Entry()

    def serve(self, key: Key, given: Given | None) -> Self:
        """These books with another document in force under a name."""
        entry = self.entry(key)
        old, new = _document(entry.served), _document(given)
        entries = self.entries.set(key, Entry(entry.claims, given, entry.waits))
        if old is new:
            return replace(self, entries=entries)
        holders = _moved(self.holders, _exclusive(old), _exclusive(new), key)
        return replace(
            self, entries=entries, holders=holders, users=_moved(self.users, targets(old), targets(new), key)
        )

    def settle(self, key: Key, problems: tuple[Problem, ...], waits: frozenset[Token]) -> Self:
        """These books with the problems of a name and what it waits for; a name without claims and document goes."""
        entry = self.entry(key)
        if entry.served and waits == entry.waits and not problems and key not in self.flawed:
            return self  # nearly every document of a first load
        flawed = self.flawed.set(key, problems) if problems else _without(self.flawed, key)
        waiters = _moved(self.waiters, entry.waits, waits, key)
        entries = self.entries.set(key, replace(entry, waits=waits))
        if not entry.claims and entry.served is None:
            entries = _without(entries, key)
        return replace(self, entries=entries, flawed=flawed, waiters=waiters)


def targets(document: Document | None) -> frozenset[Key]:
    """The names a document refers to."""
    return frozenset(key for key, _loc in references(document)) if document else frozenset()


def _exclusive(document: Document | None) -> frozenset[str]:
    return frozenset(exclusive(document)) if document else frozenset()


def _document(given: Given | None) -> Document | None:
    return given.document if given else None


def _moved(book: Map, old: Iterable, new: Iterable, key: Key) -> Map:  # type: ignore[type-arg]
    """A book of sets with `key` taken out of the sets of `old` and put into those of `new`."""
    before, after = frozenset(old), frozenset(new)
    for name in before - after:
        rest = _without(book.get(name, _NOBODY), key)
        book = book.set(name, rest) if rest else _without(book, name)
    for name in after - before:
        book = book.set(name, book.get(name, _NOBODY).set(key, None))
    return book


def _without(book: Map, name: object) -> Map:  # type: ignore[type-arg]
    return book.delete(name) if name in book else book
