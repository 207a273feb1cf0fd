"""The registry source: an HTTP address that lists documents, polled with its ETag, and at once when it is asked for.

    GET URL  ->  200 {"documents": [{"kind": "Tenant", "id": "acme", ...}, ...]} and an ETag
                 304 while the list is the same (If-None-Match)

One request at a time, and not more often than `Limits.floor`: however often somebody asks, the answer is one look.
`gatecast.feeds` follows it; what its answers mean is decided in `tenants.sources.listing`.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from random import random as any_random
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from pydantic import SecretStr

from tenants.catalog import Changes
from tenants.errors import Refused, Unavailable
from tenants.reading import MAX_FILE, Given
from tenants.sources import listing
from tenants.sources.listing import Caution, Listing

log = structlog.get_logger("gatecast.registry")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes. It asks `every` so often, after a failure sooner: after `first`, doubled each time.

    Not sooner than `floor` after the last time. `total` is for one answer of at most `size`.
    """

    every: float = 300.0
    first: float = 2.0
    floor: float = 1.0
    total: float = 60.0
    size: int = MAX_FILE


def pause(failures: int, limits: Limits, random: Callable[[], float]) -> float:
    """Seconds until the next look after so many failures in a row. Some of it is drawn, so that many do not meet."""
    if not failures:
        return limits.every * (0.9 + 0.2 * random())
    return min(limits.every, limits.first * 2.0 ** min(failures - 1, 32)) * (0.5 + 0.5 * random())


@dataclass(slots=True, eq=False)
class Registry:
    """One registry. `trusting`: it is believed also where much is missing at once. `wall` tells when it looks next."""

    url: str
    token: SecretStr | None = None
    trusting: bool = False
    limits: Limits = field(default_factory=Limits)
    caution: Caution = field(default_factory=Caution)
    transport: httpx.AsyncBaseTransport | None = None
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = any_random
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    family: str = "registry"
    trouble: str = ""
    next: float | None = None
    _etag: str = ""

    @property
    def name(self) -> str:
        """Its address, without what may be a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def changes(self, before: Iterable[Given]) -> AsyncGenerator[Changes]:
        """What it lists, then what is new, then what it has retired; after each look that was asked for, and after the
        first one, something.
        """
        known, failures, first = listing.remembered(before), 0, True
        async with httpx.AsyncClient(transport=self.transport, timeout=self.limits.total) as client:
            while True:
                asked = self.asked.is_set()
                self.asked.clear()
                try:
                    known, found = await self._look(client, known)
                    self.trouble, failures = "", 0
                except (Refused, Unavailable) as error:
                    log.warning("the registry was not read", registry=self.name, error=str(error))
                    found, self.trouble, failures = Changes(), str(error), failures + 1
                if asked or first or found != Changes():
                    first = False
                    yield found
                await self._rest(failures)

    async def _look(self, client: httpx.AsyncClient, known: Listing) -> tuple[Listing, Changes]:
        documents = await self._get(client)
        now = self.clock()
        if documents is None:
            return listing.same(known, now, self.caution, trusting=self.trusting)
        heard = listing.heard
        return await asyncio.to_thread(heard, known, documents, now, self.caution, trusting=self.trusting)

    async def _get(self, client: httpx.AsyncClient) -> list[Any] | None:
        """The documents; None if they are the same as the last time. Raises `Refused` or `Unavailable`."""
        headers = {"accept": "application/json", **({"if-none-match": self._etag} if self._etag else {})}
        if self.token:
            headers["authorization"] = f"Bearer {self.token.get_secret_value()}"
        try:
            async with asyncio.timeout(self.limits.total), client.stream("GET", self.url, headers=headers) as answer:
                if answer.status_code == httpx.codes.NOT_MODIFIED and self._etag:
                    return None
                if answer.status_code != httpx.codes.OK:
                    raise Unavailable(f"{self.name}: it answers {answer.status_code}")
                body = await self._body(answer)
                etag = answer.headers.get("etag", "")
        except (TimeoutError, httpx.TimeoutException):
            raise Unavailable(f"{self.name}: no whole answer within {self.limits.total:g} s") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.name}: {str(error) or 'the connection broke'}") from None
        documents = await asyncio.to_thread(self._read, body)
        self._etag = etag
        return documents

    async def _body(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > self.limits.size:
                raise Refused(f"{self.name}: the answer is larger than {self.limits.size >> 20} MiB")
        return bytes(body)

    def _read(self, body: bytes) -> list[Any]:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(f"{self.name}: the answer is not JSON") from None
        documents = found.get("documents") if isinstance(found, dict) else None
        if not isinstance(documents, list):
            raise Refused(f'{self.name}: the answer is not a list of documents: {{"documents": [...]}}')
        return documents

    async def _rest(self, failures: int) -> None:
        """Until it is time, or somebody asks; but at least the floor."""
        wait = pause(failures, self.limits, self.random)
        self.next = self.wall() + wait
        await asyncio.sleep(min(self.limits.floor, wait))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait - self.limits.floor)):
                await self.asked.wait()
