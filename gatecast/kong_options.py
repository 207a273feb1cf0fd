"""Options that the `kong` commands share: how to reach the Admin API, which settings, which gateway."""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatecast.exits import Usage

if TYPE_CHECKING:
    from gatecast.kong import Told
    from kong_sync.admin import Access

ADMIN = "http://127.0.0.1:8001"
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
_OPTIONS = (
    click.option(
        "--admin", envvar="GATECAST_KONG_ADMIN_URL", default=ADMIN, show_default=True, metavar="URL",
        help="Kong's Admin API; also GATECAST_KONG_ADMIN_URL. A token for it goes into GATECAST_KONG_TOKEN.",
    ),
    click.option("--workspace", envvar="GATECAST_KONG_WORKSPACE", default="", help="Of an Enterprise edition."),
    click.option(
        "--admin-ca", envvar="GATECAST_KONG_ADMIN_CA", default="", metavar="FILE", help="Who signs its certificate.",
    ),
    click.option(
        "--admin-certificate", envvar="GATECAST_KONG_ADMIN_CERTIFICATE", default="", metavar="FILE",
        help="The certificate that we show it.",
    ),
    click.option("--admin-key", envvar="GATECAST_KONG_ADMIN_KEY", default="", metavar="FILE", help="Its key."),
)  # fmt: skip
_PLANE = (
    click.option(
        "--xds", default="127.0.0.1:18000", show_default=True, envvar="GATECAST_KONG_XDS", metavar="HOST:PORT",
        help="Address of the control plane.",
    ),
    click.option(
        "--xds-ca", type=FILE, envvar="GATECAST_KONG_XDS_CA", help="TLS: who signs the control plane's certificate."
    ),
    click.option("--xds-certificate", type=FILE, envvar="GATECAST_KONG_XDS_CERTIFICATE", help="TLS: our certificate."),
    click.option("--xds-key", type=FILE, envvar="GATECAST_KONG_XDS_KEY", help="TLS: its key."),
)  # fmt: skip


def access(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command a `kong_sync.admin.Access` as `access`."""

    @wraps(function)
    def wrapped(
        *arguments: Any, admin: str, workspace: str, admin_ca: str, admin_certificate: str, admin_key: str, **more: Any
    ) -> Any:
        return function(*arguments, access=made(admin, workspace, admin_ca, admin_certificate, admin_key), **more)

    found: Callable[..., Any] = wrapped
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


def made(admin: str, workspace: str, ca: str, certificate: str, key: str) -> "Access":
    """Where the Admin API is. Raises `Usage`: a URL is no place for a password."""
    import os
    from urllib.parse import urlsplit

    from kong_sync.admin import Access

    found = urlsplit(admin)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise Usage(f"--admin: {admin!r} is not the URL of an Admin API, as in {ADMIN}")
    if "@" in found.netloc:
        raise Usage("--admin: a URL has no user and password: the token goes into GATECAST_KONG_TOKEN")
    if bool(certificate) != bool(key):
        raise Usage("--admin-certificate and --admin-key go together")
    return Access(admin, os.environ.get("GATECAST_KONG_TOKEN", ""), workspace, ca, certificate, key)


def plane(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command what `told` asks for as `xds`, `xds_ca`, `xds_certificate` and `xds_key`."""
    for option in reversed(_PLANE):
        function = option(function)
    return function


def told(access: "Access", gateway: str, node: str, given: Mapping[str, Any], **more: Any) -> "Told":
    """What who follows or asks the control plane is told. Raises `Usage`."""
    from gatecast.addresses import Address
    from gatecast.kong import Told

    Address.parse(given["xds"])
    if bool(given["xds_certificate"]) != bool(given["xds_key"]):
        raise Usage("--xds-certificate and --xds-key go together")
    if given["xds_certificate"] and not given["xds_ca"]:
        raise Usage("--xds-certificate needs --xds-ca: who signs the control plane's certificate")
    return Told(
        access, given["xds"], gateway, node, given["xds_ca"], given["xds_certificate"], given["xds_key"], **more
    )


def _of_deck(_context: click.Context, _option: click.Parameter, given: str | None) -> None:
    if given:
        raise Usage("-s is decK's: settings are a directory, -f DIR; a file goes back with gatecast kong restore FILE")


def settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command a `directory`."""
    place = click.option(
        "-f", "--settings", "directory", required=True, type=click.Path(), metavar="DIR",
        help="Directory with the settings documents.",
    )  # fmt: skip
    return click.option("-s", hidden=True, expose_value=False, is_eager=True, callback=_of_deck)(place(function))


whose = click.option(
    "--gateway", required=True, envvar="GATECAST_KONG_GATEWAY", metavar="ID", help="Whose entities of this Kong."
)
backups = click.option(
    "--backups", type=FOLDER, envvar="GATECAST_KONG_BACKUPS", metavar="DIR",
    help="Where what is there is kept before a plan that deletes, or changes much.",
)  # fmt: skip
gateway = click.option(
    "--gateway", default="", metavar="ID", help="The gateway.  [default: the only one with `kong: true`]"
)
shared = click.option(
    "--shared-kong", is_flag=True, envvar="GATECAST_KONG_SHARED",
    help="This Kong serves others too: only paths of our routes are ours.",
)  # fmt: skip
force = click.option(
    "--force", default="", metavar="DIGEST", help="Do the plan of this digest although it deletes much."
)
