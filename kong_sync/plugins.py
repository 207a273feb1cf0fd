"""The policies in Kong's words: one row and one function each, with what Kong does otherwise (`parity`).

A function takes the value in force and where it holds, and says what a route of Kong needs for it (`Effect`). Whoever
comes to the same effects shares a route: see `translate`. A test walks `ROWS` against `tenants.policies.POLICIES`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from kong_sync import lua
from kong_sync.bodies import CODES, body
from kong_sync.effects import NOTHING, Effect, Place, plugin
from kong_sync.issuers import anonymous_name, issuer_of
from tenants.policies import (
    Access,
    Authz,
    BodyLimit,
    CorrelationId,
    Cors,
    HeaderChanges,
    Headers,
    Maintenance,
    RateLimit,
    RequiredHeader,
)
from tenants.tokens import Jwt

EXACT = "exact"
BODY = "the body of a refusal is Kong's own"


@dataclass(frozen=True, slots=True)
class Row:
    """A policy. `parity`: `exact`, `approximate: why` or `unsupported: why`. `elsewhere`: who says it in place of an
    effect ("services": `upstreams`; "consumers": `translate`).
    """

    policy: str
    parity: str
    effect: Callable[[Any, Place], Effect] = lambda _value, _place: NOTHING
    elsewhere: str = ""


@lru_cache(maxsize=16384)
def limit_config(policy: RateLimit, by: str, header: str | None = None) -> Mapping[str, Any]:
    """The whole `config` of a limit, so that a changed one leaves nothing of the old. `by`: as Kong names it.

    Equal limits share it: nobody changes an entity.
    """
    periods = dict.fromkeys(("second", "minute", "hour", "day"))
    return {
        **periods,
        policy.per: policy.requests,
        "limit_by": by,
        "header_name": header,
        "policy": "local",
        "fault_tolerant": True,
        "hide_client_headers": False,
        "error_code": 429,
        "error_message": CODES["rate_limited"],
    }


def counted_by(policy: RateLimit, place: Place) -> tuple[str, str | None]:
    """Kong's `limit_by` and `header_name`."""
    if policy.by == "client_ip":
        return "ip", None
    if policy.header is not None:
        return "header", policy.header
    if place.keyed:
        return "consumer", None
    return ("header", place.header) if place.header else ("service", None)


def _rate_limit(policy: RateLimit, place: Place) -> Effect:
    """Kong's counter hangs on route and identifier: whoever counts by something else than the tenant needs a route."""
    apart = policy.by != "tenant"
    if place.keyed:
        return Effect(apart=apart)
    by, header = counted_by(policy, place)
    return Effect((plugin("rate-limiting", **limit_config(policy, by, header)),), apart=apart)


def _jwt(policy: Jwt, place: Place) -> Effect:
    """`jwt` verifies; `acl` binds the issuer; the function before looks at what `jwt` does not, of the same token."""
    issuer = issuer_of(policy)
    group = issuer.group(place.gateway)
    anonymous = () if policy.required else (anonymous_name(place.gateway),)
    config = {
        "key_claim_name": "kid",
        "claims_to_verify": ["exp"],
        "uri_param_names": [],
        "cookie_names": [],
        "header_names": ["authorization"],
        "run_on_preflight": True,
        "anonymous": anonymous[0] if anonymous else None,
    }
    return Effect(
        (
            plugin("jwt", **config),
            plugin("acl", allow=[group, *anonymous], deny=None, hide_groups_header=True),
        ),
        before=(_token_check(policy, place),),
        after=() if policy.required else (lua.verified(),),
        issuer=issuer,
        optional=not policy.required,
    )


@lru_cache(maxsize=4096)
def _token_check(policy: Jwt, place: Place) -> str:
    claims = [claim_path(name) for name in dict.fromkeys((place.claim, policy.tenant_claim)) if name]
    return lua.token_check(
        ISSUER=policy.issuer,
        AUDIENCES=list(policy.audiences),
        ALGORITHMS=dict.fromkeys(policy.algorithms, True),
        REQUIRED=policy.required,
        SKEW=int(policy.clock_skew.total_seconds()),
        FORWARD=[[claim_path(name), header] for name, header in policy.forward_claims],
        CLAIMS=claims,
        TENANT=(place.tenant or None) if claims else None,
        HEADER=(place.header or None) if claims else None,
    )


