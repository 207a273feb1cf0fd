"""The command line: `gatecast COMMAND`. The table names the commands; each is imported only when it is called.

Data goes to stdout, everything else to stderr; errors are told in one place (`main`), never as a stack trace.
"""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import click

from gatecast import output, remote
from gatecast.exits import Answered, Away, Exit, exit_of
from tenants.errors import GatecastError

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "serve": ("gatecast.commands.serve", "Serve settings to proxies, live."),
        "kong": ("gatecast.commands.kong", "Keep a Kong as the settings say, live."),
        "demo": ("gatecast.commands.demo", "Watch a real Envoy take a tenant's change."),
        "check": ("gatecast.commands.check", "Find what is wrong with settings, offline."),
        "translate": ("gatecast.commands.translate", "Show what a tenant's settings come to, offline."),
        "bootstrap": ("gatecast.commands.bootstrap", "Print a complete bootstrap for an Envoy."),
        "status": ("gatecast.commands.status", "Show a running server in one look."),
        "clients": ("gatecast.commands.clients", "Show connected proxies: state, versions, what they refused."),
        "get": ("gatecast.commands.get", "Show documents."),
        "apply": ("gatecast.commands.apply", "Put documents into force on a server."),
        "set": ("gatecast.commands.set", "Change fields of one document."),
        "delete": ("gatecast.commands.delete", "Delete a document."),
        "diff": ("gatecast.commands.diff", "Show what leads from one revision to another, or to a directory."),
        "tenant": ("gatecast.commands.tenant", "Show what holds for a tenant, and where it comes from."),
        "revisions": ("gatecast.commands.revisions", "Show who changed what, when and why."),
        "restore": ("gatecast.commands.restore", "Make what was at a revision the newest one."),
        "wait": ("gatecast.commands.wait", "Wait until every connected proxy has a revision."),
        "pins": ("gatecast.commands.pins", "Show what files and registries may not write."),
        "unpin": ("gatecast.commands.unpin", "Let files and registries write documents again."),
        "sync": ("gatecast.commands.sync", "Let the server read every source again now."),
        "audit": ("gatecast.commands.audit", "Show who did what to what."),
        "token": ("gatecast.commands.token", "Make, list and revoke tokens of the API."),
        "db": ("gatecast.commands.db", "Migrate, back up and restore the store."),
        "bundle": ("gatecast.commands.bundle", "Collect what helps to find a fault in one archive."),
        "login": ("gatecast.commands.login", "Keep a token for a server."),
        "context": ("gatecast.commands.context", "Name servers, and choose the one that commands ask."),
        "completion": ("gatecast.commands.completion", "Print the completion script of a shell."),
        "version": ("gatecast.commands.version", "Print the version."),
    }
)
DEBUG = "GATECAST_DEBUG"


class Lazy(click.Group):
    """Knows names and help texts without importing a command: `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gatecast", message="%(version)s")
@click.option("-o", "--output", type=click.Choice(output.FORMS), help="Form of what is printed.")
@remote.named
def cli(**_before: str | None) -> None:
    """A control plane that streams each tenant's settings to Envoy, live in milliseconds.

    The options here may stand before the command or after it.

    Exit codes: 0 fine, 1 error, 2 usage, 3 findings, 4 not found, 5 conflict, 6 access, 7 unreachable, 8 timed out.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = cli.main(given, prog_name="gatecast", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = Exit.USAGE
    except click.ClickException as error:
        code = _usage(given, error)
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains at its end
        code = 141
    except (Answered, Away) as error:
        code = _tell(given, str(error), exit_of(error), error.code, error.details)
    except (GatecastError, TimeoutError) as error:
        code = _tell(given, str(error), exit_of(error))
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        text = f"{type(error).__name__}: {error}\nThis is a defect of gatecast. {DEBUG}=1 shows where; please report it"
        code = _tell(given, text, Exit.ERROR)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(given: Sequence[str], error: click.ClickException) -> int:
    if _form(given):
        return _tell(given, error.format_message(), Exit(error.exit_code))
    error.show()
    return error.exit_code


def _tell(given: Sequence[str], message: str, code: Exit, name: str = "", details: Sequence[Any] = ()) -> int:
    """The error on stderr; with `-o json` or `yaml` also as the one document that stdout has to be."""
    below = (f"  {line}" for line in map(output.detail, details) if line)
    click.echo("\n".join([f"Error: {message}", *below]), err=True)
    if form := _form(given):
        error = {"code": name or code.name.lower(), "message": message, "details": list(details)}
        output.show(form, {"error": error}, lambda _wide: "")
    return code


def _form(given: Sequence[str]) -> str:
    """`json`, `yaml` or "", said of the raw arguments: the error may be that they could not be understood."""
    after = dict(pairwise(given))
    for form in ("json", "yaml"):
        joined = {f"-o{form}", f"--output={form}", f"-o={form}"} & set(given)
        if joined or form in (after.get("-o"), after.get("--output")):
            return form
    return ""


if __name__ == "__main__":
    main()
