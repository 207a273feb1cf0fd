"""`gatecast kong diff`, `sync`, `drift`, `restore`: a Kong compared with settings or a file, and brought to them."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatecast import kong_options, output
from gatecast.exits import Exit, Usage

if TYPE_CHECKING:
    from gatecast.kong import Told
    from gatecast.kong_steps import Wanted
    from kong_sync.admin import Access

exit_code = click.option("--exit-code", is_flag=True, help="Exit code 3 if there is a difference.")
dry_run = click.option("--dry-run", is_flag=True, help="Show what would be done.")


@click.command("diff")
@kong_options.settings
@kong_options.gateway
@kong_options.shared
@kong_options.access
@exit_code
@output.option()
def diff(
    directory: str, gateway: str, shared_kong: bool, access: "Access", exit_code: bool, output: str
) -> int:  # fmt: skip
    """Show what `sync` would change in a Kong. Nothing is written."""
    found = asyncio.run(_compared(access, _settings(directory, gateway, alone=not shared_kong)))
    _show(output, found)
    return Exit.FINDINGS if exit_code and found["changes"] else Exit.FINE


@click.command("drift")
@kong_options.access
@kong_options.shared
@kong_options.plane
@kong_options.whose
@exit_code
@output.option()
def drift(
    access: "Access", shared_kong: bool, gateway: str, exit_code: bool, output: str, **plane: Any
) -> int:  # fmt: skip
    """Compare a Kong with what its control plane says now. The sidecar heals what this shows at its next look.

    Exit code 3 with --exit-code if somebody changed an entity of ours, or a change is still on its way.
    """
    told = kong_options.told(access, gateway, "", plane)
    found = asyncio.run(_compared(access, _said(told, alone=not shared_kong)))
    _show(output, found)
    return Exit.FINDINGS if exit_code and found["changes"] else Exit.FINE


@click.command("sync")
@click.option("--once", is_flag=True, help="Once, and end: `gatecast kong` without a command keeps following.")
@kong_options.settings
@kong_options.gateway
@kong_options.shared
@kong_options.access
@dry_run
@kong_options.force
@kong_options.backups
@click.option("--single", is_flag=True, help="No other Kong node uses this database: waits are shorter.")
@output.option()
def sync(
    once: bool, directory: str, gateway: str, shared_kong: bool, access: "Access", dry_run: bool, force: str,
    backups: Path | None, single: bool, output: str,
) -> int:  # fmt: skip
    """Bring a Kong to the settings of a directory, once: for pipelines without a control plane.

    A plan that deletes much refuses itself: --force with its digest does exactly that plan. Exit code 3 if Kong
    refuses some of it; the rest is done.
    """
    if not once:
        raise Usage("say --once; to follow a control plane: gatecast kong --gateway ID")
    wanted = _settings(directory, gateway, alone=not shared_kong)
    if dry_run:
        found = asyncio.run(_compared(access, wanted))
    else:
        found = asyncio.run(_brought(access, wanted, force, single=single, backups=backups))
    _show(output, found)
    return Exit.FINDINGS if found["problems"] else Exit.FINE


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@kong_options.whose
@kong_options.access
@dry_run
@kong_options.force
@kong_options.backups
@output.option()
def restore(
    file: Path, gateway: str, access: "Access", dry_run: bool, force: str, backups: Path | None, output: str
) -> int:  # fmt: skip
    """Bring our entities of a Kong to a backup: FILE is one of --backups, or of `kong export`.

    A sidecar brings back what its control plane says: restore there first (gatecast restore).
    """
    wanted = _file(file, gateway)
    found = asyncio.run(_compared(access, wanted) if dry_run else _brought(access, wanted, force, backups=backups))
    _show(output, found)
    return Exit.FINDINGS if found["problems"] else Exit.FINE


def _show(form: str, found: dict[str, Any]) -> None:
    from gatecast.kong_told import text

    output.show(form, found, lambda wide: text(found, wide=wide))


async def _settings(directory: str, gateway: str, *, alone: bool) -> "Wanted":
    from gatecast.kong_offline import world
    from gatecast.kong_steps import of_world

    return of_world(await world(Path(directory), gateway), alone=alone)


async def _file(file: Path, gateway: str) -> "Wanted":
    from gatecast.kong_steps import of_file

    return await asyncio.to_thread(of_file, file, gateway)


async def _said(plane: "Told", *, alone: bool) -> "Wanted":
    from gatecast.kong_asked import asked
    from gatecast.kong_steps import of_world

    return of_world(await asked(plane), alone=alone)


async def _compared(access: "Access", coming: Coroutine[Any, Any, "Wanted"]) -> dict[str, Any]:
    from gatecast.kong_offline import opened
    from gatecast.kong_steps import compared

    wanted = await coming
    async with opened(access, wanted.gateway) as on:
        return await compared(on, wanted)


async def _brought(
    access: "Access", coming: Coroutine[Any, Any, "Wanted"], force: str, *, single: bool = False, backups: Path | None
) -> dict[str, Any]:
    from gatecast.kong_offline import opened
    from gatecast.kong_steps import brought
    from kong_sync.database import Guard

    wanted = await coming
    async with opened(access, wanted.gateway, Guard(force), single=single, backups=backups) as on:
        return await brought(on, wanted)
