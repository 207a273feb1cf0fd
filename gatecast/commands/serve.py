"""`gatecast serve`: the server process."""

import asyncio
from pathlib import Path
from typing import Any

import click


@click.command("serve")
@click.option("-f", "--settings", type=click.Path(path_type=Path), help="Directory with the settings documents.")
@click.option("--store", metavar="URL", help="Documents and their history.  [default: sqlite:///gatecast.db]")
@click.option("--registry", metavar="URL", help="A settings registry to follow.")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with the same names as keys.")
@click.option("--xds", metavar="HOST:PORT", help="Where proxies connect (gRPC).  [default: 127.0.0.1:18000]")
@click.option("--api", metavar="HOST:PORT", help="Where operators connect (HTTP).  [default: 127.0.0.1:18001]")
@click.option("--secrets", type=click.Path(path_type=Path), help="Directory of keys and certificates.")
@click.option("--xds-certificate", type=click.Path(path_type=Path), help="TLS for proxies: our certificate.")
@click.option("--xds-key", type=click.Path(path_type=Path), help="TLS for proxies: its key.")
@click.option("--xds-client-ca", type=click.Path(path_type=Path), help="Who signs the certificates of proxies.")
@click.option("--xds-clients", metavar="NAME=GATEWAY,...", help="Who may read what, by names of certificates.")
@click.option("--xds-trust-domain", metavar="DOMAIN", help="The trust domain whose SPIFFE ids name gateways.")
@click.option("--api-tokens", is_flag=True, default=None, help="Operators must show a token, also on loopback.")
@click.option("--api-certificate", type=click.Path(path_type=Path), help="TLS for operators: our certificate.")
@click.option("--api-key", type=click.Path(path_type=Path), help="TLS for operators: its key.")
@click.option("--oidc-issuer", metavar="URL", help="Identity provider whose tokens operators may show.")
@click.option("--oidc-audience", metavar="NAME", help="What those tokens are for.  [default: gatecast]")
@click.option("--oidc-role-claim", metavar="CLAIM", help="Where they hold roles.  [default: roles]")
@click.option("--oidc-name-claim", metavar="CLAIM", help="Where they name the operator.  [default: sub]")
@click.option("--oidc-roles", metavar="VALUE=ROLE,...", help="What a value there stands for.")
@click.option("--allow-empty", is_flag=True, default=None, help="Start without a single good document.")
@click.option(
    "--insecure", is_flag=True, default=None, help="Listen beyond loopback although nobody is asked who he is."
)
@click.option("--log-format", type=click.Choice(["auto", "console", "json"]), help="How to log.  [default: auto]")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="What to log.  [default: info]"
)
@click.option("--drain", type=float, metavar="SECONDS", help="For streams to end at shutdown.  [default: 5]")
@click.option(
    "--quiet", type=float, metavar="SECONDS", help="Read a change when files were quiet so long.  [default: 0.05]"
)
@click.option("--bound", type=float, metavar="SECONDS", help="At the latest after so long.  [default: 0.5]")
@click.option(
    "--keys-stale",
    type=float,
    metavar="SECONDS",
    help="Keys of an issuer serve so long without news.  [default: 86400]",
)
def command(config: Path | None, **flags: Any) -> None:
    """Serve settings to proxies, live.

    Each option can also be given as GATECAST_NAME or in the file of --config; a flag wins over the environment, the
    environment over the file. "Server ready" is logged when the first snapshot is published.
    """
    from gatecast.config import load
    from gatecast.serve import run
    from gatecast.telemetry import set_up_logs

    settings = load(flags, config)
    set_up_logs(settings.log_format, settings.log_level)
    asyncio.run(run(settings))
