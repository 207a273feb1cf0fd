"""Worlds to entities: what they are, that the same world is the same bytes, and that a change is made of changes alone.

Run as a program this file prints what the test of fresh processes compares.
"""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import corpora
import kong_worlds
import kongs
import pytest
import yaml

from kong_sync.classes import parked
from kong_sync.entities import KINDS, Entity, tenant
from kong_sync.model import World
from kong_sync.names import canonical
from kong_sync.translate import Desired, Options, translate
from tenants.catalog import Touched
from xds.builder import Builder

ROOT = Path(__file__).parents[2]
PYTHONS = ("\\p", "(?i)")
"""What the double's patterns (Python's) cannot have, and Kong's can."""


def said(kind: str, name: str, **more: Any) -> str:
    return yaml.safe_dump({"kind": kind, "id": name, **more})


def worlds() -> list[World]:
    """Every policy with every odd value, in each way of naming a tenant."""
    found = []
    for one in corpora.all_worlds():
        gateway = one.gateway.model_copy(update={"kong": True})
        (snapshot,) = Builder().update(one.served.changed(gateway.key, gateway), Touched()).values()  # type: ignore[arg-type]
        found.append(kong_worlds.told(snapshot))
    return found


def printed(desired: Desired) -> list[str]:
    return [canonical([kind, entity]) for (kind, _id), entity in sorted(desired.entities.items())]


def of(desired: Desired, kind: str) -> list[Entity]:
    return [entity for (name, _id), entity in sorted(desired.entities.items()) if name == kind]


@pytest.fixture(scope="module")
def odd() -> list[World]:
    return worlds()


def test_fresh_processes_with_other_hash_seeds_make_the_same_bytes(odd: list[World]) -> None:
    here = [line for world in odd for line in printed(translate(world))]
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")))
    for seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == here
    assert len(here) > 1000


@pytest.mark.parametrize("number", range(3))
def test_kong_takes_all_that_documents_can_come_to(odd: list[World], number: int) -> None:
    kong, desired = kongs.standing(), translate(odd[number])
    for kind in KINDS.values():
        for row in of(desired, kind.name):
            if kind.name == "routes" and any(word in path for path in row["paths"] for word in PYTHONS):
                row = {**row, "paths": ["~/a$"]}
            under = f"/upstreams/{row['upstream']['id']}/targets" if kind.nested else f"/{kind.path}/{row['id']}"
            answer = kongs.call(kong, "POST" if kind.nested else "PUT", under, dict(row))
            assert answer.status in (200, 201), (kind.name, row, answer.body)


@pytest.mark.parametrize("number", range(3))
def test_every_entity_is_tagged_states_known_fields_and_refers_to_what_there_is(odd: list[World], number: int) -> None:
    desired = translate(odd[number])
    for (name, _id), entity in desired.entities.items():
        kind = KINDS[name]
        assert entity["tags"][:2] == ["gatecast", "gateway:edge"]
        assert entity.keys() - {"id"} <= set(kind.fields)
        for field, other in kind.foreign.items():
            if entity.get(field):
                assert (other, entity[field]["id"]) in desired.entities, (name, entity)
    names = Counter(entity.get("instance_name") or entity.get("name") for entity in of(desired, "plugins"))
    assert max(names.values()) == 1


TENANTS = [f"t{i}" for i in range(6)]
ROUTE = said("Route", "other", match={"prefix": "/other"}, service="orders")
CHOICES: list[dict[str, Any]] = [
    {},
    {"policies": {"rate_limit": {"requests": 5, "per": "minute"}}},
    {"policies": {"rate_limit": {"requests": 5, "per": "minute", "by": "client_ip"}}},
    {"policies": {"cors": {"origins": ["https://a.example"]}}},
    {"policies": {"cors": {"origins": ["https://b.example"]}, "timeout": {"request": "1s"}}},
    {"policies": {"jwt": {"issuer": "https://id.example", "required": False}}},
    {"policies": {"jwt": {"issuer": "https://id2.example"}, "outlier": {"consecutive_5xx": 3}}},
    {"routes": {"other": {"service": "second", "policies": {"rate_limit": {"requests": 1, "per": "hour"}}}}},
    {"status": "suspended"},
]


