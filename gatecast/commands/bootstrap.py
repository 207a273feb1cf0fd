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
@click.option("--ca", default="", metavar="FILE", help="TLS: who signs the server's certificate, a file on the proxy.")
@click.option("--server-name", default="", help="TLS: the name in the server's certificate.  [default: host of --xds]")
@click.option("--certificate", default="", metavar="FILE", help="TLS: the proxy's own certificate, and")
@click.option("--key", default="", metavar="FILE", help="its key.")
def command(
    gateway: str,
    node: str,
    xds: str,
    sotw: bool,
    admin_port: int,
    ca: str,
    server_name: str,
    certificate: str,
    key: str,
) -> None:
    """Print a complete bootstrap for an Envoy, as YAML."""
    from gatecast.addresses import Address
    from gatecast.exits import Usage
    from xds.bootstrap import Tls, as_yaml, bootstrap

    if bool(certificate) != bool(key) or ((certificate or server_name) and not ca):
        raise Usage("TLS needs --ca, and --certificate and --key go together")
    address = Address.parse(xds)
    tls = Tls(ca, server_name or address.host, certificate, key) if ca else None
    print(as_yaml(bootstrap(gateway, node, address, sotw=sotw, admin_port=admin_port, tls=tls)), end="")
