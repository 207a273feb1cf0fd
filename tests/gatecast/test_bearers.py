"""Whose credentials they are: tokens of the store, also while it is away, and JWTs of an identity provider."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import idps
import pytest
from operators import operator

from gatecast.access import Access, Who
from gatecast.bearers import FRESH, LAST, Jwts, Provider, Tokens, claimed, judges
from tenants.errors import Unavailable
from tenants.keysets.fetcher import Fetcher
from tenants.store import By, Token

ADMIN = By("setup", "api")


class Fickle:
    """A store that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self.good: dict[str, Token] = {"t": Token("1", "dana", "admin", "x", "now")}

    async def verify(self, text: str) -> Token | None:
        self.asked += 1
        if self.away:
            raise Unavailable("the store is away")
        return self.good.get(text)


async def test_a_token_that_was_good_reads_while_the_store_is_away() -> None:
    store, now = Fickle(), [0.0]
    tokens = Tokens(store.verify, lambda: now[0])
    dana = Who("token:dana", "admin")
    assert await tokens.judge("t", False) == dana
    now[0] += FRESH - 1
    assert (await tokens.judge("t", False), store.asked) == (dana, 1)
    store.away, now[0] = True, FRESH + 1
    assert await tokens.judge("t", True) == dana
    for text, reads in (("t", False), ("other", True)):
        with pytest.raises(Unavailable):
            await tokens.judge(text, reads)
    now[0] += LAST
    with pytest.raises(Unavailable):
        await tokens.judge("t", True)
    store.away = False
    store.good.clear()
    assert (await tokens.judge("t", True), tokens.known("t")) == (None, False)


PROVIDER = Provider("https://id.example", "gatecast", "realm_access.roles", {"ops": "admin", "dev": "editor"})


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"sub": "dana", "realm_access": {"roles": ["x", "dev"]}}, Who("oidc:dana", "editor")),
        ({"sub": "dana", "realm_access": {"roles": ["dev", "ops"]}}, Who("oidc:dana", "admin")),
        ({"sub": "dana", "realm_access": {"roles": "ops"}}, Who("oidc:dana", "admin")),
        ({"sub": "dana", "realm_access": {"roles": [["ops"], 1, None]}}, Who("oidc:dana", "")),
        ({"sub": "dana", "realm_access": "ops"}, Who("oidc:dana", "")),
        ({"sub": "dana"}, Who("oidc:dana", "")), ({"sub": "", "roles": ["ops"]}, None), ({"sub": 7}, None), ({}, None),
    ],
)  # fmt: skip
def test_a_role_comes_from_a_claim(claims: dict[str, Any], expected: Who | None) -> None:
    assert claimed(claims, PROVIDER) == expected


async def nothing(_changes: object) -> None:
    """Nobody is told."""


async def test_jwts_of_the_provider_are_good_and_no_others(tmp_path: Path) -> None:
    async with idps.Idp() as idp, idps.Idp(name="other") as stranger:
        fetcher = Fetcher(nothing)
        provider = Provider(idp.issuer, "gatecast")
        jwts = Jwts(provider, fetcher)
        good = {"aud": "gatecast", "sub": "dana", "roles": ["gatecast-editor"], "exp": int(time.time()) + 600}
        with pytest.raises(Unavailable):
            await jwts.judge(idp.token(**good), True)
        fetcher.want(frozenset({provider.source}))
        running = asyncio.create_task(fetcher.run())
        assert await fetcher.tried(10)
        async with operator(tmp_path, access=lambda store: Access(None, judges(None, jwts))) as here:

            async def status(token: str) -> int:
                headers = {"authorization": f"Bearer {token}"}
                return (await here.http.post("/api/v1/sync", headers=headers)).status_code

            assert await status(idp.token(**good)) == 200
            entry = (await here.store.audit.entries(limit=1))[0]
            assert (entry.action, entry.actor) == ("sync", "oidc:dana")
            wrong = [
                {"aud": "other"},
                {"exp": 1},
                {"nbf": int(time.time()) + 900},
                {"iss": stranger.issuer},
                {"sub": None},
            ]
            for change in wrong:
                assert await status(idp.token(**{**good, **change})) == 401, change
            assert await status(idp.token(**{**good, "roles": ["gatecast-viewer"]})) == 403
            assert await status(idp.token(**{**good, "roles": []})) == 403
            assert await status(stranger.token(**good)) == 401
            assert await status(stranger.token(**{**good, "iss": idp.issuer})) == 401
            head, body, _ = idp.token(**good).split(".")
            assert await status(f"{head}.{body}.") == 401
            none = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
            assert await status(f"{none}.{body}.") == 401
        running.cancel()
        await asyncio.wait({running})


async def test_tokens_of_the_store_expire(tmp_path: Path) -> None:
    async with operator(tmp_path, "") as here:
        tokens = Tokens(here.store.tokens.verify)
        _, text = await here.store.tokens.create("short", "viewer", ADMIN, timedelta(seconds=-1))
        assert await judges(tokens, None)(text, True) is None
