"""`gatecast status`: a running server in one look."""

import click

from gatecast import output, remote

SHAPE = {
    "ready": bool, "revision": int, "version": str, "documents": dict, "problems": int, "clients": int,
    "gateways": [str],
}  # fmt: skip


@click.command("status")
@remote.server
@output.option()
def command(server: str, output: str) -> None:
    """Show a running server in one look."""
    from gatecast.output import paint, show

    found = remote.get(server, "/api/v1/status", SHAPE)
    documents = ", ".join(_counted(count, kind.lower()) for kind, count in found["documents"].items())
    word = paint("ready", "green") if found["ready"] else paint("not ready", "red")
    problems = paint(str(found["problems"]), "red" if found["problems"] else "green")
    rows = (
        f"gatecast {found['version']} at {server}: {word}, revision {found['revision']}",
        f"documents  {documents}",
        f"gateways   {', '.join(found['gateways']) or 'none'}",
        f"clients    {found['clients']}",
        f"problems   {problems}",
    )
    show(output, found, lambda _wide: "\n".join(rows))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
