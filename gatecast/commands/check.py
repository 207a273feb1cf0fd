"""`gatecast check`: what is wrong with settings, offline."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatecast import output
from gatecast.exits import Exit

if TYPE_CHECKING:
    from tenants.catalog import Catalog
    from tenants.errors import Problem

COLOURS = {"error": "red", "warning": "yellow"}


@click.command("check")
@click.option(
    "-f", "--settings", "directory", required=True, type=click.Path(path_type=Path), help="Settings directory."
)
@click.option("--envoy", is_flag=True, help="Let a real Envoy validate the translation of each gateway, too.")
@output.option()
def command(directory: Path, envoy: bool, output: str) -> int:
    """Find what is wrong with settings, offline. Exit code 3 if there are errors."""
    from gatecast.output import show

    catalog, problems = asyncio.run(_found(directory, envoy))
    errors = sum(one.severity == "error" for one in problems)
    summary = {
        "documents": sum(len(shelf) for shelf in _shelves(catalog)),
        "errors": errors,
        "warnings": len(problems) - errors,
        "envoy": envoy,
    }
    data = {"summary": summary, "problems": [_row(one) for one in problems]}
    show(output, data, lambda wide: text(problems, summary, wide=wide))
    return Exit.FINDINGS if errors else Exit.FINE


async def _found(directory: Path, envoy: bool) -> "tuple[Catalog, list[Problem]]":
    from gatecast.offline import load, problems
    from gatecast.static import refusals
    from xds.envoy_process import validate

    catalog = (await load(directory)).catalog
    found = problems(catalog, str(directory))
    if envoy:
        for name in sorted(catalog.gateways):
            found += [one async for one in refusals(catalog, catalog.gateways[name], validate)]
    return catalog, found


def _shelves(catalog: "Catalog") -> tuple[Any, ...]:
    return catalog.gateways, catalog.services, catalog.organisations, catalog.routes, catalog.tenants


def _row(problem: "Problem") -> dict[str, Any]:
    return {name: getattr(problem, name) for name in type(problem).__slots__}


def _place(problem: "Problem") -> str:
    return f"{problem.file}:{problem.line}" if problem.line else problem.file or "-"


def text(problems: "Sequence[Problem]", summary: dict[str, Any], *, wide: bool) -> str:
    """A table; the message stands on a line of its own below, so that nothing is cut off. Wide: all on one line."""
    from gatecast.output import clean, paint, table

    said = [
        (
            paint(one.severity, COLOURS.get(one.severity, "white")),
            *map(clean, (one.code, f"{one.kind}/{one.id}".strip("/") or "-", _place(one), one.path or "-")),
            clean(one.message), clean(one.hint),
        )
        for one in problems
    ]  # fmt: skip
    words = ("documents", "errors", "warnings")
    documents, errors, warnings = (f"{summary[one]} {one if summary[one] != 1 else one[:-1]}" for one in words)
    end = f"{documents} in force, {errors}, {warnings}"
    end += "; Envoy was asked" if summary["envoy"] else ""
    if not said:
        return end
    if wide:
        return table(("SEVERITY", "CODE", "DOCUMENT", "PLACE", "FIELD", "MESSAGE", "HINT"), said) + f"\n{end}"
    lines = table(("SEVERITY", "CODE", "DOCUMENT", "PLACE", "FIELD"), [row[:5] for row in said]).splitlines()
    below = (
        f"{line}\n    {row[5]}{f' ({row[6]})' if row[6] else ''}" for line, row in zip(lines[1:], said, strict=True)
    )
    return "\n".join([lines[0], *below, end])
