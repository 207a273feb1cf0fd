"""Reads documents for a server: of a directory, a file, or standard input (`-`). `apply` and `diff` call it.

Every document is checked by itself here, where the file and line are known; the server checks them together.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tenants.documents import Key
from tenants.errors import Problem, Refused
from tenants.parsing import documents
from tenants.reading import MAX_FILE, read
from tenants.sources.scan import reason, scan
from tenants.sources.stamps import Unreadable

STDIN = "<stdin>"
HIDDEN = "(secret)"
"""As `tenants.store.redaction` has it, which takes long to import."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Documents as written, where each stands (file and line), and what is wrong with any."""

    bodies: tuple[dict[str, Any], ...]
    places: dict[Key, tuple[str, int]]
    problems: tuple[Problem, ...]

    def placed(self, detail: Any) -> Any:
        """What a server says is wrong with a document, with the file it is in."""
        match detail:
            case {"kind": str(kind), "id": str(name), **rest} if not rest.get("file"):
                file, line = self.places.get(Key(kind, name), ("", 0))
                return {**detail, "file": file, "line": line}
        return detail


def gathered(place: str) -> Gathered:
    """All of a place. Raises `Refused` if it cannot be read, holds no document, or one document twice."""
    bodies: list[dict[str, Any]] = []
    places: dict[Key, tuple[str, int]] = {}
    problems: list[Problem] = []
    for file, content in _contents(place):
        found = read(content, file)
        problems += found.problems
        if found.problems:
            continue
        for given in found.documents:
            if given.key in places:
                raise Refused(f"{given.key} is in {_place(places[given.key])} and in {_place((file, given.line))}")
            places[given.key] = file, given.line
        for raw in documents(content.decode("utf-8-sig")):
            if _hidden(raw.value):
                why = f"{HIDDEN} stands where a secret was hidden from a viewer, and would take its place"
                raise Refused(f"{_place((file, raw.line))}: {why}: give the value, or get it as an editor")
            bodies.append(raw.value)
    if not bodies and not problems:
        raise Refused(f"{place} holds no documents")
    return Gathered(tuple(bodies), places, tuple(problems))


def _hidden(value: Any) -> bool:
    match value:
        case dict():
            return any(map(_hidden, value.values()))
        case list() | tuple():
            return any(map(_hidden, value))
    return bool(value == HIDDEN)


def _contents(place: str) -> Iterator[tuple[str, bytes]]:
    if place == "-":
        yield STDIN, sys.stdin.buffer.read(MAX_FILE + 1)
        return
    try:
        if not os.path.isdir(place):
            yield place, _read(place)
            return
        for name, stamp in sorted(scan(place, MAX_FILE).files.items()):
            if isinstance(stamp, Unreadable):
                raise Refused(f"{os.path.join(place, name)}: {stamp.message}")
            yield os.path.join(place, name), _read(os.path.join(place, name))
    except OSError as error:
        raise Refused(f"{error.filename or place} cannot be read: {reason(error)}") from None


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_FILE + 1)


def _place(place: tuple[str, int]) -> str:
    return f"{place[0]}:{place[1]}"
