"""`gatecast login`: keep a token for a server."""

import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from gatecast import contexts, output
from gatecast.commands.context import address, valid
from gatecast.contexts import Context, Target
from gatecast.exits import Usage
from gatecast.remote import Server

STATUS = {"ready": bool, "version": str}


@click.command("login")
@click.argument("name", required=False, shell_complete=contexts.offered)
@click.option("--server", default="", metavar="URL", help="The server's API, if the name is a new one.")
@click.option("--ca", default=None, type=click.Path(path_type=Path), help="Who signs the server's certificate.")
def command(name: str | None, server: str, ca: Path | None) -> None:
    """Keep a token for a server. It is asked for, tried, and kept in a file that only you may read.

    NAME is a context, without it the one in use. Without a terminal the token is read from standard input.
    """
    path = contexts.file(os.environ)
    known = contexts.load(path)
    chosen = valid(name or known.current or "default")
    made = _context(known.contexts.get(chosen), chosen, server, ca)
    token = _asked(made.server)
    with closing(Server(Target(made.server, token, made.ca))) as tried:
        found = tried.get("/api/v1/status", STATUS)
    file = contexts.token_file(chosen, os.environ)
    contexts.write_private(file, f"{token}\n")
    contexts.save(path, known.put(chosen, replace(made, token_file=str(file)), use=True))
    output.note(f"{made.server} (gatecast {found['version']}) takes the token; {chosen} is in use")


def _context(known: Context | None, name: str, server: str, ca: Path | None) -> Context:
    if known is None and not server:
        raise Usage(f"there is no context {name!r} yet: give its --server URL")
    base = known or Context(address(server))
    changed = replace(base, server=address(server)) if server else base
    return replace(changed, ca=str(ca.expanduser().absolute())) if ca else changed


def _asked(server: str) -> str:
    if sys.stdin.isatty():
        text: str = click.prompt(f"Token for {server}", hide_input=True, err=True)
    else:
        text = sys.stdin.readline()
    if not text.strip().isascii() or not text.strip():
        raise Usage("that is no token: gatecast token create makes one")
    return text.strip()
