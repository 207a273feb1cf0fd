"""`gatecast restore`: back to a revision."""

from typing import Any

import click

from gatecast import output, remote, writing
from gatecast.exits import Usage
from gatecast.parameters import DURATION, sure, yes
from gatecast.remote import Server
from gatecast.writing import How


@click.command("restore")
@click.argument("number", type=click.IntRange(0))
@click.option("-m", "--reason", default="", metavar="WHY", help="Why. Needed, but for --dry-run.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would change, for proxies too.")
@click.option("--wait", is_flag=True, help="Until every proxy has it. Exit code 8 if time is up.")
@click.option("--timeout", type=DURATION, default="60s", show_default=True, help="How long --wait waits.")
@yes
@remote.server
@output.option()
def command(
    number: int, reason: str, dry_run: bool, wait: bool, timeout: float, yes: bool, server: Server, output: str
) -> int:
    """Make what was at a revision the newest one: a new revision, with a reason.

    What files and registries gave is pinned, or they would write it again: see `gatecast pins`. On a terminal the
    difference is shown and asked about first.
    """
    import sys

    if not (reason.strip() or dry_run):
        raise Usage("say why you go back: -m WHY")
    how = How(reason, dry_run, force=False, wait=wait, timeout=timeout)
    if dry_run or yes or not sys.stdin.isatty():
        return writing.finish(server, asked(server, number, how), how, output)
    trial = asked(server, number, How(reason, dry_run=True, force=False, wait=False, timeout=0.0))
    click.echo(writing.text(trial, wide=False), err=True)
    sure(f"Go back to revision {number}?", yes=False)
    return writing.finish(server, asked(server, number, how, trial["revision"]), how, output)


def asked(server: Server, number: int, how: How, expected: int | None = None) -> dict[str, Any]:
    """What the server says of going back; `expected` is the newest revision that was seen before."""
    body: dict[str, Any] = {"reason": how.reason.strip() or "a trial"}
    body |= {"if_revision": expected} if expected is not None else {}
    dry_run = "true" if how.dry_run else None
    path = f"/api/v1/revisions/{number}:restore"
    written: dict[str, Any] = server.send("POST", path, writing.WRITTEN, body, dry_run=dry_run)
    return written
