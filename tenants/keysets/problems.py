"""What is wrong with key sets, said of the documents that name them. Pure; called by `gatecast.plane`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from immutables import Map

from tenants.documents import Tenant
from tenants.errors import Problem
from tenants.keysets.source import Source
from tenants.keysets.state import State
from tenants.served import Served

CODE = "GC401"
_HINT = "see that the issuer answers; until then tokens that it signs cannot be checked and are answered 503"
_KEPT = "see that the issuer answers; its last good keys are used meanwhile"

Place = tuple[str, str, str]
"""Kind and id of a document, and the path of the field in it."""


def problems(
    served: Served, states: Mapping[Source, State], users: Mapping[Source, Iterable[tuple[str, str]]]
) -> Iterator[Problem]:
    """One for each document that names a key set which could not be fetched.

    `users`: (gateway, tenant) by source; the tenant is "" where the gateway itself checks tokens.
    """
    for source in sorted(states):
        state = states[source]
        if not state.problem:
            continue
        severity, hint = ("error", _HINT) if state.usable is None else ("warning", _KEPT)
        for kind, name, path in _places(served, source, users.get(source, ())):
            tenant = name if kind == "Tenant" else ""
            yield Problem(CODE, kind, name, path, state.problem, hint, tenant=tenant, severity=severity)


def _places(served: Served, source: Source, users: Iterable[tuple[str, str]]) -> list[Place]:
    """The fields that name the source, in the documents that its users inherit from."""
    found: dict[Place, None] = {}
    for gateway, name in sorted(users):
        for kind, key, path, policies in _said(served, gateway, served.tenants.get(name)):
            if names(policies.get("jwt"), source):
                found[kind, key, f"{path}.jwt"] = None
    return list(found)


def _said(served: Served, gateway: str, tenant: Tenant | None) -> Iterator[tuple[str, str, str, Map[str, Any]]]:
    """The policies of everybody who speaks about this tenant, with the path where they stand."""
    if above := served.gateways.get(gateway):
        yield "Gateway", above.id, "policies", above.policies
    if tenant is None:
        return
    if organisation := served.organisations.get(tenant.organisation or ""):
        yield "Organisation", organisation.id, "policies", organisation.policies
    for route in served.routes.values():
        yield "Route", route.id, "policies", route.policies
    yield "Tenant", tenant.id, "policies", tenant.policies
    for name in tenant.routes:
        yield "Tenant", tenant.id, f"routes.{name}.policies", tenant.routes[name].policies


def names(jwt: Any, source: Source) -> bool:
    """Whether a policy as given, perhaps in part, is where this source comes from."""
    if not isinstance(jwt, Map):
        return False
    jwks = jwt.get("jwks")
    uri = jwks.get("uri") if isinstance(jwks, Map) else None
    return uri == source.uri if source.uri and uri else jwt.get("issuer") == source.issuer
