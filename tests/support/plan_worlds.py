"""Desired states for properties of plans, at random: few names, so that two states meet in hosts, paths, keys, ids."""

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any
from uuid import UUID, uuid5

from plan_models import TENANT, Asked

from kong_sync import routing
from kong_sync.entities import KINDS, Entity
from kong_sync.states import State, unique

SPACE = UUID("5f0c8d1e-0000-4000-8000-000000000000")
HOSTS, PATHS, TENANTS = ("h0", "h1"), ("/", "/a", "/a/b", "/c"), ("t0", "t1", "t2")
TOKENS, KEYS, GROUPS = ("k0", "k1", "k2"), ("q0", "q1"), ("g0", "g1")
ISOLATE = """
local c, h = kong.client.get_consumer(), kong.request.get_header("x-tenant-id")
if not c or h ~= c.username then return kong.response.exit(403, {error = {code = "wrong_tenant"}}) end"""
CONFIGS: dict[str, dict[str, Any]] = {
    "jwt": {"key_claim_name": "kid", "claims_to_verify": ["exp"]},
    "key-auth": {"key_in_query": False},
}
SECRET = "a secret that is long enough for HS256"
ASKED = tuple(
    Asked(host, path, tenant, token, key)
    for host, path, tenant, (token, key) in product(
        (*HOSTS, "elsewhere", routing.PARKED),
        ("/", "/a/x", "/a/b", "/c"),
        ("", *TENANTS[:2]),
        (("", ""), *((one, "") for one in TOKENS), *(("", one) for one in KEYS)),
    )
)


def ident(*parts: object) -> str:
    return str(uuid5(SPACE, "/".join(map(str, parts))))


def some(rng: Random, values: tuple[Any, ...], least: int = 0) -> list[Any]:
    return sorted(rng.sample(values, rng.randint(least, len(values))))


def desired(rng: Random) -> State:
    """One state without twins. The ids hang on a number, not always that of the name: names wander between ids."""
    while True:
        rows = list(_entities(rng))
        keys = [unique(KINDS[kind], row, fields) for kind, row in rows for fields in KINDS[kind].unique]
        known = [key for key in keys if key is not None]
        if len(known) == len(set(known)):
            return State.of(rows)


def _entities(rng: Random) -> Iterator[tuple[str, Entity]]:
    services = [_named("services", n, name, host=f"u{rng.randint(0, 3)}") for n, name in _numbered(rng, "s", 3)]
    consumers = [_consumer(rng, n, name) for n, name in _numbered(rng, "t", 3)]
    routes: list[Entity] = []
    for n, name in _numbered(rng, "r", 5):
        route = _route(rng, n, name, services)
        if not any(_alike(route, other) for other in routes):
            routes.append(route)
    yield from (("services", one) for one in services)
    yield from (("consumers", one) for one in consumers)
    yield from (("routes", one) for one in routes)
    if consumers:
        yield from _credentials(rng, consumers)
    yield from (("plugins", one) for one in _plugins(rng, services, routes, consumers))


def _numbered(rng: Random, letter: str, most: int) -> list[tuple[int, str]]:
    """Numbers and names, not always together."""
    names = rng.sample([f"{letter}{n}" for n in range(most)], rng.randint(0, most))
    numbers = [int(one[1:]) for one in names]
    if rng.random() < 0.2:
        rng.shuffle(numbers)
    return list(zip(numbers, names, strict=True))


def _named(kind: str, n: int, name: str, **more: Any) -> Entity:
    key = KINDS[kind].key
    return {"id": ident(kind, n), key: name, "tags": ["gatecast"], **more}


def _consumer(rng: Random, n: int, name: str) -> Entity:
    custom = {"custom_id": f"c{(n + rng.randint(0, 1)) % 3}"} if rng.random() < 0.3 else {}
    return _named("consumers", n, name, **custom)


def _route(rng: Random, n: int, name: str, services: list[Entity]) -> Entity:
    more: dict[str, Any] = {"paths": some(rng, PATHS, 1)[: rng.randint(1, 2)]}
    if hosts := some(rng, HOSTS):
        more["hosts"] = hosts
    if tenants := some(rng, TENANTS) if rng.random() < 0.6 else []:
        more["headers"] = {TENANT: tenants}
    if services and rng.random() < 0.9:
        more["service"] = {"id": rng.choice(services)["id"]}
    return _named("routes", n, name, **more)


def _alike(one: Entity, other: Entity) -> bool:
    """Some request meets both, and neither hides the other: Kong would let the larger id win."""
    first, second = routing.match(one), routing.match(other)
    meet = all(not first[name].isdisjoint(second[name]) for name in first.keys() & second.keys() if name != "paths")
    kinds = [(len(m), "hosts" in m, sum(name.startswith("header") for name in m)) for m in (first, second)]
    return meet and kinds[0] == kinds[1] and not first["paths"].isdisjoint(second["paths"])


def _credentials(rng: Random, consumers: list[Entity]) -> Iterator[tuple[str, Entity]]:
    for kind, keys in (("jwt_secrets", TOKENS), ("keyauth_credentials", KEYS)):
        for n, key in enumerate(some(rng, keys)):
            owner = {"id": rng.choice(consumers)["id"]}
            id_ = ident(kind, n) if rng.random() < 0.3 else ident(kind, owner["id"], key)
            secret = {"secret": SECRET} if kind == "jwt_secrets" else {}
            yield kind, {"id": id_, "key": key, **secret, "consumer": owner, "tags": ["gatecast"]}
    for consumer in consumers:
        for group in some(rng, GROUPS):
            owner = {"id": consumer["id"]}
            yield (
                "acls",
                {"id": ident("acls", owner["id"], group), "group": group, "consumer": owner, "tags": ["gatecast"]},
            )


def _plugins(rng: Random, services: list[Entity], routes: list[Entity], consumers: list[Entity]) -> Iterator[Entity]:
    places: list[dict[str, Any]] = [{}, *({"service": {"id": one["id"]}} for one in services)]
    places += [{"route": {"id": one["id"]}} for one in routes]
    for n, place in enumerate(places):
        yield from _rows(rng, place, 0.15 if n == 0 else 0.45)
    for one in consumers:
        if rng.random() < 0.3:
            yield _row(rng, "rate-limiting", {"consumer": {"id": one["id"]}}, {"minute": 10000 + rng.randint(1, 3)})


def _rows(rng: Random, place: dict[str, Any], share: float) -> Iterator[Entity]:
    if rng.random() < share:
        yield _row(rng, rng.choice(("jwt", "key-auth")), place, {})
    if rng.random() < share:
        yield _row(rng, "acl", place, {"allow": some(rng, GROUPS, 1)})
    if rng.random() < share / 2:
        yield _row(rng, "post-function", place, {"access": [ISOLATE]})
    if rng.random() < share / 4:
        yield _row(rng, "request-termination", place, {"status_code": 403})
    if rng.random() < share:
        yield _row(rng, "rate-limiting", place, {"minute": 10000 + rng.randint(1, 3)})


def _row(rng: Random, name: str, place: dict[str, Any], config: dict[str, Any]) -> Entity:
    named = {"instance_name": f"{name}-{rng.randint(0, 99)}"} if rng.random() < 0.1 else {}
    off = {"enabled": False} if rng.random() < 0.1 else {}
    where = sorted((key, one["id"]) for key, one in place.items())
    row = {"id": ident("plugins", name, where), "name": name, "config": CONFIGS.get(name, config), "tags": ["gatecast"]}
    return {**row, **place, **named, **off}
