"""`gatecast apply`: documents of a directory, a file or standard input become one revision."""

from typing import TYPE_CHECKING, Any

import click

from gatecast import output, remote, writing
from gatecast.exits import Answered
from gatecast.output import counted
from gatecast.parameters import sure, yes
from gatecast.remote import Server
from gatecast.writing import How
from tenants.errors import Problem

if TYPE_CHECKING:
    from gatecast.gathered import Gathered

PATH = "/api/v1/documents:apply"


@click.command("apply")
@click.option(
    "-f", "--settings", "place", required=True, metavar="DIR|FILE|-", type=click.Path(),
    help="Documents: a directory, a file, or - for standard input.",
)  # fmt: skip
@click.option("--prune", is_flag=True, help="Delete what operators gave before and -f does not have.")
@writing.options
@yes
@remote.server
@output.option()
def command(place: str, prune: bool, how: How, yes: bool, server: Server, output: str) -> int:
    """Put documents into force on a server: all of them in one revision, or none.

    With --prune, what would be deleted is shown first, and asked about on a terminal.
    """
    from gatecast.gathered import gathered

    found = gathered(place)
    if errors := [one for one in found.problems if one.severity == "error"]:
        raise Answered(422, "invalid_documents", f"nothing was sent: {counted(len(errors), 'problem')}", _rows(errors))
    expected = None if not prune or how.dry_run or yes else confirmed(server, found, how)
    query = {**how.query, "prune": "true" if prune else None, "if_revision": expected}
    return writing.finish(server, send(server, found, query), how, output)


def send(server: Server, found: "Gathered", query: dict[str, Any]) -> dict[str, Any]:
    """Ask a server to apply documents; what it says is wrong with them gets their files and lines."""
    from gatecast.progress import progress

    try:
        with progress(f"sending {counted(len(found.bodies), 'document')}"):
            written: dict[str, Any] = server.send(
                "POST", PATH, writing.WRITTEN, {"documents": list(found.bodies)}, **query
            )
    except Answered as error:
        details = [found.placed(one) for one in error.details]
        raise Answered(error.status, error.code, str(error), details) from None
    written["problems"] = [found.placed(one) for one in written["problems"]]
    return written


def confirmed(server: Server, found: "Gathered", how: How) -> int | None:
    """The revision at which somebody agreed to what will be deleted; None if there was nothing to agree to."""
    trial = send(server, found, {**how.query, "dry_run": "true", "prune": "true"})
    gone = [one for one in trial["changes"] if one["change"] == "deleted"]
    if not gone:
        return None
    for line in writing.documents([{**one, "fields": []} for one in gone], writing.SHOWN):
        click.echo(line, err=True)
    sure(f"Delete {counted(len(gone), 'document')}?", yes=False)
    return int(trial["revision"])


def _rows(problems: list[Problem]) -> list[dict[str, Any]]:
    return [{name: getattr(one, name) for name in Problem.__slots__} for one in problems]
