"""What an automatic source says beside what is in force, and what is to be written of it. Pure.

`gatecast.feeds` keeps one for each source and hears what that yields; `gatecast.ledger` tries the open part on the
catalog, writes what comes into force by it, and leaves open what does not: broken, waiting for another document, still
referred to, given twice, or kept out because the name is another source's or pinned.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from immutables import Map

from tenants.catalog import Catalog, Changes, Step
from tenants.documents import Key
from tenants.errors import Problem
from tenants.faults import Fault
from tenants.reading import Given, body
from tenants.sources.stored import changed, source_of
from tenants.store.revisions import Change, Write, owner

KEPT_OUT = frozenset({"GC226", "GC227"})
"""Problems of a name that is another source's, or pinned."""

Word = tuple[Given | Problem, ...]
"""What one place (a file) says under a name: a good document, or its problems; nothing: it says it no more."""

Words = Map[str, Word]
"""By place, what is said under one name."""

_NONE: Words = Map()


@dataclass(frozen=True, slots=True)
class Wishes:
    """`whole`: everything the source says. `open`: what of it, or of what it says no more, is not so yet.

    `loose`: by place, problems of text that could not be told apart into names.
    """

    whole: Map[Key, Words] = Map()  # noqa: RUF009 - it is immutable
    open: Map[Key, Words] = Map()  # noqa: RUF009 - it is immutable
    loose: Map[str, tuple[Problem, ...]] = Map()  # noqa: RUF009 - it is immutable

    def heard(self, found: Changes) -> Self:
        """These after the source has found out something."""
        whole, open = self.whole.mutate(), self.open.mutate()
        for (key, place), word in self._words(found).items():
            said = whole.get(key, _NONE)
            said = said.set(place, word) if word else said.delete(place) if place in said else said
            if said:
                whole[key] = said
            else:
                whole.pop(key, None)
            open[key] = open.get(key, _NONE).set(place, word)
        return replace(self, whole=whole.finish(), open=open.finish(), loose=_loose(self.loose, found))

    def again(self, own: Mapping[Key, str], keys: Collection[Key] | None = None) -> Self:
        """These with everything open again, or what is under these names.

        `own`: the place of each document that the source has in force. What it does not say any more is to go, unless
        some of what it says cannot be read, or it has said nothing at all.
        """
        own = own if self.whole and not self.loose else {}
        some = {*self.whole, *own}
        opened = self.open.mutate()
        for key in some if keys is None else some & set(keys):
            said = self.whole.get(key, _NONE)
            gone: dict[str, Word] = {own[key]: ()} if key in own and own[key] not in said else {}
            opened[key] = opened.get(key, _NONE).update(gone).update(said)
        return replace(self, open=opened.finish())

    def kept(
        self, catalog: Catalog, sources: Mapping[Key, str], pins: Collection[Key], family: str
    ) -> dict[Key, tuple[Problem, ...]]:
        """What is open and not the source's to say now, with the problem; without one where it is so already."""
        found = {}
        for key, said in self.open.items():
            source = sources.get(key)
            foreign = source is not None and owner(source) != family
            if foreign or key in pins:
                found[key] = tuple(_kept_out(catalog, key, said, source if foreign else None))
        return found

    def changes(self, kept: Collection[Key]) -> Changes:
        """What is open, but for what is kept out, as changes for the catalog."""
        spoken = [
            (key, place, word) for key, said in self.open.items() if key not in kept for place, word in said.items()
        ]
        parts = [part for _key, _place, word in spoken for part in word]
        put = sorted((one for one in parts if isinstance(one, Given)), key=lambda one: (one.file, one.line, one.key))
        broken = sorted(
            (one for one in parts if isinstance(one, Problem)), key=lambda one: (one.file, one.line, str(one))
        )
        gone = frozenset((place, key) for key, place, word in spoken if not word)
        return Changes(tuple(put), frozenset(), tuple(broken), gone)

    def writes(self, trial: Step, kept: Collection[Key], sources: Mapping[Key, str], family: str) -> tuple[Write, ...]:
        """What comes into force by a trial of `changes`, or comes from another place now, as writes for the store."""
        return tuple(
            write
            for key in sorted(self.open)
            if key not in kept and (write := _write(trial, key, sources.get(key, ""), family)) is not None
        )

    def settled(self, after: Catalog, kept: Mapping[Key, tuple[Problem, ...]]) -> frozenset[Key]:
        """What is no longer open after the trial: in force, gone, or so already."""
        return frozenset(key for key in self.open if (not kept[key] if key in kept else after.settled(key)))

    def taken(self, trial: Step, done: Iterable[Change], settled: Collection[Key]) -> Changes:
        """What the catalog is to take over of a trial that left something open: what was written, and its places."""
        made, now = changed(done), trial.catalog.given
        put = {one.key: one for one in made.put}
        put |= {key: given for key in (*put, *settled) if (given := now(key)) is not None}
        return Changes(tuple(put.values()), made.drop | put.keys(), made.broken)

    def without(self, asked: "Wishes", settled: Iterable[Key]) -> Self:
        """These without what was settled, unless the source has said something else since it was asked."""
        open = self.open.mutate()
        for key in settled:
            if open.get(key) is asked.open.get(key):
                del open[key]
        return replace(self, open=open.finish())

    def problems(self, after: Catalog, kept: Mapping[Key, tuple[Problem, ...]]) -> dict[Key, tuple[Problem, ...]]:
        """What is wrong with what is open, by name, or by ("file", place) where there is none."""
        named = {key: kept[key] if key in kept else after.problems_of(key) for key in self.open}
        return {**named, **{Key("file", place): found for place, found in self.loose.items()}}

    def _words(self, found: Changes) -> dict[tuple[Key, str], Word]:
        words: dict[tuple[Key, str], list[Given | Problem]] = defaultdict(list)
        dropped = ((name, place) for name in found.drop for place in self.whole.get(name, _NONE))
        for name, place in (*dropped, *((name, place) for place, name in found.withdrawn)):
            words[name, place] = []
        for given in found.put:
            words[given.key, given.file].append(given)
        for problem in found.broken:
            if problem.kind and problem.id:
                words[Key(problem.kind, problem.id), problem.file].append(problem)
        return {where: tuple(parts) for where, parts in words.items()}


