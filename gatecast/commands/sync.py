"""`gatecast sync`: read every source again now."""

from typing import Any

import click

from gatecast import output, remote
from gatecast.exits import Exit
from gatecast.remote import Server

SOURCE = {"name": str, "kind": str, "last_error": str, "documents": int}
SYNCED = {"revision": int, "sources": [SOURCE]}


@click.command("sync")
@remote.server
@output.option()
def command(server: Server, output: str) -> int:
    """Let the server read every source again now. Exit code 1 if one could not be read."""
    from gatecast.output import show
    from gatecast.progress import progress

    with progress("reading sources"):
        found = server.send("POST", "/api/v1/sync", SYNCED)
    show(output, found, lambda _wide: f"{listing(found['sources'])}\nrevision {found['revision']} is in force")
    return Exit.ERROR if any(one["last_error"] for one in found["sources"]) else Exit.FINE


def listing(sources: list[dict[str, Any]]) -> str:
    """One line a source, and what is wrong with it."""
    from gatecast.output import clean, paint, table

    if not sources:
        return "no file or registry gives documents"
    rows = [
        (
            clean(one["name"]), one["kind"], str(one["documents"]), str(one.get("kept_out", "-")),
            paint("failed", "red") if one["last_error"] else paint("ok", "green"), clean(one["last_error"]) or "-",
        )
        for one in sources
    ]  # fmt: skip
    return table(("SOURCE", "KIND", "DOCUMENTS", "KEPT OUT", "STATE", "ERROR"), rows)
