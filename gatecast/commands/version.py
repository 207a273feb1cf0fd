"""`gatecast version`."""

import click

from gatecast import output
from gatecast.about import version


@click.command("version")
@output.option("table", "json", "yaml")
def command(output: str) -> None:
    """Print the version."""
    from gatecast.output import show

    show(output, {"version": version()}, lambda _wide: version())
