"""Our own settings model on the wire, for gateways that are no Envoy: documents that tenants share, and what each
tenant's settings come to. `xds.builder` calls it; `kong_sync.model` reads what it says.

In no proxy's words, and without secrets: of certificates and keys documents have names only, and of key sets the public
ones go. A tenant's resource names what it needs of the shared ones, so that these are with a client before it.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from protos import settings_pb2
from tenants.documents import Document, Gateway
from tenants.effective import RouteView, TenantView, backends
from tenants.keysets.source import Source
from tenants.policies import Policies
from tenants.served import Served
from xds.translate.built import Built
from xds.translate.jwt import Provider

SHARED, TENANTS = "SHARED", "TENANTS"
"""Their rows in `xds.kinds`."""

_to_json = Policies.__pydantic_serializer__.to_json


def shared(served: Served, gateway: Gateway) -> Mapping[str, Document]:
    """The documents that all tenants of a gateway share, by the name of their resource; none where no Kong follows."""
    if not gateway.kong:
        return {}
    found: dict[str, Document] = {f"Gateway/{gateway.id}": gateway}
    found |= {f"Service/{name}": one for name, one in served.services.items()}
    found |= {f"Route/{name}": one for name, one in served.routes.items()}
    return found


def document(one: Document) -> Built:
    """A shared document as it was given."""
    message = settings_pb2.SharedDocument(kind=one.kind, id=one.id, json=_canonical(one.as_given()))
    return Built(SHARED, str(one.key), message)


def key_set(source: Source, text: str) -> Built:
    """The public keys of an issuer. `text`: a JWK set."""
    keys = [key for key in json.loads(text)["keys"] if key["kty"] != "oct"]
    body = _canonical({"issuer": source.issuer, "uri": source.uri, "keys": keys})
    message = settings_pb2.SharedDocument(kind="KeySet", id=source.name, json=body)
    return Built(SHARED, key_set_name(source), message)


def key_set_name(source: Source) -> str:
    """The resource of a key set."""
    return f"KeySet/{source.name}"


def tenant(view: TenantView, providers: frozenset[Provider]) -> tuple[Built, ...]:
    """What a tenant's settings come to. Nothing where no Kong follows, or for one that no request can name here."""
    one, gateway = view.tenant, view.gateway
    if not gateway.kong or (gateway.tenant.source == "host" and not one.hosts):
        return ()
    message = settings_pb2.TenantSettings(
        id=one.id,
        organisation=one.organisation or "",
        suspended=one.status == "suspended",
        hosts=sorted(one.hosts),
        policies=_to_json(view.policies, exclude_none=True).decode(),
        routes=_routes(view),
    )
    sources = frozenset(key_set_name(one.source) for one in providers if one.source)
    return (Built(TENANTS, one.id, message, _uses(gateway.id, _used(view)) | sources, owner=one.id),)


def _routes(view: TenantView) -> Iterator[settings_pb2.RouteSettings]:
    """Routes of which the same holds are said together."""
    together: dict[Any, list[RouteView]] = {}
    for route in view.routes:
        together.setdefault((id(route.policies), *_apart(view, route)), []).append(route)
    for (_policies, named, moved), found in together.items():
        first = found[0]
        yield settings_pb2.RouteSettings(
            routes=sorted(one.route.id for one in found),
            policies="" if first.policies is view.policies else _to_json(first.policies, exclude_none=True).decode(),
            named=named,
            shares=[settings_pb2.Share(service=one.service, weight=one.weight) for one in moved],
        )


def _apart(view: TenantView, route: RouteView) -> tuple[Any, ...]:
    """What the tenant says of this route alone: the policies it names, and services in place of the route's."""
    override = view.tenant.routes.get(route.route.id)
    if override is None:
        return (), ()
    moved = override.service or override.split
    return tuple(sorted(override.policies)), backends(route.route, override) if moved else ()


def _used(view: TenantView) -> tuple[str, ...]:
    """What its own bytes name. The service of a route is the route's: both come in one response."""
    moved = {one.service for route in view.routes for one in _apart(view, route)[1]}
    return tuple([f"Route/{one.route.id}" for one in view.routes] + [f"Service/{name}" for name in sorted(moved)])


@lru_cache(maxsize=4096)
def _uses(gateway: str, names: tuple[str, ...]) -> frozenset[str]:
    return frozenset((f"Gateway/{gateway}", *names))


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
