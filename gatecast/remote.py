"""The API of a running server, as the commands call it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click
import httpx

from gatecast.exits import Conflict, NotFound, Usage
from tenants.errors import Refused, Unavailable

ERRORS: Mapping[int, type[Refused]] = {404: NotFound, 409: Conflict}

server = click.option(
    "--server", envvar="GATECAST_SERVER", default="http://127.0.0.1:18001", show_default=True, metavar="URL",
    help="The server's API; also GATECAST_SERVER.",
)  # fmt: skip


def segment(text: str) -> str:
    """A name as part of a path, whatever is in it. Dots too: clients resolve `..` before they ask."""
    return quote(text, safe="").replace(".", "%2E")


def get(server: str, path: str, shape: Any, **query: Any) -> Any:
    """The JSON under a path of the API, which has this `shape` (see `fits`).

    Raises `Unavailable` if nobody answers, else `Refused`, where it can with the server's own words.
    """
    url = server.rstrip("/") + path
    try:
        answer = httpx.get(url, params=query, timeout=10.0, trust_env=False)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Usage(f"{server!r} is not the URL of a server, as in http://127.0.0.1:18001") from None
    except httpx.TransportError as error:
        raise Unavailable(f"{server} cannot be reached: {error}") from None
    match _json(answer):
        case {"error": {"message": str(message)}} if not answer.is_success:
            kind = ERRORS.get(answer.status_code, Refused)
        case dict(body) if answer.is_success and fits(body, shape):
            return body
        case _ if answer.is_success:
            raise Refused(f"{server} does not answer like gatecast: give the URL of its API")
        case _:
            message, kind = f"{server} answered {answer.status_code}, not as a gatecast server does", Refused
    raise (Unavailable if answer.status_code >= 500 else kind)(message)


def fits(body: Any, shape: Any) -> bool:
    """Whether JSON has this shape: `{"key": shape}` (further keys are fine), `[shape]`, or a type.

    The models of `gatecast.views` say more, and take a second to import.
    """
    match shape:
        case dict():
            return isinstance(body, dict) and all(key in body and fits(body[key], shape[key]) for key in shape)
        case [each]:
            return isinstance(body, list) and all(fits(one, each) for one in body)
    return isinstance(body, shape)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
