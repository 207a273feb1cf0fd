"""What documents ask for that Envoy cannot be told, or not as they say: said aloud.

`gatecast check` and the server's problem list call `unsupported`.
"""

from collections.abc import Iterator

from tenants.effective import TenantView
from tenants.errors import Problem
from xds.translate.filters import ROWS, all_supported
from xds.translate.jwt import claimed, provider, same_tokens

CODE, OTHER_ISSUER = "GC301", "GC302"
_HINT = "take it out, or serve this tenant where it is enforced"
_ASKED = tuple((name, row) for name, row in ROWS.items() if row.unsupported is not all_supported)


def unsupported(view: TenantView) -> tuple[Problem, ...]:
    """What of this tenant's settings Envoy is not told, each named once with the document that says it."""
    found = dict.fromkeys((*_of_claims(view), *_of_routes(view)))
    return tuple(found)


def _of_claims(view: TenantView) -> Iterator[Problem]:
    """Where the gateway's token says who the tenant is, no other token can be asked for."""
    for needed in claimed(view.gateway):
        for route in view.routes:
            policy = route.policies.jwt
            if policy is None or same_tokens(provider(policy, view.gateway.allow_local_endpoints), needed):
                continue
            kind, key, path = _said_by(view, route.route.id, "jwt")
            if kind == "Gateway":  # which is what all others are measured by
                kind, key = "Organisation", view.tenant.organisation or ""
            text = f"gateway {view.gateway.id!r} knows tenants by tokens of {needed.issuer!r}: no other gets in"
            hint = "the issuer and the keys of the gateway's `jwt`"
            yield Problem(OTHER_ISSUER, kind, key, path, text, hint, tenant=view.tenant.id if kind == "Tenant" else "")


def _of_routes(view: TenantView) -> Iterator[Problem]:
    seen: set[int] = set()  # most routes of a tenant have the very same policies, and say nothing of their own
    for route in view.routes:
        if id(route.policies) in seen and not route.route.policies and route.route.id not in view.tenant.routes:
            continue
        seen.add(id(route.policies))
        for name, row in _ASKED:
            value = getattr(route.policies, name)
            if value is None or not (why := row.unsupported(value, view.gateway)):
                continue
            kind, key, path = _said_by(view, route.route.id, name)
            hurt = view.tenant.id if kind == "Tenant" else ""
            yield Problem(CODE, kind, key, path, why, _HINT, tenant=hurt, severity="warning")


def _said_by(view: TenantView, route: str, name: str) -> tuple[str, str, str]:
    """Kind, id and path of the most specific document that speaks about a policy."""
    tenant = view.tenant
    override = tenant.routes.get(route)
    if override is not None and name in override.policies:
        return "Tenant", tenant.id, f"routes.{route}.policies.{name}"
    if name in tenant.policies:
        return "Tenant", tenant.id, f"policies.{name}"
    documents = {one.route.id: one.route for one in view.routes}
    if name in documents[route].policies:
        return "Route", route, f"policies.{name}"
    if name in view.gateway.policies or tenant.organisation is None:
        return "Gateway", view.gateway.id, f"policies.{name}"
    return "Organisation", tenant.organisation, f"policies.{name}"
