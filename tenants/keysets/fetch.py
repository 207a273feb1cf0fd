"""One look at a provider: discovery, redirects, and the key set; each hop checked, each answer and the whole bounded.

Called by `fetcher` for each source that is due.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from tenants.keysets.content import mapping
from tenants.keysets.faults import Unfit, Unreached, plain
from tenants.keysets.freshness import lifetime
from tenants.keysets.keys import KeySet, parse
from tenants.keysets.limits import Limits
from tenants.keysets.source import Source

REDIRECTS = 3
DISCOVERY = "/.well-known/openid-configuration"
_MOVED = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Fetched:
    """A key set, and how many seconds the provider says it is fresh (None: it does not say)."""

    keys: KeySet
    fresh_for: float | None


@dataclass(frozen=True, slots=True)
class _Answer:
    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


@dataclass(frozen=True, slots=True)
class Provider:
    """Asks the provider of one source."""

    client: httpx.AsyncClient
    source: Source
    limits: Limits

    async def fetch(self, wall: float) -> Fetched:
        """The newest key set. Raises `Unfit` and `Unreached`, with a text that names the URL."""
        try:
            async with asyncio.timeout(self.limits.total):
                return await self._fetch(wall)
        except TimeoutError:
            where = shown(self.source.uri or self.source.issuer)
            raise Unreached("timeout", f"{where}: the keys did not come within {self.limits.total:g} s") from None

    async def _fetch(self, wall: float) -> Fetched:
        uri = self.source.uri or await self._discover()
        answer = await self._get(uri, secure=not self.source.uri and self.source.issuer.startswith("https:"))
        try:
            keys = parse(answer.body, answer.content_type, symmetric=self.source.symmetric)
            return Fetched(keys, lifetime(answer.headers, wall))
        except Unfit as why:
            raise Unfit(why.kind, f"{shown(answer.url)}: {why}") from None

    async def _discover(self) -> str:
        """Where the issuer says its keys are (OpenID Connect Discovery 1.0, section 4)."""
        parts = _parts(self.source.issuer)
        if parts is None or parts.query or parts.fragment:
            hint = "give `jwks.uri` or `jwks.keys`"
            raise Unfit("url", f"the issuer {plain(self.source.issuer)!r} is no URL to discover its keys at: {hint}")
        answer = await self._get(self.source.issuer.removesuffix("/") + DISCOVERY)
        try:
            return self._jwks_uri(mapping(answer.body, answer.content_type, "a discovery document"))
        except Unfit as why:
            raise Unfit("discovery", f"{shown(answer.url)}: {why}") from None

    def _jwks_uri(self, said: Mapping[str, object]) -> str:
        issuer, uri = said.get("issuer"), said.get("jwks_uri")
        if issuer != self.source.issuer:
            ours = plain(self.source.issuer)
            raise Unfit("discovery", f"it is of the issuer {plain(str(issuer))!r}, and the document says {ours!r}")
        if not isinstance(uri, str) or _parts(uri) is None:
            raise Unfit("discovery", "it has no `jwks_uri` that is a URL")
        return uri

    async def _get(self, url: str, *, secure: bool = False) -> _Answer:
        """The answer at the end of at most REDIRECTS redirects. `secure`: the way here was https, and stays so."""
        trail = ""
        for _hop in range(REDIRECTS + 1):
            parts = _parts(url)
            if parts is None:
                raise Unfit("url", f"{trail}{shown(url)} is no http or https URL")
            if secure and parts.scheme != "https":
                raise Unfit("redirect", f"{trail}from https to {shown(url)}: keys would come unprotected")
            found = await self._ask(url, trail)
            if isinstance(found, _Answer):
                return found
            trail, url, secure = f"{trail}{shown(url)} redirects to ", found, parts.scheme == "https"
        raise Unfit("redirect", f"{trail}{shown(url)}: more than {REDIRECTS} redirects")

    async def _ask(self, url: str, trail: str) -> _Answer | str:
        """The answer, or where it says to go instead."""
        try:
            async with self.client.stream("GET", url, extensions={"local": self.source.local}) as response:
                if response.status_code in _MOVED:
                    return str(response.url.join(response.headers.get("location", "")))
                return _Answer(url, await self._body(response), response.headers)
        except (Unfit, Unreached) as why:
            raise type(why)(why.kind, f"{trail}{shown(url)}: {why}") from None
        except httpx.TimeoutException:
            raise Unreached("timeout", f"{trail}{shown(url)}: no connection in {self.limits.connect:g} s") from None
        except httpx.TransportError as error:
            broke = plain(str(error)) or "the connection broke"
            raise Unreached("connect", f"{trail}{shown(url)}: {broke}") from None
        except (httpx.InvalidURL, ValueError):
            raise Unfit("url", f"{trail}{shown(url)}: it is, or leads to, no URL") from None

    async def _body(self, response: httpx.Response) -> bytes:
        """The body of a 200, read no further than the limit, and never unpacked: a few bytes may unpack to many."""
        if response.status_code != 200:
            raise Unreached("status", f"it answers {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unfit("content", "the answer is compressed, which was not asked for")
        length, body = response.headers.get("content-length", ""), bytearray()
        if length.isdecimal() and len(length) < 20 and int(length) > self.limits.size:
            raise self._too_large()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.limits.size:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> Unfit:
        return Unfit("size", f"the answer is larger than {self.limits.size >> 10} KiB")


def host(source: Source) -> str:
    """Whom a fetch of this source asks first."""
    parts = _parts(source.uri or source.issuer)
    return parts.netloc.rpartition("@")[2].lower() if parts else ""


def shown(url: str) -> str:
    """The URL as a problem or a log may show it: without a password, and without a query that may hold one."""
    parts = _parts(url)
    if parts is None:
        return repr(plain(url.partition("?")[0].rpartition("@")[2]))
    return plain(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", 200)


def _parts(url: str) -> SplitResult | None:
    """The parts of an http or https URL; None if it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        return None
    return parts if usable else None
