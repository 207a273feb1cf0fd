"""`gatecast kong export` and `parity`: a Kong's or a directory's entities as a file of decK, and what Kong can do."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatecast import kong_options, output
from gatecast.exits import NotFound, Usage
from gatecast.output import note

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
@click.option(
    "--gateway",
    default="",
    envvar="GATECAST_KONG_GATEWAY",
    metavar="ID",
    help="The gateway; with -f the only one with `kong: true`.",
)
@click.option("--to", "file", type=click.Path(path_type=Path), metavar="FILE", help="Into a new file, for you alone.")
@kong_options.shared
@kong_options.access
def export(directory: Path | None, gateway: str, file: Path | None, shared_kong: bool, access: "Access") -> None:
    """Print our entities as a file of decK: those in a Kong, or with -f those that settings come to.

    It has the values of headers that settings set: keep it as a secret.
    """
    if directory is None and not gateway:
        raise Usage("--gateway: say whose entities of this Kong, or -f for those of a directory")
    text = asyncio.run(_wanted(directory, gateway, alone=not shared_kong) if directory else _held(access, gateway))
    if file is None:
        click.echo(text, nl=False)
        return
    from kong_sync.backups import written
    from tenants.errors import Refused

    try:
        written(file, text)
    except OSError as error:
        raise Refused(f"{file}: {(error.strerror or str(error)).lower()}") from None
    note(f"{file}: {len(text.encode())} bytes")


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
        if not len(on.database.mirror.ours):
            raise NotFound(f"nothing in this Kong is of gateway {gateway!r}, with the tags {', '.join(ours(gateway))}")
        return dumped(on.database.mirror.ours, ours(gateway))


@click.command("ping")
@kong_options.access
@output.option()
def ping(access: "Access", output: str) -> None:
    """Ask a Kong who it is, and say what would be in our way. Nothing is written.

    Exit codes: 7 it cannot be reached, 6 it wants a token, 1 it is one that gatecast cannot serve.
    """
    from gatecast.kong_told import about
    from gatecast.output import show

    found = asyncio.run(_asked(access))
    show(output, found, lambda _wide: about(found))


async def _asked(access: "Access") -> dict[str, Any]:
    from gatecast.kong_offline import PLUGINS, reached, writers
    from kong_sync.answers import doubts

    async with reached(access) as kong:
        its, said = kong.about, doubts(kong.about)
        missing = sorted(PLUGINS - its.plugins)
        who = () if its.dbless else await writers(kong)
    return {
        "url": access.url, "version": its.version, "edition": its.edition, "database": its.database,
        "router": its.flavor, "wait": its.wait_everywhere, "writers": list(who), "missing_plugins": missing,
        "doubts": list(said),
    }  # fmt: skip


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
