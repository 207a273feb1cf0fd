"""`gatecast wait`: until proxies have a revision."""

import click

from gatecast import output, remote, waiting
from gatecast.parameters import DURATION
from gatecast.remote import Server


@click.command("wait")
@click.argument("revision", type=click.IntRange(0))
@click.option("--timeout", type=DURATION, default="60s", show_default=True, help="How long. 0s: only look.")
@remote.server
@output.option()
def command(revision: int, timeout: float, server: Server, output: str) -> int:
    """Wait until every connected proxy has a revision. Exit code 8 if time is up, 1 if a proxy refused it."""
    from gatecast.output import show

    found, code = waiting.rollout(server, revision, timeout)
    show(output, found, lambda _wide: waiting.text(found))
    return code
