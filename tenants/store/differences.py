"""What changed between two versions of documents, field by field, with secrets hidden. Pure.

The HTTP API, the command line and the page show these; `Store.diff` and a dry run give the changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenants.documents import Key
from tenants.store.redaction import redacted
from tenants.store.revisions import Change, Stored

Path = tuple[str | int, ...]
Missing = type("Missing", (), {"__repr__": lambda _self: "MISSING", "__slots__": ()})
MISSING = Missing()
"""Stands where there is no value; JSON null is a value."""


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field before and after, as JSON or MISSING. `path` is as users write it: `routes.orders.split[0].weight`."""

    path: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """It as JSON, without the side that is missing."""
        sides = {"before": self.before, "after": self.after}
        return {"path": self.path, **{name: value for name, value in sides.items() if value is not MISSING}}


@dataclass(frozen=True, slots=True)
class DocumentDiff:
    """One document: "created", "changed" or "deleted", by whom it is given before and after, and its fields."""

    key: Key
    what: str
    source_before: str
    source_after: str
    fields: tuple[FieldDiff, ...]

    def as_json(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "kind": self.key.kind,
            "id": self.key.id,
            "change": self.what,
            "source": {"before": self.source_before, "after": self.source_after},
            "fields": [field.as_json() for field in self.fields],
        }


def diffs(changes: Iterable[Change]) -> tuple[DocumentDiff, ...]:
    """A diff for each change, by name."""
    return tuple(_diff(change) for change in sorted(changes, key=lambda change: change.key))


def _diff(change: Change) -> DocumentDiff:
    before, after = _body(change.before), _body(change.after)
    found = tuple(
        # Hidden only after they were found to differ, and within the whole, whose names say what is a secret.
        FieldDiff(_text(path), _at(redacted(before), path), _at(redacted(after), path))
        for path in _paths(before, after, ())
    )
    return DocumentDiff(change.key, change.what, _source(change.before), _source(change.after), found)


def _body(stored: Stored | None) -> dict[str, Any]:
    return {name: value for name, value in stored.body.items() if name not in ("kind", "id")} if stored else {}


def _source(stored: Stored | None) -> str:
    return stored.source if stored else ""


def _paths(before: Any, after: Any, path: Path) -> Iterator[Path]:
    """The places where the two differ, as deep as both have the same shape."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _paths(before.get(name, MISSING), after.get(name, MISSING), (*path, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _paths(one, other, (*path, index))
    elif before is MISSING or after is MISSING or type(before) is not type(after) or before != after:
        yield path


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step, MISSING)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return MISSING
    return value


def _text(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
