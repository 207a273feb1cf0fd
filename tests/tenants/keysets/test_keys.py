"""JWK sets: what is kept, in which form, and what each bad one is called."""

import json
import random
from typing import Any

import idps
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import Refused
from tenants.keysets.keys import MAX_KEYS, KeySet, key_set, parse

ALGORITHMS = ("RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA")
PAIRS = {alg: idps.key(f"the-{alg}", alg) for alg in ALGORITHMS}
RSA, EC, ED = (PAIRS[alg].public() for alg in ("RS256", "ES256", "EdDSA"))
OCT = {"kty": "oct", "kid": "shared", "k": "A" * 43}


def a_set(*jwks: Any) -> bytes:
    return json.dumps({"keys": jwks}).encode()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_of_each_algorithm_is_kept_and_verifies_a_token(alg: str) -> None:
    pair = PAIRS[alg]
    token = jwt.encode({"sub": "ann"}, pair.private, algorithm=alg, headers={"kid": pair.kid})
    found = parse(a_set(pair.public()), "application/json")
    (served,) = jwt.PyJWKSet.from_json(found.text).keys
    assert jwt.decode(token, served.key, algorithms=[alg]) == {"sub": "ann"}
    (key,) = found.keys
    assert (key.kid, key.algorithms) == (pair.kid, (alg,))
    assert jwt.decode(token, load_pem_public_key(key.pem().encode()), algorithms=[alg]) == {"sub": "ann"}
    assert key.pem().encode() == pair.pem()


