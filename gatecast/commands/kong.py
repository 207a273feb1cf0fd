"""`gatecast kong`: the sidecar of a Kong, and what one does with a Kong by hand (`kong_plans`, `kong_views`)."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

import click

from gatecast import kong_options
from gatecast.exits import Usage

if TYPE_CHECKING:
    from gatecast.kong import Told
    from kong_sync.admin import Access

PARTS = {
    "diff": "kong_plans", "sync": "kong_plans", "restore": "kong_plans", "drift": "kong_plans",
    "export": "kong_views", "ping": "kong_views", "parity": "kong_views",
}  # fmt: skip
ELSEWHERE = {
    "apply": "gatecast kong sync --once -f DIR",
    "dump": "gatecast kong export --gateway ID",
    "validate": "gatecast check -f DIR for settings, gatecast kong restore FILE --dry-run for a file of `kong export`",
    "reset": "gatecast kong sync --once with settings that have no tenants, and --force; what others have is kept",
    "convert": "nothing: gatecast reads its own settings alone",
}
"""What users of decK try first, and what does that here."""


class Lazy(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PARTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE:
            raise Usage(f"`gatecast kong {cmd_name}` is not there. Use {ELSEWHERE[cmd_name]}")
        if cmd_name not in PARTS:
            return None
        found: click.Command = getattr(importlib.import_module(f"gatecast.commands.{PARTS[cmd_name]}"), cmd_name)
        return found


@click.group("kong", cls=Lazy, invoke_without_command=True)
@kong_options.access
@kong_options.plane
@click.option(
    "--gateway", default="", envvar="GATECAST_KONG_GATEWAY", metavar="ID", help="Whose tenants this Kong serves."
)
@click.option("--node", default="", envvar="GATECAST_KONG_NODE", help="Name of this sidecar.  [default: kong-HOST]")
@click.option(
    "--proxy",
    default="",
    envvar="GATECAST_KONG_PROXY",
    metavar="URL",
    help="Kong's proxy, as http://127.0.0.1:8000: a change is acknowledged when it was seen there.",
)
@click.option(
    "--listen",
    default="127.0.0.1:18002",
    show_default=True,
    envvar="GATECAST_KONG_LISTEN",
    metavar="HOST:PORT",
    help="/livez, /readyz and /metrics.",
)
@kong_options.backups
@click.option(
    "--state",
    type=kong_options.FILE,
    envvar="GATECAST_KONG_STATE",
    help="File by which a restart asks for what differs alone.",
)
@click.option("--single", is_flag=True, envvar="GATECAST_KONG_SINGLE", help="No other Kong node uses this database.")
@kong_options.shared
@click.option(
    "--look",
    default=600.0,
    show_default=True,
    type=click.FloatRange(1),
    envvar="GATECAST_KONG_LOOK",
    metavar="SECONDS",
    help="Between two full comparisons.",
)
@kong_options.force
@click.option("--log-format", default="auto", type=click.Choice(["auto", "console", "json"]), help="How to log.")
@click.option(
    "--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]), help="What to log."
)
@click.pass_context
def command(context: click.Context, /, access: "Access", **given: Any) -> None:  # fmt: skip
    """Keep a Kong as the settings say, live.

    Runs beside a Kong: follows the control plane, writes to the Admin API what differs, acknowledges or refuses each
    tenant. The commands below do one step by hand.
    """
    if context.invoked_subcommand is not None:
        from gatecast.logs import set_up_notes

        set_up_notes(sys.stderr)
        return
    if not given["gateway"]:
        raise Usage("--gateway: say which gateway this Kong is, as in --gateway edge")
    import asyncio

    from gatecast.kong import run
    from gatecast.logs import set_up_logs

    said = told(access, given)
    set_up_logs(given["log_format"], given["log_level"])
    asyncio.run(run(said))


def told(access: "Access", given: dict[str, Any]) -> "Told":
    """What the sidecar is told. Raises `Usage`."""
    import socket

    from gatecast.addresses import Address
    from kong_sync.database import Guard
    from kong_sync.runner import Pace

    return kong_options.told(
        access, given["gateway"], given["node"] or f"kong-{socket.gethostname()}", given,
        listen=Address.parse(given["listen"]), backups=given["backups"], state=given["state"],
        alone=not given["shared_kong"], single=given["single"], guard=Guard(given["force"]), pace=Pace(given["look"]),
        proxy=proxied(given["proxy"]),
    )  # fmt: skip


def proxied(url: str) -> str:
    """The address of a proxy, or none. Raises `Usage`."""
    from urllib.parse import urlsplit

    found = urlsplit(url)
    if url and (found.scheme != "http" or not found.hostname or found.path.strip("/") or "@" in found.netloc):
        raise Usage(f"--proxy: {url!r} is not the address of a proxy, as in http://127.0.0.1:8000")
    return url
