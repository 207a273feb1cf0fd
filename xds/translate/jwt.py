"""Token providers as Envoy's jwt_authn, by ECDS in shards. `tokens` demands them on routes.

A provider is a filter's configuration, and a change of a listener closes connections: so each listener has SHARDS
filters whose configurations come by ECDS, and a provider stands in the one that its issuer falls into. A tenant's table
switches one of them on and names the requirement. Providers are shared by content, as clusters are; keys are inlined,
so a proxy never calls an identity provider. Where the token says who the tenant is (`from: claim`) one filter more asks
for it before there is a table. Called by `tokens`, `selectors` and `xds.builder`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache

from google.protobuf.message import Message
from immutables import Map

from tenants.documents import Gateway
from tenants.effective import base
from tenants.keysets.keys import parse
from tenants.keysets.source import Source
from tenants.tokens import ASYMMETRIC, Jwt
from xds import messages
from xds.translate.built import Built

_JWT = "envoy.extensions.filters.http.jwt_authn.v3."
JwtAuthentication = messages.message(_JWT + "JwtAuthentication")
JwtProvider = messages.message(_JWT + "JwtProvider")
JwtHeader = messages.message(_JWT + "JwtHeader")
JwtRequirement = messages.message(_JWT + "JwtRequirement")
JwtRequirementOrList = messages.message(_JWT + "JwtRequirementOrList")
RequirementRule = messages.message(_JWT + "RequirementRule")
RemoteJwks = messages.message(_JWT + "RemoteJwks")
RouteMatch = messages.message("envoy.config.route.v3.RouteMatch")
HttpUri = messages.message("envoy.config.core.v3.HttpUri")
DataSource = messages.message("envoy.config.core.v3.DataSource")
TypedExtensionConfig = messages.message("envoy.config.core.v3.TypedExtensionConfig")
Empty = messages.message("google.protobuf.Empty")

SHARDS = 16
"""A change of one provider sends those of its shard anew."""

NAMESPACE = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
CLAIMED = "claimed"
"""Where the verified claims stand in a request's dynamic metadata: for a table, and for the choice of one."""

TYPE_URL = "type.googleapis.com/" + _JWT + "JwtAuthentication"

_NO_KEYS = "gatecast.no_keys"

# The scheme knows no case (RFC 9110, 11.1), and Envoy looks for these letters. `tokens` refuses any other spelling.
_SCHEMES = ("Bearer ", "bearer ", "BEARER ")


def shard_name(number: int) -> str:
    """The filter and its ECDS resource."""
    return f"gatecast.jwt.{number:02d}"


SHARD_NAMES = tuple(map(shard_name, range(SHARDS)))
CLAIM_SHARD = "gatecast.jwt.claim"
"""The filter (and its ECDS resource) that asks for a token before there is a table."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Tokens that are checked alike. `source` is where the keys come from, `inline` are keys of the document itself.

    `name` says the content (without the fetched keys), so a changed provider is another one beside the old.
    """

    name: str
    shard: str
    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    skew: int
    source: Source | None
    inline: str

    @property
    def part(self) -> str:
        """What a route table that needs this provider says it uses."""
        return f"{self.shard}/{self.name}"