def claim_path(name: str) -> list[str]:
    """A dot descends; a claim with a colon is named by a URI: one name."""
    return [name] if ":" in name else name.split(".")


_LITERAL = re.compile(r"[A-Za-z0-9.:/-]+")


def cors_config(policy: Cors) -> Mapping[str, Any]:
    return {
        "origins": [_origin(one, alone=len(policy.origins) == 1) for one in policy.origins],
        "methods": list(policy.methods),
        "headers": list(policy.headers) or None,
        "exposed_headers": list(policy.expose) or None,
        "credentials": policy.credentials,
        "max_age": int(policy.max_age.total_seconds()) if policy.max_age else None,
        "preflight_continue": False,
    }


def _origin(text: str, *, alone: bool) -> str:
    """A single plain origin Kong would tell to everybody: as a pattern it is told to those who ask with it."""
    if text.startswith("regex:"):
        return f"^(?:{text.removeprefix('regex:')})$"
    if text == "*" or not alone or not _LITERAL.fullmatch(text):
        return text
    return f"^{re.escape(text)}$"


def _cors(policy: Cors, _place: Place) -> Effect:
    return Effect((plugin("cors", **cors_config(policy)),), cors=policy)


def _required_headers(policy: tuple[RequiredHeader, ...], _place: Place) -> Effect:
    return Effect(after=(lua.required_headers(map(_rule, policy)),)) if policy else NOTHING


def _rule(rule: RequiredHeader) -> Mapping[str, Any]:
    said: dict[str, Any] = {"name": rule.name, "status": rule.status}
    said["missing"] = body("missing_header", f"The header {rule.name!r} is required.", header=rule.name)
    if rule.methods:
        said["methods"] = dict.fromkeys(rule.methods, True)
    if rule.pattern is not None:
        said["pattern"] = f"^(?:{rule.pattern})$"
        text = f"The header {rule.name!r} must match {rule.pattern}."
        said["invalid"] = body("invalid_header", text, header=rule.name)
    return said


def _correlation_id(policy: CorrelationId, _place: Place) -> Effect:
    if not policy.generate:
        return Effect(answer=(lua.echo(policy.header),)) if policy.echo else NOTHING
    said = {"header_name": policy.header, "generator": "uuid", "echo_downstream": policy.echo}
    return Effect((plugin("correlation-id", **said),))


def _headers(policy: Headers, _place: Place) -> Effect:
    found = []
    if policy.request != HeaderChanges():
        found.append(plugin("request-transformer", **_edits(policy.request, _template)))
    if policy.response != HeaderChanges():
        found.append(plugin("response-transformer", **_edits(policy.response, str)))
    return Effect(tuple(found))


def _edits(changes: HeaderChanges, text: Callable[[str], str]) -> Mapping[str, Any]:
    """Kong removes, replaces, adds, appends, in this order: so `set` is to remove and to add."""
    gone = [*changes.remove, *(name for name, _value in changes.set)]
    return {
        "remove": {"headers": sorted(set(gone))},
        "rename": {"headers": []},
        "replace": {"headers": []},
        "add": {"headers": [f"{name}:{text(value)}" for name, value in changes.set]},
        "append": {"headers": [f"{name}:{text(value)}" for name, value in changes.add]},
    }


def _template(value: str) -> str:
    """What Kong takes for a template and is none."""
    return value.replace("$(", '$("$")(')


def _access(policy: Access, _place: Place) -> Effect:
    allow, deny = ([str(one) for one in ranges] or None for ranges in (policy.allow, policy.deny))
    if not allow and not deny:
        return NOTHING
    said = {"allow": allow, "deny": deny, "status": 403, "message": CODES["access_denied"]}
    return Effect((plugin("ip-restriction", **said),))


