"""Whose tokens Kong knows: each key is a credential with a consumer of its own, in the group of every issuer that has
the key; `acl` asks for the group. Called by `plugins` (which issuer) and `translate` (the entities).

A credential's key is the `kid`, which is unique in a Kong. One key that comes by several ways (an address, discovery, a
document) is one credential. Of two keys with one `kid` the first has it, by the order of their content, and the other
verifies nothing: `conflicts` says so.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from kong_sync.model import IssuerKeys
from kong_sync.names import Made, digest, identity, name, ref, tags
from tenants.keysets.keys import Key, parse
from tenants.keysets.source import Source
from tenants.tokens import Jwt

ANONYMOUS = "anonymous"
UNUSED = "unused"
"""What stands for the shared secret that a credential must have: Kong would make one up, another in each write."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where tokens come from. `name` is that of the key set; `inline`: keys of the document itself, as JSON."""

    name: str
    inline: str = ""

    def group(self, gateway: str) -> str:
        """The group of its consumer, and the consumer's name."""
        return name(gateway, "issuer", self.name)


@lru_cache(maxsize=4096)
def issuer_of(policy: Jwt) -> Issuer:
    """The issuer of a policy's tokens."""
    jwks = policy.jwks
    if jwks is not None and jwks.keys:
        text = jwks.text()
        return Issuer(hashlib.sha256(f"{policy.issuer}\n{text}".encode()).hexdigest()[:16], text)
    secrets = any(name.startswith("HS") for name in policy.algorithms)  # such a set is fetched apart, and named apart
    return Issuer(Source(policy.issuer, (jwks and jwks.uri) or "", symmetric=secrets).name)


def anonymous_name(gateway: str) -> str:
    """The consumer, and its group, of requests without a token where none is required."""
    return name(gateway, ANONYMOUS)


def keys_of(issuer: Issuer, known: Mapping[str, IssuerKeys]) -> tuple[Key, ...]:
    """The keys that can be credentials: with a name, and no shared secret."""
    if issuer.inline:
        found = parse(issuer.inline.encode()).keys
    else:
        found = known[issuer.name].keys.keys if issuer.name in known else ()
    return tuple(key for key in found if key.kid and key.kty != "oct")


def anonymous_entities(gateway: str) -> Iterator[Made]:
    """Who asks without a token where none is required."""
    group = anonymous_name(gateway)
    yield _consumer(gateway, group)
    yield _member(gateway, group, group)


def entities(gateway: str, issuers: Iterable[Issuer], known: Mapping[str, IssuerKeys]) -> Iterator[Made]:
    """Consumers, credentials and groups of all these issuers' keys."""
    holders = _holders(issuers, known)
    taken: set[str] = set()
    for key in sorted(holders, key=_order):
        if key.kid in taken:
            continue
        taken.add(key.kid)
        yield from _key_entities(gateway, key)
        who = _consumer_name(gateway, key)
        yield from (_member(gateway, who, issuer.group(gateway)) for issuer in holders[key])


def conflicts(issuers: Iterable[Issuer], known: Mapping[str, IssuerKeys]) -> tuple[str, ...]:
    """The names that several keys have."""
    kids = Counter(key.kid for key in _holders(issuers, known))
    return tuple(sorted(kid for kid, count in kids.items() if count > 1))


def _holders(issuers: Iterable[Issuer], known: Mapping[str, IssuerKeys]) -> dict[Key, list[Issuer]]:
    found: dict[Key, list[Issuer]] = {}
    for issuer in sorted(issuers, key=lambda one: one.name):
        for key in keys_of(issuer, known):
            found.setdefault(replace(key, alg=key.algorithms[0]), []).append(issuer)
    return found


def _order(key: Key) -> tuple[str, str, str, tuple[tuple[str, str], ...]]:
    return key.kid, key.kty, key.alg, key.material


@lru_cache(maxsize=65536)
def _consumer_name(gateway: str, key: Key) -> str:
    return name(gateway, "key", digest([key.kid, key.kty, key.alg, key.material], 16))


@lru_cache(maxsize=65536)
def _key_entities(gateway: str, key: Key) -> tuple[Made, ...]:
    who = _consumer_name(gateway, key)
    body = {
        "id": identity(gateway, "jwt_secrets", who),
        "key": key.kid,
        "algorithm": key.alg,
        "rsa_public_key": key.pem(),
        "secret": UNUSED,
        "consumer": ref(gateway, "consumers", who),
        "tags": tags(gateway),
    }
    return _consumer(gateway, who), Made("jwt_secrets", body)


@lru_cache(maxsize=65536)
def _consumer(gateway: str, username: str) -> Made:
    who = identity(gateway, "consumers", username)
    return Made("consumers", {"id": who, "username": username, "custom_id": None, "tags": tags(gateway)})


@lru_cache(maxsize=65536)
def _member(gateway: str, username: str, group: str) -> Made:
    row = {"id": identity(gateway, "acls", username, group), "group": group}
    return Made("acls", {**row, "consumer": ref(gateway, "consumers", username), "tags": tags(gateway)})
