"""`jwt` as Envoy's jwt_authn: providers by ECDS, a requirement by name in the tenant's table, RBAC on the claims.

A provider is a filter's configuration, and a change of a listener closes connections: so each listener has SHARDS
filters whose configurations come by ECDS, and a provider stands in the one that its issuer falls into. A tenant's table
switches one of them on and names the requirement. Providers are shared by content, as clusters are; keys are inlined,
so a proxy never calls an identity provider. Called by `filters`, `routes` and `xds.builder`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from google.protobuf.message import Message

from tenants.effective import TenantView
from tenants.keysets.source import Source
from tenants.policies import Jwt
from xds import messages
from xds.translate.built import Built

_JWT = "envoy.extensions.filters.http.jwt_authn.v3."
_RBAC = "envoy.extensions.filters.http.rbac.v3."
JwtAuthentication = messages.message(_JWT + "JwtAuthentication")
JwtProvider = messages.message(_JWT + "JwtProvider")
JwtHeader = messages.message(_JWT + "JwtHeader")
JwtClaimToHeader = messages.message(_JWT + "JwtClaimToHeader")
JwtRequirement = messages.message(_JWT + "JwtRequirement")
JwtRequirementOrList = messages.message(_JWT + "JwtRequirementOrList")
RemoteJwks = messages.message(_JWT + "RemoteJwks")
PerRouteConfig = messages.message(_JWT + "PerRouteConfig")
HttpUri = messages.message("envoy.config.core.v3.HttpUri")
DataSource = messages.message("envoy.config.core.v3.DataSource")
TypedExtensionConfig = messages.message("envoy.config.core.v3.TypedExtensionConfig")
Empty = messages.message("google.protobuf.Empty")
RbacFilter = messages.message(_RBAC + "RBAC")
RbacPerRoute = messages.message(_RBAC + "RBACPerRoute")
Rbac = messages.message("envoy.config.rbac.v3.RBAC")
RbacPolicy = messages.message("envoy.config.rbac.v3.Policy")
Permission = messages.message("envoy.config.rbac.v3.Permission")
Principal = messages.message("envoy.config.rbac.v3.Principal")
Principals = messages.message("envoy.config.rbac.v3.Principal.Set")
SourcedMetadata = messages.message("envoy.config.rbac.v3.SourcedMetadata")
MetadataMatcher = messages.message("envoy.type.matcher.v3.MetadataMatcher")
PathSegment = messages.message("envoy.type.matcher.v3.MetadataMatcher.PathSegment")
ValueMatcher = messages.message("envoy.type.matcher.v3.ValueMatcher")
StringMatcher = messages.message("envoy.type.matcher.v3.StringMatcher")

SHARDS = 16
"""A change of one provider sends those of its shard anew."""

NAMESPACE = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
"""Where the verified claims stand in a request's dynamic metadata."""

TENANT_RBAC = "gatecast.tenant"
TYPE_URL = "type.googleapis.com/" + _JWT + "JwtAuthentication"

_NO_KEYS = "gatecast.no_keys"


def shard_name(number: int) -> str:
    """The filter and its ECDS resource."""
    return f"gatecast.jwt.{number:02d}"


SHARD_NAMES = tuple(map(shard_name, range(SHARDS)))


@dataclass(frozen=True, slots=True)
class Provider:
    """Tokens that are checked alike. `source` is where the keys come from, `inline` are keys of the document itself.

    `name` says the content (without the fetched keys), so a changed provider is another one beside the old.
    """

    name: str
    shard: str
    issuer: str
    audiences: tuple[str, ...]
    skew: int
    forward: tuple[tuple[str, str], ...]
    source: Source | None
    inline: str

    @property
    def part(self) -> str:
        """What a route table that needs this provider says it uses."""
        return f"{self.shard}/{self.name}"


@dataclass(frozen=True, slots=True)
class Guard:
    """What one route demands of a token. `tenant` is set where the `claim` must name it."""

    provider: Provider
    required: bool
    claim: str = ""
    tenant: str = ""


@lru_cache(maxsize=16384)
def provider(policy: Jwt, local: bool) -> Provider:
    """The provider a policy needs; `local`: the gateway allows key sets on loopback."""
    source = None if policy.jwks.keys else Source(policy.issuer, policy.jwks.uri or "", local)
    inline = policy.jwks.text() if policy.jwks.keys else ""
    skew = int(policy.clock_skew / timedelta(seconds=1))
    said = [policy.issuer, policy.audiences, skew, policy.forward_claims, source and source.uri, local, inline]
    name = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    shard = int(hashlib.sha256(policy.issuer.encode()).hexdigest()[:8], 16) % SHARDS
    return Provider(
        name, shard_name(shard), policy.issuer, policy.audiences, skew, policy.forward_claims, source, inline
    )


