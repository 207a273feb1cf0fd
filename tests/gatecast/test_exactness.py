"""`parity: exact` by the API: a write that could not be enforced as it is written is refused, whoever it hurts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from operators import Json, Operator, operator

PATTERN = {"required_headers": [{"name": "x-version", "pattern": "[0-9]+"}]}
ACME = {"kind": "Tenant", "id": "acme"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Operator]:
    async with operator(tmp_path) as made:
        yield made


async def refused(here: Operator, body: Json) -> list[str]:
    """Where the errors are that the write is refused for."""
    answer = await here.put(body, await here.etag(body["id"], body["kind"]), 422)
    details = answer.json()["error"]["details"]
    assert {one["code"] for one in details} == {"GC303"}
    return [f"{one['kind']}/{one['id']} {one['path']}" for one in details]


async def test_a_policy_that_is_not_exact_is_refused_where_that_is_demanded(here: Operator) -> None:
    await here.put({**ACME, "parity": "exact"}, await here.etag())
    assert await refused(here, {**ACME, "parity": "exact", "policies": PATTERN}) == [
        "Tenant/acme policies.required_headers"
    ]
    await here.put({**ACME, "policies": PATTERN}, await here.etag())


async def test_a_demand_that_tenants_do_not_meet_is_refused(here: Operator) -> None:
    await here.put({**ACME, "policies": PATTERN}, await here.etag())
    edge = (await here.ask("GET", "/documents/Gateway/edge")).json()["document"]
    assert await refused(here, {**edge, "parity": "exact"}) == ["Tenant/acme policies.required_headers"]


async def test_what_a_kong_does_not_do_exactly_counts_too(here: Operator) -> None:
    edge = (await here.ask("GET", "/documents/Gateway/edge")).json()["document"]
    await here.put({**edge, "parity": "exact"}, await here.etag("edge", "Gateway"))
    found = await refused(here, {**edge, "parity": "exact", "kong": True})
    assert sorted(found) == ["Tenant/acme ", "Tenant/beta "]
