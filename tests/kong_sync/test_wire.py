"""The transport below the client of the Admin API: connections that are used again, those that are not, and errors."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from kong_sync.wire import Wire

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """A server that says these bytes to each request. `requests` are the heads, `most` how many came at once.

    `ends`: it does so to the first, without reading its body, and leaves.
    """

    def __init__(self, answer: bytes = OK, *, ends: bool = False) -> None:
        self.answer, self.ends = answer, ends
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.most = self._now = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                if not self.ends:
                    await reader.readexactly(int((re.findall(rb"(?i)content-length: (\d+)", head) or [b"0"])[0]))
                self._now += 1
                self.most = max(self.most, self._now)
                await self.gate.wait()
                self._now -= 1
                writer.write(self.answer)
                if self.ends:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def client(self, connections: int = 8, read: float = 5.0) -> AsyncIterator[httpx.AsyncClient]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        wire = Wire(connections, ssl.create_default_context())
        async with server:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", transport=wire, timeout=httpx.Timeout(5.0, read=read)
            ) as http:
                yield http
            for one in self.writers:
                one.close()


async def test_calls_one_after_the_other_share_a_connection() -> None:
    peer = Peer()
    async with peer.client() as http:
        for _ in range(3):
            assert (await http.put("/services/a", json={"name": "a"})).text == "ok"
    assert (len(peer.requests), len(peer.writers)) == (3, 1)


async def test_no_more_connections_than_allowed_are_open_at_once() -> None:
    peer = Peer()
    peer.gate.clear()
    async with peer.client(connections=2) as http:
        calls = [asyncio.create_task(http.get("/status")) for _ in range(6)]
        while peer.most < 2:
            await asyncio.sleep(0)
        peer.gate.set()
        assert {one.status_code for one in await asyncio.gather(*calls)} == {200}
    assert (peer.most, len(peer.writers), len(peer.requests)) == (2, 2, 6)


async def test_a_connection_that_the_other_side_has_left_is_not_used_again() -> None:
    peer = Peer()
    async with peer.client() as http:
        await http.get("/status")
        peer.writers[0].close()
        await peer.writers[0].wait_closed()
        for _ in range(3):  # until our side has heard of it
            await asyncio.sleep(0.01)
        assert (await http.get("/status")).status_code == 200
    assert len(peer.writers) == 2


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nch\r\n3\r\nunk\r\n0\r\n\r\n", "chunk"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlater", "later"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"),
        (b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig", "big"),
    ],
    ids=["chunked", "informed", "to-the-end", "refused"],
)
async def test_an_answer_is_read_whole_however_it_ends(answer: bytes, text: str) -> None:
    peer = Peer(answer, ends=b"chunked" not in answer and b"100" not in answer)
    async with peer.client() as http:
        assert (await http.put("/config", content=b"x" * 100_000)).text == text
        assert (await http.get("/status")).text == text


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", httpx.RemoteProtocolError),
        (b"no HTTP at all\r\n\r\n", httpx.RemoteProtocolError),
    ],
    ids=["nothing", "half", "garbage"],
)
async def test_what_is_no_answer_is_an_error_of_the_transport(answer: bytes, error: type[httpx.TransportError]) -> None:
    async with Peer(answer, ends=True).client() as http:
        with pytest.raises(error):
            await http.get("/status")


async def test_silence_ends_with_the_time_for_reading_and_the_connection_is_left() -> None:
    peer = Peer()
    peer.gate.clear()
    async with peer.client(connections=1, read=0.05) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/status")
        peer.gate.set()
        assert (await http.get("/status")).status_code == 200
    assert len(peer.writers) == 2


async def test_nobody_there_and_an_address_that_is_none_are_told_apart() -> None:
    async with Peer().client() as http:
        address = str(http.base_url)
    async with httpx.AsyncClient(transport=Wire(1, ssl.create_default_context())) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(address)
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("ftp://127.0.0.1/")


async def test_a_call_that_is_cancelled_leaves_its_place_to_others() -> None:
    peer = Peer()
    peer.gate.clear()
    async with peer.client(connections=1) as http:
        first = asyncio.create_task(http.get("/status"))
        while not peer.most:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        peer.gate.set()
        assert (await http.get("/status")).status_code == 200
