"""HTTP/1.1 as the double speaks it: requests with every header line as it came, answers, and a server for both.

A server of our own, because a test must see repeated and misspelt headers, cut a connection after the work was done,
and answer by port alone. Used by `double`.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

Headers = tuple[tuple[str, str], ...]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
BODILESS = (204, 304)
LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `target` is as it stood in the request line; `peer` is the address it came from."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    peer: str = "127.0.0.1"

    @property
    def path(self) -> str:
        return urlsplit(self.target).path if self.target.startswith("http") else self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def header(self, name: str) -> str:
        """The first value, "" if there is none."""
        return next((value for one, value in self.headers if one.lower() == name.lower()), "")

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.headers if one.lower() == name.lower()]

    def with_header(self, name: str, *values: str) -> Self:
        """The request with these values in place of all there were."""
        kept = tuple(one for one in self.headers if one[0].lower() != name.lower())
        return replace(self, headers=kept + tuple((name, value) for value in values))


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. The length is written by the server."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return next((value for one, value in self.headers if one.lower() == name.lower()), "")

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.headers if one.lower() == name.lower()]


def as_json(status: int, value: Any, *headers: tuple[str, str], space: bool = False) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=None if space else (",", ":")).encode()
    return Response(status, (("Content-Type", "application/json; charset=utf-8"), *headers), body)


Handler = Callable[[Request], Awaitable[Response | None]]
"""None cuts the connection without an answer."""


@dataclass(eq=False)
class Server:
    """Listens on a port of the loopback that the system chooses, and keeps it over `stop` and `start`."""

    handler: Handler
    tls: ssl.SSLContext | None = None
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Those that are open now."""
        return len(self._open)

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, limit=LIMIT, ssl=self.tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        if self._server is None:
            return
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse((reader, writer)))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _converse(self, streams: Streams) -> None:
        try:
            while request := await read(streams):
                response = await self.handler(request)
                if response is None:
                    streams[1].transport.abort()
                    return
                streams[1].write(written(response, head=request.method == "HEAD"))
                await streams[1].drain()
                if request.header("connection").lower() == "close":
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass  # the client left in the middle of a request: its right
        finally:
            streams[1].close()


@asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[None]:
    """The servers run for the length of the block."""
    try:
        for one in servers:
            await one.start()
        yield
    finally:
        for one in servers:
            await one.stop()


async def read(streams: Streams) -> Request | None:
    """The next request of a connection, None at its end."""
    reader, writer = streams
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].split("\r\n")
    method, target, _version = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name, value.strip()) for name, _, value in pairs)
    peer = (writer.get_extra_info("peername") or ("127.0.0.1",))[0]
    request = Request(method, target, headers, b"", peer)
    if request.header("expect").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return replace(request, body=await _read_body(reader, request))


async def _read_body(reader: asyncio.StreamReader, message: Request) -> bytes:
    if message.header("transfer-encoding").lower() != "chunked":
        return await reader.readexactly(int(message.header("content-length") or 0))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def written(response: Response, *, head: bool = False) -> bytes:
    own = (("Date", formatdate(usegmt=True)), ("Content-Length", str(len(response.body))))
    skipped = {"content-length", "transfer-encoding", "connection", "date"}
    kept = tuple((name, value) for name, value in response.headers if name.lower() not in skipped)
    lines = "".join(f"{name}: {value}\r\n" for name, value in (own[:1] if response.status in BODILESS else own) + kept)
    start = f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Answer')}\r\n"
    body = b"" if head or response.status in BODILESS else response.body
    return (start + lines + "\r\n").encode("utf-8", "surrogateescape") + body


REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 404: "Not Found", 503: "Unavailable"}


async def exchange(address: str, request: Request, *, connect: float, read: float) -> Response:
    """Send a request to `host:port` and read the answer. Seconds; TimeoutError, OSError, IncompleteReadError."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(connect):
        streams = await asyncio.open_connection(host.strip("[]"), int(port), limit=LIMIT)
    try:
        streams[1].write(_sent(request))
        async with asyncio.timeout(read):
            return await _answer(streams[0], request)
    finally:
        streams[1].close()


def _sent(request: Request) -> bytes:
    skipped = {"content-length", "transfer-encoding", "connection", "expect"}
    kept = [(name, value) for name, value in request.headers if name.lower() not in skipped]
    if request.body or request.header("content-length"):
        kept.append(("Content-Length", str(len(request.body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*kept, ("Connection", "close")])
    return (
        f"{request.method} {request.target} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + request.body
    )


async def _answer(reader: asyncio.StreamReader, request: Request) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape")
    first, *lines = head[:-4].split("\r\n")
    status = int(first.split(" ")[1])
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    told = Request("", "", headers)
    if request.method == "HEAD" or status in BODILESS:
        return Response(status, headers)
    bounded = told.header("content-length") or told.header("transfer-encoding")
    return Response(status, headers, await (_read_body(reader, told) if bounded else reader.read()))
