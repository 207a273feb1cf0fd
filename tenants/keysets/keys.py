"""JWK sets (RFC 7517): from an answer's bytes to the keys that can verify tokens, in one normal form. Pure.

The fetcher parses answers here; Envoy gets `KeySet.text`, the Kong sidecar reads `KeySet.keys`. Keys that cannot verify
a signature are skipped, as RFC 7517 section 5 says. A key that is kept is one that a proxy accepts: a proxy that
refuses one key would refuse all that comes with it.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import InvalidKeyError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tenants.keysets.content import mapping
from tenants.keysets.faults import Unfit, plain

MAX_BYTES = 512 << 10
MAX_KEYS = 200
MAX_KID = 255
RSA_BITS = range(2048, 16384 + 1)  # RFC 7518 section 3.3; above it BoringSSL refuses the key
RSA_EXPONENTS = (3, 65537)  # Envoy 1.40 (BoringSSL) refuses a key with any other, and all that comes with it
SECRET_BYTES = 32  # RFC 7518 section 3.2, for HS256

PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
CURVES = MappingProxyType({"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"})
BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")

Jwk = Mapping[str, Any]


class Unusable(Exception):
    """This key cannot verify tokens. Its text says why; the others of the set may."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `alg` is "" where the provider names none; `material` are the members that make the key (RFC 7638)."""

    kid: str
    kty: str
    alg: str
    material: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What stays the same when a provider only says more about a key."""
        return self.kid, self.material

    @property
    def jwk(self) -> dict[str, str]:
        """The key as a JWK of the members that verification needs."""
        said = {"kty": self.kty, "kid": self.kid, "alg": self.alg} | dict(self.material)
        return {name: value for name, value in said.items() if value}

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What tokens of this key may be signed with."""
        return (self.alg,) if self.alg else _KINDS[self.kty].algorithms(dict(self.material))

    def pem(self) -> str:
        """The public key as SubjectPublicKeyInfo, LF at each line's end. Raises `ValueError` for a shared secret."""
        if self.kty == "oct":
            raise ValueError("a shared secret has no public half")
        public = _KINDS[self.kty].read(self.jwk)
        return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys in their normal order, and the same as a JWK set: the same keys are the same bytes in every process.

    `skipped` says in words what the provider's set held besides; it is no part of the value.
    """

    keys: tuple[Key, ...] = field(repr=False)
    text: str = field(repr=False)
    skipped: tuple[str, ...] = field(default=(), compare=False)

    @property
    def kids(self) -> tuple[str, ...]:
        """The names of the keys, in their order."""
        return tuple(key.kid for key in self.keys)


def key_set(keys: Iterable[Key], skipped: tuple[str, ...] = ()) -> KeySet:
    """The set of these keys, whatever their order and however often they come."""
    ordered = tuple(sorted(set(keys), key=lambda key: (key.kid, key.kty, key.alg, key.material)))
    text = json.dumps({"keys": [key.jwk for key in ordered]}, sort_keys=True, separators=(",", ":"))
    return KeySet(ordered, text, skipped)


def parse(body: bytes, content_type: str = "", *, symmetric: bool = False) -> KeySet:
    """The usable keys of a JWK set. `symmetric`: shared secrets (`kty: oct`) are kept too; a policy must ask for that.

    Raises `Unfit` (a `Refused`) that says what is wrong. A set that gives away private keys is refused as a whole:
    whoever reads it can sign tokens.
    """
    if len(body) > MAX_BYTES:
        raise Unfit("size", f"the JWK set has more than {MAX_BYTES >> 10} KiB")
    listed = mapping(body, content_type, "a JWK set").get("keys")
    if not isinstance(listed, list):
        raise Unfit("content", "the answer is not a JWK set: it has no list `keys`")
    if len(listed) > MAX_KEYS:
        raise Unfit("size", f"the JWK set has {len(listed)} keys, and {MAX_KEYS} are the most")
    _public_only(listed)
    keys, skipped = _sort_out(listed, symmetric)
    if not keys:
        raise Unfit("content", f"the JWK set has no key that verifies tokens: {_reasons(skipped)}")
    return key_set(keys, tuple(skipped))


def _public_only(listed: list[Any]) -> None:
    for number, jwk in enumerate(listed):
        if isinstance(jwk, dict) and PRIVATE & set(jwk):
            name = _name(number, jwk)
            raise Unfit("private", f"{name} of the JWK set has private parts: replace it, whoever reads it can sign")


def _sort_out(listed: list[Any], symmetric: bool) -> tuple[list[Key], list[str]]:
    keys, skipped = [], []
    for number, jwk in enumerate(listed):
        try:
            keys.append(_read(jwk, symmetric))
        except Unusable as why:
            skipped.append(f"{_name(number, jwk)} {why}")
    return keys, skipped


def _reasons(skipped: list[str]) -> str:
    more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return ("; ".join(skipped[:3]) or "it is empty") + more


def _name(number: int, jwk: Any) -> str:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    return f"key {plain(kid, 60)!r}" if isinstance(kid, str) and kid else f"key {number + 1}"


def _read(jwk: Any, symmetric: bool) -> Key:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kty"), str):
        raise Unusable("is not a JWK: it has no `kty`")
    kind = _KINDS.get(jwk["kty"])
    if kind is None:
        raise Unusable(f"has the unknown `kty` {plain(jwk['kty'], 20)!r}")
    if kind.secret and not symmetric:
        raise Unusable("is a shared secret, and only public keys are taken")
    _for_signatures(jwk)
    kid, alg = _optional(jwk, "kid"), _optional(jwk, "alg")
    material = _material(jwk, kind)
    if alg and alg not in kind.algorithms(material):
        raise Unusable(f"has the `alg` {plain(alg, 20)!r}, which is no signature that gateways verify with it")
    return Key(kid, jwk["kty"], alg, tuple(sorted(material.items())))


def _for_signatures(jwk: Jwk) -> None:
    use, operations = jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    if use != "sig":
        raise Unusable(f"has `use` {plain(str(use), 20)!r}")
    if not isinstance(operations, list) or "verify" not in operations:
        raise Unusable("has `key_ops` without verify")


def _optional(jwk: Jwk, name: str) -> str:
    value = jwk.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_KID or not value.isprintable():
        raise Unusable(f"has a `{name}` that is not printable text of at most {MAX_KID} characters")
    return value


def _material(jwk: Jwk, kind: "_Kind") -> dict[str, str]:
    """The members that make the key, as any writer would write them: read by the library, and written anew."""
    for name in kind.members:
        value = jwk.get(name)
        if not isinstance(value, str) or not BASE64URL.fullmatch(value):
            raise Unusable(f"has no `{name}` in base64url")
    try:
        return kind.write(kind.read({name: jwk[name] for name in ("kty", "crv", *kind.members) if name in jwk}))
    except (InvalidKeyError, ValueError, TypeError) as why:
        raise Unusable(f"is no valid {jwk['kty']} key ({plain(str(why), 60)})") from None


def _read_rsa(jwk: Jwk) -> Any:
    public = RSAAlgorithm.from_jwk(dict(jwk))
    assert isinstance(public, rsa.RSAPublicKey), "a key with private parts does not come here"
    numbers = public.public_numbers()
    if public.key_size not in RSA_BITS:
        raise ValueError(f"it has {public.key_size} bits, not {RSA_BITS.start} to {RSA_BITS.stop - 1}")
    if numbers.n % 2 == 0 or numbers.e not in RSA_EXPONENTS:
        raise ValueError("its numbers are not those of an RSA key")
    return public


def _read_ec(jwk: Jwk) -> Any:
    if jwk.get("crv") not in CURVES:
        raise ValueError(f"its curve is none of {', '.join(CURVES)}")
    return ECAlgorithm.from_jwk(dict(jwk))


def _read_okp(jwk: Jwk) -> Any:
    if jwk.get("crv") != "Ed25519":
        raise ValueError("its curve is not Ed25519")
    return OKPAlgorithm.from_jwk(dict(jwk))


def _read_secret(jwk: Jwk) -> Any:
    secret = str(jwk["k"]).rstrip("=")
    if len(secret) * 6 // 8 < SECRET_BYTES:
        raise ValueError(f"it is shorter than {SECRET_BYTES} bytes")
    return secret


def _written(names: tuple[str, ...], to_jwk: Callable[..., Any], public: Any) -> dict[str, str]:
    said = to_jwk(public, as_dict=True)
    return {name: said[name] for name in names}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A row for each `kty`: the members in base64url, from a JWK to the library's key and back, and its algorithms."""

    members: tuple[str, ...]
    read: Callable[[Jwk], Any]
    write: Callable[[Any], dict[str, str]]
    algorithms: Callable[[Mapping[str, str]], tuple[str, ...]]
    secret: bool = False


_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "RSA": _Kind(("n", "e"), _read_rsa, partial(_written, ("n", "e"), RSAAlgorithm.to_jwk), lambda _: _RSA),
        "EC": _Kind(
            ("x", "y"),
            _read_ec,
            partial(_written, ("crv", "x", "y"), ECAlgorithm.to_jwk),
            lambda material: (CURVES[material["crv"]],),
        ),
        "OKP": _Kind(("x",), _read_okp, partial(_written, ("crv", "x"), OKPAlgorithm.to_jwk), lambda _: ("EdDSA",)),
        "oct": _Kind(
            ("k",), _read_secret, lambda secret: {"k": secret}, lambda _: ("HS256", "HS384", "HS512"), secret=True
        ),
    }
)