def _body_limit(policy: BodyLimit, _place: Place) -> Effect:
    said = {"allowed_payload_size": policy.max, "size_unit": "bytes", "require_content_length": False}
    return Effect((plugin("request-size-limiting", **said),))


def _authz(_policy: Authz, _place: Place) -> Effect:
    """Nobody asks the server, so nobody gets in."""
    return Effect(ends=(503, body("closed", policies="authz")))


def _maintenance(policy: Maintenance, _place: Place) -> Effect:
    return Effect(ends=(policy.status, body("maintenance", policy.message)))


_ROWS = (
    Row("authz", "unsupported: Kong asks no ext_authz server, so the routes it holds for answer 503", _authz),
    Row(
        "cors",
        "approximate: preflights name no tenant, so they are answered with the union of all tenants' origins, methods"
        " and headers (the answer itself with the tenant's own); without `headers` any header is allowed",
        _cors,
    ),
    Row("access", f"approximate: {BODY}; a token is looked at before the address", _access),
    Row(
        "jwt",
        "approximate: no leeway at `exp`, and a token without `exp` or `kid` is refused; a key without `alg` is taken"
        " for one algorithm (RS256); shared secrets verify nothing; what Kong's `jwt` finds has Kong's own body",
        _jwt,
    ),
    Row(
        "rate_limit",
        "approximate: fixed windows by the clock without `burst`; each node counts for itself, also if `global`;"
        " where a token is asked for, or something else is counted by, each route counts for itself; requests"
        f" without the header are counted by address; {BODY}",
        _rate_limit,
    ),
    Row("body_limit", f"approximate: {BODY}", _body_limit),
    Row("maintenance", EXACT, _maintenance),
    Row("required_headers", EXACT, _required_headers),
    Row("correlation_id", "approximate: refusals before a route is chosen carry none", _correlation_id),
    Row(
        "headers",
        "approximate: an empty value is no header, spaces around a value go, and `server` and `via` stay Kong's own",
        _headers,
    ),
    Row(
        "timeout",
        "approximate: `request` is the longest silence of the service, not the whole answer; `idle` likewise",
        elsewhere="services",
    ),
    Row(
        "retry",
        "approximate: Kong tries again when it cannot connect, and for GET and its like when time runs out, whatever"
        " `on` says; there is no `per_try_timeout`",
        elsewhere="services",
    ),
    Row("circuit_breaker", "unsupported: Kong has no such limits, so none is enforced", elsewhere="nobody"),
    Row(
        "outlier",
        "approximate: an endpoint is left out after so many failures and comes back when it can be connected to after"
        " `base_ejection`; there is no `interval` and no `max_ejection_percent`",
        elsewhere="services",
    ),
)
ROWS: Mapping[str, Row] = MappingProxyType({row.policy: row for row in _ROWS})
"""In the order in which what ends a request counts: `authz` before `maintenance`."""

BESIDE: Mapping[str, str] = MappingProxyType(
    {
        "Gateway.tenant": "approximate: hosts are compared letter by letter, as clients send them",
        "Route.match": "approximate: a route with conditions on headers goes before others, and their values know no"
        " case; one that demands a header's absence, or asks for `host`, is not served",
        "Route.rewrite": "approximate: `regex` is read by another engine (PCRE)",
        "Route.split": "approximate: services of a split share the protocol of the first",
        "Service.protocol": "approximate: `http2` is spoken to as HTTP/1.1",
        "Service.tls": "approximate: `sni` is the Host too; `ca_file` and `certificate` are not there, so Kong's own"
        " authorities count; with `grpc` nothing can be verified, so where that is asked for nobody gets through",
        "Service.circuit_breaker": "unsupported: Kong has no such limits, so none is enforced",
    }
)
"""The same for what is no policy."""


@lru_cache(maxsize=65536)
def effect(policy: str, value: Any, place: Place) -> Effect:
    """What a policy comes to; once for all tenants that say the same."""
    return ROWS[policy].effect(value, place)
