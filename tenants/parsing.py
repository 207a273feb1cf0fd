"""YAML text to plain JSON values, document by document. Called by `tenants.reading` alone.

It builds on libyaml's events: the tree builder of PyYAML overflows the C stack on deep nesting, expands aliases without
limit and lets the last of two equal keys win. Here depth and size have limits, aliases and tags are faults, and so
are duplicate keys. Numbers and the words true, false and null are read as YAML 1.2 does; everything else is text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from tenants.faults import Fault, Loc

MAX_DOCUMENT = 256 << 10  # characters
MAX_DEPTH = 32

_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_NUMBER = re.compile(r"[-+]?(\d+|(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?)")
_STARTS = (MappingStartEvent, SequenceStartEvent)
_ENDS = (MappingEndEvent, SequenceEndEvent)


@dataclass(frozen=True, slots=True)
class Raw:
    """One document as plain values, the line it begins on, its own text, and faults with their lines."""

    value: Any
    line: int
    source: str
    faults: tuple[tuple[Fault, int], ...]


def documents(text: str) -> list[Raw]:
    """Every document that is not empty. Raises `yaml.YAMLError` where the text is no YAML, `UnicodeError` likewise."""
    next_event: Callable[[], Any] = CParser(text).get_event
    found = []
    while type(event := next_event()) is not StreamEndEvent:
        if type(event) is DocumentStartEvent:
            raw = _document(text, next_event, event)
            if raw.value is not None or raw.faults:
                found.append(raw)
    return found


def lines(source: str) -> dict[Loc, int]:
    """The line, counted from 0, of every field of one document."""
    next_event = CParser(source).get_event
    found: dict[Loc, int] = {}
    while type(event := next_event()) is not StreamEndEvent:
        if type(event) is DocumentStartEvent:
            _Builder(next_event, found).value(next_event())
    return found


def _document(text: str, next_event: Any, start: Any) -> Raw:
    builder = _Builder(next_event)
    first = next_event()
    value = builder.value(first)
    end = next_event()
    begin, stop = first.start_mark.index, end.start_mark.index
    if stop - begin > MAX_DOCUMENT:
        builder.fault("GC008", f"the document is larger than {MAX_DOCUMENT >> 10} KiB", "split it", start)
    source = " " * first.start_mark.column + text[begin:stop]  # as it stands in its line: indentation has a meaning
    return Raw(value, first.start_mark.line + 1, source, tuple(builder.faults))


class _Builder:
    """Builds one value from events and collects faults on the way; `loc` is where it stands."""

    __slots__ = ("faults", "lines", "loc", "next")

    def __init__(self, next_event: Any, lines: dict[Loc, int] | None = None) -> None:
        self.next = next_event
        self.lines = lines
        self.loc: list[str | int] = []
        self.faults: list[tuple[Fault, int]] = []

    def fault(self, code: str, message: str, hint: str, event: Any, *more: str) -> None:
        loc: Loc = (*self.loc, *more)
        self.faults.append((Fault(code, loc, message, hint), event.start_mark.line + 1))

    def value(self, event: Any) -> Any:
        kind = type(event)
        if kind is AliasEvent:
            self.fault("GC006", f"*{event.anchor} is a YAML alias", "write the value out", event)
            return None
        if event.anchor is not None:
            self.fault("GC006", f"&{event.anchor} is a YAML anchor", "leave it out", event)
        if event.tag is not None:
            self.fault("GC006", f"{event.tag} is a YAML tag", "leave it out", event)
        if kind is ScalarEvent:
            return _plain(event.value) if event.implicit[0] else event.value
        if len(self.loc) >= MAX_DEPTH:
            self.fault("GC007", f"nested more than {MAX_DEPTH} deep", "no setting needs that", event)
            return self._skip()
        return self._mapping() if kind is MappingStartEvent else self._sequence()

    def _mapping(self) -> dict[str, Any]:
        built: dict[str, Any] = {}
        while type(event := self.next()) is not MappingEndEvent:
            key = self._key(event)
            self.loc.append(key)
            if self.lines is not None:
                self.lines[tuple(self.loc)] = event.start_mark.line
            value = self.value(self.next())
            self.loc.pop()
            if key in built:
                self.fault("GC005", f"the key {key!r} is given twice", "keep one of them", event, key)
            built[key] = value
        return built

    def _key(self, event: Any) -> str:
        if type(event) is ScalarEvent and event.anchor is None and event.tag is None:
            text: str = event.value
            return text
        self.fault("GC010", "a key is not plain text", "a name", event, "?")
        self.loc.append("?")
        self.value(event)
        self.loc.pop()
        return "?"

    def _sequence(self) -> tuple[Any, ...]:
        built: list[Any] = []
        while type(event := self.next()) is not SequenceEndEvent:
            self.loc.append(len(built))
            if self.lines is not None:
                self.lines[tuple(self.loc)] = event.start_mark.line
            built.append(self.value(event))
            self.loc.pop()
        return tuple(built)

    def _skip(self) -> None:
        open_ones = 1
        while open_ones:
            event = self.next()
            open_ones += isinstance(event, _STARTS) - isinstance(event, _ENDS)


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if not _NUMBER.fullmatch(text) or len(text) > 32:
        return text
    return float(text) if set(text) & set(".eE") else int(text)
