"""A tenant that Kong refuses brought routes of its own along: they are taken back, and nobody else waits for that."""

import kong_worlds
import kongs
import planes
import sidecars
from sidecars import TENANTS, limits, names

from kong_double.double import Double
from kong_double.timers import Timers

ROUTES = "".join(
    f"---\nkind: Route\nid: r{n}\nmatch: {{prefix: /r{n}}}\nservice: orders\n" for n in range(4)
)  # fmt: skip
SETTINGS = kong_worlds.GATEWAY + ROUTES + TENANTS
TAKEN = """
---
kind: Tenant
id: taken
policies:
  timeout: {request: 7s}
  headers: {request: {set: {x-plan: gold}}}
"""


async def test_what_came_with_a_refused_tenant_goes_again_without_a_word_of_the_guard() -> None:
    kong = Double(timers=Timers(period=0.02))
    kongs.make(kong, "/consumers", username="taken")
    async with planes.plane(SETTINGS) as served, sidecars.sidecar(served, kong) as on:
        await sidecars.applied(on, served)
        before = {row["id"] for row in sidecars.rows(kong, "routes")}
        kong.calls.clear()
        await served.apply((SETTINGS + TAKEN).replace("requests: 5", "requests: 6"))
        await sidecars.applied(on, served)
        undone = [one for one in kong.calls if one.method == "DELETE"]
        assert len(undone) > 10, "more than a plan may delete, were they not new"
        assert {row["id"] for row in sidecars.rows(kong, "routes")} == before
        assert sidecars.inner(on).refused.keys() == {"taken"}
        assert "UNIQUE violation" in sidecars.inner(on).refused["taken"]
        assert limits(kong) == {"acme": 6}
        assert names(kong) == ["acme", "beta", "taken"]
        (client,) = [one for one in served.plane.hub.clients.values() if one.node.id == "kong-1"]
        assert "UNIQUE violation" in client.of("TENANTS").error
