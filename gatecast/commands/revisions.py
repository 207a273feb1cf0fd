"""`gatecast revisions`: history."""

from typing import Any

import click

from gatecast import output, remote, writing
from gatecast.parameters import NAME
from gatecast.remote import Server

REVISION = {
    "number": int, "at": str, "author": str, "source": str, "reason": str, "restores": int | None,
    "created": int, "changed": int, "deleted": int,
}  # fmt: skip
DETAIL = {**REVISION, "documents": [writing.CHANGE]}


@click.command("revisions")
@click.argument("number", type=int, required=False)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--author", default=None, help="Revisions of this author alone.")
@click.option("--document", type=NAME, metavar="KIND/ID", help="Revisions that touched this document alone.")
@remote.server
@output.option()
def command(
    number: int | None, limit: int, author: str | None, document: tuple[str, str] | None, server: Server, output: str
) -> None:
    """Show who changed what, when and why, newest first. With NUMBER one revision, field by field."""
    from gatecast.output import show

    if number is not None:
        one = server.get(f"/api/v1/revisions/{number}", DETAIL)
        return show(output, one, lambda wide: detail(one, wide=wide))
    kind, id = document or (None, None)
    shape = {"revisions": [REVISION], "next_cursor": str | None}
    page = server.get("/api/v1/revisions", shape, limit=limit, author=author, kind=kind, id=id)
    found = page["revisions"]
    show(output, found, lambda wide: listing(found, wide=wide, more=page["next_cursor"] is not None))


def listing(found: list[dict[str, Any]], *, wide: bool, more: bool) -> str:
    """One line a revision."""
    from gatecast.output import clean, since, table

    if not found:
        return "there is no revision"
    head = ["REVISION", "AGE", "AUTHOR", "SOURCE", "DOCUMENTS", "WHY"]
    rows = []
    for one in found:
        who = clean(one["author"]), clean(one["source"])
        row = [str(one["number"]), since(one["at"]), *who, _counts(one), _why(one)]
        rows.append([*row, one["at"], clean(str(one.get("request_id") or "-"))] if wide else row)
    head += ["AT", "REQUEST"] if wide else []
    return "\n".join([table(head, rows), *(["older ones: -n shows more"] if more else [])])


def _counts(one: dict[str, Any]) -> str:
    signs = (("+", "created"), ("~", "changed"), ("-", "deleted"))
    return " ".join(f"{sign}{one[name]}" for sign, name in signs if one[name]) or "-"


def _why(one: dict[str, Any]) -> str:
    from gatecast.output import clean

    back = f"back to revision {one['restores']}" if one["restores"] is not None else ""
    return ": ".join(filter(None, (back, clean(one["reason"])))) or "-"


def detail(one: dict[str, Any], *, wide: bool) -> str:
    """One revision in full."""
    from gatecast.output import clean

    why = _why(one)
    top = f"revision {one['number']} of {one['at']} by {clean(one['author'])} ({clean(one['source'])})"
    most = None if wide else writing.SHOWN
    lines = [top if why == "-" else f"{top}: {why}", *writing.documents(one["documents"], most)]
    return "\n".join([*lines, writing.count(one["documents"]) or "nothing changed"])
