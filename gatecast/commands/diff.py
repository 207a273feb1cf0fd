"""`gatecast diff`: two revisions, or a directory against a server."""

from typing import Any

import click

from gatecast import output, remote, writing
from gatecast.commands import apply
from gatecast.exits import Exit
from gatecast.remote import Server
from gatecast.writing import How

DIFFERENCES = {"before": int, "after": int, "documents": [writing.CHANGE], "resources": [{"change": str, "name": str}]}
NEWEST = {"revisions": [{"number": int}]}


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", required=False, metavar="[B]")
@click.option("--exit-code", is_flag=True, help="Exit code 3 if there is a difference.")
@click.option("--stat", is_flag=True, help="Names alone, without fields.")
@click.option("--no-resources", is_flag=True, help="Documents alone, without what proxies are sent.")
@remote.server
@output.option()
def command(a: str, b: str | None, exit_code: bool, stat: bool, no_resources: bool, server: Server, output: str) -> int:
    """Show what leads from one revision to another, or to a directory.

    A and B are revisions; without B, A is compared with the newest. A directory, a file or - for A: what
    `gatecast apply -f A --prune` would change, whoever gives it now. Secrets are hidden.
    """
    from gatecast.output import show

    data = directory(server, a, b) if not a.isdecimal() else revisions(server, int(a), b, resources=not no_resources)
    if no_resources:
        data["resources"] = []
    if stat:
        data["documents"] = [{**one, "fields": []} for one in data["documents"]]
    show(output, data, lambda wide: text(data, wide=wide))
    return Exit.FINDINGS if exit_code and data["documents"] else Exit.FINE


def revisions(server: Server, before: int, after: str | None, *, resources: bool) -> dict[str, Any]:
    """The difference between two revisions as the API has it. Raises `Usage`."""
    from gatecast.exits import Usage

    if after is not None and not after.isdecimal():
        raise Usage(f"{after!r} is not the number of a revision")
    number = int(after) if after is not None else newest(server)
    path = f"/api/v1/revisions/{before}/diff/{number}"
    found: dict[str, Any] = server.get(path, DIFFERENCES, resources="true" if resources else "false")
    return found


def newest(server: Server) -> int:
    """The number of the newest revision; 0 before the first."""
    found = server.get("/api/v1/revisions", NEWEST, limit=1)["revisions"]
    return int(found[0]["number"]) if found else 0


def directory(server: Server, place: str, after: str | None) -> dict[str, Any]:
    """The difference between what a server has and a directory, in the same form. Raises `Usage`."""
    from gatecast.exits import Usage
    from gatecast.gathered import gathered

    if after is not None:
        raise Usage(f"{place!r} is compared with the server, and with nothing else: leave out {after!r}")
    how = How("", dry_run=True, force=True, wait=False, timeout=0.0)
    written = apply.send(server, gathered(place), {**how.query, "prune": "true"})
    changed = [one for one in written["changes"] if one["fields"] or one["change"] != "changed"]  # not whose it is
    return {
        "before": written["revision"], "after": None, "documents": changed,
        "resources": written["resources"], "problems": written["problems"],
    }  # fmt: skip


def text(data: dict[str, Any], *, wide: bool) -> str:
    """Documents with their fields, resources, and a line that sums up."""
    from gatecast.output import detail, paint

    most = None if wide else writing.SHOWN
    lines = [*writing.documents(data["documents"], most), *writing.resources(data["resources"], most)]
    lines += [f"{paint(one['severity'], 'red')}: {detail(one)}" for one in data.get("problems", ())]
    return "\n".join([*lines, writing.count(data["documents"]) or "no difference"])
