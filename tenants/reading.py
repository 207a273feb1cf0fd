"""Turns the text of a settings file into documents and problems. Called by every source; it does no I/O.

YAML as we take it: several documents a file; JSON is YAML. Only `true` and `false` are booleans (`on`, `yes`, `off`,
`no` are text), only `null`, `~` and nothing are null. Anchors, aliases, merge keys and tags are refused, so a small
file stays small.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import ReaderError

from tenants.documents import KINDS, Document, Key
from tenants.errors import Problem
from tenants.faults import Fault, Loc, check, close, path_text
from tenants.parsing import Raw, documents, lines
from tenants.values import ID

MAX_FILE = 64 << 20
_UNREAD = ("GC006", "GC007", "GC010")  # the value was not read, so nothing more can be said about it


@dataclass(frozen=True, slots=True)
class Given:
    """A document that is good by itself, and where it stands. `source` is its text, to find lines in later."""

    document: Document
    file: str = ""
    line: int = 0
    source: str = field(default="", repr=False)

    @property
    def key(self) -> Key:
        """The document's name."""
        return self.document.key

    def problem(self, fault: Fault, severity: str = "error") -> Problem:
        """A problem of this document, with the line of the field it names."""
        return _problem(self.key, fault, self.file, line_of(self.source, fault.loc, self.line), severity)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says: its good documents and the problems of the others.

    `keys` names every document in it, good or broken. When `complete` is false the file has text that could not be told
    apart into named documents, so a document missing from `keys` may still be there: drop none of that file.
    """

    documents: tuple[Given, ...] = ()
    problems: tuple[Problem, ...] = ()
    keys: frozenset[Key] = frozenset()
    complete: bool = True


def read(text: str | bytes, file: str) -> Reading:
    """All documents of a file, all problems. Broken YAML makes none of its documents good: half a file is no file."""
    if len(text) > MAX_FILE:
        return _unreadable(file, Fault("GC008", (), f"the file is larger than {MAX_FILE >> 20} MiB", "split it"))
    try:
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        raws = documents(plain)
    except UnicodeError:
        return _unreadable(file, Fault("GC009", (), "the file is not UTF-8 text", "save it as UTF-8"))
    except yaml.YAMLError as error:
        return _unreadable(file, *_syntax(error, plain))
    return _together(raws, file)


def take(body: Mapping[str, Any], file: str = "") -> Given | tuple[Problem, ...]:
    """One document from JSON that is already parsed (a request, a row of the store)."""
    named = _named(body, file, 0)
    if isinstance(named, Problem):
        return (named,)
    made = check(named.kind, {key: value for key, value in body.items() if key != "kind"})
    if isinstance(made, Document):
        return Given(made, file)
    return tuple(_problem(named, fault, file, 0) for fault in made)


def body(given: Given) -> dict[str, Any]:
    """A document as JSON, as its author wrote it: without defaults, durations as text. It must have its `source`."""
    return dict(documents(given.source)[0].value)


def line_of(source: str, loc: Loc, first: int) -> int:
    """The line of a field in a document whose text begins on line `first`; its nearest parent if it is not there."""
    if not source or not first:
        return first
    found = lines(source)
    known = next((loc[:depth] for depth in range(len(loc), 0, -1) if loc[:depth] in found), None)
    return first + found[known] if known else first


def _together(raws: list[Raw], file: str) -> Reading:
    good: list[Given] = []
    problems: list[Problem] = []
    keys: set[Key] = set()
    unnamed = False
    for raw in raws:
        named = _named(raw.value, file, raw.line)
        if isinstance(named, Problem):
            unnamed = True
            problems += [named, *_nameless(named.kind, raw, file)]
            continue
        keys.add(named)
        made = _document(named, raw, file)
        if isinstance(made, Given):
            good.append(made)
        else:
            problems += made
    return Reading(tuple(good), tuple(problems), frozenset(keys), not unnamed)


def _nameless(kind: str, raw: Raw, file: str) -> list[Problem]:
    """What else is wrong with a document that has no name; of an unknown kind nothing can be said."""
    if not kind:
        return [_problem(Key("", ""), fault, file, line) for fault, line in raw.faults]
    made = _document(Key(kind, ""), raw, file)
    of_the_id = ("GC004", "GC102", "GC104", "GC108")
    return [] if isinstance(made, Given) else [one for one in made if one.path != "id" or one.code not in of_the_id]


def _document(key: Key, raw: Raw, file: str) -> Given | list[Problem]:
    made = check(key.kind, {name: value for name, value in raw.value.items() if name != "kind"})
    problems = [_problem(key, fault, file, line) for fault, line in raw.faults]
    if isinstance(made, Document):
        return problems or Given(made, file, raw.line, raw.source)
    unread = [fault.loc for fault, _line in raw.faults if fault.code in _UNREAD]
    rest = [fault for fault in made if not any(fault.loc[: len(loc)] == loc for loc in unread)]
    return problems + [_problem(key, fault, file, line_of(raw.source, fault.loc, raw.line)) for fault in rest]


def _named(body: Any, file: str, line: int) -> Key | Problem:
    if not isinstance(body, Mapping):
        fault = Fault("GC002", (), "the document is not a mapping of fields", "kind: Tenant, id: acme and so on")
        return _problem(Key("", ""), fault, file, line)
    kind, id = body.get("kind"), body.get("id")
    if not isinstance(kind, str) or kind not in KINDS:
        known = "one of " + ", ".join(KINDS)
        message = f"{kind!r} is not a kind" if "kind" in body else "the document has no kind"
        hint = close(kind, KINDS, known) if isinstance(kind, str) else known
        fault = Fault("GC003", ("kind",), message, hint)
        return _problem(Key("", id if isinstance(id, str) else ""), fault, file, line)
    if not isinstance(id, str) or not ID.fullmatch(id):
        message = f"{id!r} is not an id" if "id" in body else "the document has no id"
        fault = Fault("GC004", ("id",), message, "a to z, 0 to 9 and inner hyphens, 1 to 63 characters")
        return _problem(Key(kind, ""), fault, file, line)
    return Key(kind, id)


def _problem(key: Key, fault: Fault, file: str, line: int, severity: str = "error") -> Problem:
    tenant = key.id if key.kind == "Tenant" else ""
    path = path_text(fault.loc)
    return Problem(fault.code, key.kind, key.id, path, fault.message, fault.hint, file, line, tenant, severity)


def _unreadable(file: str, fault: Fault, line: int = 0) -> Reading:
    return Reading(problems=(_problem(Key("", ""), fault, file, line),), complete=False)


def _syntax(error: yaml.YAMLError, text: str) -> tuple[Fault, int]:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
    context = f" {error.context}" if getattr(error, "context", None) else ""  # type: ignore[attr-defined]
    message = f"the file is not valid YAML: {said}{context}"
    line = mark.line + 1 if mark else _line_at(error, text)
    return Fault("GC001", (), message, "check the indentation and quotes at this line"), line


def _line_at(error: yaml.YAMLError, text: str) -> int:
    """The line of a character that no YAML may have: libyaml gives its place in bytes of UTF-8."""
    return text.encode()[: error.position].count(b"\n") + 1 if isinstance(error, ReaderError) else 0
