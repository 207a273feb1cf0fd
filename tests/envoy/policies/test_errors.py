"""Errors that Envoy answers itself have one form and an id; errors of a service pass as they are."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import authz_servers
import edges
import envoys
import httpx
import pytest
import pytest_asyncio

from xds.translate.errors import CODES
from xds.translate.replies import REPLIES

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

UPGRADE = b"connection: upgrade\r\nupgrade: websocket\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A request of tenant `erring`, as its first line and further headers, and the error it is answered with."""

    name: str
    status: int
    code: str
    ask: bytes = b"GET /a HTTP/1.1\r\n"
    more: bytes = b""
    body: bytes = b""
    tenant: bytes = b"erring"


CASES = (
    Case("unknown tenant", 404, "unknown_tenant", tenant=b"nobody"),
    Case("no route", 404, "not_found", b"GET /nowhere HTTP/1.1\r\n"),
    Case("no tenant in a target without a path", 404, "unknown_tenant", b"OPTIONS * HTTP/1.1\r\n", tenant=b"nobody"),
    Case("no path in a target", 404, "not_found", b"OPTIONS * HTTP/1.1\r\n"),
    Case("a tunnel", 404, "not_found", b"CONNECT x:80 HTTP/1.1\r\n"),
    Case("https in plain text", 400, "bad_request", b"GET https://x/a HTTP/1.1\r\n"),
    Case("encoded slash", 400, "bad_request", b"GET /a%2fb HTTP/1.1\r\n"),
    Case("two lengths", 400, "bad_request", b"POST /a HTTP/1.1\r\n", b"content-length: 1\r\ncontent-length: 2\r\n"),
    Case("NUL in a header", 400, "bad_request", more=b"x-nul: a\x00b\r\n"),
    Case("no such method", 400, "bad_request", b"BREW /a HTTP/1.1\r\n"),
    Case("two tenants", 400, "bad_tenant_header", more=b"x-tenant-id: acme\r\n"),
    Case("access", 403, "access_denied", b"GET /denied HTTP/1.1\r\n"),
    Case("authz", 403, "not_authorized", b"GET /refused HTTP/1.1\r\n"),
    Case("authz without a server", 503, "authz_unavailable", b"GET /unasked HTTP/1.1\r\n"),
    Case("upgrade", 403, "upgrade_refused", more=UPGRADE),
    Case("HTTP/1.0", 426, "upgrade_refused", b"GET /a HTTP/1.0\r\n"),
    Case("idle body", 408, "request_timeout", b"POST /idle HTTP/1.1\r\n", b"content-length: 9\r\n"),
    Case("large body", 413, "body_too_large", b"POST /small HTTP/1.1\r\n", b"content-length: 2\r\n", b"xx"),
    Case("rate limit", 429, "rate_limited", b"GET /limited HTTP/1.1\r\n"),
    Case("large headers", 431, "headers_too_large", more=b"x-large: " + b"x" * 70_000 + b"\r\n"),
    Case("many headers", 431, "headers_too_large", more=b"".join(b"x-%d: 1\r\n" % one for one in range(150))),
    Case("transfer coding", 501, "not_implemented", b"POST /a HTTP/1.1\r\n", b"transfer-encoding: gzip\r\n"),
    Case("no HTTP from the service", 502, "bad_gateway", b"GET /babble HTTP/1.1\r\n"),
    Case("full", 503, "overloaded", b"GET /full HTTP/1.1\r\n"),
    Case("no endpoint left", 503, "no_healthy_upstream", b"GET /ailing HTTP/1.1\r\n"),
    Case("no listener", 503, "upstream_unavailable", b"GET /dead HTTP/1.1\r\n"),
    Case("cut connection", 503, "upstream_unavailable", b"GET /a?status=0 HTTP/1.1\r\n"),
    Case("slow service", 504, "upstream_timeout", b"GET /slow?delay=600 HTTP/1.1\r\n"),
    Case("missing header", 428, "missing_header", b"GET /strict HTTP/1.1\r\n"),
    Case("invalid header", 428, "invalid_header", b"GET /strict HTTP/1.1\r\n", b"x-key: ?\r\n"),
    Case("maintenance", 503, "maintenance", b"GET /closed HTTP/1.1\r\n"),
)