@pytest.mark.parametrize("seed", range(20))
def test_a_world_reached_by_changes_is_the_same_as_one_made_at_once(seed: int) -> None:
    draw = random.Random(seed)
    gateway = f"tenant: {draw.choice(['{from: header, name: x-t}', '{from: host}'])}"
    chosen: dict[str, int] = {}
    ports = {"orders": 80, "second": 81}
    routes = [ROUTE]

    def made() -> World:
        tenants = [
            said("Tenant", name, hosts=[f"{name}.example", f"h{choice}-{name}.example"], **CHOICES[choice])
            for name, choice in chosen.items()
        ]
        services = [said("Service", name, endpoints=[f"10.0.0.1:{port}"]) for name, port in ports.items()]
        edge = said("Gateway", "edge", kong=True, listeners=[{"name": "p", "port": 80}], **yaml.safe_load(gateway))
        first = said("Route", "orders", match={"prefix": "/api/orders"}, service="orders")
        return kong_worlds.world(edge, first, *services, *routes, *tenants)

    world = made()
    desired = translate(world)
    for _ in range(12):
        what = draw.random()
        if what < 0.7:
            choice = draw.randrange(len(CHOICES))
            chosen[draw.choice(TENANTS)] = 0 if "routes" in CHOICES[choice] and not routes else choice
        elif what < 0.8 and chosen:
            del chosen[draw.choice(list(chosen))]
        elif what < 0.9:
            ports[draw.choice(list(ports))] = draw.randrange(1000)
        elif not any("routes" in CHOICES[choice] for choice in chosen.values()):
            routes[:] = [] if routes else [ROUTE]
        newer = kept(world, made())
        after, fresh = translate(newer, desired), translate(newer)
        assert printed(after) == printed(fresh)
        assert after.members == fresh.members
        assert after.uses == fresh.uses
        assert after.changed == differing(desired, after)
        same = {key for key in after.entities if key not in (after.changed or ())}
        assert all(after.entities[key] is desired.entities[key] for key in same)
        world, desired = newer, after
    assert translate(world, desired).changed == frozenset()


def kept(old: World, new: World) -> World:
    """The new world, of which what did not change is the old one's: as a sidecar has it."""
    found = old
    for shelf, kind in (("services", "Service"), ("routes", "Route")):
        before, after = getattr(old, shelf), getattr(new, shelf)
        for name in {*before, *after}:
            if before.get(name) != after.get(name):
                found = found.with_shared(f"{kind}/{name}", after.get(name))
    if old.gateway != new.gateway:
        found = found.with_shared("Gateway/edge", new.gateway)
    names = {*old.tenants, *new.tenants}
    changed = {name: new.tenants.get(name) for name in names if old.tenants.get(name) != new.tenants.get(name)}
    return found.with_tenants(changed) if changed else found


def differing(old: Desired, new: Desired) -> frozenset[tuple[str, str]]:
    keys = {*old.entities, *new.entities}
    return frozenset(key for key in keys if old.entities.get(key) != new.entities.get(key))


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("selector", ["{from: header, name: x-t}", "{from: host}", "{from: claim, name: t}"])
def test_no_two_routes_take_the_same_requests_of_a_tenant(selector: str, alone: bool) -> None:
    token = "policies: {jwt: {issuer: 'https://id.example'}}"
    edge = kong_worlds.GATEWAY.replace(
        "listeners:", f"tenant: {selector}\n{token if 'claim' in selector else ''}\nlisteners:"
    )
    second = said("Service", "second", endpoints=["10.0.0.1:81"])
    posts = said("Route", "posts", match={"prefix": "/api/orders", "methods": ["POST"]}, service="orders")
    given = [one for one in CHOICES if "claim" not in selector or "jwt" not in one.get("policies", {})]
    tenants = [said("Tenant", f"t{n}", hosts=[f"t{n}.example"], **one) for n, one in enumerate(given)]
    routes = of(translate(kong_worlds.world(edge, second, ROUTE, posts, *tenants), options=Options(alone)), "routes")
    taken: Counter[str] = Counter()
    for one in routes:
        headers = dict(one["headers"] or {})
        by_header = headers and "origin" not in headers
        tenants_of = headers.pop(next(iter(headers))) if by_header else one["hosts"] or [""]
        for tenant_id in tenants_of:
            for path in one["paths"]:
                for method in one["methods"] or ("*",):
                    taken[canonical([tenant_id, path, method, headers, one["regex_priority"]])] += 1
    assert [key for key, count in taken.items() if count > 1] == []


ALIKE = "Kong cannot tell it from the route 'first', which is before it"


def conditioned(name: str, **headers: Any) -> str:
    return said("Route", name, match={"prefix": "/api/x", "headers": headers}, service="orders")


