"""`parity: exact`: who demands it for a tenant, and which policies in force there are not as they are written.

How exactly proxies do what a policy says is not known on this floor: whoever makes a catalog tells it (`Exactness`).
A rule of `tenants.checks` calls this.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tenants.documents import Document, Gateway, Tenant
from tenants.effective import TenantView, view
from tenants.faults import Fault, Loc
from tenants.policies import POLICIES, Policies
from tenants.served import Served

Exactness = Callable[[str, Any, Gateway], str]
"""In words, how a policy's value is enforced on a gateway; "" if exactly."""

_HINT = "another value, or leave `parity` out where it is demanded"


def exact(_policy: str, _value: Any, _gateway: Gateway) -> str:
    """Where nobody says otherwise."""
    return ""


def demands(now: Served, gateway: Gateway, tenant: Tenant) -> tuple[Document, ...]:
    """The documents that demand it of this tenant on this gateway, those that do so for all of its routes first."""
    organisation = now.organisations.get(tenant.organisation or "")
    whole = (one for one in (gateway, organisation, tenant) if one is not None and one.parity)
    return (*whole, *(one for one in now.routes.values() if one.parity))


def unmet(now: Served, gateway: Gateway, tenant: Tenant, exactness: Exactness) -> Iterator[Fault]:
    """What of the tenant's policies is not exact where that is demanded."""
    found = demands(now, gateway, tenant)
    for who, route, policies in _places(view(now, gateway, tenant), found[0]) if found else ():
        for name in POLICIES:
            value = getattr(policies, name)
            if value is not None and (how := exactness(name, value, gateway)):
                text = f"`{name}` on gateway {gateway.id!r} is {how}; {who.key} demands `parity: exact`"
                yield Fault("GC303", _said_at(tenant, route, name), text, _HINT)


def _places(seen: TenantView, first: Document) -> Iterator[tuple[Document, str, Policies]]:
    """Who demands it first, with the route ("": where none matches) and what holds there."""
    if first.kind != "Route":
        yield first, "", seen.policies
    for one in seen.routes:
        if first.kind != "Route" or one.route.parity:
            yield (one.route if first.kind == "Route" else first), one.route.id, one.policies


def _said_at(tenant: Tenant, route: str, name: str) -> Loc:
    """The field of the Tenant document that is to blame: it says so, or inherits it."""
    override = tenant.routes.get(route)
    if override is not None and name in override.policies:
        return ("routes", route, "policies", name)
    if name in tenant.policies:
        return ("policies", name)
    if tenant.parity:
        return ("parity",)
    return ("organisation",) if tenant.organisation else ()
