"""All documents at one revision: what is in force, what is wrong, and what a change touches. An immutable value.

A document with problems stays at its last good version (or absent, if it never had one); all others go on. A removed
document that others refer to stays until nobody does. Whoever holds a host or a path keeps it. A document that waits
for something comes into force when that appears, without being given again. Sources call `apply`; the snapshot builder
reads the maps and `Touched`. `tenants.settling` decides what comes into force.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

from immutables import Map

from tenants.checks import missing
from tenants.documents import Gateway, Key, Tenant
from tenants.effective import serves
from tenants.errors import Problem
from tenants.exactness import Exactness, exact
from tenants.index import Books, Claim, Entry
from tenants.reading import Given, line_of
from tenants.served import SHELVES, Served
from tenants.settling import Settled, adopt, settle, shape


@dataclass(frozen=True, slots=True)
class Changes:
    """What a source has found out.

    `put`: good documents. `broken`: problems of documents that could not be built (they stay at their last good
    version), and of text without a readable kind and id. `drop`: names nobody gives any more, in whatever file.
    `withdrawn`: (file, name) pairs one file no longer gives, for sources that have files. `read`: files read anew or
    gone: their former problems without a name are forgotten. Of one (file, name), `put` and `broken` replace everything
    said before.
    """

    put: tuple[Given, ...] = ()
    drop: frozenset[Key] = frozenset()
    broken: tuple[Problem, ...] = ()
    withdrawn: frozenset[tuple[str, Key]] = frozenset()
    read: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Touched:
    """Ids of what must be translated anew; an id may be of a document that is gone."""

    gateways: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Catalog(Served):
    """The documents in force at a revision, with their problems. `books` is the index and belongs to this file.

    `exactness` is how exactly proxies do what policies say.
    """

    revision: int = 0
    books: Books = field(default_factory=Books, repr=False)
    exactness: Exactness = field(default=exact, repr=False)

    @classmethod
    def empty(cls, exactness: Exactness = exact) -> Self:
        """No documents, revision 0."""
        return cls(exactness=exactness)

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem there is, by file, line and document."""
        named = (problem for found in self.books.flawed.values() for problem in found)
        loose = (problem for found in self.books.files.values() for problem in found)
        return tuple(sorted((*named, *loose, *missing(self, self.books.entries)), key=_place))

    def problems_of(self, key: Key) -> tuple[Problem, ...]:
        """The problems of one document."""
        return self.books.flawed.get(key, ())

    def given(self, key: Key) -> Given | None:
        """A document in force, with its file and line."""
        entry = self.books.entries.get(key)
        return entry.served if entry else None

    def settled(self, key: Key) -> bool:
        """Under this name one document is given and in force, or none is given and none in force."""
        entry = self.books.entries.get(key)
        return entry is None or (len(entry.claims) == 1 and entry.claims[0].given is entry.served is not None)

    def hurt(self, before: "Catalog") -> tuple[Problem, ...]:
        """The problems of documents that were not there before."""
        old = before.books.flawed
        return tuple(one for key, found in self.books.flawed.items() for one in found if one not in old.get(key, ()))

    def located(self, problem: Problem) -> Problem:
        """A problem that somebody found who knows documents and no files: with the file and line of its field."""
        given = self.given(Key(problem.kind, problem.id))
        if given is None or problem.file:
            return problem
        line = line_of(given.source, tuple(problem.path.split(".")), given.line)
        return replace(problem, file=given.file, line=line)

    def apply(self, changes: Changes) -> "Step":
        """The catalog after these changes; the same catalog if they say nothing new."""
        books, dirty = _said(self.books, changes)
        if not dirty and books.files is self.books.files:
            return Step(self, Touched())
        return self._after(settle(self, books, dirty, self.exactness))

    def adopt(self, changes: Changes) -> "Step":
        """The catalog after these changes were found good elsewhere: they are in force, whatever is wrong with them.

        What a store holds is in force on every server that reads it, in whatever order it came; faults beside others
        are only told. A document that cannot be built stays as it was.
        """
        books, dirty = _said(self.books, changes)
        if not dirty and books.files is self.books.files:
            return Step(self, Touched())
        return self._after(adopt(self, books, dirty, self.exactness))

    def _after(self, settled: Settled) -> "Step":
        shelves = {shelf: getattr(settled.now, shelf) for shelf in SHELVES.values()}
        after = type(self)(
            **shelves, revision=self.revision + 1, books=settled.books, exactness=self.exactness
        )  # fmt: skip
        return Step(after, _touched(self, after, settled.changed), settled.checked, settled.changed)


