"""`gatecast clients`: connected proxies and where they stand."""

from typing import Any

import click

from gatecast import output, remote

COLOURS = {"SYNCED": "green", "PENDING": "yellow", "STALE": "yellow", "REJECTED": "red"}
WORDS = {"SYNCED": "ok", "NOT_SUBSCRIBED": "-"}
AGE = int | float | None
TYPE = {
    "type": str, "state": str, "version": str, "accepted_version": str, "pushes": int, "pushed_age": AGE,
    "answered_age": AGE, "rejections": int, "error": str, "rejected": [str], "tenants": [str],
}  # fmt: skip
CLIENT = {
    "id": str, "node": str, "gateway": str, "address": str, "variant": str, "build": str, "connected_at": str,
    "state": str, "types": [TYPE],
}  # fmt: skip
PAGE = {"clients": [CLIENT], "next_cursor": str | None}


@click.command("clients")
@click.argument("id", required=False)
@remote.server
@output.option()
def command(id: str | None, server: str, output: str) -> None:
    """Show connected proxies: state, versions, what they refused. With ID (number or node) one, in full."""
    from gatecast.output import show

    if id:
        found = remote.get(server, f"/api/v1/clients/{remote.segment(id)}", CLIENT)
        return show(output, found, lambda _wide: detail(found))
    clients = _all(server)
    show(output, clients, lambda wide: listing(clients, wide=wide))


def _all(server: str) -> list[dict[str, Any]]:
    clients: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = remote.get(server, "/api/v1/clients", PAGE, limit=1000, cursor=cursor)
        clients += page["clients"]
        cursor = page["next_cursor"]
    return clients


def listing(clients: list[dict[str, Any]], *, wide: bool) -> str:
    """One line a stream, and below it what was refused."""
    from gatecast.output import age, clean, paint, table

    if not clients:
        return "no proxy is connected"
    kinds = [one["type"] for one in max((client["types"] for client in clients), key=len)]
    head = ["ID", "NODE", "GATEWAY", "STATE", *kinds, "LAST PUSH", "LAST ANSWER"]
    rows = []
    for client in clients:
        types = {one["type"]: one for one in client["types"]}
        words = [_word(types[kind]["state"]) if kind in types else "-" for kind in kinds]
        pushed, answered = (_newest(client, name) for name in ("pushed_age", "answered_age"))
        name, gateway, state = clean(client["node"]), client["gateway"], client["state"]
        row = [client["id"], name, gateway, state, *words, age(pushed), age(answered)]
        extra = [client["variant"], client["address"], clean(client["build"]), client["connected_at"]]
        rows.append(row + extra if wide else row)
    head += ["VARIANT", "ADDRESS", "BUILD", "CONNECTED"] if wide else []
    painted = [[*row[:3], paint(row[3], COLOURS.get(row[3], "white")), *row[4:]] for row in rows]
    refusals = [line for client in clients for line in _refusals(client)]
    noun = "stream" if len(clients) == 1 else "streams"
    bad = sum(client["state"] == "REJECTED" for client in clients)
    return "\n".join([table(head, painted), *refusals, f"{len(clients)} {noun}, {bad} with something rejected"])


def _word(state: str) -> str:
    return WORDS.get(state, state.lower())


def _newest(client: dict[str, Any], name: str) -> float | None:
    return min((one[name] for one in client["types"] if one[name] is not None), default=None)


def _refusals(client: dict[str, Any]) -> list[str]:
    from gatecast.output import clean

    return [
        f"  {clean(client['node'])}: {one['type']} rejected {', '.join(map(clean, one['rejected'])) or 'a response'}"
        f"{' of tenant ' + ', '.join(one['tenants']) if one['tenants'] else ''}: {clean(one['error'])}"
        for one in client["types"]
        if one["state"] == "REJECTED"
    ]


def detail(client: dict[str, Any]) -> str:
    """One stream in full."""
    from gatecast.output import age, clean, table

    top = (
        f"{clean(client['node'])} (stream {client['id']}) of gateway {client['gateway']}: {client['state']}",
        f"{client['variant']} from {client['address']}, {clean(client['build'])}, since {client['connected_at']}",
    )
    head = ("TYPE", "STATE", "VERSION", "ACCEPTED", "PUSHES", "REJECTIONS", "LAST PUSH", "LAST ANSWER")
    rows = [
        (
            one["type"], one["state"], one["version"][:12] or "-", one["accepted_version"][:12] or "-",
            str(one["pushes"]), str(one["rejections"]), age(one["pushed_age"]), age(one["answered_age"]),
        )
        for one in client["types"]
    ]  # fmt: skip
    return "\n".join([*top, table(head, rows), *_refusals(client)])
