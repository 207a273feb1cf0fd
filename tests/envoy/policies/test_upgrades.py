"""No connection is upgraded and no tunnel opened, however a gateway finds the tenant: no policy would hold in there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import edges
import idps
import pytest
import pytest_asyncio
import tokens

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

WAYS = ("header", "host", "claim", "header, on demand", "host, on demand")


@asynccontextmanager
async def willing(heard: list[bytes]) -> AsyncIterator[int]:
    """A service that upgrades whatever it is asked to; its port."""

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(agree, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp("ES256") as made:
        yield made


@pytest.mark.parametrize("way", WAYS)
async def test_who_asks_for_an_upgrade_or_a_tunnel_is_refused(
    way: str, idp: idps.Idp, tmp_path_factory: pytest.TempPathFactory
) -> None:
    by, _, lazy = way.partition(", ")
    jwt, heard = ({"jwt": tokens.policy(idp)} if by == "claim" else {}), list[bytes]()
    more = {"on_demand": bool(lazy)}
    async with willing(heard) as port, edges.edge(tmp_path_factory.mktemp("envoy"), by, more, **jwt) as edge:
        edge.token = lambda tenant: idp.token(tenant=tenant)
        await tokens.known(edge, idp)
        first, second = (edges.tenant(name, {"a": {"service": "willing"}}) for name in ("acme", "beta"))
        await edge.served.apply(edges.text([edges.service("willing", port), second]))
        await edge.put(first)
        for name in ("acme", "beta", "beta"):  # nobody asked for the second one before
            said = edge.named(name) | ({} if by == "host" else {"host": "x"})
            lines = "".join(f"{key}: {value}\r\n" for key, value in said.items()).encode()
            upgrade = b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
            answer = await edge.raw(b"GET /a HTTP/1.1\r\n", lines, upgrade)
            assert (answer.split()[1], '"upgrade_refused"' in answer) == ("403", True), answer
            answer = await edge.raw(b"CONNECT x:80 HTTP/1.1\r\n", lines, b"\r\n")
            assert answer.split()[1] in ("403", "404"), answer
        assert heard == []
        answer = await edge.ask("acme", "/b")
        assert answer.status_code == 200
