"""`gatecast token`: who may ask a server. The first token is made on the store itself (`--store`)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from gatecast import output, remote
from gatecast.exits import NotFound, Usage
from gatecast.parameters import DURATION, sure, yes
from gatecast.remote import Server, segment

if TYPE_CHECKING:
    from tenants.store import By, Store

TOKEN = {"id": str, "name": str, "role": str, "created": str, "expires": str | None, "revoked": str | None}
DAY = 86_400
ROLES = ("viewer", "editor", "admin")

store = click.option(
    "--store", default="", metavar="URL", help="Without a server, on its store: a file, or postgresql://..."
)


@click.group("token")
def command() -> None:
    """Make, list and revoke tokens of the API. A server is asked with the token of an admin.

    The first one is made where the store is: gatecast token create NAME --role admin --store URL
    """


@command.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do.")
@click.option("--expires", type=DURATION, metavar="90d", help="Days until it is good no more.  [default: never]")
@store
@remote.server
@output.option()
def create(name: str, role: str, expires: float | None, store: str, server: Server, output: str) -> None:
    """Make a token. It is shown once, on stdout, and kept as a hash."""
    from gatecast.output import note, show

    if expires is not None and (expires < DAY or expires % DAY):
        raise Usage("--expires is in whole days, as in 90d")
    days = int(expires // DAY) if expires else None
    if store:
        made = asyncio.run(_on(store, lambda here, by: _created(here, by, name, role, days)))
    else:
        body = {"name": name, "role": role, **({"expires_in_days": days} if days else {})}
        made = server.send("POST", "/api/v1/tokens", {**TOKEN, "token": str}, body)
    note(f"token {made['id']} for {name}, {role}, {_until(made)}: keep it, it is not shown again")
    show(output, made, lambda _wide: str(made["token"]))


@command.command("list")
@store
@remote.server
@output.option()
def list_them(store: str, server: Server, output: str) -> None:
    """Show every token there ever was, without its secret."""
    from gatecast.output import show

    path, shape = "/api/v1/tokens", {"tokens": [TOKEN]}
    found = asyncio.run(_on(store, _listed)) if store else server.get(path, shape)["tokens"]
    show(output, found, lambda _wide: _table(found))


@command.command("revoke")
@click.argument("id")
@store
@yes
@remote.server
@output.option()
def revoke(id: str, store: str, yes: bool, server: Server, output: str) -> None:
    """Make a token good no more, by its ID."""
    from gatecast.output import show

    sure(f"Revoke the token {id}?", yes=yes)
    if store:
        made = asyncio.run(_on(store, lambda here, by: _revoked(here, by, id)))
    else:
        made = server.send("DELETE", f"/api/v1/tokens/{segment(id)}", TOKEN)
    show(output, made, lambda _wide: f"token {made['id']} of {made['name']} is revoked since {made['revoked']}")


async def _on(url: str, work: "Callable[[Store, By], Awaitable[Any]]") -> Any:
    """Do this on a store that is there, as the user of this machine."""
    from tenants.store import By, Store
    from tenants.store import NotFound as MissingInStore
    from tenants.store.engine import connect, parse

    await connect(parse(url), make=False).close()
    async with await Store.open(url, migrate=False) as here:
        try:
            return await work(here, By(_user(), "cli"))
        except MissingInStore as error:
            raise NotFound(str(error)) from None


def _user() -> str:
    """Who runs this; by number where nobody gave it a name, as in many containers."""
    import os
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


async def _created(here: "Store", by: "By", name: str, role: str, days: int | None) -> dict[str, Any]:
    from dataclasses import asdict
    from datetime import timedelta

    token, text = await here.tokens.create(name, role, by, timedelta(days=days) if days else None)
    return {**asdict(token), "token": text}


async def _listed(here: "Store", _by: "By") -> list[dict[str, Any]]:
    from dataclasses import asdict

    return [asdict(one) for one in await here.tokens.all()]


async def _revoked(here: "Store", by: "By", id: str) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(await here.tokens.revoke(id, by))


def _until(token: dict[str, Any]) -> str:
    return f"good until {token['expires']}" if token["expires"] else "good until it is revoked"


def _state(token: dict[str, Any]) -> str:
    from datetime import UTC, datetime

    from gatecast.output import paint

    if token["revoked"]:
        return paint("revoked", "red")
    expired = token["expires"] and datetime.fromisoformat(token["expires"]) <= datetime.now(UTC)
    return paint("expired", "yellow") if expired else "good"


def _table(tokens: list[dict[str, Any]]) -> str:
    from gatecast.output import clean, table

    rows = [
        (
            one["id"], clean(one["name"]), one["role"], _state(one),
            one["created"], one["expires"] or "-", one.get("used") or "-", clean(str(one.get("author", ""))),
        )
        for one in tokens
    ]  # fmt: skip
    head = ("ID", "NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED", "MADE BY")
    return table(head, rows) if rows else "there is no token"
