"""What stands on both sides of Envoy in a test: an echo service behind it (`upstream`), steady traffic at it (`load`).

    async with upstreams.Upstream("orders") as orders, upstreams.load(url, headers={"x-tenant": "a"}) as traffic:
        ...change something...
        await traffic.more(100)
        assert traffic.failures == []

A request chooses how it is answered by its query (`?status=503&delay=0.2`), a test by the upstream's attributes.
"""

import asyncio
import json
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import sockets

from xds.waiting import until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
DROP = 0
"""The status that means: close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the upstream saw it; header names in lower case, of equal names the last."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def asks(self, name: str, default: str) -> str:
        return parse_qs(urlsplit(self.target).query).get(name, [default])[-1]


@dataclass(eq=False)
class Upstream:
    """An HTTP/1.1 echo service on a port of its own. It answers JSON: name, method, path, headers, length of the body.

    For `/healthz` it answers 200 or 503 by `healthy`, counted apart. Else the status is the first there is of: the
    next of `script`, `?status=`, `status`. `requests` holds the newest 10,000; `count` counts all of them.
    With `tls` it speaks TLS alone, and `clients` are the certificates it was shown. While `go` is cleared, it answers
    none but `/healthz`.
    """

    name: str
    status: int = 200
    delay: float = 0.0
    healthy: bool = True
    script: deque[int] = field(default_factory=deque)
    answer_headers: dict[str, str] = field(default_factory=dict)
    port: int = 0
    count: int = 0
    connections: int = 0
    health_checks: int = 0
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=10_000))
    tls: ssl.SSLContext | None = None
    clients: list[Any] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.go.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on `port`; 0 takes a free one, which later starts keep."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 20, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        if self._server is not None:
            await sockets.close(self._server, self._open)
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.tls is not None:
            self.clients.append(writer.get_extra_info("peercert"))
        task = asyncio.ensure_future(self._converse((reader, writer)))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _converse(self, streams: Streams) -> None:
        try:
            while request := await _read(streams[0]):
                status = await self._decide(request)
                if status == DROP:
                    return
                streams[1].write(self._answer(request, status))
                await streams[1].drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left in the middle of a request: its right
        finally:
            streams[1].close()

    async def _decide(self, request: Request) -> int:
        if request.path == "/healthz":
            self.health_checks += 1
            return 200 if self.healthy else 503
        self.count += 1
        self.requests.append(request)
        status = self.script.popleft() if self.script else int(request.asks("status", str(self.status)))
        await asyncio.sleep(float(request.asks("delay", str(self.delay))))
        await self.go.wait()
        return status

    def _answer(self, request: Request, status: int) -> bytes:
        told = {
            "name": self.name,
            "method": request.method,
            "path": request.target,
            "headers": request.headers,
            "length": len(request.body),
        }
        body = b"" if request.method == "HEAD" else json.dumps(told).encode()
        headers = {"content-type": "application/json", "content-length": len(body), "x-upstream": self.name}
        lines = (f"{name}: {value}\r\n" for name, value in (headers | self.answer_headers).items())
        return f"HTTP/1.1 {status} Answer\r\n{''.join(lines)}\r\n".encode() + body


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request of a connection, None at its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, target, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that went wrong: seconds since the load began, and the status or the error."""

    at: float
    what: str


@dataclass(eq=False)
class Load:
    """Steady traffic and what came of it. Made by `load()`."""

    url: str
    headers: Mapping[str, str]
    allowed: Set[int]
    began: float
    done: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    async def more(self, requests: int, *, within: float = 20.0) -> None:
        """Wait until this many more requests have ended, well or badly."""
        goal = self.done + requests
        await until(lambda: self.done >= goal, f"{requests} more requests", within=within)

    async def send(self, client: httpx.AsyncClient) -> None:
        what = await self._trouble(client)
        if what:
            self.failures.append(Failure(round(asyncio.get_running_loop().time() - self.began, 3), what))
        self.done += 1

    async def _trouble(self, client: httpx.AsyncClient) -> str:
        try:
            answer = await client.get(self.url)
        except httpx.HTTPError as problem:
            return repr(problem)
        self.statuses[answer.status_code] += 1
        return "" if answer.status_code in self.allowed else f"{answer.status_code} {answer.text}"


@asynccontextmanager
async def load(
    url: str,
    *,
    rate: float = 100.0,
    connections: int = 4,
    headers: Mapping[str, str] | None = None,
    allowed: Set[int] = frozenset({200}),
) -> AsyncIterator[Load]:
    """Send `rate` GETs a second over this many keep-alive connections until the block ends.

    Every answer whose status is not `allowed`, and every connection error, becomes a `Failure`. Requests in flight at
    the end are waited for. A slow answer lowers the rate; nothing is sent later to make up for it.
    """
    traffic, stop = Load(url, headers or {}, allowed, asyncio.get_running_loop().time()), asyncio.Event()
    pace = connections / rate
    senders = [asyncio.create_task(_send_steadily(traffic, pace, stop)) for _ in range(connections)]
    try:
        yield traffic
    finally:
        stop.set()
        await asyncio.gather(*senders)


async def _send_steadily(traffic: Load, pace: float, stop: asyncio.Event) -> None:
    """One connection: a client of its own, a request every `pace` seconds."""
    clock = asyncio.get_running_loop().time
    async with httpx.AsyncClient(headers=traffic.headers, trust_env=False, verify=False, timeout=10.0) as client:
        while not stop.is_set():
            due = clock() + pace
            await traffic.send(client)
            await asyncio.sleep(max(0.0, due - clock()))
