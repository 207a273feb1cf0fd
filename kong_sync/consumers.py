"""What of a tenant is its own: the consumer that Kong knows it by, and the limits that hang on it. Called by `parts`.

Where no token is asked for, a function names the consumer: by the header, of which the guard has made sure that there
is one value, or on a tenant's own route. There is no credential. The consumer's group is what `acl` asks for: without
it nobody gets in, and that is so at once. A limit of all routes together is the consumer's, one of a single route is
the consumer's on that route; the most specific one acts alone. Where a token is asked for, Kong knows whose key signed
it, and no more: there a limit is the route's (`plugins`).
"""

from collections.abc import Iterator
from functools import lru_cache

from kong_sync import lua
from kong_sync.classes import RouteClass
from kong_sync.effects import Place, Plugin
from kong_sync.effects import plugin as a_plugin
from kong_sync.model import TenantSettings
from kong_sync.names import Made, identity, name, plugin, ref, space, tags
from kong_sync.plugins import counted_by, limit_config
from tenants.policies import RateLimit

UNLIMITED = RateLimit(requests=1_000_000_000, per="second")
"""On a route where nothing is limited though the tenant is elsewhere: only a more specific row takes a limit away."""


@lru_cache(maxsize=4096)
def recognised(gateway: str, header: str, tenant: str) -> str:
    """The Lua that names the consumer: of this tenant, or of the one that the header names."""
    return lua.recognised(space(), f"{gateway}/consumers/", header, tenant)


@lru_cache(maxsize=64)
def served(gateway: str) -> Plugin:
    """The plugin that lets consumers of tenants in, and nobody else."""
    return a_plugin("acl", allow=[group(gateway)], deny=None, hide_groups_header=True)


def group(gateway: str) -> str:
    """The group of all tenants that are served."""
    return name(gateway, "tenants")


def general(tenant: TenantSettings) -> RateLimit | None:
    """The limit that all routes of a tenant share, if it is one that a consumer can have."""
    limit = tenant.policies.rate_limit
    return limit if limit is not None and limit.by == "tenant" else None


def own_limit(tenant: TenantSettings, limit: RateLimit | None, *, named: bool) -> RateLimit | None:
    """The limit that a route has for itself; None: what holds for all routes holds here."""
    shared = general(tenant)
    if limit is None:
        return UNLIMITED if shared else None
    return limit if named or limit != shared else None


def consumer_entities(gateway: str, tenant: TenantSettings, place: Place) -> Iterator[Made]:
    """Consumer, group and general limit."""
    tag = f"tenant:{tenant.id}"
    who = ref(gateway, "consumers", tenant.id)
    yield Made("consumers", {"id": who["id"], "username": tenant.id, "custom_id": None, "tags": tags(gateway, tag)})
    row = {"id": identity(gateway, "acls", tenant.id, group(gateway)), "group": group(gateway), "consumer": who}
    yield Made("acls", {**row, "tags": tags(gateway, tag)})
    limit = general(tenant)
    if limit is not None:
        config = limit_config(limit, *counted_by(limit, place))
        yield plugin(gateway, "rate-limiting", config, {"consumer": who}, f"~tenant.{tenant.id}", tag)


def limit_entity(gateway: str, tenant: str, one: RouteClass, limit: RateLimit, place: Place) -> Made:
    """A tenant's limit on one class route."""
    where = {"consumer": ref(gateway, "consumers", tenant), "route": ref(gateway, "routes", one.label)}
    config = limit_config(limit, *counted_by(limit, place))
    said = f"~tenant.{tenant}.{one.label}"
    return plugin(gateway, "rate-limiting", config, where, said, f"tenant:{tenant}")