def _loose(before: Map[str, tuple[Problem, ...]], found: Changes) -> Map[str, tuple[Problem, ...]]:
    after = before.mutate()
    for place in found.read:
        after.pop(place, None)
    new: dict[str, list[Problem]] = defaultdict(list)
    for problem in found.broken:
        if not (problem.kind and problem.id):
            new[problem.file].append(problem)
    after.update({place: tuple(problems) for place, problems in new.items()})
    return after.finish()


def _kept_out(catalog: Catalog, key: Key, said: Words, source: str | None) -> Iterator[Problem]:
    """`source`: whose the document is; None where it is pinned."""
    now = catalog.get(key)
    first = next((part for _place, word in sorted(said.items()) for part in word), None)
    if first is None or (isinstance(first, Given) and first.document == now):
        return
    code, message, hint = "GC227", f"{key} is pinned since it was restored or deleted, so this is kept out", "unpin it"
    if source is not None:
        code, message, hint = "GC226", f"{key} comes from {source}, so this is kept out", "delete one of the two"
    if isinstance(first, Given):
        yield first.problem(Fault(code, ("id",), message, hint))
    else:
        tenant = key.id if key.kind == "Tenant" else ""
        yield Problem(code, key.kind, key.id, "id", message, hint, first.file, first.line, tenant)


def _write(trial: Step, key: Key, before: str, family: str) -> Write | None:
    given = trial.catalog.given(key)
    if given is None:
        return Write.delete(key, source=before) if before else None
    source = source_of(family, given.file)
    if key in trial.changed or (before != source and trial.catalog.settled(key)):
        return Write.put(body(given), source=source)
    return None
