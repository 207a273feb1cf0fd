"""Options that the `kong` commands share: how to reach the Admin API, which settings, which gateway."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from gatecast.exits import Usage

if TYPE_CHECKING:
    from kong_sync.admin import Access

ADMIN = "http://127.0.0.1:8001"
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


settings = click.option(
    "-f", "--settings", "directory", required=True, type=click.Path(), metavar="DIR",
    help="Directory with the settings documents.",
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
