"""One gateway as its clients meet it: control plane, a real Envoy, an echo service behind it, a client before it.

    async with edges.edge(tmp_path) as edge:
        await edge.put(edges.tenant("acme", rate_limit={"requests": 1, "per": "hour"}), edges.tenant("beta"))
        answer = await edge.ask("acme", "/a")

The routes `a` and `b` send /a and /b to the service `echo`, the upstream `edge.echo`. `put` comes back when Envoy acts
by the documents. Tests in `tests/envoy/policies` share one edge a module (their conftest): each uses ids of its own.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import envoys
import httpx
import planes
import upstreams

from tenants.policies import POLICIES

Json = dict[str, Any]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]

MARK = "x-mark"
"""A response header of /probe that tells which change a tenant's table has seen."""

FLUSH = ("--file-flush-interval-msec", "20")
"""Lines of the access log are on their way after so long; Envoy's own 10 s are for machines that write many."""

_KINDS = ("CDS", "EDS", "ECDS", "LDS", "SRDS", "RDS")


BY: Mapping[str, Json] = {
    "header": {"from": "header", "name": "x-tenant-id"},
    "host": {"from": "host"},
    "claim": {"from": "claim", "name": "tenant"},
}


def gateway(port: int, by: str = "header", more: Json | None = None, **policies: Any) -> Json:
    """The gateway `edge`; a request names its tenant as `by` says. `more` are other fields."""
    said = BY[by]
    listener = {"name": "public", "address": "127.0.0.1", "port": port}
    body = {"tenant": said, "listeners": [listener], "allow_local_endpoints": True, "policies": policies}
    return {"kind": "Gateway", "id": "edge", **body, **(more or {})}


def service(name: str, *behind: upstreams.Upstream | int, **more: Any) -> Json:
    """A service with these upstreams or local ports as its endpoints; none for one with a `dns` name."""
    ports = [one if isinstance(one, int) else one.port for one in behind]
    endpoints = {"endpoints": [f"127.0.0.1:{port}" for port in ports]} if ports else {}
    return {"kind": "Service", "id": name, **endpoints, **more}


def route(name: str, match: Json | None = None, service: str | None = "echo", **more: Any) -> Json:
    """A route; without a match it takes the prefix `/<name>`."""
    to = {} if "split" in more else {"service": service}
    return {"kind": "Route", "id": name, "match": match or {"prefix": f"/{name}"}, **to, **more}


def organisation(name: str, **policies: Any) -> Json:
    return {"kind": "Organisation", "id": name, "policies": policies}


def tenant(name: str, routes: Json | None = None, more: Json | None = None, **policies: Any) -> Json:
    """A tenant with these policies; `routes` are its overrides, `more` are other fields. Its host is its own."""
    body = {"hosts": [host(name)], "policies": policies, "routes": routes or {}, **(more or {})}
    return {"kind": "Tenant", "id": name, **body}


def host(tenant: str) -> str:
    return f"{tenant}.example.com"


def text(documents: Iterable[Json]) -> str:
    """Documents as YAML, of which JSON is a part."""
    return "\n---\n".join(json.dumps(one) for one in documents)


def error(answer: httpx.Response) -> str:
    """The code of an error that Envoy answers itself, after a look at its form."""
    assert answer.headers["content-type"] == "application/json", answer.headers
    assert answer.headers["x-request-id"], answer.headers
    said = answer.json()["error"]
    assert said.keys() == {"code", "message", "details"}, said
    assert isinstance(said["message"], str), said
    assert said["message"], said
    assert isinstance(said["details"], dict), said
    return str(said["code"])


