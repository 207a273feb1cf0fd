"""What every command that changes documents shares: its options, how the change is shown, and the wait for proxies.

@writing.options
def command(server: Server, how: How) -> int: ...
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click

from gatecast import output, waiting
from gatecast.exits import Exit
from gatecast.output import clean, counted, paint
from gatecast.parameters import DURATION
from gatecast.remote import Server

CHANGE: Final = {"kind": str, "id": str, "change": str, "fields": [dict]}
WRITTEN: Final = {
    "revision": int, "made": bool, "changes": [CHANGE], "kept_out": [{"kind": str, "id": str, "why": str}],
    "problems": [{"severity": str, "code": str, "message": str}], "resources": [{"change": str, "name": str}],
}  # fmt: skip
MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "created": ("+", "green"),
    "changed": ("~", "yellow"),
    "deleted": ("-", "red"),
}
SHOWN: Final = 100
"""Documents or resources listed; `-o wide` lists all."""


@dataclass(frozen=True, slots=True)
class How:
    """How a change is to be made: why, only as a trial, over other sources, with a wait for the proxies (seconds)."""

    reason: str
    dry_run: bool
    force: bool
    wait: bool
    timeout: float

    @property
    def query(self) -> dict[str, Any]:
        """As the API takes it."""
        said = {"dry_run": self.dry_run, "force": self.force, "reason": self.reason}
        return {name: "true" if value is True else value for name, value in said.items() if value}


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """-m, --dry-run, --force, --wait, --timeout; the command is given them as `how`."""

    @wraps(function)
    def with_how(reason: str, dry_run: bool, force: bool, wait: bool, timeout: float, **others: Any) -> Any:
        return function(how=How(reason, dry_run, force, wait, timeout), **others)

    made = with_how
    for add in (
        click.option("--timeout", type=DURATION, default="60s", show_default=True, help="How long --wait waits."),
        click.option("--wait", is_flag=True, help="Until every proxy has the change. Exit code 8 if time is up."),
        click.option("--force", is_flag=True, help="Take over what a file or registry gives."),
        click.option("--dry-run", is_flag=True, help="Change nothing; show what would change, for proxies too."),
        click.option("-m", "--reason", default="", metavar="WHY", help="Kept with the revision and in the audit."),
    ):
        made = add(made)
    return made


def finish(server: Server, written: dict[str, Any], how: How, form: str) -> int:
    """Wait if that was asked for, and show what a change came to. The exit code."""
    code = Exit.FINE
    if how.wait and written["made"]:
        written["rollout"], code = waiting.rollout(server, written["revision"], how.timeout)
    output.show(form, written, lambda wide: text(written, wide=wide))
    if any(one["severity"] == "error" for one in written["problems"]):
        return Exit.ERROR
    return code


def text(written: Mapping[str, Any], *, wide: bool) -> str:
    """The documents that changed with their fields, what proxies are sent, what is wrong, and a line that sums up."""
    most = None if wide else SHOWN
    parts = [*documents(written["changes"], most), *resources(written["resources"], most)]
    parts += [f"kept out: {one['kind']}/{one['id']} is {_why(one)}" for one in written["kept_out"]]
    parts += [f"{paint(one['severity'], 'red')}: {output.detail(one)}" for one in written["problems"]]
    if pinned := sum(bool(one.get("pinned")) for one in written["changes"]):
        parts.append(_pinned(pinned, trial=bool(written.get("dry_run"))))
    if "rollout" in written:
        parts.append(waiting.text(written["rollout"]))
    return "\n".join([*parts, summary(written)])


def _pinned(number: int, *, trial: bool) -> str:
    verb = "would be pinned" if trial else "pinned"
    what = "it" if number == 1 else "them"
    return f"{counted(number, 'document')} {verb}: files and registries may not write {what} until `gatecast unpin`"


def _why(one: Mapping[str, Any]) -> str:
    return "pinned" if one["why"] == "pinned" else f"of {clean(str(one.get('owner', '')))}: --force takes it over"


def summary(written: Mapping[str, Any]) -> str:
    """One line: how many, and what is in force now."""
    counts = count(written["changes"])
    if written.get("dry_run"):
        return f"{counts or 'nothing would change'}; this was a trial: nothing was written"
    return f"{counts}; revision {written['revision']}" if written["made"] else "nothing is new"


def count(changes: Sequence[Mapping[str, Any]]) -> str:
    """`1 created, 2 changed`; "" for none."""
    numbers = ((word, sum(one["change"] == word for one in changes)) for word in MARKS)
    return ", ".join(f"{number} {word}" for word, number in numbers if number)


def documents(changes: Sequence[Mapping[str, Any]], most: int | None = None) -> list[str]:
    """Lines for documents and their fields, before and after."""
    lines = [line for one in changes[:most] for line in _document(one)]
    return [*lines, *_more(len(changes), most, "document")]


def _document(change: Mapping[str, Any]) -> list[str]:
    mark, colour = MARKS.get(change["change"], ("?", "white"))
    source = change.get("source") or {}
    moved = source.get("before") and source.get("after") and source["before"] != source["after"]
    whose = f"  ({source['before']} -> {source['after']})" if moved else ""
    lines = [paint(f"{mark} {change['kind']}/{change['id']}", colour) + clean(whose)]
    for one in change["fields"]:
        lines.append(f"    {clean(one['path'])}")
        lines += _side("-", "red", one, "before") + _side("+", "green", one, "after")
    return lines


def _side(mark: str, colour: str, field: Mapping[str, Any], name: str) -> list[str]:
    """One side of a field; a mapping or list in YAML, as it is written in documents."""
    if name not in field:
        return []
    value = field[name]
    plain = output.as_yaml(value).rstrip("\n") if isinstance(value, dict | list) and value else _scalar(value)
    return [paint(f"      {mark} {clean(line)}", colour) for line in plain.splitlines() or [""]]


def _scalar(value: Any) -> str:
    return output.as_json(value, indent=None)


def resources(found: Sequence[Mapping[str, Any]], most: int | None = None) -> list[str]:
    """Lines for resources that proxies are sent."""
    lines = []
    for one in found[:most]:
        mark, colour = MARKS.get(one["change"], ("~", "yellow"))
        place = f"{one.get('gateway', '')} {one.get('type', '')} {one['name']}"
        whose = f" of tenant {one['tenant']}" if one.get("tenant") else ""
        lines.append(paint(f"{mark} {clean(place)}", colour) + clean(whose))
    head = [f"proxies {counted(len(found), 'resource')}:"] if found else []
    return [*head, *lines, *_more(len(found), most, "resource")]


def _more(count: int, most: int | None, noun: str) -> list[str]:
    left = count - (most or count)
    return [f"... and {counted(left, noun)} more: -o wide shows all"] if left > 0 else []
