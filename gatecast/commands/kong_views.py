"""`gatecast kong export` and `parity`: a Kong's or a directory's entities as a file of decK, and what Kong can do."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatecast import kong_options, output
from gatecast.exits import Usage

if TYPE_CHECKING:
    from kong_sync.admin import Access


@click.command("export")
@click.option(
    "-f",
    "--settings",
    "directory",
    type=click.Path(path_type=Path),
    help="What this directory comes to, without a Kong.",
)
@click.option("--gateway", default="", metavar="ID", help="The gateway; with -f the only one with `kong: true`.")
@kong_options.shared
@kong_options.access
def export(directory: Path | None, gateway: str, shared_kong: bool, access: "Access") -> None:
    """Print our entities as a file of decK: those in a Kong, or with -f those that settings come to.

    It has the keys of tenants in it: keep it as a secret.
    """
    if directory is None and not gateway:
        raise Usage("--gateway: say whose entities of this Kong, or -f for those of a directory")
    text = asyncio.run(_wanted(directory, gateway, alone=not shared_kong) if directory else _held(access, gateway))
    click.echo(text, nl=False)


async def _wanted(directory: Path, gateway: str, *, alone: bool) -> str:
    from gatecast.kong_offline import world
    from kong_sync.backups import dumped
    from kong_sync.listing import ours
    from kong_sync.states import State
    from kong_sync.translate import Options, translate

    found = await world(directory, gateway)
    assert found.gateway is not None, "it was chosen"
    desired = translate(found, options=Options(alone))
    return dumped(State.of((key[0], row) for key, row in desired.entities.items()), ours(found.gateway.id))


async def _held(access: "Access", gateway: str) -> str:
    from gatecast.kong_offline import opened
    from kong_sync.backups import dumped
    from kong_sync.listing import ours

    async with opened(access, gateway) as on:
        await on.database.look()
        assert on.database.mirror is not None, "it was listed"
        return dumped(on.database.mirror.ours, ours(gateway))


@click.command("parity")
@output.option()
def parity(output: str) -> None:
    """Show what of each policy Kong does: exactly, approximately, not at all, and why."""
    from gatecast.output import paint, show, table
    from kong_sync.plugins import ROWS

    colours = {"exact": "green", "approximate": "yellow", "unsupported": "red"}
    found = []
    for policy, row in ROWS.items():
        level, _, why = row.parity.partition(": ")
        found.append({"policy": policy, "parity": level, "why": why})
    rows = [(one["policy"], paint(one["parity"], colours.get(one["parity"], "white")), one["why"]) for one in found]
    show(output, found, lambda _wide: table(("POLICY", "PARITY", "WHY"), rows))
