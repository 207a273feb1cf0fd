"""A settings registry over HTTP, for tests: it lists `documents`, says an ETag, and fails as it is told.

async with registries.registry(worlds.tenant("acme")) as there:
    source = there.source()
"""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from worlds import Json

from gatecast.addresses import Address
from gatecast.web import serving
from tenants.sources.listing import Caution
from tenants.sources.registry import Limits, Registry

TOKEN = "the-token-of-the-registry"
QUICK = Limits(every=0.05, first=0.02, floor=0.0, total=5.0)
HASTY = Caution(answers=3, seconds=0.0)


@dataclass(eq=False)
class There:
    """The registry. `status` other than 200 is all it answers; `body` in place of the list; `asked` are its answers."""

    documents: list[Json]
    status: int = 200
    body: str = ""
    port: int = 0
    asked: list[int] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        self.seen.append(request.headers.get("authorization", ""))
        made = self._made(request)
        self.asked.append(made.status_code)
        return made

    def _made(self, request: Request) -> Response:
        if self.status != 200:
            return Response("no", self.status)
        body = self.body or json.dumps({"documents": self.documents})
        etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        return Response(body, headers={"etag": etag}, media_type="application/json")

    def source(self, **more: Any) -> Registry:
        """A source that asks it, all the time."""
        given = {"limits": QUICK, "caution": HASTY, "token": SecretStr(TOKEN), **more}
        return Registry(f"http://127.0.0.1:{self.port}/settings", **given)


@asynccontextmanager
async def registry(*documents: Json) -> AsyncIterator[There]:
    """One that answers until the block ends."""
    there = There(list(documents))
    app = Starlette(routes=[Route("/settings", there.answer)])
    async with serving(app, Address("127.0.0.1", 0)) as there.port:
        yield there
