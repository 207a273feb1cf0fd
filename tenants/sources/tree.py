"""Decides what the files of a directory come to: from what changed on disk to `Changes` for the catalog. Pure.

`Files` remembers what each file said last, `step` hears what some say now; `tenants.sources.directory` calls it.

Rules. A file that cannot be told apart into documents withdraws nothing. Neither do the files that changed together
with it, because what they lost may stand in it (moved there by the same commit); they do so once every file can be
read again. And when nothing at all would be left, nothing is taken away: nobody means to delete every tenant.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from immutables import Map

from tenants.catalog import Changes
from tenants.documents import Key
from tenants.errors import Problem
from tenants.reading import Given, Reading, read
from tenants.sources.stamps import Content, Unreadable

SHOWN = 3

Word = tuple[Given | Problem, ...]
"""What a file says under one name: a good document, or its problems; more than that if it is there twice."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one file said last.

    `mark` tells its content from another. `kept` are those of `words` that it does not say any more, or may not.
    `loose` are problems that belong to no named document. `complete` as in `Reading`.
    """

    mark: Content = None
    words: Map[Key, Word] = Map()  # noqa: RUF009 - it is immutable
    kept: frozenset[Key] = frozenset()
    loose: tuple[Problem, ...] = ()
    complete: bool = True


_NOTHING = Said()
UNHEARD = b""
"""The mark of no content: no hash is empty."""


@dataclass(frozen=True, slots=True)
class Files:
    """What all files said last, by path relative to the directory.

    `torn`: the files that are not complete. `held`: what was heard and not believed, because no document would be left.
    """

    said: Map[str, Said] = Map()  # noqa: RUF009 - it is immutable
    torn: frozenset[str] = frozenset()
    held: Map[str, Content] = Map()  # noqa: RUF009 - it is immutable


def remembered_files(before: Iterable[Given]) -> Files:
    """Files that said this when they were last listened to, before this process was."""
    words: dict[str, dict[Key, Word]] = {}
    for given in before:
        words.setdefault(given.file, {})[given.key] = (given,)
    return Files(Map({path: Said(UNHEARD, Map(said)) for path, said in words.items()}))


def step(files: Files, seen: Mapping[str, Content], *, allow_empty: bool = False) -> tuple[Files, Changes]:
    """Hear what changed. `seen` has the paths that may say something else than before; others stay as they are."""
    heard = {**files.held, **seen}
    news = {path: _listen(path, heard[path], files.said.get(path, _NOTHING)) for path in sorted(heard)}
    after = _released(_with(files, _keeping(files, news)))
    if not allow_empty and (lost := _lost(files, after)):
        return replace(files, held=Map(heard)), _alarm(lost) if not files.held else Changes()
    changes = _changes(files, after, files.said.keys() | news.keys() if files.torn else news.keys())
    return after, replace(changes, read=changes.read | {""}) if files.held else changes


def refusal(changes: Changes) -> str:
    """Why a directory that came to this at the start is refused; empty if it is not."""
    if changes.put:
        return ""
    why = "holds no documents" if not changes.broken else "holds no good document"
    found = "; ".join(str(problem) for problem in changes.broken[:SHOWN])
    more = f"; and {len(changes.broken) - SHOWN} more" if len(changes.broken) > SHOWN else ""
    return (
        f"{why}{': ' if found else ''}{found}{more}. Documents are read from *.yaml, *.yml and *.json, at any depth; "
        "--allow-empty starts without any"
    )


def _listen(path: str, content: Content, last: Said) -> Said:
    """What a file says now; the very same object if that is what it said before."""
    mark = hashlib.sha256(content).digest() if isinstance(content, bytes) else content
    if mark == last.mark:
        return last
    if mark is None:
        return _NOTHING
    if isinstance(content, Unreadable):
        loose = Problem(content.code, "", "", "", content.message, content.hint, path)
        return Said(mark, loose=(loose,), complete=False)
    assert content is not None
    return _said(mark, read(content, path))


def _said(mark: Content, reading: Reading) -> Said:
    words: dict[Key, Word] = {}
    loose = []
    for given in reading.documents:
        words[given.key] = (*words.get(given.key, ()), given)
    for problem in reading.problems:
        key = Key(problem.kind, problem.id)
        if key in reading.keys:
            words[key] = (*words.get(key, ()), problem)
        else:
            loose.append(problem)
    return Said(mark, Map(words), frozenset(), tuple(loose), reading.complete)


def _keeping(files: Files, news: Mapping[str, Said]) -> Iterator[tuple[str, Said]]:
    """What each file says, with the words it is not allowed to take back yet."""
    before = {path: files.said.get(path, _NOTHING) for path in news}
    changed = [path for path in news if news[path] is not before[path]]
    torn = any(not news[path].complete for path in changed)
    moved = {key for path in changed for key in news[path].words if key not in before[path].words}
    for path in changed:
        last, now = before[path], news[path]
        missing = (key for key in last.words if key not in now.words and key not in moved)
        kept = frozenset(key for key in missing if torn or (last.complete and files.torn and key in last.kept))
        words = now.words.update({key: last.words[key] for key in kept})
        yield path, replace(now, words=words, kept=kept)


def _with(files: Files, news: Iterator[tuple[str, Said]]) -> Files:
    said, torn = files.said.mutate(), set(files.torn)
    for path, now in news:
        torn.discard(path)
        if not now.complete:
            torn.add(path)
        if now.mark is not None or now.words:
            said[path] = now
        else:
            said.pop(path, None)
    return Files(said.finish(), frozenset(torn))


def _released(files: Files) -> Files:
    """Without the words that were kept, if every file can be read."""
    if files.torn:
        return files
    said = files.said.mutate()
    for path, last in files.said.items():
        if not last.kept:
            continue
        words = Map((key, word) for key, word in last.words.items() if key not in last.kept)
        if last.mark is None and not words:
            del said[path]
        else:
            said[path] = replace(last, words=words, kept=frozenset())
    return replace(files, said=said.finish())


def _names(files: Files) -> bool:
    return any(said.words for said in files.said.values())


def _changes(before: Files, after: Files, paths: Iterable[str]) -> Changes:
    put: list[Given] = []
    broken: list[Problem] = []
    withdrawn: set[tuple[str, Key]] = set()
    read: set[str] = set()
    for path in sorted(paths):
        old, new = before.said.get(path, _NOTHING), after.said.get(path, _NOTHING)
        if old is new:
            continue
        spoken = [part for key, word in new.words.items() if old.words.get(key) != word for part in word]
        put += sorted((part for part in spoken if isinstance(part, Given)), key=lambda given: (given.line, given.key))
        broken += [part for part in spoken if isinstance(part, Problem)]
        withdrawn |= {(path, key) for key in old.words if key not in new.words}
        if old.loose != new.loose:
            read.add(path)
            broken += new.loose
    ranked = sorted(broken, key=lambda problem: (problem.file, problem.line, str(problem)))
    return Changes(tuple(put), frozenset(), tuple(ranked), frozenset(withdrawn), frozenset(read))


def _lost(before: Files, after: Files) -> str:
    """Why what the directory says now is not believed, "" if it is: it may be another directory than at the last
    start.
    """
    if not _names(before):
        return ""
    if not _names(after):
        return "the settings directory holds no documents any more"
    known = {key for said in before.said.values() for key in said.words}
    first = all(said.mark == UNHEARD for said in before.said.values())
    if first and known.isdisjoint(key for said in after.said.values() for key in said.words):
        return f"the settings directory holds none of the {len(known)} documents that files gave before"
    return ""


def _alarm(why: str) -> Changes:
    message = f"{why}; all that were in force stay in force"
    return Changes(broken=(Problem("GC011", "", "", "", message, "put them back, or start with --allow-empty"),))
