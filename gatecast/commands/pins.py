"""`gatecast pins`: what files and registries may not write."""

from typing import Any

import click

from gatecast import output, remote
from gatecast.remote import Server

PINS = {"pins": [{"kind": str, "id": str, "revision": int, "at": str, "author": str, "reason": str}]}


@click.command("pins")
@remote.server
@output.option()
def command(server: Server, output: str) -> None:
    """Show what files and registries may not write, since when, and why: somebody restored or deleted it.

    `gatecast unpin` lets them write again.
    """
    from gatecast.output import clean, counted, show, since, table

    found = server.get("/api/v1/pins", PINS)["pins"]
    rows = [
        (f"{one['kind']}/{one['id']}", str(one["revision"]), since(one["at"]), clean(one["author"]), _why(one))
        for one in found
    ]
    text = table(("DOCUMENT", "REVISION", "AGE", "AUTHOR", "WHY"), rows) if rows else ""
    show(output, found, lambda _wide: "\n".join(filter(None, (text, counted(len(found), "pin")))))


def _why(one: dict[str, Any]) -> str:
    from gatecast.output import clean

    return clean(one["reason"]) or "-"
