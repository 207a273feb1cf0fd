"""`required_headers`, `maintenance` and suspended tenants: answers that a route gives in place of the service's."""

import edges
import pytest

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


async def test_a_request_without_a_required_header_is_refused_and_never_reaches_the_service(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("strict", required_headers=[{"name": "X-Api-Version"}]), edges.tenant("lax"))
    before = edge.echo.count
    refused = await edge.ask("strict")
    assert (refused.status_code, edges.error(refused)) == (400, "missing_header")
    assert refused.json()["error"]["details"] == {"header": "x-api-version"}
    assert edge.echo.count == before
    assert (await edge.ask("strict", headers={"x-api-version": "1"})).status_code == 200
    assert (await edge.ask("lax")).status_code == 200


async def test_a_header_is_required_of_its_methods_only_and_with_its_status(edge: edges.Edge) -> None:
    rules = [
        {"name": "Idempotency-Key", "methods": ["POST"], "status": 400},
        {"name": "If-Match", "methods": ["PUT", "PATCH", "DELETE"], "status": 428},
    ]
    await edge.put(edges.tenant("careful", required_headers=rules))
    said = {method: (await edge.ask("careful", "/a", method)).status_code for method in ("GET", "HEAD", "POST", "PUT")}
    assert said == {"GET": 200, "HEAD": 200, "POST": 400, "PUT": 428}
    assert await edge.statuses("careful", method="PATCH", headers={"if-match": "*"}) == [200]
    assert await edge.statuses("careful", method="DELETE", headers={"idempotency-key": "1"}) == [428]


async def test_every_rule_must_hold(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("thorough", required_headers=[{"name": "x-one"}, {"name": "x-two", "status": 412}]))
    assert await edge.statuses("thorough", headers={"x-two": "2"}) == [400]
    assert await edge.statuses("thorough", headers={"x-one": "1"}) == [412]
    assert await edge.statuses("thorough", headers={"x-one": "1", "x-two": "2"}) == [200]


@pytest.mark.parametrize(
    ("value", "good"), [("2024-01-31", True), ("2024-1-31", False), ("x2024-01-31", False), ("2024-01-31x", False)]
)
async def test_the_whole_value_must_match_the_pattern(edge: edges.Edge, value: str, good: bool) -> None:
    rule = {"name": "x-version", "pattern": r"\d{4}-\d{2}-\d{2}", "status": 422}
    await edge.put(edges.tenant("dated", required_headers=[rule]))
    answer = await edge.ask("dated", headers={"x-version": value})
    assert answer.status_code == (200 if good else 422)
    assert good or edges.error(answer) == "invalid_header"
    assert edges.error(await edge.ask("dated")) == "missing_header"


async def test_options_needs_no_header_unless_it_is_named(edge: edges.Edge) -> None:
    await edge.put(
        edges.tenant("strict", required_headers=[{"name": "x-key"}]),
        edges.tenant("stricter", required_headers=[{"name": "x-key", "methods": ["OPTIONS"]}]),
    )
    assert await edge.statuses("strict", method="OPTIONS") == [200]
    assert await edge.statuses("strict", method="GET") == [400]
    assert await edge.statuses("stricter", method="OPTIONS") == [400]


async def test_a_route_replaces_the_list_and_null_empties_it(edge: edges.Edge) -> None:
    routes = {"b": {"policies": {"required_headers": None}}}
    await edge.put(edges.tenant("partly", routes, required_headers=[{"name": "x-key"}]))
    assert await edge.statuses("partly", "/a") == [400]
    assert await edge.statuses("partly", "/b") == [200]
    routes = {"b": {"policies": {"required_headers": [{"name": "x-other", "status": 428}]}}}
    await edge.put(edges.tenant("partly", routes, required_headers=[{"name": "x-key"}]))
    assert await edge.statuses("partly", "/b", headers={"x-other": "1"}) == [200]
    assert await edge.statuses("partly", "/b", headers={"x-key": "1"}) == [428]


@pytest.mark.parametrize(
    ("policy", "status"), [({"required_headers": [{"name": "x-key"}]}, 400), ({"maintenance": {}}, 503)]
)
async def test_refused_requests_count_as_requests(edge: edges.Edge, policy: edges.Json, status: int) -> None:
    await edge.put(edges.tenant("counted", rate_limit={"requests": 2, "per": "hour"}, **policy))
    assert await edge.statuses("counted", times=3) == [status, status, 429]


async def test_a_tenant_under_maintenance_is_answered_by_the_gateway_on_every_path(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("closed", maintenance={"message": 'Back at 10:00 — "soon".'}), edges.tenant("open"))
    before = edge.echo.count
    for path in ("/a", "/b/x", "/nowhere"):
        answer = await edge.ask("closed", path)
        assert (answer.status_code, edges.error(answer)) == (503, "maintenance"), path
        assert answer.json()["error"]["message"] == 'Back at 10:00 — "soon".'
    assert edge.echo.count == before
    assert (await edge.ask("open")).status_code == 200


async def test_one_route_under_maintenance_leaves_the_others_open(edge: edges.Edge) -> None:
    closed = {"b": {"policies": {"maintenance": {"status": 410}}}}
    await edge.put(edges.tenant("partly", closed))
    answer = await edge.ask("partly", "/b")
    assert (answer.status_code, edges.error(answer)) == (410, "maintenance")
    assert await edge.statuses("partly", "/a") == [200]


async def test_null_opens_one_route_of_a_tenant_under_maintenance(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("mostly", {"b": {"policies": {"maintenance": None}}}, maintenance={}))
    assert await edge.statuses("mostly", "/b") == [200]
    assert await edge.statuses("mostly", "/a") == [503]


async def test_maintenance_comes_and_goes(edge: edges.Edge) -> None:
    for policies, status in (({}, 200), ({"maintenance": {}}, 503), ({"maintenance": None}, 200)):
        await edge.put(edges.tenant("briefly", **policies))
        assert await edge.statuses("briefly") == [status]


async def test_a_suspended_tenant_is_refused_on_every_path_until_it_is_active_again(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("unpaid"), edges.tenant("paid"))
    await edge.put(edges.tenant("unpaid", more={"status": "suspended"}))

    async def suspended() -> bool:
        return await edge.statuses("unpaid") == [403]

    await edge.until(suspended, "the tenant to be suspended")
    before = edge.echo.count
    for path in ("/a", "/b", "/nowhere", "/probe"):
        answer = await edge.ask("unpaid", path)
        assert (answer.status_code, edges.error(answer)) == (403, "tenant_suspended"), path
    assert edge.echo.count == before
    assert await edge.statuses("paid") == [200]
    await edge.put(edges.tenant("unpaid"))
    assert await edge.statuses("unpaid") == [200]
