"""`gatecast translate`: what a tenant's settings come to, offline."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatecast import output
from gatecast.exits import NotFound

if TYPE_CHECKING:
    from tenants.catalog import Catalog
    from tenants.documents import Gateway, Tenant


@click.command("translate")
@click.option(
    "-f", "--settings", "directory", required=True, type=click.Path(path_type=Path), help="Settings directory."
)
@click.option("--tenant", required=True, help="Id of the Tenant document.")
@click.option("--gateway", default="", help="Id of the Gateway document.  [default: all that serve the tenant]")
@click.option(
    "--to", default="envoy", type=click.Choice(["envoy", "kong"]), show_default=True, help="Whose configuration."
)
@output.option("yaml", "json")
def command(directory: Path, tenant: str, gateway: str, to: str, output: str) -> None:
    """Show what a tenant's settings come to, offline: every resource in Envoy's own form, or every entity in Kong's."""
    from gatecast.output import show

    found = asyncio.run(_found(directory, tenant, gateway, to))
    show("json" if output == "json" else "text", found, lambda _wide: _text(found))


async def _found(directory: Path, tenant: str, gateway: str, to: str) -> list[dict[str, Any]]:
    from gatecast.offline import load, problems

    catalog = (await load(directory)).catalog
    for problem in problems(catalog, str(directory)):
        if problem.tenant in ("", tenant):
            click.echo(problem, err=True)
    if tenant not in catalog.tenants:
        raise NotFound(f"no tenant {tenant!r} is in force in {directory}")
    if gateway and gateway not in catalog.gateways:
        raise NotFound(f"no gateway {gateway!r}; there are: {', '.join(sorted(catalog.gateways)) or 'none'}")
    gateways = [gateway] if gateway else sorted(catalog.gateways)
    how = _in_kong if to == "kong" else _in_envoy
    return [one for name in gateways for one in how(catalog, catalog.gateways[name], catalog.tenants[tenant])]


def _in_envoy(catalog: "Catalog", gateway: "Gateway", tenant: "Tenant") -> Iterator[dict[str, Any]]:
    from gatecast.offline import resources
    from xds import messages

    for one in resources(catalog, gateway, tenant):
        yield {"gateway": gateway.id, "type": one.kind, "name": one.name, "resource": messages.to_dict(one.message)}


def _in_kong(catalog: "Catalog", gateway: "Gateway", tenant: "Tenant") -> Iterator[dict[str, Any]]:
    from gatecast.kong_entities import entities

    for one in entities(catalog, gateway, tenant, {}):
        yield {"gateway": gateway.id, "type": one.kind, "name": one.name, "resource": one.entity}


def _text(found: list[dict[str, Any]]) -> str:
    from gatecast.output import as_yaml

    parts = (f"# gateway {one['gateway']}: {one['type']} {one['name']}\n{as_yaml(one['resource'])}" for one in found)
    return "---\n".join(parts).rstrip("\n") or "# no gateway of this kind serves this tenant"
