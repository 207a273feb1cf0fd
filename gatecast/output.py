"""How commands print data: a table for people, JSON or YAML for programs. One document on stdout, whatever the form."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

FORMS = ("table", "wide", "json", "yaml")

Row = Sequence[str]


def option(*forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-o`, with these forms; the first is the default."""
    return click.option(
        "-o", "--output", type=click.Choice(forms or FORMS), default=(forms or FORMS)[0], show_default=True,
        help="Form of what is printed.",
    )  # fmt: skip


def show(form: str, data: Any, text: Callable[[bool], str]) -> None:
    """Print `data`; for people what `text(wide)` returns."""
    match form:
        case "json":
            print(json.dumps(data, indent=2, ensure_ascii=False))
        case "yaml":
            print(as_yaml(data), end="")
        case _:
            print(text(form == "wide"))


def as_yaml(data: Any) -> str:
    """Readable YAML in the given order, of whatever JSON can say."""
    import yaml

    plain = json.loads(json.dumps(data))
    return yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True)


def table(head: Row, rows: Sequence[Row]) -> str:
    """Columns as wide as they must be; nothing is cut off, so it can be searched."""
    widths = [max(len(plain(row[index])) for row in (head, *rows)) for index in range(len(head))]
    return "\n".join(_line(row, widths) for row in (head, *rows))


def _line(row: Row, widths: Sequence[int]) -> str:
    cells = (cell + " " * (width - len(plain(cell))) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def plain(text: str) -> str:
    """Without colours."""
    return click.unstyle(text)


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


def clean(text: str) -> str:
    """Text that came from a proxy or a settings file, made safe for a terminal and for one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
