"""`gatecast get`: documents as they are stored."""

from typing import Any

import click

from gatecast import output, remote
from gatecast.parameters import ID, KIND, parted
from gatecast.remote import Server, segment

DOCUMENT = {
    "kind": str, "id": str, "etag": str, "revision": int, "source": str, "pinned": bool, "document": dict,
}  # fmt: skip


@click.command("get")
@click.argument("kind", type=KIND)
@click.argument("id", type=ID, required=False)
@click.option("--organisation", default=None, metavar="ID", help="Tenants of this organisation alone.")
@click.option("-q", "--query", "part", default=None, metavar="TEXT", help="Documents with this in their id alone.")
@remote.server
@output.option()
def command(kind: str, id: str | None, organisation: str | None, part: str | None, server: Server, output: str) -> None:
    """Show documents of a KIND, or one with an ID (or KIND/ID) in full.

    With -o yaml or json, one document is printed as it is written in files: edit it, and `gatecast apply -f` it.
    """
    from gatecast.output import show

    kind, id = parted(kind, id)
    if id:
        one = document(server, kind, id)
        return show(output, written(one), lambda _wide: detail(one))
    found = list(server.pages("/api/v1/documents", "documents", DOCUMENT, kind=kind, organisation=organisation, q=part))
    show(output, [written(one) for one in found], lambda wide: listing(found, wide=wide))


def document(server: Server, kind: str, id: str) -> dict[str, Any]:
    """One document as the server shows it."""
    found: dict[str, Any] = server.get(f"/api/v1/documents/{segment(kind)}/{segment(id)}", DOCUMENT)
    return found


def written(one: dict[str, Any]) -> dict[str, Any]:
    """The document as people write it: what it is comes first."""
    return {"kind": one["kind"], "id": one["id"], **one["document"]}


def detail(one: dict[str, Any]) -> str:
    """The document in YAML, below what the server knows about it."""
    from gatecast.output import as_yaml, clean

    pinned = ", pinned: files and registries may not write it" if one["pinned"] else ""
    about = f"# revision {one['revision']}, from {clean(one['source'])}, etag {one['etag']}{pinned}"
    return f"{about}\n{as_yaml(written(one))}".rstrip("\n")


def listing(found: list[dict[str, Any]], *, wide: bool) -> str:
    """One line a document."""
    from gatecast.output import clean, counted, table

    tenants = any(one["kind"] == "Tenant" for one in found)
    head = ["ID", *(["ORGANISATION"] if tenants else []), "REVISION", "SOURCE", "PINNED"]
    rows = []
    for one in found:
        organisation = [clean(str(one["document"].get("organisation") or "-"))] if tenants else []
        pinned = "yes" if one["pinned"] else "-"
        row = [one["id"], *organisation, str(one["revision"]), clean(one["source"]), pinned]
        rows.append([*row, one["etag"]] if wide else row)
    head += ["ETAG"] if wide else []
    return "\n".join([*([table(head, rows)] if rows else []), counted(len(found), "document")])
