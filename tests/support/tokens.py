"""Tokens and key sets for tests by traffic: what documents say of an `idps.Idp`, and what the plane knows of its keys.

    await tokens.known(edge, idp)               # before `put`, so that the tenant's table finds the keys in place
    await edge.put(edges.tenant("acme", jwt=tokens.policy(idp, tenant_claim="tenant")))
    await edge.ask("acme", headers=tokens.bearer(idp.token(tenant="acme")))

The fetcher has tests of its own; here the keys come when a test says so.
"""

import json
from typing import Any

import edges
import idps

from tenants.keysets.keys import parse
from tenants.keysets.source import Source
from tenants.keysets.state import State

Json = dict[str, Any]


def policy(idp: idps.Idp, **more: Any) -> Json:
    """The policy `jwt` for this provider."""
    return {"issuer": idp.issuer, "jwks": {"uri": idp.uri}, **more}


def inline(idp: idps.Idp, **more: Any) -> Json:
    """The policy `jwt` with this provider's keys in the document."""
    return {"issuer": idp.issuer, "jwks": idp.jwks(), **more}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def known(edge: edges.Edge, *providers: idps.Idp) -> None:
    """The keys that these publish now are those in use."""
    sets = {one: State(parse(json.dumps(one.jwks()).encode())) for one in providers}
    await edge.served.plane.keyed({source: state for one, state in sets.items() for source in _sources(one)})


async def forgotten(edge: edges.Edge, *providers: idps.Idp) -> None:
    """The keys of these may not be used any more."""
    await edge.served.plane.keyed({source: State(stale=True) for one in providers for source in _sources(one)})


def _sources(idp: idps.Idp) -> tuple[Source, Source]:
    """By the address of the set, and by discovery."""
    return Source(idp.issuer, idp.uri, local=True), Source(idp.issuer, local=True)
