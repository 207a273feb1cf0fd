"""Tenants are added, changed, moved, rotated, suspended and deleted under load: nobody gets in without a token,
and nobody who may get in is turned away. On the double's data plane, with its two timers at several offsets: requests
are sent around each call to the Admin API and all through each wait.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import idps
import kong_gates
import kong_worlds
import kongs
import pytest
from kong_double.double import Double
from kong_double.faults import Fault
from kong_double.timers import Hand, Timers
from kong_double.transport import Direct
from kong_double.wire import Request, Response

from kong_sync.admin import Access, Admin, client
from kong_sync.database import Database
from kong_sync.executor import Executor
from kong_sync.gauges import Gauges
from kong_sync.model import World
from kong_sync.translate import Desired, translate
from tenants.keysets.source import Source

PATH = "/api/orders/1"
NAME = "x-tenant-id"
DOCUMENTS = kong_gates.SERVICES.format(gateway="", orders="10.0.0.1:80", other="10.0.0.2:80")
Headers = tuple[tuple[str, str], ...]
OFFSETS = [(0.5, 4.5), (4.5, 0.5), (2.0, 2.3)]


@dataclass(eq=False)
class Watched(Double):
    """A Kong that is asked all the time. `open`: who must get in; `shut`: who must not; `asked` counts requests."""

    open: list[Headers] = field(default_factory=list)
    shut: list[Headers] = field(default_factory=list)
    asked: int = 0

    def carry_out(self, request: Request, fault: Fault) -> Response | None:
        self.watch(f"before {request.method} {request.target}")
        told = super().carry_out(request, fault)
        self.watch(f"after {request.method} {request.target}")
        return told

    def watch(self, when: str) -> None:
        for headers in self.open:
            status = kongs.ask(self, PATH, *headers).status
            assert status == 200, f"{headers[0][1]} was turned away with {status} {when}"
        for headers in self.shut:
            status = kongs.ask(self, PATH, *headers).status
            assert status != 200, f"{headers[0][1]} was let in without a token {when}"
        self.asked += len(self.open) + len(self.shut)

    async def pass_time(self, seconds: float) -> None:
        steps = max(1, int(seconds / 0.45))
        for _ in range(steps):
            kongs.move(self, seconds / steps)
            self.watch("in a wait")


def tenant(name: str, provider: idps.Idp, service: str = "", *, suspended: bool = False, requests: int = 10**6) -> str:
    jwt = {"issuer": provider.issuer, "jwks": {"uri": provider.uri}}
    limit = {"requests": requests, "per": "minute"}
    routes = {"routes": {"orders": {"service": service}}} if service else {}
    said = {
        "kind": "Tenant",
        "id": name,
        "policies": {"jwt": jwt, "rate_limit": limit},
        "status": "suspended" if suspended else "active",
        **routes,
    }
    return json.dumps(said)


def world(provider: idps.Idp, *tenants: str) -> World:
    keys = {Source(provider.issuer, provider.uri, local=True): json.dumps(provider.jwks())}
    return kong_worlds.world(DOCUMENTS, *tenants, keys=keys)


class Stage:
    """A sidecar's writer on a watched Kong: one world after the other."""

    def __init__(self, kong: Watched, database: Database) -> None:
        self.kong, self._database = kong, database
        self._desired: Desired | None = None

    async def go(self, told: World, open: Iterable[Headers], shut: Iterable[Headers]) -> None:
        """Bring Kong there, under load, and see it in effect."""
        self.kong.open, self.kong.shut = list(open), list(shut)
        desired = translate(told, self._desired)
        assert await self._database.bring(desired, desired.changed if self._desired else None) == ()
        await self._database.settle()
        await self.kong.pass_time(11.0)
        self._desired = desired


@pytest.mark.parametrize("offsets", OFFSETS)
async def test_nobody_slips_in_and_nobody_is_turned_away_whatever_changes(offsets: tuple[float, float]) -> None:
    hand = Hand(float(int(time.time())))
    timers = Timers(period=5.0, router=offsets[0], plugins=offsets[1])
    kong = Watched(timers=timers, clock=hand, wall=hand)
    idp, other = idps.Idp(name="main"), idps.Idp(name="other", path="/other")
    old = idp.add()
    other.add()
    long = 10**6

    def knows(name: str, key: idps.Key | None = None) -> Headers:
        return (NAME, name), ("authorization", f"Bearer {idp.token(key or old, expires_in=long)}")

    def bare(name: str) -> Headers:
        return ((NAME, name),)

    foreign = ("authorization", f"Bearer {other.token(expires_in=long)}")
    strangers = [bare(name) for name in ("acme", "beta", "gamma", "nobody")]
    strangers += [(*bare(name), foreign) for name in ("acme", "beta", "gamma")]
    acme, beta, gamma = tenant("acme", idp), tenant("beta", idp), tenant("gamma", idp)
    async with client(Access("http://kong.test"), Direct(kong)) as http:
        admin = Admin(http, sleep=kong.pass_time)
        executor = Executor(admin, lambda: timers.wait + 0.5, Gauges(), clock=hand, sleep=kong.pass_time)
        stage = Stage(kong, Database(admin, "edge", executor, Gauges()))
        await stage.go(world(idp, acme, beta), [], strangers)
        both = [knows("acme"), knows("beta")]
        await stage.go(world(idp, acme, beta, gamma), both, strangers)  # add
        three = [*both, knows("gamma")]
        changed = tenant("acme", idp, requests=10**5)
        await stage.go(world(idp, changed, beta, gamma), three, strangers)  # change
        moved = tenant("beta", idp, "other")
        await stage.go(world(idp, changed, moved, gamma), three, strangers)  # move
        new = idp.add()
        await stage.go(world(idp, changed, moved, gamma), three, strangers)  # rotate: both keys
        fresh = [knows(name, new) for name in ("acme", "beta", "gamma")]
        idp.keys.remove(old)
        await stage.go(world(idp, changed, moved, gamma), fresh, strangers)  # the old key ends
        stays = fresh[:2]
        stopped = tenant("gamma", idp, suspended=True)
        await stage.go(world(idp, changed, moved, stopped), stays, strangers)  # suspend
        kong.shut.append(fresh[2])
        kong.watch("while suspended")
        await stage.go(world(idp, changed, moved, gamma), stays, strangers)  # resume
        kong.open.append(fresh[2])
        kong.watch("when resumed")
        await stage.go(world(idp, changed, moved), stays, strangers)  # delete
        kong.shut.append(fresh[2])
        kong.watch("when deleted")
    assert kong.asked > 3000
