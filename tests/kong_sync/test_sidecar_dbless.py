"""The whole way to a Kong without a database: refusals by tenant, pushes of others, too large, guarded at the start."""

import asyncio
import json
from dataclasses import replace

import kong_worlds
import kongs
import planes
import pytest
import sidecars
from sidecars import TENANTS, limit, limits

from kong_double.double import Double
from kong_double.pages import Node
from kong_double.timers import Timers
from kong_double.wire import Request, Response, as_json
from kong_sync.database import Guard
from xds.waiting import until

MANY = "".join(limit(f"t{i:02}", 5 + i) for i in range(10))


class Picky(Double):
    """A Kong that refuses a limit of 13, as Kong refuses an entity of a whole configuration."""

    def admin(self, request: Request) -> Response:
        if request.method != "POST":
            return super().admin(request)
        rows = json.loads(json.loads(request.body)["config"]).get("plugins", ())
        bad = [one for one in rows if one["config"].get("minute") == 13]
        if not bad:
            return super().admin(request)
        errors = [{"type": "field", "field": "config.minute", "message": "thirteen brings bad luck"}]
        told = [
            {"entity_type": "plugin", "entity_name": one["name"], "entity_tags": one["tags"], "entity": one}
            | {"errors": errors, "entity_id": one["id"]}
            for one in bad
        ]
        said = {"code": 14, "name": "invalid declarative configuration", "message": "declarative config is invalid"}
        return as_json(400, {**said, "fields": {}, "flattened_errors": told})


@pytest.fixture
async def kong() -> Double:
    return replace(kongs.without_database(), clock=asyncio.get_running_loop().time)


async def test_a_tenant_that_kong_refuses_is_refused_by_name_and_the_others_are_in_force() -> None:
    kong = Picky(node=Node(dbless=True), timers=Timers(period=0.02))
    async with (
        kong.serving(),
        planes.plane(kong_worlds.GATEWAY + MANY) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        assert sorted(limits(kong)) == [f"t{i:02}" for i in range(10) if i != 8]
        (client,) = served.plane.hub.clients.values()
        said = client.of("TENANTS").error
        assert "tenant t08" in said
        assert "config.minute: thirteen brings bad luck" in said
        await served.apply(limit("t08", 4))
        await sidecars.applied(on, served)
        assert limits(kong)["t08"] == 4
        await served.apply(limit("t08", 13) + limit("t01", 99))
        await sidecars.applied(on, served)
        assert (limits(kong)["t08"], limits(kong)["t01"]) == (4, 99), "its last good one stays"


async def test_what_somebody_else_pushes_is_found_and_replaced(kong: Double) -> None:
    async with (
        kong.serving(),
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        text = "_format_version: '3.0'\nservices: [{name: theirs, host: theirs.test}]\n"
        assert kongs.call(kong, "POST", "/config", {"config": text}).status == 201
        assert limits(kong) == {}
        report = await sidecars.inner(on).reconcile(only_drift=True)
        assert report.drift == ("it has another configuration than ours",)
        assert limits(kong) == {"acme": 5}
        assert on.registry.get_sample_value("gatecast_kong_drift_total") == 1
        assert (await sidecars.inner(on).reconcile(only_drift=True)).drift == ()


async def test_a_push_that_is_too_large_is_refused_with_what_to_raise_and_kong_keeps_what_it_has(kong: Double) -> None:
    config = kong.api.pages["config"].__self__  # type: ignore[attr-defined]
    async with (
        kong.serving(),
        planes.plane(kong_worlds.GATEWAY + TENANTS) as served,
        sidecars.sidecar(served, kong) as on,
    ):
        await sidecars.applied(on, served)
        config.limit = 1000
        await served.apply(limit("acme", 6))
        await sidecars.applied(on, served)
        (client,) = served.plane.hub.clients.values()
        assert "nginx_admin_client_max_body_size" in client.of("TENANTS").error
        assert limits(kong) == {"acme": 5}
        assert kongs.ask(kong, "/api/orders", ("x-tenant-id", "acme")).status == 200
        config.limit = 10 << 20
        await served.apply(limit("acme", 7))
        await sidecars.applied(on, served)
        assert limits(kong) == {"acme": 7}


async def test_started_anew_before_an_emptied_control_plane_it_takes_nothing_away(kong: Double) -> None:
    async with kong.serving():
        async with planes.plane(kong_worlds.GATEWAY + MANY) as full, sidecars.sidecar(full, kong) as on:
            await sidecars.applied(on, full)
        held = limits(kong)
        assert len(held) == 10
        async with planes.plane(kong_worlds.GATEWAY) as empty, sidecars.sidecar(empty, kong) as on:
            await until(lambda: "nothing was changed" in (on.sidecar.problem if on.sidecar else ""), "the refusal")
            assert limits(kong) == held
            digest = sidecars.inner(on).problem.partition("--force ")[2].split()[0]
        guard = Guard(digest)
        async with planes.plane(kong_worlds.GATEWAY) as empty, sidecars.sidecar(empty, kong, guard=guard) as on:
            await until(lambda: limits(kong) == {}, "what was asked for by its digest")
            await sidecars.applied(on, empty)
