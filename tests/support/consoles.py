"""A whole server behind a real socket, in a thread of its own, for tests that run the command line in theirs.

with consoles.console(tmp_path) as here:
    gatecast("status", "--server", here.url)
    here.run(here.operator.put({"kind": "Tenant", "id": "gamma"}))
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

from operators import SETTINGS, Operator, operator

from gatecast.addresses import Address
from gatecast.web import serving

R = TypeVar("R")
LOCAL = Address("127.0.0.1", 0)


@dataclass(frozen=True)
class Console:
    """A server under a URL, and what is behind it."""

    url: str
    operator: Operator
    loop: asyncio.AbstractEventLoop
    folder: Path

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Do this in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Call this in the server's own loop."""

        async def called() -> Any:
            return function(*arguments, **named)

        return self.run(called())

    def write(self, name: str, text: str) -> str:
        """A file for the command line; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def get(self, path: str) -> Any:
        """The JSON of the API."""

        async def asked() -> Any:
            return (await self.operator.ask("GET", path)).json()

        return self.run(asked())


@contextmanager
def console(folder: Path, text: str = SETTINGS, **more: Any) -> Iterator[Console]:
    """A server on a store in this folder that holds these documents; `more` is for `operators.operator`."""
    ready, end = threading.Event(), asyncio.Event()
    made: list[Console] = []

    async def serve() -> None:
        async with operator(folder, text, **more) as here, serving(here.app, LOCAL) as port:
            made.append(Console(f"http://127.0.0.1:{port}", here, asyncio.get_running_loop(), folder))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20), "the server did not start"
    try:
        yield made[0]
    finally:
        made[0].loop.call_soon_threadsafe(end.set)
        thread.join(20)


class Quiet(HTTPServer):
    """A connection that breaks is the other side's affair."""

    def handle_error(self, *_: Any) -> None: ...


@contextmanager
def stranger(
    *answers: tuple[int, Any, dict[str, str]], tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Somebody else's server, which gives these answers in turn, the last one for ever: its URL, and what it was asked.

    An answer is a status, a body (text, or what JSON can say), and headers.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            status, body, headers = answers[min(len(asked), len(answers)) - 1]
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PATCH = do_DELETE = do_PUT = do_GET

        def log_message(self, *_: Any) -> None: ...

    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True) if tls else server.socket
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join(20)
