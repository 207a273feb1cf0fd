"""`gatecast version`."""

import click

from gatecast.about import version


@click.command("version")
def command() -> None:
    """Print the version."""
    print(version())
