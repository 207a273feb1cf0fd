"""How commands print data: a table for people, JSON or YAML for programs. One document on stdout, whatever the form."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from click.core import ParameterSource

FORMS = ("table", "wide", "json", "yaml")

Row = Sequence[str]


def option(*forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-o`, with these forms; the first is the default, unless another one was said before the command."""
    return click.option(
        "-o", "--output", type=click.Choice(forms or FORMS), default=(forms or FORMS)[0], show_default=True,
        help="Form of what is printed.", callback=_said,
    )  # fmt: skip


def _said(context: click.Context, parameter: click.Parameter, value: str) -> str:
    before = context.find_root().params.get("output")
    if before is None or context.get_parameter_source("output") is ParameterSource.COMMANDLINE:
        return value
    return str(parameter.type.convert(before, parameter, context))


def show(form: str, data: Any, text: Callable[[bool], str]) -> None:
    """Print `data`; for people what `text(wide)` returns."""
    match form:
        case "json":
            print(as_json(data))
        case "yaml":
            print(as_yaml(data), end="")
        case _:
            print(text(form == "wide"))


def as_json(data: Any, indent: int | None = 2) -> str:
    """Readable JSON in the given order."""
    return json.dumps(data, indent=indent, ensure_ascii=False)


def as_yaml(data: Any) -> str:
    """Readable YAML in the given order, of whatever JSON can say."""
    import yaml

    plain = json.loads(json.dumps(data))
    return yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True)


def table(head: Row, rows: Sequence[Row]) -> str:
    """Columns as wide as they must be; nothing is cut off or wrapped, so it can be searched.

    rich measures (a Chinese character is two wide). Its own tables take 3 s for 10,000 rows, this 0.1 s.
    """
    from rich.cells import cell_len

    lines = [[(cell, cell_len(plain(cell))) for cell in row] for row in (head, *rows)]
    widths = [max(line[index][1] for line in lines) for index in range(len(head))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[tuple[str, int]], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - length) for (cell, length), width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def plain(text: str) -> str:
    """Without colours."""
    return click.unstyle(text)


def note(text: str) -> None:
    """Say something that is no data."""
    click.echo(text, err=True)


def paint(text: str, colour: str, environ: Mapping[str, str] = os.environ) -> str:
    """In colour on a terminal, unless NO_COLOR says no."""
    wanted = sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return click.style(text, fg=colour) if wanted else text


def age(seconds: float | None) -> str:
    """`0.2s`, `14s`, `3m02s`, `5h07m`, `2d`; `-` for never."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if seconds < 10:
        return f"{seconds:.1f}s"
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m" if whole < 172_800 else f"{whole // 86_400}d"


def detail(one: Any) -> str:
    """One detail of an error as a line: a problem of a document, or what else a server says; "" for nothing to add."""
    match one:
        case {"kind": kind, "id": name, "path": path, "message": message, "code": code, **rest}:
            place = ":".join(str(rest[part]) for part in ("file", "line") if rest.get(part))
            hint = f" ({rest['hint']})" if rest.get("hint") else ""
            text = f"{place} {kind}/{name} {path}: {message}{hint} [{code}]".lstrip()
        case {"path": _, "message": _}:
            return ""  # the message of the error has the first of these
        case dict():
            text = ", ".join(f"{name}: {value}" for name, value in one.items())
        case _:
            text = str(one)
    return clean(text)


def counted(count: int, noun: str, many: str = "") -> str:
    """`1 document`, `2 documents`."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or f'{noun}s'}"


def since(text: str, now: datetime | None = None) -> str:
    """The age of a moment in RFC 3339, or the text itself if it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return age(max(0.0, ((now or datetime.now(UTC)) - at).total_seconds())) if at.tzinfo else text


def clean(text: str) -> str:
    """Text that came from a proxy or a settings file, made safe for a terminal and for one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
