"""`gatecast kong diff`, `sync`, `drift`, `restore`: a Kong compared with settings or a file, and brought to them."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatecast import kong_options, output
from gatecast.exits import Exit, Usage

if TYPE_CHECKING:
    from gatecast.kong_offline import Opened
    from kong_sync.admin import Access
    from kong_sync.model import World

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
    found = asyncio.run(_compared(access, Path(directory), gateway, alone=not shared_kong))
    _show(output, found)
    return Exit.FINDINGS if exit_code and found["changes"] else Exit.FINE


@click.command("drift")
@kong_options.access
@kong_options.shared
@click.option("--xds", default="127.0.0.1:18000", show_default=True, metavar="HOST:PORT", help="The control plane.")
@click.option("--gateway", required=True, metavar="ID", help="The gateway.")
@exit_code
@output.option()
def drift(
    access: "Access", shared_kong: bool, xds: str, gateway: str, exit_code: bool, output: str
) -> int:  # fmt: skip
    """Compare a Kong with what its control plane says now. The sidecar heals what this shows at its next look.

    Exit code 3 with --exit-code if somebody changed an entity of ours, or a change is still on its way.
    """
    found = asyncio.run(_drifted(access, xds, gateway, alone=not shared_kong))
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
@click.option("--single", is_flag=True, help="No other Kong node uses this database: waits are shorter.")
@output.option()
def sync(
    once: bool, directory: str, gateway: str, shared_kong: bool, access: "Access", dry_run: bool, force: str,
    single: bool, output: str,
) -> int:  # fmt: skip
    """Bring a Kong to the settings of a directory, once: for pipelines without a control plane.

    A plan that deletes much refuses itself: --force with its digest does exactly that plan. Exit code 3 if Kong
    refuses some of it; the rest is done.
    """
    if not once:
        raise Usage("say --once; to follow a control plane: gatecast kong --gateway ID")
    place = Path(directory)
    if dry_run:
        found = asyncio.run(_compared(access, place, gateway, alone=not shared_kong))
    else:
        found = asyncio.run(_synced(access, place, gateway, force, alone=not shared_kong, single=single))
    _show(output, found)
    return Exit.FINDINGS if found["problems"] else Exit.FINE


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--gateway", required=True, metavar="ID", help="The gateway.")
@kong_options.access
@dry_run
@kong_options.force
@output.option()
def restore(file: Path, gateway: str, access: "Access", dry_run: bool, force: str, output: str) -> int:
    """Bring our entities of a Kong to a backup: FILE is one of --backups, or of `kong export`.

    A sidecar brings back what its control plane says: restore there first (gatecast restore).
    """
    found = asyncio.run(_restored(access, file, gateway, force, dry_run=dry_run))
    _show(output, found)
    return Exit.FINDINGS if found["problems"] else Exit.FINE


def _show(form: str, found: dict[str, Any]) -> None:
    from gatecast.kong_told import text

    output.show(form, found, lambda wide: text(found, wide=wide))


async def _compared(access: "Access", directory: Path, gateway: str, *, alone: bool) -> dict[str, Any]:
    from gatecast.kong_offline import opened, world

    wanted = await world(directory, gateway)
    async with opened(access, _id(wanted)) as on:
        return await _difference(on, wanted, alone=alone)


async def _difference(on: "Opened", wanted: "World", *, alone: bool) -> dict[str, Any]:
    from gatecast.kong_told import data
    from kong_sync.translate import Options, translate

    desired = translate(wanted, options=Options(alone))
    await on.database.look()
    await on.database.want(desired)
    found = data(on.database.planned())
    return {**found, "problems": [*found["problems"], *(str(one) for one in desired.problems() if _error(one))]}


def _error(problem: Any) -> bool:
    return bool(problem.severity == "error")


async def _synced(
    access: "Access", directory: Path, gateway: str, force: str, *, alone: bool, single: bool
) -> dict[str, Any]:
    from gatecast.kong_offline import opened, world, writing
    from kong_sync.database import Guard
    from kong_sync.gauges import Gauges
    from kong_sync.translate import Options, translate
    from kong_sync.whole import Whole

    wanted = await world(directory, gateway)
    async with opened(access, _id(wanted), Guard(force), single=single) as on, writing(on):
        found = await _difference(on, wanted, alone=alone)
        if on.leases is None:
            whole = Whole(on.kong, Gauges(), guard=Guard(force))
            faults = await whole.bring(translate(wanted, options=Options(alone)))
        else:
            faults = await on.database.converge()
            await on.database.settle()
        return {**found, "problems": list(dict.fromkeys([*found["problems"], *(one.text for one in faults)]))}


async def _restored(access: "Access", file: Path, gateway: str, force: str, *, dry_run: bool) -> dict[str, Any]:
    from gatecast.kong_offline import opened, writing
    from gatecast.kong_told import data
    from kong_sync.backups import loaded
    from kong_sync.database import Guard
    from kong_sync.listing import ours
    from tenants.errors import Refused

    rows = await asyncio.to_thread(loaded, file)
    if strange := [row["id"] for _kind, row in rows if not {*ours(gateway)} <= {*(row.get("tags") or ())}]:
        raise Refused(f"{file}: {strange[0]} does not carry the tags {', '.join(ours(gateway))}: nothing was changed")
    async with opened(access, gateway, Guard(force)) as on:
        if on.leases is None:
            raise Refused("a Kong without a database takes whole configurations alone: gatecast kong sync --once")
        await on.database.look()
        await on.database.hold(rows)
        found = data(on.database.planned())
        if dry_run:
            return found
        async with writing(on):
            faults = await on.database.converge()
            await on.database.settle()
        return {**found, "problems": list(dict.fromkeys([*found["problems"], *(one.text for one in faults)]))}


async def _drifted(access: "Access", xds: str, gateway: str, *, alone: bool) -> dict[str, Any]:
    from gatecast.kong_asked import asked
    from gatecast.kong_offline import opened

    wanted = await asked(xds, gateway)
    async with opened(access, gateway) as on:
        return await _difference(on, wanted, alone=alone)


def _id(world: "World") -> str:
    assert world.gateway is not None, "it was chosen"
    return str(world.gateway.id)
