"""`gatecast tenant`: what holds for one tenant on a running server."""

from typing import Any

import click

from gatecast import output, remote
from gatecast.parameters import Id
from gatecast.remote import Server, segment

FIELD = {"path": str, "kind": str, "id": str}
ROUTE = {"route": str, "services": dict, "policies": dict, "fields": [FIELD]}
EFFECTIVE = {"tenant": str, "revision": int, "gateways": [{"gateway": str, "routes": [ROUTE]}]}
RESOURCES = {
    "resources": [{"gateway": str, "type": str, "name": str, "resource": dict}],
    "entities": [{"gateway": str, "kind": str, "name": str, "entity": dict}],
}
PARITY = {"policies": [{"gateway": str, "proxy": str, "policy": str, "parity": str, "why": str, "routes": [str]}]}
COLOURS = {"exact": "green", "approximate": "yellow", "unsupported": "red"}
TENANT = Id("tenant")


@click.group("tenant")
def command() -> None:
    """Show what holds for a tenant, and where it comes from."""


@command.command("effective")
@click.argument("id", type=TENANT)
@click.option("--route", default=None, type=Id("route"), metavar="ID", help="On this route alone.")
@click.option("--gateway", default="*", metavar="ID", help="On this gateway alone; * stands for any part of an id.")
@remote.server
@output.option()
def effective(id: str, route: str | None, gateway: str, server: Server, output: str) -> None:
    """Show every field of every policy in force, and the document that says it."""
    from gatecast.output import show

    path, scope = "/api/v1/settings/effective", f"gateway.{gateway}"
    found = server.get(path, EFFECTIVE, tenant=id, scope=scope, route=route)
    show(output, found, lambda _wide: _effective(found))


def _effective(found: dict[str, Any]) -> str:
    from gatecast.output import clean, table

    blocks = [
        f"gateway {one['gateway']}, route {route['route']}: {_services(route['services'])}\n"
        + table(("FIELD", "VALUE", "SAID BY"), [_field(field) for field in route["fields"]])
        for one in found["gateways"]
        for route in one["routes"]
    ]
    none = f"no gateway serves {clean(found['tenant'])} any route"
    return "\n\n".join([*(blocks or [none]), f"revision {found['revision']}"])


def _services(shares: dict[str, Any]) -> str:
    return ", ".join(f"{share} % to {name}" if len(shares) > 1 else name for name, share in sorted(shares.items()))


def _field(field: dict[str, Any]) -> tuple[str, str, str]:
    from gatecast.output import as_json, clean

    value = field.get("value")
    text = value if isinstance(value, str) else as_json(value, indent=None)
    said = f"{field['kind']}/{field['id']}".strip("/")
    return clean(field["path"]), clean(text), clean(said) or "default"


@command.command("resources")
@click.argument("id", type=TENANT)
@remote.server
@output.option("yaml", "json", "table")
def resources(id: str, server: Server, output: str) -> None:
    """Show the resources of Envoy and the entities of Kong that the tenant comes to. With -o table the names alone."""
    from gatecast.output import show, table

    found = server.get(f"/api/v1/tenants/{segment(id)}/resources", RESOURCES)
    rows = [(one["gateway"], "envoy", one["type"], one["name"]) for one in found["resources"]]
    rows += [(one["gateway"], "kong", one["kind"], one["name"]) for one in found["entities"]]
    show(output, found, lambda _wide: table(("GATEWAY", "PROXY", "TYPE", "NAME"), rows))


@command.command("parity")
@click.argument("id", type=TENANT)
@remote.server
@output.option()
def parity(id: str, server: Server, output: str) -> None:
    """Show which policies each gateway enforces exactly, approximately, or not at all."""
    from gatecast.output import show

    found = server.get(f"/api/v1/tenants/{segment(id)}/parity", PARITY)
    show(output, found, lambda wide: _parity(found["policies"], wide=wide))


def _parity(found: list[dict[str, Any]], *, wide: bool) -> str:
    from gatecast.output import clean, paint, table

    ranked = sorted(found, key=lambda one: list(COLOURS)[::-1].index(one["parity"]) if one["parity"] in COLOURS else 0)
    head = ["GATEWAY", "PROXY", "POLICY", "PARITY", "WHY"]
    rows = []
    for one in ranked:
        word = paint(one["parity"], COLOURS.get(one["parity"], "white"))
        row = [one["gateway"], one["proxy"], one["policy"], word, clean(one["why"]) or "-"]
        rows.append([*row, ", ".join(one["routes"])] if wide else row)
    return table([*head, *(["ROUTES"] if wide else [])], rows) if rows else "no policy is in force"
