"""Decides what the answers of a registry come to: what is new, what is broken, and when something forgotten is retired.
Pure; `tenants.sources.registry` calls it.

A registry that forgets a document may be restored from an old backup, or answer from half of its shards. So a document
it no longer lists stays until it was missing in several answers in a row, over some minutes. And when a great part is
missing at once, nothing of that is retired at all, until it is listed again or somebody says that it is meant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from immutables import Map

from tenants.catalog import Changes
from tenants.documents import Key
from tenants.errors import Problem
from tenants.reading import Given, take
from tenants.store.revisions import canonical

PLACE = "registry"
"""Where its documents stand in the catalog."""

Word = tuple[Given | Problem, ...]


@dataclass(frozen=True, slots=True)
class Caution:
    """When something that is no longer listed is retired: missing in so many answers, over so many seconds.

    Not at all while more than `most` of all documents, and more than `few`, are missing.
    """

    answers: int = 3
    seconds: float = 600.0
    most: float = 0.2
    few: int = 10


@dataclass(frozen=True, slots=True)
class Missing:
    """Since when, on any clock, and in how many answers."""

    since: float
    answers: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What the registry has said, with what is missing of it."""

    words: Map[Key, Word] = Map()  # noqa: RUF009 - it is immutable
    missing: Map[Key, Missing] = Map()  # noqa: RUF009 - it is immutable
    loose: tuple[Problem, ...] = ()


def remembered(before: Iterable[Given]) -> Listing:
    """What it said when an earlier process asked."""
    words: dict[Key, Word] = {given.key: (given,) for given in before}
    return Listing(Map(words))


def heard(
    last: Listing, documents: Iterable[Any], now: float, caution: Caution, *, trusting: bool = False
) -> tuple[Listing, Changes]:
    """After an answer with these documents. `trusting`: it is believed also where much is missing."""
    words, loose = _words(documents)
    missing = _missing(last, words, now)
    gone = frozenset() if loose else _retired(missing, now, caution)
    if not trusting and (why := _doubt(last, missing, caution)):
        loose, gone = (*loose, why), frozenset[Key]()
    after = _after(last, words, missing, gone, loose)
    return after, _changes(last, after, gone)


def same(last: Listing, now: float, caution: Caution, *, trusting: bool = False) -> tuple[Listing, Changes]:
    """After an answer that nothing has changed: what was missing is missing still."""
    listed = {key: word for key, word in last.words.items() if key not in last.missing}
    missing = {key: replace(one, answers=one.answers + 1) for key, one in last.missing.items()}
    gone = _retired(missing, now, caution) if trusting or not last.loose else frozenset[Key]()
    after = _after(last, listed, missing, gone, last.loose)
    return after, _changes(last, after, gone)


def _after(
    last: Listing,
    listed: Mapping[Key, Word],
    missing: Mapping[Key, Missing],
    gone: frozenset[Key],
    loose: tuple[Problem, ...],
) -> Listing:
    kept = [key for key in missing if key not in gone]
    words = {**listed, **{key: last.words[key] for key in kept}}
    return Listing(Map(words), Map({key: missing[key] for key in kept}), loose)


def _words(documents: Iterable[Any]) -> tuple[dict[Key, Word], tuple[Problem, ...]]:
    words: dict[Key, Word] = {}
    loose: list[Problem] = []
    for body in documents:
        made = take(body, PLACE)
        if isinstance(made, Given):
            words[made.key] = (*words.get(made.key, ()), replace(made, source=canonical(body)))
        elif made[0].kind and made[0].id:
            key = Key(made[0].kind, made[0].id)
            words[key] = (*words.get(key, ()), *made)
        else:
            loose += made
    return words, tuple(loose)


def _missing(last: Listing, words: Mapping[Key, Word], now: float) -> dict[Key, Missing]:
    before = {key: last.missing.get(key, Missing(now, 0)) for key in last.words if key not in words}
    return {key: replace(one, answers=one.answers + 1) for key, one in before.items()}


def _retired(missing: Mapping[Key, Missing], now: float, caution: Caution) -> frozenset[Key]:
    return frozenset(
        key for key, one in missing.items() if one.answers >= caution.answers and now - one.since >= caution.seconds
    )


def _doubt(last: Listing, missing: Mapping[Key, Missing], caution: Caution) -> Problem | None:
    """Also a slow loss is one: what is missing and not retired yet counts together."""
    if len(missing) <= caution.few or len(missing) <= caution.most * len(last.words):
        return None
    text = f"the registry lists {len(missing)} of {len(last.words)} documents no more; all of them stay in force"
    return Problem("GC012", "", "", "", text, "mend the registry, or start with --allow-empty", PLACE)


def _changes(last: Listing, after: Listing, gone: frozenset[Key]) -> Changes:
    new = [part for key, word in after.words.items() if last.words.get(key) != word for part in word]
    put = sorted((one for one in new if isinstance(one, Given)), key=lambda one: one.key)
    broken = sorted((one for one in new if isinstance(one, Problem)), key=str)
    read = frozenset({PLACE}) if last.loose != after.loose else frozenset[str]()
    told = (*broken, *(after.loose if read else ()))
    return Changes(tuple(put), frozenset(), told, frozenset((PLACE, key) for key in gone), read)
