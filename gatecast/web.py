"""An HTTP server in a loop that is not its own: uvicorn without its signal handlers. Used by `gatecast.serve`, the demo
and the echo service.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from gatecast.addresses import Address
from tenants.errors import Refused

Tls = tuple[Path, Path]
GRACE = 2  # seconds for answers that are under way when the server ends


class _Server(uvicorn.Server):
    """The process has one owner of signals (`gatecast.serve`); uvicorn is told to end by `should_exit`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, address: Address, tls: Tls | None = None) -> AsyncIterator[int]:
    """Serve `app` until the block ends; yields the port. Raises `Refused` if the address cannot be bound, or the files
    of `tls` (certificate and key, PEM) cannot be used.
    """
    _checked(tls)
    listener = _bound(address)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30, ssl_certfile=tls and tls[0], ssl_keyfile=tls and tls[1],
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await task


def _checked(tls: Tls | None) -> None:
    try:
        if tls is not None:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*tls)
    except OSError as error:  # also what OpenSSL says of its content
        names = ", ".join(map(str, tls or ()))
        raise Refused(f"TLS for operators ({names}): {(error.strerror or str(error)).lower()}") from None


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # Of a socket that does not say TCP, asyncio leaves Nagle's algorithm on, and every answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(tuple(address))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise Refused(f"cannot listen on {address}: {(error.strerror or str(error)).lower()}") from None
    return listener