def guard(policy: Jwt, view: TenantView) -> Guard:
    """The policy as a route's demand, for this tenant."""
    made = provider(policy, view.gateway.allow_local_endpoints)
    claim = policy.tenant_claim or ""
    return Guard(made, policy.required, claim, view.tenant.id if claim else "")


def configs(mine: Guard | None, theirs: Guard | None) -> dict[str, Message]:
    """The per-route configurations; `theirs`: what the whole table says, against which a route says its own."""
    found: dict[str, Message] = {}
    if theirs is not None:
        found[theirs.provider.shard] = messages.pack(PerRouteConfig(disabled=True))
        if theirs.claim:
            found[TENANT_RBAC] = messages.pack(RbacPerRoute())
    if mine is not None:
        found[mine.provider.shard] = messages.pack(PerRouteConfig(requirement_name=_requirement(mine)))
        if mine.claim:
            found[TENANT_RBAC] = messages.pack(RbacPerRoute(rbac=RbacFilter(rules=_bound(mine))))
    return found


def _requirement(one: Guard) -> str:
    return one.provider.name if one.required else f"{one.provider.name}?"


def _bound(one: Guard) -> Message:
    """The verified claim names the tenant. Where no token is required, one that is absent passes."""
    who = _claim(one.claim, ValueMatcher(string_match=StringMatcher(exact=one.tenant)))
    if not one.required:
        anyone = Principal(not_id=_claim("iss", ValueMatcher(present_match=True)))
        who = Principal(or_ids=Principals(ids=[who, anyone]))
    return Rbac(action="ALLOW", policies={"tenant": RbacPolicy(permissions=[Permission(any=True)], principals=[who])})


def _claim(name: str, value: Message) -> Message:
    path = [PathSegment(key=PAYLOAD), *(PathSegment(key=key) for key in claim_path(name))]
    return Principal(
        sourced_metadata=SourcedMetadata(
            metadata_matcher=MetadataMatcher(filter=NAMESPACE, path=path, value=value),
        )
    )


def claim_path(name: str) -> tuple[str, ...]:
    """A dot descends, as in `realm.tenant`; a claim that is named by a URL is one name."""
    return (name,) if "://" in name else tuple(name.split("."))


def shard(name: str, providers: Iterable[Provider], keys: Mapping[Source, str]) -> Built:
    """One ECDS resource. `keys`: the key sets that may be used, as JSON; a source without one has none (503)."""
    found = sorted(providers, key=lambda one: one.name)
    config = JwtAuthentication(
        providers={one.name: _provider(one, keys) for one in found},
        requirement_map={name: need for one in found for name, need in _requirements(one)},
    )
    body = TypedExtensionConfig(name=name, typed_config=messages.pack(config))
    return Built("ECDS", name, body, uses=frozenset(one.part for one in found))


def _requirements(one: Provider) -> tuple[tuple[str, Message], ...]:
    needs = JwtRequirement(provider_name=one.name)
    either = JwtRequirementOrList(requirements=[needs, JwtRequirement(allow_missing=Empty())])
    return (one.name, needs), (f"{one.name}?", JwtRequirement(requires_any=either))


def _provider(one: Provider, keys: Mapping[Source, str]) -> Message:
    text = one.inline if one.source is None else keys.get(one.source, "")
    made = JwtProvider(
        issuer=one.issuer,
        audiences=one.audiences,
        forward=True,
        from_headers=[JwtHeader(name="authorization", value_prefix="Bearer ")],
        payload_in_metadata=PAYLOAD,
        clock_skew_seconds=one.skew,
        claim_to_headers=[JwtClaimToHeader(claim_name=claim, header_name=name) for claim, name in one.forward],
    )
    made.MergeFrom(_keys(text))
    return made


def _keys(text: str) -> Message:
    """Envoy refuses a provider without a key. One that points nowhere fails each token in a way that `replies` knows:
    503, for the token may well be good.
    """
    if text:
        return JwtProvider(local_jwks=DataSource(inline_string=text))
    nowhere = HttpUri(uri="http://nowhere/", cluster=_NO_KEYS, timeout=messages.duration(timedelta(seconds=1)))
    return JwtProvider(remote_jwks=RemoteJwks(http_uri=nowhere))
