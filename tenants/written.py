"""The request headers that a document writes for services: `headers`, and the claims of `jwt`. Asked by `checks`."""

from collections.abc import Iterator
from typing import Any

from immutables import Map

from tenants.documents import Document, Tenant
from tenants.faults import Loc

_NONE: Map[str, Any] = Map()


def written(document: Document) -> Iterator[tuple[str, Loc]]:
    """Each header, in lower case, with the field that writes it."""
    policies: Map[str, Any] = getattr(document, "policies", _NONE)
    yield from _written(policies, ("policies",))
    if isinstance(document, Tenant):
        for name in sorted(document.routes):
            yield from _written(document.routes[name].policies, ("routes", name, "policies"))


def _written(policies: Map[str, Any], at: Loc) -> Iterator[tuple[str, Loc]]:
    for action in ("set", "add"):
        where = ("headers", "request", action)
        said = _inside(policies, *where)
        yield from ((name.lower(), (*at, *where, name)) for name in sorted(said) if said[name] is not None)
    claims = _inside(policies, "jwt", "forward_claims")
    yield from (
        (claims[claim].lower(), (*at, "jwt", "forward_claims", claim)) for claim in sorted(claims) if claims[claim]
    )


def _inside(value: Any, *names: str) -> Map[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, Map) else None
    return value if isinstance(value, Map) else _NONE
