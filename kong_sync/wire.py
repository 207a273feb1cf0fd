"""HTTP/1.1 for httpx, with as little work a call as can be: `admin.client` uses it where it is given no transport.

A first sync is one call an entity. httpx's own transport took 1.0 ms of CPU for each of them and this takes 0.4 ms
(`docs/kong.md`, Figures): one write a request, no pool that looks at all its connections, no layer for other loops than
asyncio's. The protocol is h11's, as it is there. Answers are read whole; there are no proxies and no HTTP/2.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import h11
import httpx

CHUNK = 1 << 18
"""Bytes that are read at once: a page of a listing has megabytes."""


@dataclass(eq=False, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    @property
    def usable(self) -> bool:
        """It is open, and nothing came that was not asked for."""
        return not (self.writer.is_closing() or self.reader.at_eof() or self.reader.exception())

    def again(self) -> bool:
        """Make it ready for the next request; False if it ends with this one."""
        if not (self.state.our_state is self.state.their_state is h11.DONE) or self.state.trailing_data[0]:
            return False
        self.state.start_next_cycle()
        return True


class Wire(httpx.AsyncBaseTransport):
    """At most so many connections to whatever is asked; each is used again while the other side keeps it open."""

    def __init__(self, connections: int, tls: ssl.SSLContext) -> None:
        self._places, self._tls = asyncio.Semaphore(connections), tls
        self._idle: dict[tuple[bytes, bytes, int | None], list[_Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One call. Raises httpx.TransportError."""
        if request.url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"{request.url} does not begin with http:// or https://")
        body, limits = await request.aread(), request.extensions.get("timeout", {})
        idle = self._idle.setdefault((request.url.raw_scheme, request.url.raw_host, request.url.port), [])
        async with self._places:
            found = _taken(idle) or await self._opened(request.url, limits.get("connect"))
            try:
                answer = await _exchange(found, request, body, limits)
            except BaseException:
                found.writer.transport.abort()
                raise
            if found.again():
                idle.append(found)
            else:
                found.writer.close()
        return answer

    async def aclose(self) -> None:
        """Leave the connections that are not in use."""
        for one in [one for idle in self._idle.values() for one in idle]:
            one.writer.close()
        self._idle.clear()

    async def _opened(self, url: httpx.URL, seconds: float | None) -> _Connection:
        tls = url.scheme == "https"
        with _told(httpx.ConnectTimeout, httpx.ConnectError):
            async with asyncio.timeout(seconds):
                streams = await asyncio.open_connection(
                    url.raw_host.decode(), url.port or (443 if tls else 80), limit=CHUNK, ssl=self._tls if tls else None
                )
        return _Connection(*streams)


def _taken(idle: list[_Connection]) -> _Connection | None:
    """The connection that was used last, if one is left."""
    while idle:
        found = idle.pop()
        if found.usable:
            return found
        found.writer.transport.abort()
    return None


async def _exchange(
    on: _Connection, request: httpx.Request, body: bytes, limits: dict[str, float | None]
) -> httpx.Response:
    with _told(httpx.WriteTimeout, httpx.WriteError):
        on.writer.write(_sent(on.state, request, body))
        with suppress(ConnectionError):  # who does not want all of it may have said why
            async with asyncio.timeout(limits.get("write")):
                await on.writer.drain()
    with _told(httpx.ReadTimeout, httpx.ReadError):
        return await _answer(on, limits.get("read"))


def _sent(state: h11.Connection, request: httpx.Request, body: bytes) -> bytes:
    """A request in one piece."""
    head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    parts = (head, h11.Data(data=body), h11.EndOfMessage()) if body else (head, h11.EndOfMessage())
    return b"".join(state.send(one) or b"" for one in parts)


async def _answer(on: _Connection, seconds: float | None) -> httpx.Response:
    head, parts = None, list[bytes]()
    while True:
        event = on.state.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(seconds):
                on.state.receive_data(await on.reader.read(CHUNK))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return httpx.Response(head.status_code, headers=list(head.headers), content=b"".join(parts))
        elif not isinstance(event, h11.InformationalResponse):
            raise httpx.RemoteProtocolError("the connection ended without an answer")


@contextmanager
def _told(late: type[httpx.TransportError], broken: type[httpx.TransportError]) -> Iterator[None]:
    """Errors in the words of httpx."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error
