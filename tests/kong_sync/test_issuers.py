"""Keys of issuers as credentials of Kong: which, under which name, over a rotation, and when a fetch fails."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import idps
import kong_worlds
import kongs
import planes
import pytest
import sidecars
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kong_double.double import Double
from kong_double.timers import Timers
from kong_sync.model import World
from kong_sync.translate import translate
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.limits import Limits
from tenants.keysets.source import Source
from xds.waiting import until

QUICK = Limits(floor=0.1, default=0.1, first_retry=0.1, last_retry=0.1, tick=0.02)
GATEWAY = kong_worlds.GATEWAY.replace("kong: true", "kong: true\nallow_local_endpoints: true")
PATH = "/api/orders/1"


def tenant(idp: idps.Idp, name: str = "acme", **more: object) -> str:
    jwt = {"issuer": idp.issuer, "jwks": {"uri": idp.uri}, **more}
    return "---\n" + json.dumps({"kind": "Tenant", "id": name, "policies": {"jwt": jwt}})


def world(idp: idps.Idp, *keys: dict[str, object], secrets: bool = False, **more: object) -> World:
    source = Source(idp.issuer, idp.uri, local=True, symmetric=secrets)
    return kong_worlds.world(GATEWAY + tenant(idp, **more), keys={source: json.dumps({"keys": keys})})


def credentials(told: World) -> dict[str, dict[str, object]]:
    """By kid."""
    rows = [dict(row) for key, row in translate(told).entities.items() if key[0] == "jwt_secrets"]
    found = {str(row["key"]): row for row in rows}
    assert len(found) == len(rows), "one credential a kid"
    return found


@asynccontextmanager
async def following(served: planes.Served, limits: Limits) -> AsyncIterator[Fetcher]:
    """The fetcher beside a control plane, as `gatecast.serve` puts it there."""
    fetcher = Fetcher(served.plane.keyed, limits=limits)
    served.plane.want = fetcher.want
    task = asyncio.create_task(fetcher.run())
    try:
        yield fetcher
    finally:
        task.cancel()
        await asyncio.wait({task})


def kids(kong: Double) -> set[str]:
    return {row["key"] for row in sidecars.rows(kong, "jwt_secrets")}


def status(kong: Double, token: str) -> int:
    return kongs.ask(kong, PATH, ("x-tenant-id", "acme"), kongs.bearer(token)).status


@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_is_a_credential_with_its_algorithm_and_the_same_key_as_pem(alg: str) -> None:
    idp = idps.Idp(alg=alg)
    made = idp.add()
    (row,) = credentials(world(idp, made.public())).values()
    assert (row["key"], row["algorithm"]) == (made.kid, alg)
    said = load_pem_public_key(str(row["rsa_public_key"]).encode())
    assert said == made.private.public_key()


def test_keys_for_encryption_shared_secrets_and_keys_without_a_name_are_no_credentials() -> None:
    idp = idps.Idp()
    good, other, nameless = idp.add().public(), idp.add().public(), idp.add().public()
    del nameless["kid"]
    secret = {"kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}
    told = world(idp, good, {**other, "use": "enc"}, nameless, secret)
    assert set(credentials(told)) == {good["kid"]}


def test_of_two_keys_with_one_name_one_is_a_credential_and_the_conflict_is_told() -> None:
    idp = idps.Idp()
    one, two = idp.add().public(), idp.add().public()
    told = world(idp, one, {**two, "kid": one["kid"]})
    assert set(credentials(told)) == {one["kid"]}
    assert [str(one["kid"]) in str(problem) for problem in translate(told).problems()] == [True]


def test_an_issuer_that_may_also_use_shared_secrets_has_the_credentials_of_its_public_keys() -> None:
    idp = idps.Idp()
    good = idp.add().public()
    assert set(credentials(world(idp, good, secrets=True, algorithms=["RS256", "HS256"]))) == {good["kid"]}


async def test_over_a_rotation_both_keys_are_good_and_the_old_one_goes_when_its_time_is_over() -> None:
    async with (
        idps.Idp() as idp,
        Double(timers=Timers(period=0.02)).serving() as kong,
        planes.plane(GATEWAY) as served,
        following(served, replace(QUICK, overlap=5.0)),  # seconds in which both are seen at work
        sidecars.sidecar(served, kong),
    ):
        await served.apply(tenant(idp))
        old = idp.token()
        await until(lambda: status(kong, old) == 200, "the first key", within=10)
        first = kids(kong)
        idp.rotate()
        new = idp.token()
        await until(lambda: status(kong, new) == 200, "the second key", within=10)
        assert first < kids(kong)
        assert (status(kong, old), status(kong, new)) == (200, 200)
        await until(lambda: not first & kids(kong), "the end of the overlap", within=20)
        assert len(kids(kong)) == 1
        await until(lambda: status(kong, old) == 401, "the end of the old tokens", within=10)
        assert status(kong, new) == 200


async def test_a_fetch_that_fails_deletes_nothing() -> None:
    async with (
        idps.Idp() as idp,
        Double(timers=Timers(period=0.02)).serving() as kong,
        planes.plane(GATEWAY) as served,
        following(served, QUICK) as fetcher,
        sidecars.sidecar(served, kong) as on,
    ):
        await served.apply(tenant(idp))
        await until(lambda: status(kong, idp.token()) == 200, "the keys", within=10)
        held = kids(kong)
        for wrong in ({"status": 500}, {"status": 200, "body": "nonsense"}, {"body": '{"keys": []}'}):
            for name, value in wrong.items():
                setattr(idp, name, value)
            before = fetcher.counts.fetches
            await until(lambda before=before: fetcher.counts.fetches >= before + 3, "fetches that fail", within=10)  # type: ignore[misc]
            await sidecars.applied(on, served)
            assert kids(kong) == held, wrong
        assert not [one for one in kong.calls if one.method == "DELETE" and "consumers" not in one.path]
        assert status(kong, idp.token()) == 200


async def test_both_gateways_have_the_keys_of_one_fetch() -> None:
    async with (
        idps.Idp() as idp,
        Double(timers=Timers(period=0.02)).serving() as kong,
        planes.plane(GATEWAY) as served,
        following(served, Limits()),
        sidecars.sidecar(served, kong),
    ):
        await served.apply(tenant(idp) + tenant(idp, "beta").replace("---", "\n---"))
        await until(lambda: len(kids(kong)) == 1, "the key in Kong", within=10)
        (kid,) = kids(kong)
        snapshot = served.plane.builder.snapshots["edge"]
        bodies = [one.body for one in snapshot.full("ECDS").resources]
        assert any(kid.encode() in body for body in bodies), "the key for Envoy"
        assert sum(idp.requests.values()) == 1
