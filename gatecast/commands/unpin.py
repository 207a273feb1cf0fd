"""`gatecast unpin`: files and registries may write again."""

import click

from gatecast import output, remote
from gatecast.commands.pins import PINS
from gatecast.exits import NotFound, Usage
from gatecast.parameters import NAME, sure, yes
from gatecast.remote import Server, segment

UNPINNED = {"revision": int, "pins": int}


@click.command("unpin")
@click.argument("names", nargs=-1, type=NAME, metavar="[KIND/ID]...")
@click.option("--all", "every", is_flag=True, help="All that are pinned.")
@click.option("-m", "--reason", default=None, metavar="WHY", help="Kept in the audit.")
@yes
@remote.server
@output.option()
def command(
    names: tuple[tuple[str, str], ...], every: bool, reason: str | None, yes: bool, server: Server, output: str
) -> None:
    """Let files and registries write documents again. They do so at once, which undoes a restore of these."""
    from gatecast.output import counted, show

    if bool(names) == every:
        raise Usage("name documents, as in tenant/acme, or say --all")
    if every:
        names = tuple((one["kind"], one["id"]) for one in server.get("/api/v1/pins", PINS)["pins"])
    sure(f"Let files and registries write {counted(len(names), 'document')} again?", yes=yes or not names)
    done = {"/".join(name): _unpinned(server, *name, reason) for name in names}
    missing = [name for name, count in done.items() if not count]
    if missing and not every:
        raise NotFound(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not pinned")
    count = sum(done.values())
    show(output, {"unpinned": count}, lambda _wide: f"{counted(count, 'document')} unpinned")


def _unpinned(server: Server, kind: str, id: str, reason: str | None) -> int:
    path = f"/api/v1/pins/{segment(kind)}/{segment(id)}"
    return int(server.send("DELETE", path, UNPINNED, reason=reason)["pins"])
