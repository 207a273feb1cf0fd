"""`timeout` and `retry`: what a slow or failing service costs the client, and how often the service is asked."""

import edges
import envoys
import pytest
import upstreams

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

SLOW = "/a?delay=0.5"
NEVER = "/a?delay=600"


async def asked(edge: edges.Edge, tenant: str, script: list[int], path: str = "/a") -> tuple[int, int]:
    """The status a client gets when the service answers by this script, and how often the service was asked."""
    before = edge.echo.count
    edge.echo.script.clear()
    edge.echo.script.extend(script)
    status = (await edge.ask(tenant, path)).status_code
    edge.echo.script.clear()
    return status, edge.echo.count - before


async def test_a_request_that_takes_too_long_is_504(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("hasty", timeout={"request": "1s"}), edges.tenant("patient"))
    late = await edge.ask("hasty", NEVER)
    assert (late.status_code, edges.error(late)) == (504, "upstream_timeout")
    assert (await edge.ask("hasty")).status_code == 200
    assert (await edge.ask("patient", SLOW)).status_code == 200


async def test_a_timeout_holds_on_the_route_that_has_it(edge: edges.Edge) -> None:
    own = {"b": {"policies": {"timeout": {"request": "100ms"}}}}
    await edge.put(edges.tenant("choosy", own))
    assert (await edge.ask("choosy", "/b?delay=600")).status_code == 504
    assert (await edge.ask("choosy", SLOW)).status_code == 200


async def test_a_request_without_a_byte_either_way_is_504_after_the_idle_time(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("drowsy", timeout={"idle": "100ms", "request": "1h"}), edges.tenant("patient"))
    late = await edge.ask("drowsy", NEVER)
    assert (late.status_code, edges.error(late)) == (504, "upstream_timeout")
    assert (await edge.ask("patient", SLOW)).status_code == 200


async def test_a_body_that_stops_coming_is_408_after_the_idle_time(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("drowsy", timeout={"idle": "100ms", "request": "1h"}))
    head = b"POST /a HTTP/1.1\r\nhost: x\r\nx-tenant-id: drowsy\r\ncontent-length: 10\r\n\r\nhalf"
    said = await edge.raw(head)
    assert said.startswith("HTTP/1.1 408 "), said
    assert '"code":"request_timeout"' in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
        ("x-envoy-upstream-stream-duration-ms", "1"),
        ("x-envoy-expected-rq-timeout-ms", "1"),
        ("grpc-timeout", "1m"),
    ],
)
async def test_a_client_cannot_choose_its_timeout(edge: edges.Edge, name: str, value: str) -> None:
    await edge.put(edges.tenant("told", timeout={"request": "20s"}))
    assert (await edge.ask("told", "/a?delay=0.1", headers={name: value})).status_code == 200


async def test_a_client_cannot_choose_to_retry(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("told"))
    edge.echo.script.extend([503, 200])
    before = edge.echo.count
    answer = await edge.ask("told", headers={"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"})
    edge.echo.script.clear()
    assert (answer.status_code, edge.echo.count - before) == (503, 1)


async def test_a_request_is_tried_again_as_often_as_allowed(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("stubborn", retry={"attempts": 2}), edges.tenant("meek"))
    assert await asked(edge, "stubborn", [503, 503, 200]) == (200, 3)
    assert await asked(edge, "stubborn", [503, 503, 503, 200]) == (503, 3)
    assert await asked(edge, "stubborn", [200]) == (200, 1)
    assert await asked(edge, "meek", [503, 200]) == (503, 1)


async def test_the_last_answer_of_the_service_reaches_the_client_as_it_is(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("stubborn", retry={"attempts": 1}))
    answer = await edge.ask("stubborn", "/a?status=502")
    assert (answer.status_code, answer.json()["name"]) == (502, "echo")


@pytest.mark.parametrize(
    ("condition", "first", "again"),
    [
        ("5xx", 500, True),
        ("5xx", 404, False),
        ("gateway-error", 500, False),
        ("gateway-error", 502, True),
        ("gateway-error", 504, True),
        ("retriable-4xx", 409, True),
        ("retriable-4xx", 404, False),
        ("reset", upstreams.DROP, True),
        ("reset", 503, False),
        ("connect-failure", 503, False),
    ],
)
async def test_only_the_conditions_that_are_named_lead_to_another_try(
    edge: edges.Edge, condition: str, first: int, again: bool
) -> None:
    await edge.put(edges.tenant("picky", retry={"attempts": 1, "on": [condition]}))
    status, tries = await asked(edge, "picky", [first, 200])
    assert (status, tries) == ((200, 2) if again else (first, 1))


async def test_a_route_can_do_without_the_retries_of_its_tenant(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("mostly", {"b": {"policies": {"retry": None}}}, retry={"attempts": 1}))
    assert await asked(edge, "mostly", [503, 200], "/b") == (503, 1)
    assert await asked(edge, "mostly", [503, 200], "/a") == (200, 2)


async def test_a_try_that_takes_too_long_is_given_to_another_endpoint(edge: edges.Edge) -> None:
    async with upstreams.Upstream("slow", delay=600.0) as slow:
        quick = {"request": "10s"}
        again = {"attempts": 1, "on": ["gateway-error"], "per_try_timeout": "100ms"}
        await edge.put(
            edges.service("half-slow", slow, edge.echo),
            edges.route("half-slow", service="half-slow"),
            edges.tenant("persistent", timeout=quick, retry=again),
            edges.tenant("resigned", timeout={"request": "100ms"}),
        )
        assert await edge.statuses("persistent", "/half-slow", times=4) == [200] * 4
        assert slow.count > 0
        assert set(await edge.statuses("resigned", "/half-slow", times=4)) == {200, 504}


async def test_an_endpoint_that_refuses_connections_is_passed_over(edge: edges.Edge) -> None:
    closed = envoys.free_port()
    await edge.put(
        edges.service("half-dead", closed, edge.echo),
        edges.route("half-dead", service="half-dead"),
        edges.tenant("persistent", retry={"attempts": 1, "on": ["connect-failure"]}),
        edges.tenant("resigned"),
    )
    assert await edge.statuses("persistent", "/half-dead", times=6) == [200] * 6
    assert set(await edge.statuses("resigned", "/half-dead", times=6)) == {200, 503}
