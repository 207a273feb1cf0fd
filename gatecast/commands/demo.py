"""`gatecast demo`: see `gatecast.demo` and `gatecast.demo_kong`."""

import asyncio
import os
from functools import partial

import click

LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command("demo")
@click.option("--kong", is_flag=True, help="On a double of Kong, or on the Kong of KONG_ADMIN_URL and KONG_PROXY_URL.")
@click.option("--keep", is_flag=True, help="Leave it running and say what to try.")
@click.option("--log-level", default="critical", type=click.Choice(LEVELS), help="What the server logs.")
def command(kong: bool, keep: bool, log_level: str) -> None:
    """Watch a real Envoy take a tenant's change: everything in one terminal, nothing left behind."""
    from gatecast.telemetry import set_up_logs

    set_up_logs("auto", log_level)
    say = partial(print, flush=True)
    if kong:
        from gatecast import demo_kong

        asyncio.run(demo_kong.run(say, os.environ, keep=keep))
    else:
        from gatecast import demo

        asyncio.run(demo.run(say, keep=keep))