@dataclass(eq=False)
class Edge:
    """What `edge()` started."""

    served: planes.Served
    proxy: envoys.Envoy
    echo: upstreams.Upstream
    port: int
    by: str
    token: Callable[[str], str] = str
    _clients: dict[tuple[str, bool], httpx.AsyncClient] = field(default_factory=dict)
    _marks: Iterator[int] = field(default_factory=itertools.count)

    def url(self, path: str = "/a") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def named(self, tenant: str) -> dict[str, str]:
        """The header by which a request names this tenant; `token` makes its token where a claim does."""
        if self.by == "claim":
            return {"authorization": f"Bearer {self.token(tenant)}"}
        return {"host": host(tenant)} if self.by == "host" else {"x-tenant-id": tenant}

    def client(self, address: str = "127.0.0.1", *, http2: bool = False) -> httpx.AsyncClient:
        """A client that calls from this local address; with `http2` all its requests share one connection.

        It gives up before the 15 s after which Envoy does where no timeout is set.
        """
        if (address, http2) not in self._clients:
            transport = httpx.AsyncHTTPTransport(local_address=address, http1=not http2, http2=http2)
            made = httpx.AsyncClient(transport=transport, trust_env=False, timeout=8.0)
            self._clients[address, http2] = made
        return self._clients[address, http2]

    async def ask(
        self,
        tenant: str,
        path: str = "/a",
        method: str = "GET",
        headers: Headers = (),
        content: bytes | AsyncIterator[bytes] | None = None,
        address: str = "127.0.0.1",
    ) -> httpx.Response:
        """One request of a tenant; `headers` come after the one that names it."""
        more = headers.items() if isinstance(headers, Mapping) else headers
        said = [*self.named(tenant).items(), *more]
        return await self.client(address).request(method, self.url(path), headers=said, content=content)

    async def statuses(self, tenant: str, path: str = "/a", times: int = 1, **more: Any) -> list[int]:
        """The statuses of so many requests, one after the other."""
        return [(await self.ask(tenant, path, **more)).status_code for _ in range(times)]

    async def put(self, *documents: Json) -> None:
        """Bring these documents into force; comes back when Envoy answers by every tenant among them."""
        mark = f"mark-{next(self._marks)}"
        await self.served.apply(text(_marked(one, mark, self.by) for one in documents))
        assert self.served.problems() == []
        for one in documents:
            if one["kind"] == "Tenant" and one.get("status") != "suspended":
                await self._live(one["id"], mark)

    async def _live(self, tenant: str, mark: str) -> None:
        async def seen() -> bool:
            answer = await self.ask(tenant, "/probe")
            assert answer.headers.get(MARK) == mark, (answer.status_code, answer.text, answer.headers)
            return True

        await self.until(seen, f"{tenant} to show {mark}")

    async def until(self, check: Callable[[], Awaitable[Any]], what: str, *, within: float = 10.0) -> Any:
        return await self.proxy.until(check, what, within=within)

    async def raw(self, *pieces: bytes, answers: int = 1) -> str:
        """Send bytes on a connection of their own; return so many answers, heads and bodies, as they come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.writelines(pieces)
            async with asyncio.timeout(10.0):
                return "".join([await _answer(reader) for _ in range(answers)])
        finally:
            writer.close()

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def check(self) -> None:
        """Envoy has taken everything it was sent."""
        assert {kind: self.served.rejected(kind) for kind in _KINDS} == dict.fromkeys(_KINDS, 0), self.proxy.log[-3000:]


async def _answer(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    return head + (await reader.readexactly(int(lengths[0]))).decode()


def _marked(document: Json, mark: str, by: str) -> Json:
    """A tenant's /probe answers whatever its policies are, and says the mark."""
    if document["kind"] != "Tenant":
        return document
    none = {name: None for name, row in POLICIES.items() if "Tenant" in row.kinds and (by, name) != ("claim", "jwt")}
    probe = {"policies": none | {"headers": {"response": {"set": {MARK: mark}}}}}
    return {**document, "routes": {**document["routes"], "probe": probe}}


@asynccontextmanager
async def edge(
    folder: Path, by: str = "header", more: Json | None = None, others: Iterable[Json] = (), **policies: Any
) -> AsyncIterator[Edge]:
    """Start all of it; `policies` and `more` are the gateway's, `others` further documents.

    At the end Envoy must have rejected nothing.
    """
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(upstreams.Upstream("echo"))
        probe = await stack.enter_async_context(upstreams.Upstream("probe"))
        port = envoys.free_port()
        routes = (route("a"), route("b"), route("probe", {"path": "/probe"}, "probe"))
        named = (service("echo", echo), service("probe", probe), *others)
        documents = (gateway(port, by, more, **policies), *named, *routes)
        served = await stack.enter_async_context(planes.plane(text(documents)))
        assert served.problems() == []
        proxy = await stack.enter_async_context(envoys.envoy(served.bootstrap(), folder, arguments=FLUSH))
        await proxy.ready()
        made = Edge(served, proxy, echo, port, by)
        stack.push_async_callback(made.close)
        yield made
        made.check()
