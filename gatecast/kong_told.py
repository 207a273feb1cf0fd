"""Plans for people and programs: what `gatecast kong diff`, `sync`, `drift` and `restore` print."""

import json
from collections.abc import Iterator
from typing import Any

from gatecast.output import clean, paint
from kong_sync import summary
from kong_sync.digest import digest
from kong_sync.phases import Plan

WORDS = {
    "created": ("creating", "green", "+"),
    "updated": ("updating", "yellow", "~"),
    "deleted": ("deleting", "red", "-"),
}
LONG = 300


def data(plan: Plan) -> dict[str, Any]:
    """A plan as JSON. Secrets are hidden."""
    return {
        "digest": digest(plan),
        "waits": plan.waits,
        "summary": summary.totals(plan),
        "kinds": summary.counts(plan),
        "changes": [
            {
                "change": one.verb,
                "kind": one.kind,
                "id": one.id,
                "name": summary.name(one),
                "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in summary.fields(one)],
            }
            for one in plan.changes
        ],
        "problems": [str(one) for one in plan.problems],
    }


def text(found: dict[str, Any], *, wide: bool = False) -> str:
    """As decK shows it: what is done to which entity, fields of what is updated, and the summary."""
    lines = [line for one in found["changes"] for line in _change(one, wide=wide)]
    lines += [paint(f"problem: {clean(one)}", "red") for one in found["problems"]]
    total = found["summary"]
    lines += ["Summary:", *(f"  {verb.capitalize()}: {total[verb]}" for verb in WORDS)]
    if found.get("left"):
        lines.append(paint(f"  Not done: {found['left']}", "red"))
    if found["changes"]:
        lines.append(f"  Waits: {found['waits']}   Digest: {found['digest']}")
    return "\n".join(lines)


def about(found: dict[str, Any]) -> str:
    """What a Kong says of itself, and what would be in our way."""
    kind = "without a database" if found["database"] == "off" else f"on {found['database']}"
    lines = [
        f"{clean(found['url'])}: Kong {clean(found['version'])} ({clean(found['edition'])}), {clean(kind)}",
        f"A change is in effect everywhere after {found['wait']:g} s",
        *(f"Written by {clean(one)}" for one in found["writers"]),
        *(paint(f"It has no plugin {one}: who needs it is refused", "yellow") for one in found["missing_plugins"]),
        *(paint(clean(one), "yellow") for one in found["doubts"]),
    ]
    return "\n".join(lines)


def _change(one: dict[str, Any], *, wide: bool) -> Iterator[str]:
    word, colour, _sign = WORDS[one["change"]]
    yield paint(f"{word} {clean(one['name'])}", colour)
    fields = one["fields"] if one["change"] == "updated" or wide else ()
    for field in fields:
        if field["before"] is not None:
            yield paint(f"  -  {clean(field['path'])}: {_value(field['before'])}", "red")
        if field["after"] is not None:
            yield paint(f"  +  {clean(field['path'])}: {_value(field['after'])}", "green")


def _value(value: Any) -> str:
    said = clean(json.dumps(value, ensure_ascii=False))
    return said if len(said) <= LONG else f"{said[:LONG]}... ({len(said)} characters)"
