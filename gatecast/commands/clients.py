"""`gatecast clients`: connected proxies and where they stand."""

from typing import Any

import click

from gatecast import output, remote
from gatecast.exits import Exit
from gatecast.remote import Server

COLOURS = {"SYNCED": "green", "PENDING": "yellow", "STALE": "yellow", "REJECTED": "red"}
STATES = ("SYNCED", "PENDING", "STALE", "REJECTED", "NOT_SUBSCRIBED")
BAD = ("STALE", "REJECTED")
WORDS = {"SYNCED": "ok", "NOT_SUBSCRIBED": "-"}
AGE = int | float | None
TYPE = {
    "type": str, "state": str, "version": str, "accepted_version": str, "pushes": int, "pushed_age": AGE,
    "answered_age": AGE, "rejections": int, "error": str, "rejected": [str], "tenants": [str], "words": dict,
}  # fmt: skip
CLIENT = {
    "id": str, "kind": str, "node": str, "gateway": str, "address": str, "variant": str, "build": str,
    "connected_at": str, "state": str, "types": [TYPE],
}  # fmt: skip


@click.command("clients")
@click.argument("id", required=False)
@click.option("--gateway", default=None, metavar="ID", help="Proxies of this gateway alone.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES, case_sensitive=False), help="Only these.")
@click.option("--exit-code", is_flag=True, help="Exit code 3 if something is rejected or stale.")
@remote.server
@output.option()
def command(
    id: str | None, gateway: str | None, states: tuple[str, ...], exit_code: bool, server: Server, output: str
) -> int:
    """Show connected proxies: state, versions, what they refused. With ID (number or node) one, in full."""
    from gatecast.output import show

    if id:
        found = [server.get(f"/api/v1/clients/{remote.segment(id)}", CLIENT)]
        show(output, found[0], lambda _wide: detail(found[0]))
    else:
        everybody = server.pages("/api/v1/clients", "clients", CLIENT, gateway=gateway)
        found = [one for one in everybody if not states or one["state"] in states]
        show(output, found, lambda wide: listing(found, wide=wide))
    bad = any(one["state"] in BAD for one in found)
    return Exit.FINDINGS if exit_code and bad else Exit.FINE


def listing(clients: list[dict[str, Any]], *, wide: bool) -> str:
    """One line a stream, and below it what was refused."""
    from gatecast.output import age, clean, paint, table

    if not clients:
        return "no proxy is connected"
    kinds = [one["type"] for one in max((client["types"] for client in clients), key=len)]
    head = ["ID", "KIND", "NODE", "GATEWAY", "STATE", *kinds, "LAST PUSH", "LAST ANSWER"]
    rows = []
    for client in clients:
        types = {one["type"]: one for one in client["types"]}
        words = [_word(types[kind]["state"]) if kind in types else "-" for kind in kinds]
        pushed, answered = (_newest(client, name) for name in ("pushed_age", "answered_age"))
        name, gateway, state = clean(client["node"]), client["gateway"], client["state"]
        row = [client["id"], client["kind"], name, gateway, state, *words, age(pushed), age(answered)]
        extra = [client["variant"], client["address"], clean(client["build"]), client["connected_at"]]
        rows.append(row + extra if wide else row)
    head += ["VARIANT", "ADDRESS", "BUILD", "CONNECTED"] if wide else []
    painted = [[*row[:4], paint(row[4], COLOURS.get(row[4], "white")), *row[5:]] for row in rows]
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

    found = []
    for one in (row for row in client["types"] if row["state"] == "REJECTED"):
        names = ", ".join(map(clean, one["rejected"])) or "a response"
        whose = f" of tenant {', '.join(one['tenants'])}" if one["tenants"] else ""
        several = len(one["words"]) > 1
        said = "why" if several else clean(one["error"])
        found.append(f"  {clean(client['node'])}: {one['type']} rejected {names}{whose}: {said}")
        found += [f"    {clean(name)}: {clean(why)}" for name, why in one["words"].items() if several]
    return found


def detail(client: dict[str, Any]) -> str:
    """One stream in full."""
    from gatecast.output import age, clean, table

    said = f"{client['kind']}, {client['variant']} from {client['address']}, {clean(client['build'])}"
    top = (
        f"{clean(client['node'])} (stream {client['id']}) of gateway {client['gateway']}: {client['state']}",
        f"{said}, since {client['connected_at']}",
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
