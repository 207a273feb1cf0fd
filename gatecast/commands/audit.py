"""`gatecast audit`: who did what."""

from typing import Any

import click
from click.core import ParameterSource

from gatecast import output, remote
from gatecast.exits import Exit, Usage
from gatecast.remote import Server

ENTRY = {
    "seq": int, "at": str, "actor": str, "action": str, "target": str, "origin": str, "reason": str, "outcome": str,
}  # fmt: skip
VERDICT = {"whole": bool, "entries": int, "seq": int, "hash": str, "problems": [str]}
OUTCOMES = {"done": "green", "refused": "yellow", "failed": "red"}


@click.group("audit", invoke_without_command=True)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many entries.")
@click.option("--actor", default=None, help="Of this actor alone.")
@click.option("--action", default=None, help="This action alone, as in `documents apply`.")
@click.option("--outcome", type=click.Choice(list(OUTCOMES)), help="With this outcome alone.")
@remote.server
@output.option()
@click.pass_context
def command(
    context: click.Context, limit: int, actor: str | None, action: str | None, outcome: str | None, server: Server,
    output: str,
) -> None:  # fmt: skip
    """Show who did what to what, newest first, also what was refused or failed.

    `verify` checks that nobody changed it, `export` prints all of it.
    """
    from gatecast.output import show

    if verb := context.invoked_subcommand:
        given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise Usage(f"--{given[0]} goes after `{verb}`: gatecast audit {verb} --{given[0]} ...")
        return
    shape = {"entries": [ENTRY]}
    found = server.get("/api/v1/audit", shape, limit=limit, actor=actor, action=action, outcome=outcome)["entries"]
    show(output, found, lambda wide: _table(found, wide=wide))


def _table(found: list[dict[str, Any]], *, wide: bool) -> str:
    from gatecast.output import clean, paint, table

    head = ["ENTRY", "AT", "ACTOR", "ACTION", "TARGET", "OUTCOME", "WHY"]
    rows = []
    for one in found:
        word = paint(one["outcome"], OUTCOMES.get(one["outcome"], "white"))
        words = map(clean, (one["at"], one["actor"], one["action"], one["target"]))
        row = [str(one["seq"]), *words, word, clean(one["reason"]) or "-"]
        rows.append([*row, clean(one["origin"]) or "-", clean(str(one.get("request_id") or "-"))] if wide else row)
    return table([*head, *(["FROM", "REQUEST"] if wide else [])], rows) if rows else "no entry"


@command.command("verify")
@click.option("--noted", default="", metavar="ENTRY:HASH", help="An end of the chain that was noted before.")
@remote.server
@output.option()
def verify(noted: str, server: Server, output: str) -> int:
    """Check that no entry was edited, removed or written anew. Exit code 3 if one was.

    The last line is the end of the chain: note it elsewhere, and give it to the next check as --noted.
    """
    from gatecast.output import show
    from gatecast.progress import progress

    seq, colon, hash = noted.partition(":")
    if noted and not (colon and seq.isdecimal() and hash):
        raise Usage(f"--noted: {noted!r} is not ENTRY:HASH, as `gatecast audit verify` prints it")
    known = {"seq": int(seq), "hash": hash} if noted else {}
    with progress("checking"):
        found = server.get("/api/v1/audit/verify", VERDICT, longer=600.0, **known)
    show(output, found, lambda _wide: _verdict(found))
    return Exit.FINE if found["whole"] else Exit.FINDINGS


def _verdict(found: dict[str, Any]) -> str:
    from gatecast.output import clean, counted, paint

    word = paint("whole", "green") if found["whole"] else paint("not whole", "red")
    problems = [f"  {clean(one)}" for one in found["problems"]]
    count = counted(found["entries"], "entry", "entries")
    end = f"it ends with {found['seq']}:{found['hash'] or '-'}"
    return "\n".join([*problems, f"the audit is {word}: {count}", end])


@command.command("export")
@click.option("--after", default=0, show_default=True, type=click.IntRange(0), help="Entries after this one alone.")
@remote.server
def export(after: int, server: Server) -> None:
    """Print the audit as JSON Lines, oldest first."""
    for line in server.lines("/api/v1/audit/export", after=after):
        if line:
            click.echo(line)