@lru_cache(maxsize=16384)
def provider(policy: Jwt, local: bool) -> Provider:
    """The provider a policy needs; `local`: the gateway allows key sets on loopback."""
    jwks = policy.jwks
    inline = jwks.text() if jwks and jwks.keys else ""
    secrets = any(name.startswith("HS") for name in policy.algorithms)
    source = None if inline else Source(policy.issuer, (jwks and jwks.uri) or "", local, secrets)
    skew = -(-policy.clock_skew // timedelta(seconds=1))  # 0 would be Envoy's default, a minute
    algorithms = tuple(sorted(policy.algorithms))
    said = [policy.issuer, policy.audiences, algorithms, skew, source and source.uri, local, inline]
    name = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    shard = shard_name(int(hashlib.sha256(policy.issuer.encode()).hexdigest()[:8], 16) % SHARDS)
    return Provider(name, shard, policy.issuer, policy.audiences, algorithms, skew, source, inline)


def claimed(gateway: Gateway) -> frozenset[Provider]:
    """The provider whose tokens say who the tenant is; none where requests say that otherwise."""
    policy = base(gateway.policies, Map(), Map()).policies.jwt
    if gateway.tenant.source != "claim" or policy is None:
        return frozenset()
    return frozenset({replace(provider(policy, gateway.allow_local_endpoints), shard=CLAIM_SHARD)})


def same_tokens(one: Provider, other: Provider) -> bool:
    """Whether both take tokens of one issuer, with the same keys."""
    return (one.issuer, one.source, one.inline) == (other.issuer, other.source, other.inline)


def claim_path(name: str) -> tuple[str, ...]:
    """A dot descends, as in `realm.tenant`; a claim with a colon in its name is named by a URI: one name."""
    return (name,) if ":" in name else tuple(name.split("."))


def shard(name: str, providers: Iterable[Provider], keys: Mapping[Source, str]) -> Built:
    """One ECDS resource. `keys`: the key sets that may be used, as JSON; a source without one has none (503)."""
    found = sorted(providers, key=lambda one: one.name)
    config = JwtAuthentication(
        providers={one.name: _provider(one, keys) for one in found},
        requirement_map={name: need for one in found for name, need in _requirements(one)},
        rules=[_always(one) for one in found if one.shard == CLAIM_SHARD],
        # Where there is a table, its `cors` has answered them already.
        bypass_cors_preflight=name == CLAIM_SHARD,
    )
    body = TypedExtensionConfig(name=name, typed_config=messages.pack(config))
    return Built("ECDS", name, body, uses=frozenset(one.part for one in found))


def _requirements(one: Provider) -> tuple[tuple[str, Message], ...]:
    needs = JwtRequirement(provider_name=one.name)
    either = JwtRequirementOrList(requirements=[needs, JwtRequirement(allow_missing=Empty())])
    return (one.name, needs), (f"{one.name}?", JwtRequirement(requires_any=either))


def _always(one: Provider) -> Message:
    return RequirementRule(match=RouteMatch(prefix="/"), requires=JwtRequirement(provider_name=one.name))


def _provider(one: Provider, keys: Mapping[Source, str]) -> Message:
    text = one.inline if one.source is None else keys.get(one.source, "")
    made = JwtProvider(
        issuer=one.issuer,
        audiences=one.audiences,
        forward=True,
        from_headers=[JwtHeader(name="authorization", value_prefix=scheme) for scheme in _SCHEMES],
        payload_in_metadata=CLAIMED if one.shard == CLAIM_SHARD else PAYLOAD,
        clock_skew_seconds=one.skew,
    )
    made.MergeFrom(_keys(_usable(text, one.algorithms)))
    return made


_ASYMMETRIC = tuple(sorted(ASYMMETRIC))


def _usable(text: str, algorithms: tuple[str, ...]) -> str:
    """The keys for these algorithms, "" if there is none."""
    if not text or (algorithms == _ASYMMETRIC and '"oct"' not in text):
        return text
    return _narrowed(text, algorithms)


@lru_cache(maxsize=4096)
def _narrowed(text: str, algorithms: tuple[str, ...]) -> str:
    """Envoy goes by a key's `alg`, and tries one without with whatever a token says: so each key says its own."""
    keys = [
        key.jwk | {"alg": name}
        for key in parse(text.encode(), symmetric=True).keys
        for name in key.algorithms
        if name in algorithms
    ]
    return json.dumps({"keys": keys}, sort_keys=True, separators=(",", ":")) if keys else ""


def _keys(text: str) -> Message:
    """Envoy refuses a provider without a key. One that points nowhere fails each token in a way that `replies` knows:
    503, for the token may well be good.
    """
    if text:
        return JwtProvider(local_jwks=DataSource(inline_string=text))
    nowhere = HttpUri(uri="http://nowhere/", cluster=_NO_KEYS, timeout=messages.duration(timedelta(seconds=1)))
    return JwtProvider(remote_jwks=RemoteJwks(http_uri=nowhere))
