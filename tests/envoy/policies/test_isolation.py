"""A token of one tenant never opens another: every combination of header, host and token, in many spellings.

Each tenant has a service of its own, so an answer tells whose it is. Whatever a request says, an answer of a service
must be that of the tenant whose token was verified, and what the service sees must say nothing else.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import edges
import h2.config
import h2.connection
import h2.events
import idps
import pytest
import pytest_asyncio
import tokens
import upstreams

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

TENANTS = ("acme", "beta", "gamma")
NAMES = (*TENANTS, None)
Line = tuple[str, str]
Say = Callable[["Asked"], list[Line]]


@dataclass(frozen=True)
class Asked:
    """Whom header, host and token of a request name; the token of nobody is none."""

    header: str
    host: str
    token: str | None
    made: "Made"

    def bearer(self, name: str | None, scheme: str = "Bearer ") -> list[Line]:
        return [("Authorization", scheme + self.made.good[name])] if name else []

    def usual(self, *more: Line) -> list[Line]:
        named = [("Host", edges.host(self.host)), ("x-tenant-id", self.header)]
        return [*named, *more, *self.bearer(self.token)]

    def says(self, host: list[str], header: list[str], *token: str) -> list[Line]:
        """These values, each on a line of its own."""
        lines = [*(("Host", one) for one in host), *(("X-Tenant-Id", one) for one in header)]
        return [*lines, *(("authorization", one) for one in token)]

    def one(self) -> str:
        return f"Bearer {self.made.good[self.token]}" if self.token else "Basic YTpi"


@dataclass(frozen=True)
class Made:
    """Tokens by the tenant they name: good ones, and those nobody may accept."""

    good: dict[str | None, str]
    bad: dict[str, list[str]] = field(default_factory=dict)


def make(idp: idps.Idp) -> Made:
    other = idps.key(idp.keys[-1].kid, "ES256")
    good: dict[str | None, str] = {name: idp.token(tenant=name, sub=f"user-{name}") for name in TENANTS}
    bad = {
        name: [
            idp.token(other, tenant=name),
            idp.token(tenant=name, expires_in=-600.0),
            idp.forged("none", tenant=name),
            idp.token(tenant=[name]),
            idp.token(tenant=name.upper()),
            f"{good[name].rpartition('.')[0]}.{good[after].rpartition('.')[2]}",
        ]
        for name, after in zip(TENANTS, (*TENANTS[1:], TENANTS[0]), strict=True)
    }
    return Made(good, bad)


TARGET = ":target"
"""The name of a line that is none: what is asked for in place of `/a`."""

SPELLINGS: dict[str, Say] = {
    "plain": lambda a: a.usual(),
    "other order": lambda a: a.usual()[::-1],
    "names in capitals": lambda a: [(name.upper(), value) for name, value in a.usual()],
    "names in small letters": lambda a: [(name.lower(), value) for name, value in a.usual()],
    "values in capitals": lambda a: a.says([edges.host(a.host).upper()], [a.header.upper()], a.one()),
    "host with a port": lambda a: a.says([f"{edges.host(a.host)}:80"], [a.header], a.one()),
    "host with a dot": lambda a: a.says([f"{edges.host(a.host)}."], [a.header], a.one()),
    "two hosts": lambda a: a.says([edges.host(a.host), edges.host(a.header)], [a.header], a.one()),
    "two hosts, joined": lambda a: a.says([f"{edges.host(a.host)},{edges.host(a.header)}"], [a.header], a.one()),
    "no header": lambda a: a.says([edges.host(a.host)], [], a.one()),
    "two headers": lambda a: a.says([edges.host(a.host)], [a.header, a.host], a.one()),
    "two headers, the other way": lambda a: a.says([edges.host(a.host)], [a.host, a.header], a.one()),
    "the same header twice": lambda a: a.says([edges.host(a.host)], [a.header, a.header], a.one()),
    "two headers, joined": lambda a: a.says([edges.host(a.host)], [f"{a.header},{a.host}"], a.one()),
    "two headers, joined wide": lambda a: a.says([edges.host(a.host)], [f"{a.header} , {a.host}"], a.one()),
    "an empty header too": lambda a: a.says([edges.host(a.host)], ["", a.header], a.one()),
    "underscores": lambda a: a.usual(("x_tenant_id", a.host), ("X-Tenant_Id", a.host)),
    "our headers": lambda a: a.usual(("x-gatecast-claim", a.header), ("X-Gatecast-Host", edges.host(a.header))),
    "our headers, twice": lambda a: a.usual(("x-gatecast-claim", a.host), ("X-GATECAST-CLAIM", a.header)),
    "our headers, underscores": lambda a: a.usual(("x_gatecast_claim", a.header), ("x_gatecast_host", a.header)),
    "claims": lambda a: a.usual(("x-user", f"user-{a.header}"), ("X-User", f"user-{a.host}"), ("x_user", "root")),
    "a whole URL": lambda a: [(TARGET, f"http://{edges.host(a.host)}/a"), *a.usual()],
    "a whole URL beside another host": lambda a: [
        (TARGET, f"http://{edges.host(a.host)}/a"), *a.says([edges.host(a.header)], [a.header], a.one())
    ],
    "other names of a host": lambda a: a.usual(("x-forwarded-host", edges.host(a.header)), ("forwarded", "host=x")),
    "hop by hop": lambda a: a.usual(("connection", "x-tenant-id, x-user")),
    "hop by hop, the token": lambda a: a.usual(("connection", "authorization")),
    "two tokens": lambda a: [*a.usual()[:2], *a.bearer(a.token or a.host), *a.bearer(a.header)],
    "two tokens, the other way": lambda a: [*a.bearer(a.header), *a.bearer(a.token or a.host), *a.usual()[:2]],
    "two tokens, joined": lambda a: a.says(
        [edges.host(a.host)], [a.header], f"{a.one()}, Bearer {a.made.good[a.header]}"
    ),
    "two tokens, two schemes": lambda a: a.says(
        [edges.host(a.host)], [a.header], a.one(), f"bearer {a.made.good[a.header]}"
    ),
    "a token behind another scheme": lambda a: a.says([edges.host(a.host)], [a.header], f"Basic x {a.one()}"),
    "a scheme in small letters": lambda a: [*a.usual()[:2], *a.bearer(a.token, "bearer ")],
    "a scheme in odd letters": lambda a: [*a.usual()[:2], *a.bearer(a.token, "bEARER ")],
    "a token elsewhere": lambda a: a.usual(("x-token", a.made.good[a.header]), ("cookie", f"t={a.made.good[a.host]}")),
    **{f"bad token {n}": lambda a, n=n: [*a.usual(), ("Authorization", f"Bearer {a.made.bad[a.header][n]}")]
       for n in range(6)},
    **{f"bad token {n} alone": lambda a, n=n: [*a.usual()[:2], ("Authorization", f"Bearer {a.made.bad[a.header][n]}")]
       for n in range(6)},
}  # fmt: skip


@dataclass(eq=False)
class Wire:
    """One connection to the gateway, opened anew where the gateway closes it."""

    port: int
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def ask(self, lines: list[Line]) -> tuple[int, str]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self._reader
        target = dict(lines).get(TARGET, "/a")
        said = "".join(f"{name}: {value}\r\n" for name, value in lines if name != TARGET)
        self._writer.write(f"GET {target} HTTP/1.1\r\n{said}\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = (await self._reader.readexactly(int(fields["content-length"]))).decode()
        if fields.get("connection") == "close":
            self.close()
        return int(head.split()[1]), body

    def close(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None


@dataclass(eq=False)
class Wire2(Wire):
    """The same in HTTP/2, which knows no `connection`. The authority is the URL's host, else the first Host."""

    _speaker: h2.connection.H2Connection | None = None

    async def ask(self, lines: list[Line]) -> tuple[int, str]:
        if self._speaker is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
            config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
            self._speaker = h2.connection.H2Connection(config)
            self._speaker.initiate_connection()
        said = [(name.lower(), value) for name, value in lines if name not in (TARGET, "connection")]
        authority = dict(lines).get(TARGET, "").removeprefix("http://").removesuffix("/a")
        if not authority:
            authority = next(value for name, value in said if name == "host")
            said.remove(("host", authority))
        first = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", "/a")]
        stream = self._speaker.get_next_available_stream_id()
        self._speaker.send_headers(stream, [*first, *said], end_stream=True)
        return await self._answer()

    async def _answer(self) -> tuple[int, str]:
        assert self._reader
        assert self._writer
        assert self._speaker
        status, body = 0, b""
        while True:
            self._writer.write(self._speaker.data_to_send())
            for event in self._speaker.receive_data(await self._reader.read(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self._speaker.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body.decode()
                else:
                    assert not isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)), event


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp("ES256") as made:
        yield made


