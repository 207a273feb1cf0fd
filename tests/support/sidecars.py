"""A sidecar between a real control plane and the double: `async with sidecars.sidecar(served, kong) as on:`.

It is the assembly of `gatecast kong`, in the test's own process; the double is reached over HTTP if it serves, else
directly. `wait`: what the sidecar takes for the time until a change is in effect.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import planes

from gatecast.addresses import Address
from gatecast.kong import Running, Told, running
from kong_double.double import Double
from kong_double.transport import Direct
from kong_sync.admin import Access
from kong_sync.entities import KINDS
from kong_sync.runner import Pace
from kong_sync.sidecar import Sidecar
from xds.client import Backoff
from xds.waiting import until

ANY = Address("127.0.0.1", 0)
QUICK = Backoff(0.01, 0.05)


def told(served: planes.Served, kong: Double, **more: Any) -> Told:
    """What a sidecar of a test is told; `more` are fields of `Told`."""
    url = kong.admin_url if kong.admin_server.port else "http://kong.test"
    made: dict[str, Any] = {
        "access": Access(url), "xds": f"127.0.0.1:{served.port}", "gateway": "edge", "node": "kong-1", "listen": ANY,
        "backoff": QUICK, "wait": 0.0, "pace": Pace(look=600.0, lease=1.0, soon=0.05),
    }  # fmt: skip
    return Told(**{**made, **more})


@asynccontextmanager
async def sidecar(
    served: planes.Served, kong: Double, clocks: tuple[Any, Any] | None = None, **more: Any
) -> AsyncIterator[Running]:
    """A sidecar that follows; an error that ends it fails the test. `clocks`: a clock and a sleep, to be used."""
    transport: httpx.AsyncBaseTransport | None = None if kong.admin_server.port else Direct(kong)
    times: dict[str, Any] = {} if clocks is None else {"clock": clocks[0], "sleep": clocks[1]}
    async with running(told(served, kong, **more), transport=transport, **times) as (on, work):
        yield on
    work.result()


def inner(on: Running) -> Sidecar:
    """The sidecar, which is there when Kong has answered."""
    assert on.sidecar is not None
    return on.sidecar


async def applied(on: Running, served: planes.Served) -> None:
    """Wait until the newest settings are acknowledged or refused by this sidecar."""

    def done() -> bool:
        clients = [one for one in served.plane.hub.clients.values() if one.node.id == "kong-1"]
        newest = served.plane.builder.snapshots.get("edge")
        if any(one.machine.snapshot is not newest for one in clients):
            return False
        interests = [one.machine.interests[kind] for one in clients for kind in ("SHARED", "TENANTS")]
        return (
            bool(interests)
            and not on.unready
            and all(i.started and i.sent is None and not i.pending for i in interests)
        )

    await until(done, "the newest settings at the sidecar", within=20)


def rows(kong: Double, kind: str) -> list[dict[str, Any]]:
    """What the double holds of a kind, without leases."""
    found = [dict(one) for one in kong.store.all(KINDS[kind].name)]
    return [one for one in found if "lease" not in (one.get("tags") or ())]


def writes(kong: Double) -> list[tuple[str, str]]:
    """Calls that change something, but for those about the lease."""
    return [(one.method, one.path) for one in kong.calls if one.method != "GET" and "consumers" not in one.path]


def reads(kong: Double) -> list[str]:
    """Calls that only ask. The lease is renewed by the clock, with a PATCH, and so is in neither list."""
    return [one.path for one in kong.calls if one.method == "GET"]


async def pause() -> None:
    """Let tasks run for a moment of the loop."""
    await asyncio.sleep(0)


BRISK = Pace(look=600.0, lease=0.05, soon=0.05)
"""The lease is extended often, so that what is wrong with it is found soon."""
TENANTS = """
---
kind: Tenant
id: acme
policies: {rate_limit: {requests: 5, per: minute}}
---
kind: Tenant
id: beta
"""


def limit(tenant: str, requests: int) -> str:
    """A tenant with a limit of its own."""
    return f"---\nkind: Tenant\nid: {tenant}\npolicies: {{rate_limit: {{requests: {requests}, per: minute}}}}\n"


def limits(kong: Double) -> dict[str, int]:
    """What each tenant's own limit is in Kong."""
    found = (one for one in rows(kong, "plugins") if one["name"] == "rate-limiting")
    tagged = (([tag for tag in one["tags"] if tag.startswith("tenant:")], one["config"]["minute"]) for one in found)
    return {tags[0].removeprefix("tenant:"): int(minute) for tags, minute in tagged if tags}


def names(kong: Double) -> list[str]:
    """The consumers in Kong."""
    return sorted(one["username"] for one in rows(kong, "consumers"))
