"""API tokens: made once, shown once, kept as a hash, revoked, never deleted. `Store.tokens` is one.

A token is 256 random bits, so a plain SHA-256 hides it: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, insert, select, update

from tenants.errors import Refused, Unavailable
from tenants.store import rows, trail
from tenants.store.engine import Database
from tenants.store.errors import NotFound
from tenants.store.retention import stamp
from tenants.store.revisions import By, plain
from tenants.store.schema import tokens

ROLES: Final = ("viewer", "editor", "admin")
PREFIX: Final = "gatecast"
FRESH: Final = timedelta(minutes=1)
"""The last use is written at most so often: reading must not become writing."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. Times are RFC 3339 in UTC; None: never."""

    id: str
    name: str
    role: str
    author: str
    created: str
    expires: str | None = None
    revoked: str | None = None
    used: str | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of this store."""

    database: Database
    clock: Callable[[], datetime]

    async def create(self, name: str, role: str, by: By, lifetime: timedelta | None = None) -> tuple[Token, str]:
        """A new token, and the text to give to its holder: it cannot be shown again. Raises `Refused`."""
        if role not in ROLES:
            raise Refused(f"{role!r} is not a role: one of {', '.join(ROLES)}")
        now, secret = self.clock(), secrets.token_urlsafe(32)
        expires = stamp(now + lifetime) if lifetime else None
        token = Token(secrets.token_hex(6), plain(name), role, by.author, stamp(now), expires)
        row = {column: getattr(token, column) for column in Token.__slots__}
        details = {"name": token.name, "role": role, "expires": expires}
        async with self.database.writing() as connection:
            number, end = await rows.head(connection, lock=True)
            await connection.execute(insert(tokens).values(hash=_hash(secret), **row))
            made = trail.entry(by, stamp(now), "token create", f"token/{token.id}", "done", details)
            await rows.advance(connection, number, await trail.append(connection, end, made))
        return token, f"{PREFIX}_{token.id}_{secret}"

    async def verify(self, text: str) -> Token | None:
        """The token whose text this is, if it is good now."""
        prefix, _, rest = text.partition("_")
        name, _, secret = rest.partition("_")
        if prefix != PREFIX or not name.isalnum() or not name.isascii():
            return None
        async with self.database.reading() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.id == name))).one_or_none()
        if row is None or not hmac.compare_digest(row.hash, _hash(secret)):
            return None
        token, now = _token(row), self.clock()
        if token.revoked or (token.expires and token.expires <= stamp(now)):
            return None
        return await self._used(token, now)

    async def revoke(self, id: str, by: By) -> Token:
        """The token, good no more. Revoking twice changes nothing. Raises `NotFound`, which the audit tells too."""
        now = stamp(self.clock())
        async with self.database.writing() as connection:
            number, end = await rows.head(connection, lock=True)
            row = (await connection.execute(select(tokens).where(tokens.c.id == plain(id)))).one_or_none()
            if row is None:
                made = trail.entry(by, now, "token revoke", f"token/{plain(id)}", "failed", {"why": "there is none"})
                await rows.advance(connection, number, await trail.append(connection, end, made))
            elif row.revoked:
                return _token(row)
            else:
                await connection.execute(update(tokens).where(tokens.c.id == row.id).values(revoked=now))
                made = trail.entry(by, now, "token revoke", f"token/{row.id}", "done", {"name": row.name})
                await rows.advance(connection, number, await trail.append(connection, end, made))
        if row is None:
            raise NotFound(f"there is no token {id!r}")
        return replace(_token(row), revoked=now)

    async def all(self) -> tuple[Token, ...]:
        """Every token there ever was, by time."""
        async with self.database.reading() as connection:
            found = await connection.execute(select(tokens).order_by(tokens.c.created, tokens.c.id))
            return tuple(map(_token, found))

    async def _used(self, token: Token, now: datetime) -> Token:
        if token.used and stamp(now - FRESH) < token.used <= stamp(now):
            return token
        with suppress(Unavailable):  # a full disk keeps nobody out
            async with self.database.writing() as connection:
                await connection.execute(update(tokens).where(tokens.c.id == token.id).values(used=stamp(now)))
        return replace(token, used=stamp(now))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _token(row: Row[Any]) -> Token:
    return Token(*(getattr(row, column) for column in Token.__slots__))
