"""`gatecast completion SHELL`."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    bash: eval "$(gatecast completion bash)"
    """
    from gatecast.cli import cli

    found = get_completion_class(shell)
    assert found is not None, "click knows all shells of the choice"
    print(found(cli, {}, "gatecast", "_GATECAST_COMPLETE").source())
