"""Tenants are added, changed, moved, rotated, suspended, resumed and deleted under load, in each way of knowing them:
nobody gets in who must not, and nobody who may get in is turned away (`kong_stages`).
"""

import json
from dataclasses import dataclass, field
from typing import Any

import idps
import kong_gates
import kong_stages
import kong_worlds
import pytest
from kong_stages import Asked

from kong_sync.model import World
from tenants.keysets.source import Source

SELECTORS = {
    "header": "{from: header, name: x-tenant-id}",
    "host": "{from: host}",
    "claim": "{from: claim, name: tenant}",
}
LONG = 10**6
Lines = tuple[tuple[str, str], ...]


def provider(name: str) -> idps.Idp:
    made = idps.Idp(name=name, path=f"/{name}")
    made.add()
    return made


@dataclass
class Scene:
    """A gateway in one way of knowing tenants. `token`: whether it asks for one."""

    source: str
    token: bool
    idp: idps.Idp = field(default_factory=lambda: provider("main"))
    other: idps.Idp = field(default_factory=lambda: provider("other"))

    def world(self, **tenants: dict[str, Any]) -> World:
        """Each tenant with what it says beside its limit."""
        jwt = {"jwt": {"issuer": self.idp.issuer, "jwks": {"uri": self.idp.uri}}}
        general = json.dumps(jwt if self.token else {})
        gateway = f"tenant: {SELECTORS[self.source]}\npolicies: {general}"
        edge = kong_gates.SERVICES.format(gateway=gateway, orders="10.0.0.1:80", other="10.0.0.2:80")
        keys = {Source(self.idp.issuer, self.idp.uri, local=True): json.dumps(self.idp.jwks())} if self.token else None
        return kong_worlds.world(edge, *(_tenant(name, **more) for name, more in tenants.items()), keys=keys)

    def knows(self, name: str, key: idps.Key | None = None) -> Asked:
        """A request of a tenant, by a token that this key signed."""
        token = self.idp.token(key or self.idp.keys[0], expires_in=LONG, tenant=name) if self.token else ""
        return self._asked(name, token, name)

    def strangers(self, *names: str) -> list[Asked]:
        """Who must not get in as these: without a token, with one of somebody else; and a tenant that is not there."""
        found = [self._asked("nobody", self.idp.token(expires_in=LONG, tenant="nobody"), "nobody")]
        for name in names if self.token else ():
            found.append(self._asked(name, "", f"{name} without a token"))
            foreign = self.other.token(expires_in=LONG, tenant=name)
            found.append(self._asked(name, foreign, f"{name} with a foreign token"))
        return found

    def _asked(self, name: str, token: str, told: str) -> Asked:
        named: Lines = (("x-tenant-id", name),) if self.source == "header" else ()
        shown: Lines = (("authorization", f"Bearer {token}"),) if token else ()
        return Asked(told, named + shown, f"{name}.example.com" if self.source == "host" else "gw.test")


def _tenant(name: str, *, service: str = "", suspended: bool = False, requests: int = LONG) -> str:
    said = {
        "kind": "Tenant",
        "id": name,
        "hosts": [f"{name}.example.com"],
        "policies": {"rate_limit": {"requests": requests, "per": "minute"}},
        "status": "suspended" if suspended else "active",
        **({"routes": {"orders": {"service": service}}} if service else {}),
    }
    return json.dumps(said)


@pytest.mark.parametrize(
    ("source", "token", "offsets"),
    [
        ("header", True, (0.5, 4.5)),
        ("header", True, (4.5, 0.5)),
        ("header", False, (2.0, 2.3)),
        ("host", True, (0.5, 4.5)),
        ("host", False, (4.5, 0.5)),
        ("claim", True, (4.5, 0.5)),
    ],
)
async def test_nobody_slips_in_and_nobody_is_turned_away_whatever_changes(
    source: str, token: bool, offsets: tuple[float, float]
) -> None:
    scene, kong = Scene(source, token), kong_stages.watched(offsets)
    strangers = scene.strangers("acme", "beta", "gamma")
    plain: dict[str, Any] = {}
    async with kong_stages.stage(kong) as stage:
        await stage.go(scene.world(acme=plain, beta=plain), shut=strangers)
        acme, beta, gamma = (scene.knows(name) for name in ("acme", "beta", "gamma"))
        await stage.go(scene.world(acme=plain, beta=plain, gamma=plain), (acme, beta), strangers)  # add
        changed = {"requests": LONG // 10}
        every = (acme, beta, gamma)
        await stage.go(scene.world(acme=changed, beta=plain, gamma=plain), every, strangers)  # change
        moved = {"service": "other"}
        await stage.go(scene.world(acme=changed, beta=moved, gamma=plain), every, strangers)  # move
        if token:
            fresh = scene.idp.add()
            await stage.go(scene.world(acme=changed, beta=moved, gamma=plain), every, strangers)  # rotate: both keys
            acme, beta, gamma = every = tuple(scene.knows(name, fresh) for name in ("acme", "beta", "gamma"))
            scene.idp.keys.remove(scene.idp.keys[0])
            await stage.go(scene.world(acme=changed, beta=moved, gamma=plain), every, strangers)  # the old key ends
        stopped = {"suspended": True}
        await stage.go(scene.world(acme=changed, beta=moved, gamma=stopped), (acme, beta), strangers)  # suspend
        assert gamma.status(kong) != 200
        await stage.go(scene.world(acme=changed, beta=moved, gamma=plain), (acme, beta), strangers)  # resume
        assert gamma.status(kong) == 200
        await stage.go(scene.world(acme=changed, beta=moved), (acme, beta), strangers)  # delete
        assert gamma.status(kong) != 200
    assert kong.wrong == []
    assert kong.asked > 300