OVERRIDES: edges.Json = {
    "denied": {"access": {"deny": ["127.0.0.0/8"]}},
    "refused": {"authz": {"service": "opa", "timeout": "5s"}},
    "unasked": {"authz": {"service": "silent"}},
    "idle": {"timeout": {"idle": "100ms"}},
    "small": {"body_limit": {"max": "1B"}},
    "limited": {"rate_limit": {"requests": 1, "per": "hour"}},
    "full": {"circuit_breaker": {"max_requests": 0}},
    "slow": {"timeout": {"request": "100ms"}},
    "strict": {"required_headers": [{"name": "x-key", "pattern": "[a-z]+", "status": 428}]},
    "closed": {"maintenance": {}},
}


@asynccontextmanager
async def babbling() -> AsyncIterator[int]:
    """A service that speaks no HTTP; its port."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example.com ready\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def erring(edge: edges.Edge) -> AsyncIterator[edges.Edge]:
    """The edge with a tenant `erring` that has a route for each error."""
    async with babbling() as port, authz_servers.Authz() as authz:
        check = {"path": "/healthz", "interval": "1h", "unhealthy_after": 1}
        edge.echo.healthy = False
        await edge.put(
            edges.service("babble", port),
            edges.service("dead", envoys.free_port()),
            edges.service("opa", authz.port, protocol="grpc"),
            edges.service("silent", envoys.free_port(), protocol="grpc"),
            edges.service("ailing", edge.echo, health_check=check),
            *(edges.route(name, service=name) for name in ("babble", "dead", "ailing")),
            *(edges.route(name) for name in OVERRIDES),
            edges.tenant("erring", {name: {"policies": policies} for name, policies in OVERRIDES.items()}),
        )
        assert await edge.statuses("erring", "/limited") == [200]
        yield edge


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_error_of_the_gateway_is_json_with_an_id(erring: edges.Edge, case: Case) -> None:
    said = await erring.raw(case.ask, b"host: x\r\nx-tenant-id: ", case.tenant, b"\r\n", case.more, b"\r\n", case.body)
    head, _, body = said.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    answer = httpx.Response(int(first.split()[1]), headers=[line.split(": ", 1) for line in lines], text=body)
    assert (answer.status_code, edges.error(answer)) == (case.status, case.code), said
    assert answer.headers["server"] == "gatecast"


async def test_there_is_a_case_for_every_answer_that_envoy_makes_up() -> None:
    """Here, or in the file of the policy that it belongs to."""
    here = Path(__file__)
    others = "".join(one.read_text() for one in here.parents[1].rglob("test_*.py") if one != here)
    elsewhere = {row.code for row in REPLIES if f'"{row.code}"' in others}
    assert {row.code for row in REPLIES} - {case.code for case in CASES} - elsewhere == set()
    assert {case.code for case in CASES} - CODES.keys() == set()


async def test_the_id_of_an_error_is_the_one_the_service_would_have_seen(erring: edges.Edge) -> None:
    """Errors on the way back carry the id under which the service was asked."""
    before = len(erring.echo.requests)
    answer = await erring.ask("erring", "/slow?delay=600")
    seen = list(erring.echo.requests)[before:]
    assert answer.headers.get_list("x-request-id") == [seen[0].headers["x-request-id"]]


async def test_each_error_has_an_id_of_its_own(erring: edges.Edge) -> None:
    ids = [(await erring.ask("erring", path)).headers["x-request-id"] for path in ("/nowhere", "/a%2f", "/denied") * 3]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 500, 502, 503, 504])
async def test_an_error_of_the_service_passes_as_it_is(erring: edges.Edge, status: int) -> None:
    erring.echo.answer_headers = {"content-type": "text/x-theirs", "server": "theirs"}
    answer = await erring.ask("erring", f"/a?status={status}")
    erring.echo.answer_headers = {}
    assert (answer.status_code, answer.json()["name"]) == (status, "echo")
    assert answer.headers["content-type"] == "text/x-theirs"


async def test_head_requests_get_the_headers_of_an_error_alone(erring: edges.Edge) -> None:
    answer = await erring.ask("erring", "/nowhere", "HEAD")
    assert (answer.status_code, answer.content) == (404, b"")
    assert answer.headers["content-type"] == "application/json"


async def test_names_in_an_error_are_well_formed_json(erring: edges.Edge) -> None:
    message = 'a "quoted" \\ % %REQ(x)% </script> ümlaut'
    await erring.put(edges.tenant("odd", maintenance={"message": message}))
    answer = await erring.ask("odd", headers={"x": "no"})
    assert json.loads(answer.text)["error"]["message"] == message
