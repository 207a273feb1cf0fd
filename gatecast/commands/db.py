"""`gatecast db`: the store itself, without a server."""

import asyncio
from pathlib import Path
from typing import Any

import click

from gatecast import output
from gatecast.exits import Exit
from gatecast.parameters import sure, yes

store = click.option(
    "--store", envvar="GATECAST_STORE", required=True, metavar="URL",
    help="A file, sqlite:///file or postgresql://...; also GATECAST_STORE.",
)  # fmt: skip


@click.group("db")
def command() -> None:
    """Migrate, back up and restore the store. A server may be using it, but for `restore` and migrations down."""


@command.command("migrate")
@store
@click.option("--to", default="", metavar="SCHEMA", help="To this schema, also an older one.  [default: the newest]")
@yes
@output.option()
def migrate(store: str, to: str, yes: bool, output: str) -> None:
    """Bring the store to the schema that this gatecast needs; make it if there is none."""
    from gatecast.output import show

    data = asyncio.run(_migrated(store, to, yes=yes))
    before, after = (f"schema {data[name]}" if data[name] else "nothing" for name in ("from", "to"))
    show(output, data, lambda _wide: f"the store {'is at' if before == after else f'went from {before} to'} {after}")


async def _migrated(url: str, to: str, *, yes: bool) -> dict[str, str]:
    from tenants.errors import Refused
    from tenants.store import migrating
    from tenants.store.engine import connect, parse
    from tenants.store.schema import VERSION

    wanted = to or VERSION
    known = ("base", *(f"{number:04}" for number in range(1, int(VERSION) + 1)))
    if wanted not in known:
        raise Refused(f"{wanted!r} is not a schema of this gatecast, which are: {', '.join(known)}")
    database = connect(parse(url))
    try:
        async with database.reading() as connection:
            found = await migrating.version(connection)
        if wanted == VERSION or found > VERSION:  # a newer one is refused
            await migrating.ensure(database)
        elif wanted == "base" or wanted < found:
            lost = "Everything in it" if wanted == "base" else "What only newer ones keep"
            sure(f"Take the store back from schema {found or 'none'} to {wanted}? {lost} is lost.", yes=yes)
            await migrating.downgrade(database, wanted)
        else:
            await migrating.upgrade(database, wanted)
        async with database.reading() as connection:
            return {"from": found, "to": await migrating.version(connection)}
    finally:
        await database.close()


@command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@store
@output.option()
def backup(file: Path, store: str, output: str) -> None:
    """Copy the store to a new FILE, while it is in use.

    What is printed is the end of the audit chain: noted elsewhere, it tells a chain that was written anew.
    """
    from gatecast.output import show
    from gatecast.progress import progress
    from tenants.store import backup

    with progress("copying") as advance:
        head = asyncio.run(backup(store, file, advance))
    data = {"file": str(file), "bytes": file.stat().st_size, "audit": {"seq": head.seq, "hash": head.hash}}
    show(
        output, data,
        lambda _wide: f"{file}: {data['bytes']} bytes; the audit ends with entry {head.seq}, hash {head.hash or '-'}",
    )  # fmt: skip


@command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@store
@output.option()
def restore(file: Path, store: str, output: str) -> int:
    """Bring a backup FILE back into an empty store, made if there is none, and check it.

    Restart servers that know a later state. Exit code 3 if the check found something wrong.
    """
    from gatecast.output import show
    from gatecast.progress import progress
    from tenants.store import put_back

    with progress("putting back") as advance:
        verdict = asyncio.run(put_back(file, store, advance))
    data = checked(verdict.entries, verdict.head.seq, verdict.head.hash, verdict.problems)
    show(output, data, lambda _wide: "\n".join(told(data)))
    return Exit.FINE if data["ok"] else Exit.FINDINGS


def checked(entries: int, seq: int, hash: str, problems: tuple[str, ...]) -> dict[str, Any]:
    """What a check of the audit chain came to, as `audit verify` shows it, too."""
    return {"ok": not problems, "entries": entries, "head": {"seq": seq, "hash": hash}, "problems": list(problems)}


def told(data: dict[str, Any]) -> list[str]:
    """The same for people."""
    from gatecast.output import clean, counted, paint

    word = paint("whole", "green") if data["ok"] else paint("not whole", "red")
    found = [f"  {clean(one)}" for one in data["problems"]]
    return [*found, f"the audit is {word}: {counted(data['entries'], 'entry', 'entries')}"]