def test_of_two_routes_that_are_one_to_kong_the_first_is_served_and_the_tenants_with_both_are_told() -> None:
    routes = conditioned("first", plan="Gold"), conditioned("second", plan="gold")
    desired = translate(kong_worlds.world(kong_worlds.GATEWAY, *routes, said("Tenant", "acme"), said("Tenant", "beta")))
    assert [(one.tenant, one.id, one.severity) for one in desired.problems()] == [
        ("acme", "second", "error"),
        ("beta", "second", "error"),
    ]
    assert all(one.message == f"{ALIKE}, so it is not served" for one in desired.problems())
    names = [one["name"].split(".")[2] for one in of(desired, "routes")]
    assert ("first" in names, "second" in names) == (True, False)


def test_routes_of_which_either_may_answer_some_requests_are_told() -> None:
    routes = conditioned("first", plan="gold"), conditioned("second", beta={"present": True})
    apart = conditioned("third", plan="iron"), said("Route", "other", match={"prefix": "/api/x"}, service="orders")
    desired = translate(kong_worlds.world(kong_worlds.GATEWAY, *routes, *apart, said("Tenant", "acme")))
    told = {(one.id, one.message.split("'")[1], one.severity) for one in desired.problems()}
    assert told == {("second", "first", "warning"), ("third", "second", "warning")}
    names = {one["name"].split(".")[2] for one in of(desired, "routes")}
    assert {"first", "second", "third", "other"} <= names


def test_preflights_of_routes_that_differ_in_conditions_are_one_and_stay_while_one_is_left() -> None:
    cors = {"cors": {"origins": ["https://a.example"]}}
    plain = said("Route", "plain", match={"prefix": "/api/x"}, service="orders")
    tenant = said("Tenant", "acme", policies=cors)
    both = kong_worlds.world(kong_worlds.GATEWAY, plain, conditioned("first", plan="gold"), tenant)
    desired = translate(both)
    rows = [one for one in of(desired, "routes") if "preflight" in one["name"] and "api/x" in one["paths"][0]]
    assert len(rows) == 1
    less = both.with_shared("Route/first", None)
    assert printed(translate(less, desired)) == printed(translate(less))
    assert rows[0] in of(translate(less, desired), "routes")


def test_tenants_that_come_to_the_same_share_their_routes() -> None:
    tenants = [said("Tenant", name, policies={"rate_limit": {"requests": n, "per": "day"}}) for n, name in
               enumerate("abc", 1)]  # fmt: skip
    desired = translate(kong_worlds.world(kong_worlds.GATEWAY, *tenants))
    (route,) = (one for one in of(desired, "routes") if "orders" in one["name"])
    assert route["headers"] == {"x-tenant-id": ["a", "b", "c"]}
    assert Counter(tenant(one) for one in of(desired, "plugins") if tenant(one)) == {"a": 1, "b": 1, "c": 1}


def test_a_limit_that_changes_is_one_entity() -> None:
    before = kong_worlds.world(
        kong_worlds.GATEWAY, said("Tenant", "a", policies={"rate_limit": {"requests": 1, "per": "day"}})
    )
    after = kong_worlds.world(
        kong_worlds.GATEWAY, said("Tenant", "a", policies={"rate_limit": {"requests": 2, "per": "hour"}})
    )
    desired = translate(before)
    newer = translate(kept(before, after), desired, {"a"})
    ((kind, key),) = newer.changed or ()
    config = newer.entities[kind, key]["config"]
    assert (kind, config["hour"], config["day"]) == ("plugins", 2, None)


def test_a_parked_route_is_met_by_nobody() -> None:
    world = kong_worlds.world(kong_worlds.GATEWAY, said("Tenant", "acme"))
    kong, desired = kongs.standing(), translate(world)
    kong_worlds.load(kong, desired)
    (route,) = (one for one in of(desired, "routes") if "orders" in one["name"])
    assert kongs.ask(kong, "/api/orders", ("x-tenant-id", "acme")).status == 200
    kongs.call(kong, "PUT", f"/routes/{route['id']}", dict(parked(route)))
    kong.restart()
    asked = [[("x-tenant-id", "acme")], [("x-tenant-id", "-")], []]
    assert [kongs.ask(kong, "/api/orders", *headers).status for headers in asked] == [404] * 3
    (guard,) = (one for one in of(desired, "plugins") if one["name"] == "pre-function" and one["route"] is None)
    kongs.drop(kong, f"/plugins/{guard['id']}")
    kong.restart()
    assert [kongs.ask(kong, "/api/orders", *headers).status for headers in asked] == [404, 403, 404]


if __name__ == "__main__":
    for each in worlds():
        print("\n".join(printed(translate(each))))
