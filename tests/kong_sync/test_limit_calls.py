"""What the change of one tenant's limit costs: calls to the Admin API, in each way of knowing a tenant.

Without a token the limit is the consumer's: one call, whatever the routes. Behind a token Kong knows a key and no
tenant when it counts, so the limit is the route's: a tenant that leaves a class of others moves, and from then on each
change is one call for each route. The lease is one more call (`test_sidecar`).
"""

import json
from typing import Any

import idps
import kong_worlds
import kongs
import pytest

from kong_double.transport import Direct
from kong_sync.admin import Access, Admin, client
from kong_sync.database import Database
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.model import World
from kong_sync.translate import Desired, translate
from tenants.keysets.source import Source

GATEWAY = """
kind: Gateway
id: edge
kong: true
listeners: [{{name: public, port: 8080}}]
tenant: {selector}
policies: {policies}
---
kind: Service
id: orders
endpoints: ["10.0.0.1:80"]
---
kind: Route
id: orders
match: {{prefix: /api/orders}}
service: orders
---
kind: Route
id: bills
match: {{prefix: /api/bills}}
service: orders
"""
SELECTORS = {"header": "{from: header, name: x-tenant-id}", "host": "{from: host}", "claim": "{from: claim, name: t}"}
ROUTES = 3
"""The two, and the one for all that no route takes."""
FIRST = 8 * ROUTES
"""Each is made, with four or five plugins, it is opened, and the old one loses the tenant."""


@pytest.fixture(scope="module")
def idp() -> idps.Idp:
    made = idps.Idp(name="main")
    made.add()
    return made


def world(idp: idps.Idp, source: str, token: bool, **limits: int) -> World:
    jwt = {"issuer": idp.issuer, "jwks": {"uri": idp.uri}}
    said = GATEWAY.format(selector=SELECTORS[source], policies=json.dumps({"jwt": jwt} if token else {}))
    keys = {Source(idp.issuer, idp.uri, local=True): json.dumps(idp.jwks())}
    return kong_worlds.world(said, *(_tenant(name, limits[name]) for name in limits), keys=keys if token else None)


def _tenant(name: str, requests: int) -> str:
    said: dict[str, Any] = {"kind": "Tenant", "id": name, "hosts": [f"{name}.example.com"]}
    return json.dumps({**said, "policies": {"rate_limit": {"requests": requests, "per": "minute"}}})


class Counted:
    """A Kong that is brought to one world after the other."""

    def __init__(self, admin: Admin, kong: Any) -> None:
        executor = Executor(admin, lambda: 0.0, Gauges())
        self._kong, self._database = kong, Database(admin, "edge", executor, Gauges())
        self._desired: Desired | None = None

    async def calls(self, told: World) -> list[str]:
        """The calls that this world costs."""
        before = len(self._kong.calls)
        desired = translate(told, self._desired)
        assert await self._database.bring(desired, desired.changed if self._desired else None) == ()
        self._desired = desired
        return [f"{one.method} {one.path}" for one in self._kong.calls[before:]]


@pytest.mark.parametrize(
    ("source", "token", "most"),
    [
        ("header", False, (1, 1, 1)),
        ("host", False, (1, 1, 1)),
        ("host", True, (ROUTES, ROUTES, ROUTES)),
        ("header", True, (FIRST, ROUTES, ROUTES)),
        ("claim", True, (FIRST, ROUTES, ROUTES)),
    ],
)
async def test_a_changed_limit_costs_these_calls(
    idp: idps.Idp, source: str, token: bool, most: tuple[int, ...]
) -> None:
    kong = kongs.standing()
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        counted = Counted(Admin(http), kong)
        await counted.calls(world(idp, source, token, acme=5, beta=5, gamma=5))
        for number, bound in zip((6, 7, 8), most, strict=True):
            calls = await counted.calls(world(idp, source, token, acme=number, beta=5, gamma=5))
            assert 0 < len(calls) <= bound, calls
            assert not [one for one in calls if one.startswith("GET")], calls
        assert len(await counted.calls(world(idp, source, token, acme=8, beta=5, gamma=5))) == 0


async def test_a_tenant_that_comes_to_the_settings_of_another_shares_its_routes(idp: idps.Idp) -> None:
    alone = translate(world(idp, "header", True, acme=5, beta=6))
    names = {row["name"] for (kind, _id), row in alone.entities.items() if kind == "routes"}
    assert {one.rpartition(".")[2] for one in names if "orders" in one} == {"~acme", "~beta"}
    shared = translate(world(idp, "header", True, acme=6, beta=6), alone)
    (route,) = (row for (kind, _id), row in shared.entities.items() if kind == "routes" and "orders" in row["name"])
    assert route["headers"] == {"x-tenant-id": ["acme", "beta"]}
    assert shared.entities == translate(world(idp, "header", True, acme=6, beta=6)).entities
    again = translate(world(idp, "header", True, acme=5, beta=6), shared)
    assert again.entities == alone.entities
    swapped = translate(world(idp, "header", True, acme=6, beta=5), again)
    assert swapped.entities == translate(world(idp, "header", True, acme=6, beta=5)).entities
