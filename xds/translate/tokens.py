"""What a route demands of a token: which provider, whose tenant, which claims go on. Rows of `filters` call this.

Three filters share it. jwt_authn (`jwt`) verifies the token. A header mutation hands claims on: jwt_authn can do that
too, but then drops the headers of all its providers from every request that passes it, also those of other tenants, and
to it each dot in a claim's name descends. RBAC refuses what is verified and still wrong: another tenant's token, and an
Authorization header that a service could read otherwise than Envoy did, which takes what stands behind the word
"Bearer " wherever that is: `Basic x, Bearer y` would pass.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.message import Message

from tenants.effective import TenantView
from tenants.tokens import Jwt
from xds import messages
from xds.translate.edits import header
from xds.translate.jwt import NAMESPACE, PAYLOAD, Provider, claim_path, provider

_RBAC = "envoy.extensions.filters.http.rbac.v3."
_MUTATION = "envoy.extensions.filters.http.header_mutation.v3."
PerRouteConfig = messages.message("envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig")
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
RegexMatcher = messages.message("envoy.type.matcher.v3.RegexMatcher")
HeaderMatcher = messages.message("envoy.config.route.v3.HeaderMatcher")
HeaderMutation = messages.message("envoy.config.common.mutation_rules.v3.HeaderMutation")
HeaderMutationFilter = messages.message(_MUTATION + "HeaderMutation")
HeaderMutationPerRoute = messages.message(_MUTATION + "HeaderMutationPerRoute")
Mutations = messages.message(_MUTATION + "Mutations")
TypedExtensionConfig = messages.message("envoy.config.core.v3.TypedExtensionConfig")
Cel = messages.message("envoy.extensions.formatter.cel.v3.Cel")
CelExpressionConfig = messages.message("envoy.config.core.v3.CelExpressionConfig")

BINDING = "gatecast.token"
"""The RBAC filter behind the verified token."""

CLAIMS = "gatecast.claims"
"""The filter that hands claims on."""

WRONG_TENANT = "wrong_tenant"
AMBIGUOUS = "ambiguous"
"""Why RBAC refuses: names of its policies, which Envoy tells in the details of a response."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What one route demands of a token. `tenant` is set where the `claim` must name it; `forward`: (claim, header).

    `dropped`: headers that any route of the tenant makes of claims, so that nobody outside may set them.
    """

    provider: Provider
    required: bool
    claim: str = ""
    tenant: str = ""
    forward: tuple[tuple[str, str], ...] = ()
    dropped: frozenset[str] = frozenset()


def guard(policy: Jwt, view: TenantView) -> Guard:
    """The policy as a route's demand, for this tenant."""
    made = provider(policy, view.gateway.allow_local_endpoints)
    claim = policy.tenant_claim or ""
    return Guard(made, policy.required, claim, view.tenant.id if claim else "", policy.forward_claims, dropped(view))


def dropped(view: TenantView) -> frozenset[str]:
    """The headers that carry claims on any route of the tenant: a service may believe them on every one."""
    said = (view.policies, *(one.policies for one in view.routes))
    return frozenset(name for one in said if one.jwt for _claim, name in one.jwt.forward_claims)


def unclaimed(view: TenantView) -> dict[str, Message]:
    """What a table without `jwt` says for its routes: whoever has a token there says more."""
    gone = frozenset() if view.policies.jwt else dropped(view)
    return {CLAIMS: _changed(gone, ())} if gone else {}


def claims() -> Message:
    """That filter; what a route says is all that holds there."""
    return HeaderMutationFilter(most_specific_header_mutations_wins=True)


def configs(mine: Guard | None, theirs: Guard | None) -> dict[str, Message]:
    """The per-route configurations; `theirs`: what the whole table says, against which a route says its own."""
    found = {} if theirs is None else {theirs.provider.shard: _OFF, BINDING: _FREE}
    if mine is not None:
        found[mine.provider.shard] = _verified(f"{mine.provider.name}{'' if mine.required else '?'}")
        found[BINDING] = _bound(mine.claim, mine.tenant, mine.required)
    either = mine or theirs
    if either is not None and either.dropped:
        found[CLAIMS] = _changed(either.dropped, mine.forward if mine else ())
    return found


_OFF = messages.pack(PerRouteConfig(disabled=True))
_FREE = messages.pack(RbacPerRoute())


@lru_cache(maxsize=16384)
def _verified(requirement: str) -> Message:
    return messages.pack(PerRouteConfig(requirement_name=requirement))


@lru_cache(maxsize=16384)
def _bound(claim: str, tenant: str, required: bool) -> Message:
    """What is refused of tokens that are good."""
    refused = {AMBIGUOUS: _ambiguous(required)} | ({WRONG_TENANT: _other(claim, tenant, required)} if claim else {})
    policies = {name: RbacPolicy(permissions=[Permission(any=True)], principals=[who]) for name, who in refused.items()}
    return messages.pack(RbacPerRoute(rbac=RbacFilter(rules=Rbac(action="DENY", policies=policies))))


