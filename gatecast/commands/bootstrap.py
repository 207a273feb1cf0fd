"""`gatecast bootstrap`: a file for an Envoy."""

import click


@click.command("bootstrap")
@click.option("--gateway", required=True, help="Id of the Gateway document this Envoy belongs to.")
@click.option("--node", required=True, help="Name of this Envoy; no two may share one.")
@click.option("--xds", default="127.0.0.1:18000", show_default=True, metavar="HOST:PORT", help="Address of the server.")
@click.option("--sotw", is_flag=True, help="State of the world in place of delta.")
@click.option(
    "--admin-port", default=9901, show_default=True, type=click.IntRange(0, 65535), help="On loopback; 0: any."
)
def command(gateway: str, node: str, xds: str, sotw: bool, admin_port: int) -> None:
    """Print a complete bootstrap for an Envoy, as YAML."""
    from gatecast.addresses import Address
    from xds.bootstrap import as_yaml, bootstrap

    print(as_yaml(bootstrap(gateway, node, Address.parse(xds), sotw=sotw, admin_port=admin_port)), end="")
