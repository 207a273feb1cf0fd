"""Faults of the double over a socket, each switched on for one call: what is answered, what was done, who is spared."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from kong_double.double import Double
from kong_double.faults import EVERY, Fault


@dataclass(frozen=True, slots=True)
class Row:
    """`status` 0: no answer."""

    fault: Fault
    status: int
    done: bool
    said: str = ""


ROWS = {
    "latency": Row(Fault(delay=0.15), 201, done=True),
    "500": Row(Fault(status=500), 500, done=False, said="An unexpected error occurred"),
    "500 after commit": Row(Fault(status=500, done=True), 500, done=True),
    "reset": Row(Fault(cut=True), 0, done=False),
    "reset after commit": Row(Fault(cut=True, done=True), 0, done=True),
    "409": Row(Fault(status=409), 409, done=False, said="unique constraint violation"),
    "413": Row(Fault(status=413), 413, done=False, said="413"),
    "429": Row(Fault(status=429, headers=(("Retry-After", "3"),)), 429, done=False, said="Currently loading"),
    "a proxy's 502": Row(Fault(status=502), 502, done=False, said="nginx"),
}


@pytest.fixture
async def kong() -> AsyncIterator[Double]:
    async with Double().serving() as double:
        yield double


async def made(kong: Double, http: httpx.AsyncClient, name: str) -> httpx.Response | None:
    try:
        return await http.post(f"{kong.admin_url}/services", json={"name": name, "host": "a.test"})
    except httpx.TransportError:
        return None


@pytest.mark.parametrize("name", ROWS)
async def test_one_call_has_the_fault_and_those_around_it_have_not(name: str, kong: Double) -> None:
    row, slept = ROWS[name], list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    kong.sleep = sleep
    kong.faults.on(2, row.fault)
    async with httpx.AsyncClient(trust_env=False) as http:
        before, hit, after = [await made(kong, http, one) for one in ("before", "hit", "after")]
    assert [one and one.status_code for one in (before, after)] == [201, 201]
    assert kong.faults.hit == 1
    assert {one["name"] for one in kong.store.all("services")} == {"before", "after"} | ({"hit"} if row.done else set())
    assert [one.status for one in kong.calls] == [201, row.status, 201]
    assert slept == ([row.fault.delay] if row.fault.delay else [])
    if hit is None:
        assert row.status == 0
        return
    assert hit.status_code == row.status
    assert row.said in hit.text
    assert [hit.headers.get(header) for header, _ in row.fault.headers] == [value for _, value in row.fault.headers]


async def test_a_fault_is_for_the_methods_and_the_times_that_it_was_given(kong: Double) -> None:
    kong.faults.on(1, Fault(status=500), methods={"GET"}, times=2)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await made(kong, http, "a") or httpx.Response(0)).status_code == 201
        assert [(await http.get(f"{kong.admin_url}/status")).status_code for _ in range(3)] == [500, 500, 200]
        kong.faults.on(1, Fault(status=503), methods=EVERY, times=10)
        assert (await http.get(f"{kong.admin_url}/status")).status_code == 503
        kong.faults.clear()
        assert (await http.get(f"{kong.admin_url}/status")).status_code == 200
