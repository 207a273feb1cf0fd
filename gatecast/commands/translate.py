"""`gatecast translate`: what a tenant's settings come to, offline."""

import asyncio
from pathlib import Path
from typing import Any

import click

from gatecast import output
from gatecast.exits import NotFound


@click.command("translate")
@click.option(
    "-f", "--settings", "directory", required=True, type=click.Path(path_type=Path), help="Settings directory."
)
@click.option("--tenant", required=True, help="Id of the Tenant document.")
@click.option("--gateway", default="", help="Id of the Gateway document.  [default: all that serve the tenant]")
@click.option("--to", default="envoy", type=click.Choice(["envoy"]), show_default=True, help="Whose configuration.")
@output.option("yaml", "json")
def command(directory: Path, tenant: str, gateway: str, to: str, output: str) -> None:
    """Show what a tenant's settings come to, offline: every resource in Envoy's own form."""
    from gatecast.output import show

    found = asyncio.run(_found(directory, tenant, gateway))
    show("json" if output == "json" else "text", found, lambda _wide: _text(found))


async def _found(directory: Path, tenant: str, gateway: str) -> list[dict[str, Any]]:
    from gatecast.offline import load, problems, resources
    from xds import messages

    catalog = (await load(directory)).catalog
    for problem in problems(catalog, str(directory)):
        if problem.tenant in ("", tenant):
            click.echo(problem, err=True)
    if tenant not in catalog.tenants:
        raise NotFound(f"no tenant {tenant!r} is in force in {directory}")
    if gateway and gateway not in catalog.gateways:
        raise NotFound(f"no gateway {gateway!r}; there are: {', '.join(sorted(catalog.gateways)) or 'none'}")
    gateways = [gateway] if gateway else sorted(catalog.gateways)
    return [
        {"gateway": name, "type": one.kind, "name": one.name, "resource": messages.to_dict(one.message)}
        for name in gateways
        for one in resources(catalog, catalog.gateways[name], catalog.tenants[tenant])
    ]


def _text(found: list[dict[str, Any]]) -> str:
    from gatecast.output import as_yaml

    parts = (f"# gateway {one['gateway']}: {one['type']} {one['name']}\n{as_yaml(one['resource'])}" for one in found)
    return "---\n".join(parts).rstrip("\n") or "# no gateway serves this tenant"
