"""One tenant's translation as JSON, for tests that look into it."""

from typing import Any

from worlds import Json, World, gateway, route, service, tenant, world

from xds import messages, translate

CORS = "envoy.filters.http.cors"
RBAC = "envoy.filters.http.rbac"
LOCAL_RATE_LIMIT = "envoy.filters.http.local_ratelimit"
BUFFER = "envoy.filters.http.buffer"


def small(*more: Json, on_gateway: Json | None = None, **tenant_fields: Any) -> World:
    """A gateway, a service `orders`, a route `orders`, the tenant `acme` with these fields, and `more` documents."""
    return world([gateway(**(on_gateway or {})), service(), route(), *more, tenant(**tenant_fields)])


def table(documents: World, name: str = "acme") -> Json:
    """The tenant's route table."""
    (found,) = (one for one in translate.tenant(documents.view(name))[0] if one.kind == "RDS")
    return messages.to_dict(found.message)


def host(documents: World, name: str = "acme") -> Json:
    """The one virtual host of the tenant's route table."""
    (only,) = table(documents, name)["virtual_hosts"]
    assert only["domains"] == ["*"]
    return dict(only)


def routes(documents: World, name: str = "acme") -> list[Json]:
    """The tenant's routes, in order."""
    return list(host(documents, name)["routes"])


def real(documents: World, route_id: str = "orders", name: str = "acme") -> Json:
    """The route of this id that sends requests on."""
    (found,) = (one for one in routes(documents, name) if one["name"] == route_id and not is_preflight(one))
    return found


def is_preflight(one: Json) -> bool:
    """Whether a route takes preflights alone."""
    return any(match["name"] == "access-control-request-method" for match in one["match"].get("headers", []))


def answers(documents: World, name: str = "acme") -> list[tuple[str, int]]:
    """(route, status) of those that answer by themselves, in order."""
    return [
        (one["name"], one["direct_response"]["status"]) for one in routes(documents, name) if "direct_response" in one
    ]
