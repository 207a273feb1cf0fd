"""Key sets of issuers in the store: the last good one of each source, with the time of its fetch."""

import json

from tenants.keysets.holding import Known
from tenants.keysets.keys import parse
from tenants.keysets.source import Source
from tenants.store import Store
from tenants.store.keysets import FORGOTTEN

KEY = {
    "kty": "EC", "crv": "P-256", "alg": "ES256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}  # fmt: skip
ONE, OTHER = Source("https://one.example/"), Source("https://one.example/", local=True)


def known(kid: str, fetched: float = 1_800_000_000.0) -> Known:
    return Known(parse(json.dumps({"keys": [{**KEY, "kid": kid}]}).encode()), fetched)


async def test_the_last_one_of_each_source_is_kept(store: Store) -> None:
    assert await store.keysets.all() == {}
    await store.keysets.keep({ONE: known("a"), OTHER: known("b")})
    await store.keysets.keep({ONE: known("c", 1_800_000_100.0)})
    await store.keysets.keep({})
    assert await store.keysets.all() == {ONE: known("c", 1_800_000_100.0), OTHER: known("b")}
    assert await store.revision() == 0


async def test_two_servers_keep_the_same_set(store: Store, other: Store) -> None:
    await store.keysets.keep({ONE: known("a")})
    await other.keysets.keep({ONE: known("a")})
    assert await store.keysets.all() == {ONE: known("a")}


async def test_what_nobody_has_fetched_for_a_week_is_forgotten(store: Store) -> None:
    await store.keysets.keep({ONE: known("a")})
    await store.keysets.keep({OTHER: known("b", 1_800_000_001.0 + FORGOTTEN)})
    assert list(await store.keysets.all()) == [OTHER]