def _other(claim: str, tenant: str, required: bool) -> Message:
    """The claim is not this tenant's id: it is another's, no text, or absent. Without `required`, no token passes."""
    other = Principal(not_id=_claim(claim, ValueMatcher(string_match=StringMatcher(exact=tenant))))
    return other if required else _all(_VERIFIED, other)


def _claim(name: str, value: Message) -> Message:
    path = [PathSegment(key=PAYLOAD), *(PathSegment(key=key) for key in claim_path(name))]
    matcher = MetadataMatcher(filter=NAMESPACE, path=path, value=value)
    return Principal(sourced_metadata=SourcedMetadata(metadata_matcher=matcher))


def _authorization(regex: str) -> Message:
    match = StringMatcher(safe_regex=RegexMatcher(regex=regex))
    return Principal(header=HeaderMatcher(name="authorization", string_match=match))


def _all(*who: Message) -> Message:
    return Principal(and_ids=Principals(ids=who))


# Envoy joins repeated Authorization headers by a comma. A bearer's token is RFC 6750's `b64token`.
_ONE_TOKEN = _authorization(r"(?i)bearer +[\w.~+/-]+=*")
# Services split headers at more than blanks and commas, and not all that they take for a blank is one to RE2.
_SOME_TOKEN = _authorization(r"\C*(?:(?i:\bbearer\b)|\b[CDIe][\w-]{11,}\.[CDIe][\w-]{2,}\.)\C*")
"""A bearer's, or what looks like a JSON Web Token, whatever the scheme: two JSON objects in base64url."""

_VERIFIED = _claim("iss", ValueMatcher(present_match=True))


def _ambiguous(required: bool) -> Message:
    """Whoever is here with a token required has one; else there may be one that nobody verified."""
    beside = Principal(not_id=_ONE_TOKEN)
    if required:
        return beside
    either = [_all(_VERIFIED, beside), _all(Principal(not_id=_VERIFIED), _SOME_TOKEN)]
    return Principal(or_ids=Principals(ids=either))


@lru_cache(maxsize=4096)
def _changed(gone: frozenset[str], forward: tuple[tuple[str, str], ...]) -> Message:
    """Nobody outside may set these headers, where a token is missing too; then some carry claims."""
    changes = [
        *(HeaderMutation(remove=name) for name in sorted(gone)),
        *(HeaderMutation(append=one) for one in _told(forward)),
    ]
    more = [] if all(map(_is_plain, (claim for claim, _name in forward))) else [text_functions()]
    mutations = Mutations(request_mutations=changes, formatters=more)
    return messages.pack(HeaderMutationPerRoute(mutations=mutations))


def _told(forward: tuple[tuple[str, str], ...]) -> Iterator[Message]:
    for claim, name in forward:
        yield header(name, f"%{_command(claim)}%", "OVERWRITE_IF_EXISTS_OR_ADD")


def _command(claim: str) -> str:
    """What a claim is written by. The command for metadata is cheap, and knows no name with a colon or a bracket: an
    expression costs a proxy 30 KB for each table that has one.
    """
    if _is_plain(claim):
        return f"DYNAMIC_METADATA({':'.join((NAMESPACE, PAYLOAD, *claim_path(claim)))})"
    return f"CEL({_text(claim_value(PAYLOAD, claim))})"


def _is_plain(claim: str) -> bool:
    return bool(re.fullmatch(r"[\w.@/+-]+", claim, re.ASCII))


def _text(value: str) -> str:
    """A claim as the command for metadata writes it: lists are JSON. Nothing of objects, or of odd texts in lists."""
    number = f"double(int({value})) == {value} ? int({value}) : {value}"
    odd = rf'{value}.join("").matches("[\"\\\\\\x00-\\x1f]")'
    listed = f"""{value}.size() == 0 ? "[]" : {odd} ? "" : "[\\"" + {value}.join("\\",\\"") + "\\"]\""""
    kind = f"type({value})"
    return f'{kind} in [string, bool] ? {value} : {kind} == double ? ({number}) : {kind} == list ? ({listed}) : ""'


def text_functions() -> Message:
    """What expressions need for more than comparing texts."""
    functions = messages.pack(
        Cel(cel_config=CelExpressionConfig(enable_string_functions=True, enable_string_concat=True))
    )
    return TypedExtensionConfig(name="envoy.formatter.cel", typed_config=functions)


def claim_value(payload: str, claim: str) -> str:
    """A verified claim in the language of expressions (CEL)."""
    path = (NAMESPACE, payload, *claim_path(claim))
    return "metadata.filter_metadata" + "".join(f'["{_quoted(name)}"]' for name in path)


def _quoted(text: str) -> str:
    """Whatever could end a text or a command is written by its number."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "_-./") else f"\\U{ord(one):08x}" for one in text)