@dataclass(frozen=True, slots=True)
class Step:
    """What `apply` came to. `checked` counts the documents that were checked beside others; `changed` are the names
    under which another document is in force, or none any more.
    """

    catalog: Catalog
    touched: Touched
    checked: int = 0
    changed: frozenset[Key] = frozenset()


def _place(problem: Problem) -> tuple[str, int, str, str, str, str, str]:
    return problem.file, problem.line, problem.kind, problem.id, problem.path, problem.code, problem.message


def _said(books: Books, changes: Changes) -> tuple[Books, frozenset[Key]]:
    """The books with every claim as the changes have it, and the names that were spoken about."""
    new: dict[Key, dict[str, list[Claim]]] = defaultdict(lambda: defaultdict(list))
    for given in changes.put:
        new[given.key][given.file].append(Claim(given.file, given))
    named, loose = _sorted_out(changes.broken)
    for (key, file), problems in named.items():
        new[key][file].append(Claim(file, None, tuple(problems)))
    gone: dict[Key, set[str]] = defaultdict(set)
    for file, key in changes.withdrawn:
        gone[key].add(file)
    entries, dirty = books.entries, set()
    for key in sorted(frozenset(new) | changes.drop | frozenset(gone)):
        entry = entries.get(key) or Entry()
        kept = () if key in changes.drop else tuple(claim for claim in entry.claims if claim.file not in gone[key])
        claims = _claims(kept, new[key])
        if claims != entry.claims:
            dirty.add(key)
            entries = entries.set(key, replace(entry, claims=claims))
    files = _files(books.files, changes.read, loose)
    return replace(books, entries=entries, files=files), frozenset(dirty)


def _sorted_out(
    broken: tuple[Problem, ...],
) -> tuple[dict[tuple[Key, str], list[Problem]], dict[str, list[Problem]]]:
    named: dict[tuple[Key, str], list[Problem]] = defaultdict(list)
    loose: dict[str, list[Problem]] = defaultdict(list)
    for problem in broken:
        if problem.kind and problem.id:
            named[Key(problem.kind, problem.id), problem.file].append(problem)
        else:
            loose[problem.file].append(problem)
    return named, loose


def _claims(kept: tuple[Claim, ...], new: dict[str, list[Claim]]) -> tuple[Claim, ...]:
    """Claims of a file take the place of what that file said before; others stand behind, by file and line."""
    claims: list[Claim] = []
    placed: set[str] = set()
    for claim in kept:
        claims += [claim] if claim.file not in new else new[claim.file] if claim.file not in placed else []
        placed.add(claim.file)
    later = [claim for file in sorted(new) if file not in placed for claim in new[file]]
    return (*claims, *later)


def _files(
    files: Map[str, tuple[Problem, ...]], read: frozenset[str], loose: dict[str, list[Problem]]
) -> Map[str, tuple[Problem, ...]]:
    for file in read & frozenset(files):
        files = files.delete(file)
    for file, problems in loose.items():
        files = files.set(file, tuple(problems))
    return files


def _touched(before: Served, after: Catalog, changed: frozenset[Key]) -> Touched:
    kinds = ("Gateway", "Tenant", "Service", "Certificate")
    ids = {kind: frozenset(key.id for key in changed if key.kind == kind) for kind in kinds}
    tenants = set(ids["Tenant"])
    for key in changed:
        tenants |= _tenants_of(key, before, after)
    return Touched(ids["Gateway"], frozenset(tenants), ids["Service"], ids["Certificate"])


def _tenants_of(key: Key, before: Served, after: Catalog) -> frozenset[str]:
    """The tenants whose settings depend on a document that changed."""
    match key.kind:
        case "Organisation":
            return frozenset(user.id for user in after.books.users.get(key, Map()) if user.kind == "Tenant")
        case "Route":
            return frozenset(after.tenants)
        case "Gateway":
            old, new = before.gateways.get(key.id), after.gateways.get(key.id)
            if shape(old) == shape(new):
                return frozenset()
            return frozenset(name for name, tenant in after.tenants.items() if _either(old, new, tenant))
        case _:
            return frozenset()


def _either(old: Gateway | None, new: Gateway | None, tenant: Tenant) -> bool:
    return any(gateway is not None and serves(gateway, tenant) for gateway in (old, new))