def documents(services: dict[str, upstreams.Upstream], jwt: edges.Json) -> Iterator[edges.Json]:
    for name, behind in services.items():
        yield edges.service(f"of-{name}", behind)
        yield edges.tenant(name, {"a": {"service": f"of-{name}"}}, jwt=jwt)


def violation(answer: edges.Json, asked: Asked, by: str) -> str:
    """What is wrong with an answer of a service; "" if nothing is."""
    name, seen = answer["name"], answer["headers"]
    if seen.get("authorization", "").split(" ")[1:] != [asked.made.good[name]]:
        return "the service sees another token"
    if seen.get("x-user") != f"user-{name}":
        return "the service sees another user"
    if by == "header" and seen.get("x-tenant-id") != name:
        return "the service sees another tenant in the header"
    if by == "host" and seen["host"].lower().split(":")[0].rstrip(".") != edges.host(name):
        return "the service sees another host"
    if by == "host" and not {"x-forwarded-host", "forwarded"}.isdisjoint(seen):
        return "the service sees other names of a host"
    return "our headers go on" if [one for one in seen if "gatecast" in one] else ""


def chosen(asked: Asked, by: str) -> str | None:
    return {"header": asked.header, "host": asked.host, "claim": asked.token}[by]


@pytest.mark.parametrize("speak", [Wire, Wire2])
@pytest.mark.parametrize("by", ["header", "host", "claim"])
async def test_no_request_gets_an_answer_of_another_tenant(
    by: str, speak: type[Wire], idp: idps.Idp, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made, jwt = make(idp), tokens.policy(idp, tenant_claim="tenant", forward_claims={"sub": "x-user"})
    on_gateway = {"jwt": tokens.policy(idp)} if by == "claim" else {}
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(upstreams.Upstream(name)) for name in TENANTS]
        edge = await stack.enter_async_context(edges.edge(tmp_path_factory.mktemp("envoy"), by, **on_gateway))
        edge.token = lambda tenant: made.good[tenant]
        await tokens.known(edge, idp)
        await edge.put(*documents(dict(zip(TENANTS, opened, strict=True)), jwt))
        wire, served, wrong = speak(edge.port), Counter[str](), []
        stack.callback(wire.close)
        for spelling, (header, host, token) in itertools.product(SPELLINGS, itertools.product(TENANTS, TENANTS, NAMES)):
            asked = Asked(header, host, token, made)
            status, body = await wire.ask(SPELLINGS[spelling](asked))
            if status != 200:
                assert json.loads(body)["error"]["code"], body
            elif found := violation(json.loads(body), asked, by):
                wrong.append((spelling, header, host, token, found, body))
            else:
                served[spelling] += 1
                assert chosen(asked, by) == token == json.loads(body)["name"], (spelling, asked)
        assert wrong == []
        assert sum(one.count for one in opened) == served.total()
    allowed = {"header": 3 * 3, "host": 3 * 3, "claim": 3 * 3 * 3}[by]
    assert {served[one] for one in ("plain", "names in capitals", "claims", "our headers", "other order")} == {allowed}
    assert not [one for one in served if one.startswith(("two tokens", "bad token"))]
