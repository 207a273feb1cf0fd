"""The `jwt` policy: whose tokens are accepted, with which keys, and what of them a service is told.

A row of `tenants.policies` like the others; it has most to check of all, so it has a file of its own.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from tenants.keysets.faults import Unfit
from tenants.keysets.keys import PRIVATE, KeySet, parse
from tenants.model import Strict
from tenants.values import (
    OUR_HEADERS,
    Bool,
    Duration,
    Pairs,
    Text,
    Url,
    fault,
    freeze,
    header_name,
    is_url,
    thaw,
    unique,
)

# fmt: off
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]
# fmt: on
ASYMMETRIC: tuple[Algorithm, ...] = get_args(Algorithm)[:10]
"""Those with a public key: whoever verifies a token cannot make one."""


def _public_key(key: Any) -> Any:
    """A key that gateways accept: one that is refused would take all others along with it."""
    if not isinstance(key, Mapping) or not isinstance(key.get("kty"), str):
        raise fault("GC104", "the key is not a JSON Web Key", "an object with at least `kty` (RFC 7517)")
    if key["kty"] == "oct":
        raise fault("GC122", "the key is a shared secret: a document is no place for it", "a public key, or a `uri`")
    if PRIVATE & set(key):
        raise fault("GC122", "the key has private parts", "publish the public half only: leave out d, p, q, dp, dq, qi")
    try:
        _key_set((key,))
    except Unfit as why:
        reason = str(why).rpartition("verifies tokens: ")[2]
        raise fault("GC124", f"the key cannot verify tokens: {reason}", "a public key for signatures") from None
    return freeze(key)


def _key_set(keys: Iterable[Any]) -> KeySet:
    return parse(json.dumps({"keys": thaw(list(keys))}).encode())


class Jwks(Strict):
    """Where the public keys of an issuer come from: a `uri`, or the `keys` themselves (RFC 7517 objects)."""

    uri: Url | None = None
    keys: Annotated[
        tuple[Annotated[Any, AfterValidator(_public_key)], ...] | None,
        Field(min_length=1, max_length=100),
        PlainSerializer(thaw),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.uri and self.keys:
            raise fault("GC107", "`uri` and `keys` are both given", "one of them; `null` switches an inherited one off")
        if not self.uri and not self.keys:
            raise fault("GC103", "neither `uri` nor `keys` is given", "one of them")
        return self

    def text(self) -> str:
        """The `keys` as a JWK set in JSON, in its normal form."""
        return _key_set(self.keys or ()).text


# What the proxy makes or goes by itself, and the token.
_PROXYS = frozenset({"host", "authorization", "content-length", "expect", "forwarded", "te", "upgrade", "x-request-id"})
_PROXYS_OWN = (OUR_HEADERS, "x-envoy-", "x-forwarded-", "connection", "keep-alive", "proxy-", "trailer", "transfer-")


def claim_name(name: str) -> str:
    """The name of a claim. Dots descend, as in `realm.tenant`, but not in one that is a URI: it has a colon."""
    if ":" not in name and not all(name.split(".")):
        raise fault(
            "GC112", f"{name!r} is not the name of a claim", "as in tenant, realm.tenant or https://a.example/tenant"
        )
    return name


ClaimName = Annotated[Text, AfterValidator(claim_name)]


def _forwards(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Claims to headers, these in lower case. What a claim says must not steer the gateway itself."""
    named = tuple((claim_name(claim), header_name(name)) for claim, name in pairs)
    for _claim, name in named:
        if name in _PROXYS or name.startswith(_PROXYS_OWN):
            raise fault("GC107", f"the header {name!r} belongs to the gateway", "a header of its own, as in x-user")
    twice = [name for name, count in Counter(name for _claim, name in named).items() if count > 1]
    if twice:
        raise fault("GC119", f"two claims go to the header {twice[0]!r}", "a header for each")
    return named


class Jwt(Strict):
    """Requests carry a token of `issuer`. `tenant_claim` must name the tenant; `forward_claims` are (claim, header).

    Without `jwks` the keys are found by OpenID Connect discovery at the issuer.
    """

    issuer: Text
    audiences: tuple[Text, ...] = ()
    jwks: Jwks | None = None
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1), AfterValidator(unique)] = ASYMMETRIC
    required: Bool = True
    tenant_claim: ClaimName | None = None
    forward_claims: Annotated[Pairs, AfterValidator(_forwards)] = ()
    clock_skew: Duration = timedelta(seconds=60)

    @model_validator(mode="after")
    def _found(self) -> Self:
        if self.jwks is None and not is_url(self.issuer):
            message = "no `jwks` is given, and the keys cannot be found at an issuer that is not a URL"
            raise fault("GC103", message, "jwks, or an issuer as in https://login.example.com/")
        return self

    @model_validator(mode="after")
    def _verifiable(self) -> Self:
        if self.jwks is None or not self.jwks.keys:
            return self
        possible = {name for key in _key_set(self.jwks.keys).keys for name in key.algorithms}
        if possible.isdisjoint(self.algorithms):
            message = f"none of `jwks.keys` is for {', '.join(self.algorithms)}"
            raise fault("GC107", message, f"the `algorithms` of these keys: {', '.join(sorted(possible))}")
        return self
