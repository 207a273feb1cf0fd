"""The policies that Kong keeps at a service, by requests that take their time, fail, or find nobody."""

import kong_gates
import yaml
from kong_gates import Gate

from xds.waiting import until

ACME, BETA = ("x-tenant-id", "acme"), ("x-tenant-id", "beta")
PATH = "/api/orders/1"


async def served(gate: Gate, *more: str, **policies: object) -> None:
    """acme has these policies; beta has none of its own."""
    acme = yaml.safe_dump({"kind": "Tenant", "id": "acme", "policies": policies})
    await gate.load(gate.world(acme, "kind: Tenant\nid: beta", *more))


async def test_an_answer_that_takes_too_long_is_not_waited_for() -> None:
    async with kong_gates.wired() as gate:
        await served(gate, timeout={"request": "150ms"})
        slow = f"{PATH}?delay=0.5"
        assert await gate.statuses(slow, (ACME,), (BETA,)) == [504, 200]
        assert await gate.statuses(PATH, (ACME,), (BETA,)) == [200, 200]


async def test_who_cannot_be_connected_to_is_tried_elsewhere_if_that_is_asked_for() -> None:
    half = "kind: Route\nid: half\nmatch: {prefix: /half}\nservice: half"
    async with kong_gates.wired() as gate:
        dead = f"kind: Service\nid: half\nendpoints: ['127.0.0.1:1', '{gate.addresses['orders']}']"
        await served(gate, dead, half, retry={"attempts": 1})
        assert set(await gate.statuses("/half", *[(ACME,)] * 6)) == {200}
        assert set(await gate.statuses("/half", *[(BETA,)] * 6)) == {200, 502}


async def test_who_fails_again_and_again_is_left_out_and_comes_back() -> None:
    async with kong_gates.wired() as gate:
        await served(gate, outlier={"consecutive_5xx": 2, "base_ejection": "1s"})
        failing = f"{PATH}?status=503"
        assert await gate.statuses(failing, (ACME,), (BETA,), (ACME,), (BETA,)) == [503] * 4
        left_out = await gate.ask(PATH, ACME)
        assert (left_out.status, b"ring-balancer" in left_out.body) == (503, True)
        assert (await gate.ask(PATH, BETA)).status == 200

        async def back() -> bool:
            return (await gate.ask(PATH, ACME)).status == 200

        await until(back, "the service to be tried again", within=10)


async def test_what_kong_has_no_limits_for_lets_all_pass() -> None:
    async with kong_gates.wired() as gate:
        await served(gate, circuit_breaker={"max_requests": 1, "max_connections": 1})
        assert await gate.statuses(PATH, *[(ACME,)] * 3) == [200] * 3
