"""The API of a running server, as the commands call it.

    @remote.server
    def command(server: Server) -> None:
        found = server.get("/api/v1/status", SHAPE)

`remote.server` adds --server and --context. Reads are tried again while nobody answers; writes never are.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

import click

from gatecast import contexts
from gatecast.about import version
from gatecast.contexts import Target
from gatecast.exits import Answered, Usage
from tenants.errors import Refused, Unavailable

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
R = TypeVar("R")

AGENT: Final = "gatecast-cli"
"""How the server tells the command line from other callers: a change's source is then `cli`."""

PATIENCE: Final = 30.0
"""Seconds for an answer; for the connection a sixth of it."""

PAUSES: Final = (0.1, 0.4)
"""Seconds between tries of a read."""

PAGE: Final = 1000


@dataclass(frozen=True)
class Server:
    """A running server. `path`s begin with a slash, `shape` is for `fits`.

    Every call raises `Unavailable` if nobody answers, else `Refused`, where it can (`Answered`) with the server's words.
    """

    target: Target
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def get(self, path: str, shape: Any, **query: Any) -> Any:
        """The JSON under a path, which has this shape."""
        return self.read(path, shape, **query)[0]

    def read(self, path: str, shape: Any, **query: Any) -> tuple[Any, Mapping[str, str]]:
        """The same, with the headers of the answer."""
        return self._read(path, shape, PATIENCE, query)

    def wait(self, path: str, shape: Any, seconds: float, **query: Any) -> tuple[Any, int]:
        """The same for an answer that may take so long; with its status."""
        answer = self._patiently("GET", path, query, PATIENCE + seconds)
        return self._body(answer, shape), answer.status_code

    def text(self, path: str, **query: Any) -> str:
        """The text under a path."""
        answer = self._patiently("GET", path, query, PATIENCE)
        if not answer.is_success:
            self._body(answer, {})
        return answer.text

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """The lines under a path, as they come; not tried again."""
        with self._told(), self._client.stream("GET", self._url(path), params=_given(query)) as answer:
            if not answer.is_success:
                answer.read()
                self._body(answer, {})
            yield from answer.iter_lines()

    def pages(self, path: str, name: str, shape: Any, **query: Any) -> Iterator[Any]:
        """The items of every page of a list, which stand under `name`."""
        cursor: str | None = ""
        while cursor is not None:
            whole = {name: [shape], "next_cursor": str | None}
            page = self.get(path, whole, limit=PAGE, cursor=cursor, **query)
            yield from page[name]
            cursor = page["next_cursor"]

    def send(
        self,
        method: str,
        path: str,
        shape: Any,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
        **query: Any,
    ) -> Any:
        """Ask for a change, once; the JSON of the answer."""
        answer = self._once(method, path, query, patience, body, headers)
        return self._body(answer, shape)

    def _read(self, path: str, shape: Any, patience: float, query: Mapping[str, Any]) -> tuple[Any, Mapping[str, str]]:
        answer = self._patiently("GET", path, query, patience)
        return self._body(answer, shape), answer.headers

    def _patiently(self, method: str, path: str, query: Mapping[str, Any], patience: float) -> "httpx.Response":
        for pause in PAUSES:
            with suppress(Unavailable):
                answer = self._once(method, path, query, patience)
                if answer.status_code < 500:
                    return answer
            self.sleep(pause)
        return self._once(method, path, query, patience)

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        patience: float,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> "httpx.Response":
        import httpx

        timeout = httpx.Timeout(patience, connect=PATIENCE / 6)
        with self._told():
            return self._client.request(
                method, self._url(path), params=_given(query), json=body, headers=headers, timeout=timeout
            )

    def _url(self, path: str) -> str:
        return self.target.url.rstrip("/") + path

    @cached_property
    def _client(self) -> "httpx.Client":
        import httpx

        headers = {"User-Agent": f"{AGENT}/{version()}", "Accept": "application/json"}
        if self.target.token:
            headers["Authorization"] = f"Bearer {self.target.token}"
        return httpx.Client(headers=headers, verify=_trust(self.target), trust_env=False, timeout=PATIENCE)

    def _told(self) -> "_Told":
        return _Told(self.target.url)

    def _body(self, answer: "httpx.Response", shape: Any) -> Any:
        """What an answer says, if it is one of ours."""
        found, status = _json(answer), answer.status_code
        if answer.is_success:
            if fits(found, shape):
                return found
            raise Refused(f"{self.target.url} does not answer like gatecast: give the URL of its API")
        match found:
            case {"error": {"message": str(message), **rest}}:
                code, details = str(rest.get("code") or "error"), rest.get("details")
            case _:
                message, code, details = f"{self.target.url} answered {status}, not as a gatecast server does", "", []
        if status >= 500:
            raise Unavailable(f"{message} ({self.target.url}, request {answer.headers.get('x-request-id', 'unknown')})")
        raise Answered(status, code, message, details if isinstance(details, list) else ())


class _Told(suppress):
    """What fails on the way to a server, in our words."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
