"""What of a tenant is its own: the consumer that Kong knows it by, and the limits that hang on it. Called by `parts`.

Where the tenant comes from a header and no token is asked for, `key-auth` finds the consumer by that very header; the
guard has made sure that there is one value. A limit of all routes together is the consumer's, one of a single route is
the consumer's on that route; the most specific one acts alone.
"""

from collections.abc import Iterator

from kong_sync.classes import RouteClass
from kong_sync.effects import Place, Plugin
from kong_sync.effects import plugin as a_plugin
from kong_sync.model import TenantSettings
from kong_sync.names import Made, identity, plugin, ref, tags
from kong_sync.plugins import counted_by, limit_config
from tenants.policies import RateLimit

UNLIMITED = RateLimit(requests=1_000_000_000, per="second")
"""On a route where nothing is limited though the tenant is elsewhere: only a more specific row takes a limit away."""


def recognised(header: str) -> Plugin:
    """The plugin that finds the consumer."""
    return a_plugin(
        "key-auth",
        key_names=[header],
        key_in_header=True,
        key_in_query=False,
        key_in_body=False,
        hide_credentials=False,
        run_on_preflight=True,
        anonymous=None,
    )


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
    """Consumer, key and general limit."""
    tag = f"tenant:{tenant.id}"
    who = ref(gateway, "consumers", tenant.id)
    yield Made("consumers", {"id": who["id"], "username": tenant.id, "custom_id": None, "tags": tags(gateway, tag)})
    key = {"id": identity(gateway, "keyauth_credentials", tenant.id), "key": tenant.id, "consumer": who}
    yield Made("keyauth_credentials", {**key, "tags": tags(gateway, tag)})
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
