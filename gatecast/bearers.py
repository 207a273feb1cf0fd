"""Whose credentials are they: tokens of the store, and JWTs of an identity provider. `gatecast.access` asks.

What was good is remembered for a moment. While the store is away, a token that was good within the last hour still
reads.
"""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import jwt

from gatecast.access import REGISTRY, Who
from tenants.errors import Unavailable
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.keys import Key
from tenants.keysets.source import Source
from tenants.store import ROLES, Token

FRESH: Final = 10.0  # seconds that a token counts as good without another look: what a revocation may take elsewhere
LAST: Final = 3600.0  # seconds that it reads on while the store is away
REMEMBERED: Final = 10_000
LEEWAY: Final = timedelta(seconds=60)
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


@dataclass(slots=True)
class Tokens:
    """Tokens of the store, remembered by their hash. `verify` is `Store.tokens.verify`."""

    verify: Callable[[str], Awaitable[Token | None]]
    clock: Callable[[], float] = time.monotonic
    _good: OrderedDict[bytes, tuple[Who, float]] = field(default_factory=OrderedDict)

    async def judge(self, text: str, reads: bool) -> Who | None:
        """Whose token it is; None if it is not good. Raises `Unavailable` if nobody knows."""
        key, now = _hash(text), self.clock()
        who, looked = self._good.get(key, (None, 0.0))
        if who is not None and now - looked < FRESH:
            return who
        try:
            token = await self.verify(text)
        except Unavailable:
            if who is None or not reads or now - looked > LAST:
                raise
            return who
        self._good.pop(key, None)
        if token is None:
            return None
        who = Who(f"token:{token.name}", token.role)
        self._good[key] = (who, now)
        while len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        return who

    def known(self, text: str) -> bool:
        """Whether it was good at the last look."""
        return _hash(text) in self._good

    def forget(self) -> None:
        """A token was revoked here: look again at all of them."""
        self._good.clear()


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider and what its tokens say. `roles`: our role by a value of `claim` (`a.b` is b inside a)."""

    issuer: str
    audience: str
    claim: str = "roles"
    roles: Mapping[str, str] = field(default_factory=lambda: {f"gatecast-{role}": role for role in ROLES})
    name: str = "sub"

    @property
    def source(self) -> Source:
        """Where its keys are: found by discovery. An operator who names an issuer on this machine means it."""
        return Source(self.issuer, local=True)


@dataclass(frozen=True, slots=True)
class Jwts:
    """Tokens of one identity provider, whose keys a fetcher of our own keeps."""

    provider: Provider
    fetcher: Fetcher

    async def judge(self, text: str, reads: bool) -> Who | None:
        """Whose token it is; None if it is not good. Raises `Unavailable` while there are no keys."""
        header = _header(text)
        if header is None:
            return None
        keys = self.fetcher.state(self.provider.source).usable
        if keys is None:
            raise Unavailable(f"the keys of {self.provider.issuer} are not there: nobody's token can be judged")
        fitting = [key for key in keys.keys if _fits(key, header)]
        if not fitting:
            self.fetcher.unknown_key(self.provider.source)
        claims = next((found for key in fitting if (found := self._claims(text, key, header["alg"]))), None)
        return claimed(claims, self.provider) if claims else None

    def _claims(self, text: str, key: Key, algorithm: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = jwt.decode(
                text, jwt.PyJWK(key.jwk, algorithm), [algorithm], issuer=self.provider.issuer,
                audience=self.provider.audience, leeway=LEEWAY, options={"require": ["exp", "iss", "aud"]},
            )  # fmt: skip
        except jwt.PyJWTError:
            return None
        return found


def claimed(claims: Mapping[str, Any], provider: Provider) -> Who | None:
    """Who it is by these claims; None without a name. Without a role of ours he is known, and may do nothing."""
    name = claims.get(provider.name)
    if not isinstance(name, str) or not name:
        return None
    value: Any = claims
    for part in provider.claim.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    said = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    mine = {provider.roles[one] for one in said if isinstance(one, str) and one in provider.roles}
    best = max(mine & set(ROLES), key=ROLES.index, default="")
    return Who(f"oidc:{name[:255]}", best)


def judges(
    tokens: Tokens | None, jwts: Jwts | None, registry: str = ""
) -> Callable[[str, bool], Awaitable[Who | None]]:
    """One judge of all kinds: a JWT has two dots, a token of ours none. `registry`: what its webhook shows."""

    async def judge(text: str, reads: bool) -> Who | None:
        if registry and hmac.compare_digest(text.encode(), registry.encode()):
            return REGISTRY
        if text.count(".") == 2:
            return await jwts.judge(text, reads) if jwts else None
        return await tokens.judge(text, reads) if tokens else None

    return judge


def _header(text: str) -> dict[str, Any] | None:
    try:
        header: dict[str, Any] = jwt.get_unverified_header(text)
    except jwt.PyJWTError:
        return None
    return header if header.get("alg") in ALGORITHMS else None


def _fits(key: Key, header: Mapping[str, Any]) -> bool:
    named = header.get("kid")
    return header["alg"] in key.algorithms and (named is None or key.kid == named)
