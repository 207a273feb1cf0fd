"""A whole server without a network, for tests of the API: store, plane, ledger and the app, and a client for it.

    async with operators.operator(tmp_path) as here:
        await here.put({"kind": "Tenant", "id": "acme"})
        answer = await here.ask("GET", "/documents/Tenant/acme")

A path without a leading slash is taken as it is; with one it is below /api/v1.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from catalogs import BASE
from prometheus_client import CollectorRegistry
from stores import QUICK

from gatecast import api
from gatecast.access import Access
from gatecast.events import Feed
from gatecast.ledger import Ledger
from gatecast.plane import Plane
from tenants.reading import read
from tenants.store import By, Store, Write
from xds.hub import Client, Hub
from xds.kinds import KINDS
from xds.metrics import Metrics
from xds.wire import Node

Json = dict[str, Any]
SETTINGS = BASE + "---\nkind: Tenant\nid: acme\n---\nkind: Tenant\nid: beta\n"


@dataclass
class Operator:
    """A server, and a client of its API. `headers` go with every request."""

    http: httpx.AsyncClient
    app: Any
    store: Store
    plane: Plane
    ledger: Ledger
    feed: Feed

    async def ask(
        self, method: str, path: str, status: int = 200, body: Any = None, *, headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> httpx.Response:  # fmt: skip
        """The answer, which must have this status."""
        media = "application/merge-patch+json" if method == "PATCH" else "application/json"
        given = {**({"content-type": media} if body is not None else {}), **(headers or {})}
        answer = await self.http.request(method, f"/api/v1{path}", json=body, headers=given, params=query)
        assert answer.status_code == status, answer.text
        return answer

    async def refused(self, method: str, path: str, status: int, code: str, body: Any = None, **more: Any) -> Json:
        """The error, which must have this code."""
        answer = await self.ask(method, path, status, body, **more)
        error: Json = answer.json()["error"]
        assert (list(answer.json()), error["code"], bool(error["message"])) == (["error"], code, True)
        return error

    async def put(self, body: Json, etag: str = "", status: int = 0, **query: Any) -> httpx.Response:
        """Put a document: a new one, or over this version."""
        headers = {"if-match": etag} if etag else {"if-none-match": "*"}
        path = f"/documents/{body['kind']}/{body['id']}"
        return await self.ask("PUT", path, status or (200 if etag else 201), body, headers=headers, **query)

    async def etag(self, name: str = "acme", kind: str = "Tenant") -> str:
        """The version of a document, with its quotes."""
        return str((await self.ask("GET", f"/documents/{kind}/{name}")).headers["etag"])

    def join(self, node: str = "envoy-1", gateway: str = "edge") -> Client:
        """A proxy that is connected, without a network."""
        return self.plane.hub.join(Node(node, gateway, "envoy 1.40.0"), "ipv4:10.0.0.1:5", "delta", delta=True,
                                   kinds=tuple(KINDS))  # fmt: skip


@asynccontextmanager
async def operator(
    folder: Path,
    text: str = SETTINGS,
    *,
    access: Callable[[Store], Access] = lambda store: api.OPEN_ACCESS,
    forget: Callable[[], None] = lambda: None,
    wall: Callable[[], float] = time.time,
) -> AsyncIterator[Operator]:
    """A server on an SQLite store in this folder that holds these documents, as operators gave them."""
    registry = CollectorRegistry()
    async with await Store.open(f"sqlite:///{folder}/gatecast.db", pace=QUICK) as store:
        plane = Plane(Hub(Metrics(registry), wall=wall))
        ledger = Ledger(store, plane)
        await ledger.load()
        if text:
            writes = [Write.put(one.document.as_given()) for one in read(text, "").documents]
            await ledger.write(writes, By("setup", "api"))
        feed = Feed(plane, ledger, "test", wall)
        made = api.app(plane, registry, ledger=ledger, feed=feed, access=access(store), forget=forget)
        transport = httpx.ASGITransport(made, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gatecast") as http:
            yield Operator(http, made, store, plane, ledger, feed)
