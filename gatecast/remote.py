"""The API of a running server, as the commands call it."""

from collections.abc import Mapping
from typing import Any

import click
import httpx

from gatecast.exits import Conflict, NotFound
from tenants.errors import Refused, Unavailable

ERRORS: Mapping[int, type[Refused]] = {404: NotFound, 409: Conflict}

server = click.option(
    "--server", envvar="GATECAST_SERVER", default="http://127.0.0.1:18001", show_default=True, metavar="URL",
    help="The server's API; also GATECAST_SERVER.",
)  # fmt: skip


def get(server: str, path: str, **query: Any) -> Any:
    """The JSON under a path of the API. `Unavailable` if nobody answers, `Refused` with the server's own words."""
    url = server.rstrip("/") + path
    try:
        answer = httpx.get(url, params=query, timeout=10.0, trust_env=False)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Refused(f"{server!r} is not the URL of a server, as in http://127.0.0.1:18001") from None
    except httpx.TransportError as error:
        raise Unavailable(f"{server} cannot be reached: {error}") from None
    if answer.is_success:
        return _json(answer, server)
    body = _json(answer, server) if answer.headers.get("content-type", "").startswith("application/json") else {}
    message = body.get("error", {}).get("message") or f"{server} answered {answer.status_code}"
    raise (Unavailable if answer.status_code >= 500 else ERRORS.get(answer.status_code, Refused))(message)


def _json(answer: httpx.Response, server: str) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise Refused(f"{server} did not answer with JSON; is it a gatecast server?") from None
