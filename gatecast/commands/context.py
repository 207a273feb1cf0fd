"""`gatecast context`: servers by name."""

import os
import re
from pathlib import Path

import click

from gatecast import contexts, output
from gatecast.contexts import Context
from gatecast.exits import Usage
from gatecast.parameters import sure, yes


@click.group("context")
def command() -> None:
    """Name servers, and choose the one that commands ask.

    They are kept in ~/.config/gatecast/config.yaml. A token is a file that its owner alone may read: `gatecast login`
    makes it; GATECAST_TOKEN goes before it.
    """


@command.command("add")
@click.argument("name")
@click.option("--server", required=True, metavar="URL", help="The server's API.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token, mode 0600.")
@click.option(
    "--ca", type=click.Path(path_type=Path), help="Who signs its certificate.  [default: whom this system believes]"
)
@click.option("--use", is_flag=True, help="Use it from now on. The first one is used anyway.")
def add(name: str, server: str, token_file: Path | None, ca: Path | None, use: bool) -> None:
    """Add a server, or change the one of this name."""
    made = Context(address(server), _whole(token_file), _whole(ca))
    if made.token_file:
        contexts.read_token(Path(made.token_file))
    path = contexts.file(os.environ)
    known = contexts.load(path).put(valid(name), made, use=use)
    contexts.save(path, known)
    output.note(f"{name} is {made.server}{', and in use' if known.current == name else ''}")


@command.command("use")
@click.argument("name", shell_complete=contexts.offered)
def use(name: str) -> None:
    """Let commands ask this server."""
    path = contexts.file(os.environ)
    contexts.save(path, contexts.load(path).use(name))
    output.note(f"{name} is in use")


@command.command("remove")
@click.argument("name", shell_complete=contexts.offered)
@yes
def remove(name: str, yes: bool) -> None:
    """Forget a server, and the token that `gatecast login` kept for it."""
    path = contexts.file(os.environ)
    left = contexts.load(path).remove(name)
    sure(f"Forget {name} and its token?", yes=yes)
    contexts.save(path, left)
    contexts.token_file(name, os.environ).unlink(missing_ok=True)
    output.note(f"{name} is forgotten")


@command.command("list")
@output.option()
def list_them(output: str) -> None:
    """Show all servers; * marks the one in use."""
    from gatecast.output import clean, show, table

    known = contexts.load(contexts.file(os.environ))
    named = sorted(known.contexts.items())
    data = [
        {"name": name, "current": name == known.current, **{key: getattr(one, key) for key in Context.__slots__}}
        for name, one in named
    ]
    rows = [
        ("*" if name == known.current else "", *map(clean, (name, one.server, one.token_file or "-", one.ca or "-")))
        for name, one in named
    ]
    empty = "no server has a name yet: gatecast context add NAME --server URL"
    show(output, data, lambda _wide: table(("IN USE", "NAME", "SERVER", "TOKEN", "CA"), rows) if rows else empty)


def valid(name: str) -> str:
    """A name that can be part of a file's. Raises `Usage`."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}", name):
        raise Usage(f"{name!r} is not a name for a server: letters, digits, . _ and -, at most 63")
    return name


def address(url: str) -> str:
    """The URL of a server. Raises `Usage`, also if it has a password in it, which is no place for one."""
    from urllib.parse import urlsplit

    try:
        found = urlsplit(url)
        good = found.scheme in ("http", "https") and found.hostname and (found.port is None or found.port > 0)
    except ValueError:
        good = False
    if not good:
        raise Usage(f"{url!r} is not the URL of a server, as in https://gatecast.example or {contexts.DEFAULT}")
    if "@" in found.netloc:
        raise Usage("a URL of a server has no user and password: gatecast login keeps a token")
    return url.rstrip("/")


def _whole(path: Path | None) -> str:
    return str(path.expanduser().absolute()) if path else ""
