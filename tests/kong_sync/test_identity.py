"""Who Kong takes a request for where no token is asked for: a consumer without any credential, so that nothing a client
sends makes it another, on our routes or on a route of somebody else in the same Kong.
"""

import itertools
import json

import kong_worlds
import kongs
import pytest

from kong_double.double import Double
from kong_sync.entities import KINDS
from kong_sync.names import identity, name
from kong_sync.translate import Desired, Options, translate

SELECTORS = {"header": "{from: header, name: x-tenant-id}", "host": "{from: host}"}
LIMIT = {"rate_limit": {"requests": 2, "per": "day"}}
PATH = "/api/orders/1"


def tenant(number: int, **policies: object) -> str:
    host = f"t{number}.example.com"
    return json.dumps({"kind": "Tenant", "id": f"t{number}", "hosts": [host], "policies": policies})


def made(source: str, *, alone: bool = False) -> Desired:
    edge = kong_worlds.GATEWAY.replace("listeners:", f"tenant: {SELECTORS[source]}\nlisteners:")
    world = kong_worlds.world(edge, tenant(1, **LIMIT), tenant(2, **LIMIT))
    return translate(world, options=Options(alone))


def guesses(desired: Desired) -> set[str]:
    """All that could be known of the entities from outside: names, ids, and what is made of them."""
    rows = [row for (kind, _id), row in desired.entities.items() if kind in ("consumers", "acls")]
    known = {str(row[field]) for row in rows for field in ("id", "username", "group") if row.get(field)}
    more = {identity("edge", kind, one) for kind in KINDS for one in ("t1", "t2")}
    return {"t1", "t2", "edge", name("edge", "t1"), *known, *more}


@pytest.fixture(params=SELECTORS)
def shared(request: pytest.FixtureRequest) -> tuple[Double, Desired]:
    """A Kong with our tenants, and a route of somebody else that asks for a key wherever one may be given."""
    desired = made(request.param)
    kong = kong_worlds.load(kongs.standing(), desired)
    service = kongs.make(kong, "/services", name="theirs", host="theirs.test")
    route = kongs.make(kong, f"/services/{service['id']}/routes", name="theirs", paths=["/theirs"])
    names = ["apikey", "x-tenant-id", "x-gatecast-key"]
    kongs.plugin(kong, f"/routes/{route['id']}", "key-auth", key_names=names, key_in_query=True, key_in_body=True)
    kong.restart()
    return kong, desired


def test_there_is_no_key_to_guess(shared: tuple[Double, Desired]) -> None:
    kong, desired = shared
    assert not [row for (kind, _id), row in desired.entities.items() if kind in ("keyauth_credentials", "jwt_secrets")]
    for guess, field in itertools.product(sorted(guesses(desired)), ("apikey", "x-tenant-id", "x-gatecast-key")):
        body = json.dumps({field: guess}).encode()
        asked = [
            kongs.ask(kong, "/theirs", (field, guess)),
            kongs.ask(kong, f"/theirs?{field}={guess}"),
            kongs.ask(kong, "/theirs", ("cookie", f"{field}={guess}")),
            kongs.ask(kong, "/theirs", ("content-type", "application/json"), method="POST", body=body),
        ]
        assert {one.status for one in asked} == {401}, (field, guess)


def test_what_a_client_says_of_consumers_makes_it_nobody_else(shared: tuple[Double, Desired]) -> None:
    """The first tenant uses its two requests up, whatever it says; the second still has its own."""
    kong, desired = shared
    by_header = any(row["headers"] for (kind, _id), row in desired.entities.items() if kind == "routes")
    first = (("x-tenant-id", "t1"),) if by_header else ()
    second = (("x-tenant-id", "t2"),) if by_header else ()
    fields = ("x-consumer-id", "x-consumer-username", "x-consumer-custom-id", "x-consumer-groups", "apikey")
    said = [(field, guess) for field in fields for guess in sorted(guesses(desired))]
    answers = [kongs.ask(kong, PATH, *first, one, host="t1.example.com") for one in said]
    assert [one.status for one in answers[:2]] == [200, 200]
    assert {one.status for one in answers[2:]} == {429}
    sent = {header.lower() for header in answers[0].json()["headers"]}
    assert not sent & {*fields[:4], "x-credential-identifier", "x-anonymous-consumer"}
    assert kongs.ask(kong, PATH, *second, host="t2.example.com").status == 200


@pytest.mark.parametrize("source", SELECTORS)
def test_without_its_group_a_tenant_is_out_at_once(source: str) -> None:
    desired = made(source, alone=True)
    kong = kong_worlds.load(kongs.standing(), desired)
    (group,) = (id_ for (kind, id_), row in desired.entities.items() if kind == "acls" and "tenant:t1" in row["tags"])
    headers = [("x-tenant-id", "t1")] if source == "header" else []
    assert kongs.ask(kong, PATH, *headers, host="t1.example.com").status == 200
    kongs.drop(kong, f"/acls/{group}")
    assert kongs.ask(kong, PATH, *headers, host="t1.example.com").status == 403


@pytest.mark.parametrize("text", ["t1", "a", "x" * 63, "0-9"])
def test_the_function_comes_to_the_ids_that_consumers_have(text: str) -> None:
    edge = kong_worlds.GATEWAY.replace("listeners:", f"tenant: {SELECTORS['header']}\nlisteners:")
    desired = translate(kong_worlds.world(edge, json.dumps({"kind": "Tenant", "id": text})))
    kong = kong_worlds.load(kongs.standing(), desired)
    assert kongs.ask(kong, PATH, ("x-tenant-id", text)).status == 200
    (consumer,) = (row for (kind, _id), row in desired.entities.items() if kind == "consumers")
    assert consumer["id"] == identity("edge", "consumers", text)
