"""`gatecast delete`: one document."""

import click

from gatecast import output, remote, writing
from gatecast.commands.get import document
from gatecast.exits import Usage
from gatecast.parameters import ID, KIND, parted, sure, yes
from gatecast.remote import Server, segment
from gatecast.writing import How


@click.command("delete")
@click.argument("kind", type=KIND)
@click.argument("id", type=ID, required=False)
@writing.options
@yes
@remote.server
@output.option()
def command(kind: str, id: str | None, how: How, yes: bool, server: Server, output: str) -> int:
    """Delete a document (also KIND/ID). What a file or registry gives is pinned besides, or it would come back."""
    kind, id = parted(kind, id)
    if not id:
        raise Usage(f"an id is missing, as in gatecast delete {kind} ID")
    found = document(server, kind, id)
    sure(f"Delete {found['kind']}/{found['id']}, which {found['source']} gave?", yes=yes or how.dry_run)
    path, etag = f"/api/v1/documents/{segment(kind)}/{segment(id)}", f'"{found["etag"]}"'
    written = server.send("DELETE", path, writing.WRITTEN, etag=etag, **how.query)
    return writing.finish(server, written, how, output)
