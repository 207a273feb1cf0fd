"""Random changes of the settings of some tenants, on the double with its timers anywhere: a request that both the old
settings and the new ones let in is answered at every step, and one that both refuse never is.

Where that cannot be said, and why: `docs/decisions/0012-kong-plan.md`, "Not promised".
"""

import asyncio
import json
from random import Random
from typing import Any

import idps
import kong_gates
import kong_stages
import kong_worlds
import kongs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kong_stages import Asked

from kong_double.double import Double
from kong_sync.model import World
from kong_sync.translate import translate
from tenants.keysets.source import Source

SOURCES = {"header": "{from: header, name: x-tenant-id}", "host": "{from: host}", "claim": "{from: claim, name: t}"}
TENANTS = ("acme", "beta")
OTHER = "kind: Route\nid: bills\nmatch: {prefix: /api/bills}\nservice: orders"
LONG = 10**6


def provider(name: str) -> idps.Idp:
    made = idps.Idp(name=name, path="" if name == "main" else f"/{name}")
    made.add()
    return made


MAIN, OWN = provider("main"), provider("own")
KEYS = {Source(one.issuer, one.uri, local=True): json.dumps(one.jwks()) for one in (MAIN, OWN)}


def world(source: str, tenants: dict[str, dict[str, Any]]) -> World:
    policies = json.dumps({"jwt": jwt(MAIN)} if source == "claim" else {})
    gateway = f"tenant: {SOURCES[source]}\npolicies: {policies}"
    edge = kong_gates.SERVICES.format(gateway=gateway, orders="10.0.0.1:80", other="10.0.0.2:80")
    said = [
        json.dumps({"kind": "Tenant", "id": name, "hosts": [f"{name}.example.com"], **more})
        for name, more in tenants.items()
    ]
    return kong_worlds.world(edge, OTHER, *said, keys=KEYS)


def jwt(issuer: idps.Idp) -> dict[str, Any]:
    return {"issuer": issuer.issuer, "jwks": {"uri": issuer.uri}}


def limit(requests: int, by: str = "tenant") -> dict[str, Any]:
    return {"rate_limit": {"requests": requests, "per": "second", "by": by}}


CHOICES: list[dict[str, Any]] = [
    {},
    {"policies": limit(LONG)},
    {"policies": limit(2 * LONG)},
    {"policies": limit(LONG, "client_ip")},
    {"policies": {"cors": {"origins": ["https://a.example"]}, "timeout": {"request": "1s"}}},
    {"policies": {"headers": {"response": {"set": {"x-a": "1"}}}, "body_limit": {"max": "1MiB"}}},
    {"routes": {"orders": {"service": "other"}}},
    {"routes": {"bills": {"service": "other", "policies": limit(3 * LONG)}}},
    {"routes": {"bills": {"policies": {"maintenance": {}}}}},
    {"status": "suspended"},
]
TOKENS: list[dict[str, Any]] = [
    {"policies": {"jwt": jwt(MAIN)}},
    {"policies": {"jwt": jwt(MAIN), **limit(LONG)}},
    {"policies": {"jwt": jwt(MAIN), **limit(2 * LONG)}},
    {"policies": {"jwt": jwt(OWN)}},
    {"policies": {"jwt": {**jwt(MAIN), "required": False}}},
]


def asked(source: str) -> list[Asked]:
    """Every tenant on both routes, without a token and with one of each issuer."""
    found = []
    for name in TENANTS:
        for path in ("/api/orders/1", "/api/bills/1"):
            for who, issuer in (("no token", None), ("main", MAIN), ("own", OWN)):
                headers = [("x-tenant-id", name)] if source == "header" else []
                if issuer is not None:
                    token = issuer.token(expires_in=LONG, t=name)
                    headers.append(("authorization", f"Bearer {token}"))
                host = f"{name}.example.com" if source == "host" else "gw.test"
                found.append(Asked(f"{name} {path} {who}", tuple(headers), host, path))
    return found


def drawn(rng: Random, source: str) -> dict[str, dict[str, Any]]:
    choices = CHOICES if source == "claim" else [*CHOICES, *TOKENS]
    return {name: rng.choice(choices) for name in TENANTS if rng.random() < 0.85}


def standing(told: World) -> Double:
    """A Kong that holds just this."""
    return kong_worlds.load(kongs.standing(), translate(told))


@pytest.mark.parametrize("source", SOURCES)
@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_who_may_get_in_before_and_after_gets_in_meanwhile_and_who_may_not_does_not(source: str, seed: int) -> None:
    asyncio.run(_change(Random(seed), source))


@pytest.mark.parametrize("source", ["header", "host"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"policies": {"jwt": jwt(MAIN)}}),
        ({"policies": {"jwt": jwt(OWN)}}, {}),
        ({"policies": {"jwt": {**jwt(MAIN), "required": False}}}, {"policies": {"jwt": jwt(MAIN)}}),
        ({"policies": limit(LONG)}, {"policies": {"jwt": jwt(MAIN), **limit(2 * LONG)}}),
    ],
)
async def test_who_has_a_token_gets_in_while_tokens_begin_or_cease_to_be_asked_for(
    source: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    """Groups and keys go at once where nobody may use them any more, and late where another route takes over."""
    await _goes(Random(7), source, world(source, {"acme": old}), world(source, {"acme": new}))


async def _change(rng: Random, source: str) -> None:
    await _goes(rng, source, *(world(source, drawn(rng, source)) for _ in range(2)))


async def _goes(rng: Random, source: str, old: World, new: World) -> None:
    every = asked(source)
    before, after = ({one for one in every if one.status(kong) == 200} for kong in (standing(old), standing(new)))
    kong = kong_stages.watched((rng.uniform(0, 5), rng.uniform(0, 5)))
    async with kong_stages.stage(kong) as stage:
        await stage.go(old, shut=set(every) - before)
        await stage.go(new, open=before & after, shut=set(every) - before - after)
    assert kong.wrong == []
    assert {one for one in every if one.status(kong) == 200} == after
