"""The API of a running server, as the commands call it.

    @remote.server
    def command(server: Server) -> None:
        found = server.get("/api/v1/status", SHAPE)

`remote.server` adds --server and --context, which may also be said before the command. Reads are tried again while
nobody answers; writes never are.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click

from gatecast import contexts
from gatecast.about import version
from gatecast.contexts import Target
from gatecast.exits import Answered, Away, Usage
from tenants.errors import Refused, Unavailable

if TYPE_CHECKING:
    import httpx

AGENT: Final = "gatecast-cli"
"""How the server tells the command line from other callers: the source of a change is then `cli`."""

PATIENCE: Final = 30.0
"""Seconds for an answer; for the connection a sixth of it."""

LONG: Final = 120.0
"""Seconds for the answer to a change, which may be one of 50,000 documents."""

PAUSES: Final = (0.1, 0.4)
"""Seconds between the tries of a read."""

BETWEEN: Final = frozenset({502, 504})
"""What somebody between us and a server says while that one is starting."""

PAGE: Final = 1000
"""Items a page."""


@dataclass(frozen=True)
class Server:
    """A running server. A `path` begins with a slash; a `shape` is for `fits`; what is None in a query is left out.

    Every call raises `Unavailable` if nobody answers, else `Refused`, where it can (`Answered`) in the server's words.
    """

    target: Target
    patience: float = PATIENCE
    pauses: tuple[float, ...] = PAUSES
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    @property
    def url(self) -> str:
        """Its URL."""
        return self.target.url

    def get(self, path: str, shape: Any, *, longer: float = 0.0, **query: Any) -> Any:
        """The JSON under a path, which may take so many seconds `longer` than others to answer."""
        return self._said(self.read(path, longer=longer, **query), shape)

    def pages(self, path: str, name: str, shape: Any, **query: Any) -> Iterator[Any]:
        """The items of every page of a list; they stand under `name`."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(path, {name: [shape], "next_cursor": str | None}, limit=PAGE, cursor=cursor, **query)
            yield from page[name]
            cursor = page["next_cursor"]

    def send(self, method: str, path: str, shape: Any, body: Any = None, *, etag: str = "", **query: Any) -> Any:
        """Ask for a change, once; the JSON of the answer. `etag` is what must be there."""
        media = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"If-Match": etag} if etag else {}
        headers |= {"Content-Type": media} if body is not None else {}
        return self._said(self._ask(method, path, query, LONG, body, headers), shape)

    def read(self, path: str, *, longer: float = 0.0, **query: Any) -> "httpx.Response":
        """The answer of a path, whatever it is; asked again while there is none."""
        for pause in self.pauses:
            try:
                answer = self._ask("GET", path, query, self.patience + longer)
            except Unavailable:
                self.sleep(pause)
                continue
            if not _passing(answer):
                return answer
            self.sleep(pause)
        return self._ask("GET", path, query, self.patience + longer)

    def text(self, path: str) -> str:
        """The text under a path."""
        answer = self.read(path)
        return answer.text if answer.is_success else str(self._said(answer, dict))

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """The lines under a path as they come, asked for once."""
        with _told(self.url), self._client.stream("GET", self._whole(path), params=_given(query)) as answer:
            if not answer.is_success:
                answer.read()
                self._said(answer, dict)
            yield from answer.iter_lines()

    def close(self) -> None:
        """Give up the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        patience: float,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> "httpx.Response":
        import httpx

        timeout = httpx.Timeout(patience, connect=self.patience / 6)
        with _told(self.url):
            return self._client.request(
                method, self._whole(path), params=_given(query), json=body, headers=headers, timeout=timeout
            )

    def _whole(self, path: str) -> str:
        return self.url.rstrip("/") + path

    @cached_property
    def _client(self) -> "httpx.Client":
        import httpx

        headers = {"User-Agent": f"{AGENT}/{version()}", "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {self.target.token}"} if self.target.token else {}
        return httpx.Client(headers=headers, verify=_trust(self.target), trust_env=False, timeout=PATIENCE)

    def _said(self, answer: "httpx.Response", shape: Any) -> Any:
        """What an answer says, if it is one of ours and no error."""
        found, status = _json(answer), answer.status_code
        if answer.is_success:
            if fits(found, shape):
                return found
            raise Refused(f"{self.url} does not answer like gatecast: give the URL of its API")
        message, code = f"{self.url} answered {status}, not as a gatecast server does", ""
        details: list[Any] = []
        match found:
            case {"error": {"code": str(code), "message": str(message), "details": list(details)}}:
                pass
        message += "; gatecast login keeps a token" if status == 401 else ""
        if status >= 500:
            known = answer.headers.get("x-request-id", "")
            said = f"{message} ({self.url}{f', request {known}' if known else ''})"
            raise Away(status, code or "unreachable", said, details)
        raise Answered(status, code or "error", message, details)


def server(function: Callable[..., Any]) -> Callable[..., Any]:
    """--server and --context; the command is given the `Server` they mean as `server`."""

    @wraps(function)
    def with_server(server: str, context: str, **others: Any) -> Any:
        current = click.get_current_context()
        made = here(*said(current))
        current.call_on_close(made.close)
        return function(server=made, **others)

    return named(with_server)


def named(function: Callable[..., Any]) -> Callable[..., Any]:
    """--server and --context, as they are said."""
    known = click.option(
        "--context", default="", metavar="NAME", shell_complete=contexts.offered,
        help=f"A server by its name (`gatecast context`); also {contexts.CONTEXT}.",
    )  # fmt: skip
    plain = click.option(
        "--server", default="", metavar="URL",
        help=f"The server's API; also {contexts.SERVER}.  [default: the context in use, else {contexts.DEFAULT}]",
    )  # fmt: skip
    return plain(known(function))


def said(context: click.Context) -> tuple[str, str]:
    """--server and --context of a command, or those that were said before it; "" for none."""
    before, own = context.find_root().params, context.params
    server, name = own.get("server") or "", own.get("context") or ""
    if server or name:
        return server, name
    return before.get("server") or "", before.get("context") or ""


def here(server: str, context: str) -> Server:
    """The server that these flags mean, with the environment and the contexts of this user."""
    return Server(contexts.target(server, context, os.environ, lambda: contexts.load(contexts.file())))


def segment(text: str) -> str:
    """A name as part of a path, whatever is in it. Dots too: clients resolve `..` before they ask."""
    return quote(text, safe="").replace(".", "%2E")


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


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What fails on the way to a server, in our words."""
    import httpx

    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Usage(f"{url!r} is not the URL of a server, as in {contexts.DEFAULT}") from None
    except httpx.TimeoutException:
        raise Unavailable(f"{url} does not answer in time") from None
    except httpx.TransportError as error:
        raise Unavailable(f"{url} cannot be reached: {error}") from None


def _trust(target: Target) -> Any:
    """Whose certificates are believed: this system's authorities, or the one that was named."""
    import ssl

    if not target.url.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=target.ca or None)
    except OSError as error:
        raise Usage(f"CA file {target.ca}: {(error.strerror or str(error)).lower()}") from None


def _passing(answer: "httpx.Response") -> bool:
    """Whether it is worth asking once more: the server says so itself, or is not there yet."""
    status = answer.status_code
    return status in BETWEEN or (status >= 500 and "retry-after" in answer.headers)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _json(answer: "httpx.Response") -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
