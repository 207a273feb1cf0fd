"""`gatecast demo`: see `gatecast.demo` and `gatecast.demo_kong`."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import click

from gatecast.exits import Exit

LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command("demo")
@click.option("--kong", is_flag=True, help="On a double of Kong, or on the Kong of KONG_ADMIN_URL and KONG_PROXY_URL.")
@click.option("--keep", is_flag=True, help="Leave it running and say what to try.")
@click.option("--log-level", default="critical", type=click.Choice(LEVELS), help="What the server logs.")
def command(kong: bool, keep: bool, log_level: str) -> int:
    """Watch a real Envoy take a tenant's change: everything in one terminal, nothing left behind."""
    from gatecast.telemetry import set_up_logs

    set_up_logs("auto", log_level)
    try:
        asyncio.run(_story(kong)(keep=keep))
    except asyncio.CancelledError:  # SIGTERM: all is cleared up
        return 128 + signal.SIGTERM
    return Exit.FINE


def _story(kong: bool) -> Callable[..., Coroutine[Any, Any, None]]:
    say = partial(print, flush=True)
    if kong:
        from gatecast import demo_kong

        return partial(demo_kong.run, say, os.environ)
    from gatecast import demo

    return partial(demo.run, say)