@pytest.mark.parametrize(
    ("jwk", "algorithms"),
    [(RSA, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")), (EC, ("ES256",)), (ED, ("EdDSA",))],
)
def test_a_key_without_alg_says_what_it_may_verify(jwk: dict[str, str], algorithms: tuple[str, ...]) -> None:
    (key,) = parse(a_set({name: value for name, value in jwk.items() if name != "alg"})).keys
    assert key.alg == ""
    assert key.algorithms == algorithms


def test_the_text_depends_on_the_keys_alone() -> None:
    """Other order, other spelling, other members: the same bytes."""
    said = [pair.public() for pair in PAIRS.values()]
    text = parse(a_set(*said)).text
    for seed in range(20):
        shuffled = [dict(random.Random(seed).sample(list(jwk.items()), len(jwk))) for jwk in said]
        random.Random(seed).shuffle(shuffled)
        assert parse(a_set(*shuffled, shuffled[0])).text == text
    dressed = [jwk | {"x5c": ["MII="], "x5t": "abc", "key_ops": ["verify"], "ext": True} for jwk in said]
    assert parse(a_set(*dressed)).text == text
    padded = RSA | {"e": "AAEAAQ==", "n": RSA["n"] + "=="}
    assert parse(a_set(padded)).text == parse(a_set(RSA)).text


def test_only_members_that_verification_needs_are_served() -> None:
    (jwk,) = json.loads(parse(a_set(RSA | {"x5c": ["MII="], "use": "sig"})).text)["keys"]
    assert jwk == {name: RSA[name] for name in ("kty", "kid", "alg", "n", "e")}


SKIPPED = [
    (RSA | {"use": "enc"}, "`use` 'enc'"),
    (RSA | {"use": 3}, "`use` '3'"),
    (RSA | {"key_ops": ["encrypt"]}, "`key_ops` without verify"),
    (RSA | {"key_ops": "verify"}, "`key_ops` without verify"),
    (RSA | {"alg": "RSA-OAEP"}, "`alg` 'RSA-OAEP'"),
    (RSA | {"alg": "none"}, "`alg` 'none'"),
    (RSA | {"alg": "HS256"}, "`alg` 'HS256'"),
    (EC | {"alg": "ES384"}, "`alg` 'ES384'"),
    (RSA | {"kid": 7}, "`kid` that is not printable text"),
    (RSA | {"kid": "a\u0000b"}, "`kid` that is not printable text"),
    (RSA | {"kid": "\ud800"}, "`kid` that is not printable text"),
    (RSA | {"kid": "x" * 256}, "`kid` that is not printable text"),
    (RSA | {"kty": "AKP"}, "unknown `kty` 'AKP'"),
    ({"kid": "x"}, "no `kty`"),
    ("key", "no `kty`"),
    (None, "no `kty`"),
    (OCT, "shared secret"),
    (RSA | {"n": None}, "no `n` in base64url"),
    (RSA | {"n": "a+b/"}, "no `n` in base64url"),
    (RSA | {"n": "f" * 171}, "no valid RSA key (it has 1023 bits, not 2048 to 16384)"),
    (RSA | {"n": "AQAB"}, "no valid RSA key"),
    (RSA | {"e": "AA"}, "no valid RSA key"),
    (RSA | {"e": "AAAAAAAAAP____8B" * 3}, "no valid RSA key"),
    (RSA | {"n": "f" * 5000}, "it has 29999 bits"),
    (RSA | {"n": RSA["n"][:-2] + "AA"}, "no valid RSA key"),
    (EC | {"crv": "secp256k1"}, "its curve is none of P-256"),
    (EC | {"x": EC["y"], "y": EC["x"]}, "no valid EC key"),
    (EC | {"x": "AAAA"}, "no valid EC key"),
    (ED | {"crv": "Ed448"}, "its curve is not Ed25519"),
    (ED | {"x": "AAAA"}, "no valid OKP key"),
]


@pytest.mark.parametrize(("jwk", "why"), SKIPPED, ids=[f"{number}-{why}" for number, (_, why) in enumerate(SKIPPED)])
def test_a_key_that_verifies_nothing_is_skipped_and_the_others_stay(jwk: Any, why: str) -> None:
    good = PAIRS["ES384"].public()
    found = parse(a_set(jwk, good))
    assert found.kids == ("the-ES384",)
    assert why in found.skipped[0]
    with pytest.raises(Refused, match="no key that verifies tokens") as told:
        parse(a_set(jwk))
    assert why in str(told.value)


REFUSED = [
    (b"<!doctype html><p>Sign in", "text/html; charset=utf-8", "is HTML or XML"),
    (b"\n <html>", "application/json", "is HTML or XML"),
    (b'{"keys": []}', "text/html", "is HTML or XML"),
    (b"", "", "not JSON"),
    (b'{"keys": [', "", "line 1, column 11"),
    (b"\xff\xfe\xfa", "", "not JSON"),
    (b"[" * 100_000, "", "not JSON"),
    (b'{"keys": ' + b"9" * 5000 + b"}", "", "not JSON"),
    (b"[]", "", "JSON, but not an object"),
    (b"{}", "", "no list `keys`"),
    (b'{"keys": {}}', "", "no list `keys`"),
    (b'{"keys": []}', "", "it is empty"),
    (a_set(*[RSA] * (MAX_KEYS + 1)), "", "201 keys, and 200 are the most"),
    (b" " * (512 << 10) + b"{}", "", "more than 512 KiB"),
]


@pytest.mark.parametrize(("body", "kind", "why"), REFUSED, ids=[why for _, _, why in REFUSED])
def test_what_is_no_key_set_is_refused_in_words(body: bytes, kind: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        parse(body, kind)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_set_with_private_parts_is_refused_as_a_whole_and_they_are_not_repeated(alg: str) -> None:
    secret = PAIRS[alg].secret()
    with pytest.raises(Refused, match="has private parts") as told:
        parse(a_set(PAIRS["ES384"].public(), secret))
    assert f"the-{alg}" in str(told.value)
    assert secret["d"] not in str(told.value)


def test_a_shared_secret_is_kept_only_where_a_policy_asks_for_it_and_never_shown() -> None:
    found = parse(a_set(OCT, RSA), symmetric=True)
    assert found.kids == ("shared", "the-RS256")
    assert found.keys[0].algorithms == ("HS256", "HS384", "HS512")
    assert OCT["k"] in found.text
    assert OCT["k"] not in repr(found) + repr(found.keys[0])
    with pytest.raises(ValueError, match="no public half"):
        found.keys[0].pem()
    with pytest.raises(Refused, match="shorter than 32 bytes"):
        parse(a_set(OCT | {"k": "c2VjcmV0"}), symmetric=True)


def test_sets_that_are_merged_in_any_order_are_the_same() -> None:
    keys = parse(a_set(*(pair.public() for pair in PAIRS.values()))).keys
    assert key_set(keys[::-1]) == key_set((*keys[2:], *keys[:3]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
MEMBERS = st.sampled_from(["kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y", "k"])
VALUES = JSON | st.sampled_from(["RSA", "EC", "OKP", "oct", "sig", "RS256", "P-256", "Ed25519", RSA["n"], EC["x"]])
BENT = st.builds(lambda jwk, more: jwk | more, st.sampled_from([RSA, EC, ED, OCT]), st.dictionaries(MEMBERS, VALUES))
SETS = st.fixed_dictionaries({"keys": st.lists(BENT | JSON, max_size=5) | JSON})


def outcome(body: bytes, symmetric: bool) -> KeySet | None:
    """What came of it. Anything but a KeySet or Refused fails the test."""
    try:
        return parse(body, "application/json", symmetric=symmetric)
    except Refused:
        return None


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_key_set_or_refused(body: bytes, symmetric: bool) -> None:
    outcome(body, symmetric)


@given(SETS | JSON, st.booleans())
def test_any_json_is_a_key_set_or_refused_and_what_is_kept_is_in_its_normal_form(said: Any, symmetric: bool) -> None:
    found = outcome(json.dumps(said).encode(), symmetric)
    if found:
        assert parse(found.text.encode(), symmetric=symmetric) == found
        assert all(symmetric or key.pem() for key in found.keys)
