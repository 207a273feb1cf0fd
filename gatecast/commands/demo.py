"""`gatecast demo`: see `gatecast.demo`."""

import asyncio
from functools import partial

import click

LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave it running and say what to try.")
@click.option("--log-level", default="critical", type=click.Choice(LEVELS), help="What the server logs.")
def command(keep: bool, log_level: str) -> None:
    """Watch a real Envoy take a tenant's change: everything in one terminal, nothing left behind."""
    from gatecast.demo import run
    from gatecast.telemetry import set_up_logs

    set_up_logs("auto", log_level)
    asyncio.run(run(partial(print, flush=True), keep=keep))
