"""`headers` and `correlation_id`: what the service sees, and what the client gets back."""

from typing import Any

import edges
import pytest

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


async def seen(edge: edges.Edge, tenant: str, path: str = "/a", **headers: str) -> dict[str, Any]:
    """The headers the service saw; names are written with `_`."""
    answer = await edge.ask(tenant, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["headers"]
    return told


async def test_request_headers_are_set_added_and_removed(edge: edges.Edge) -> None:
    changes = {"set": {"X-Plan": "gold", "x-new": "1"}, "add": {"x-tag": "ours"}, "remove": ["x-secret"]}
    await edge.put(edges.tenant("edited", headers={"request": changes}), edges.tenant("plain"))
    sent = {"x_plan": "self-made", "x_secret": "s", "x_other": "o"}
    told = await seen(edge, "edited", **sent)
    assert {name: told.get(name) for name in ("x-plan", "x-new", "x-tag", "x-secret", "x-other")} == {
        "x-plan": "gold", "x-new": "1", "x-tag": "ours", "x-secret": None, "x-other": "o"
    }  # fmt: skip
    untouched = await seen(edge, "plain", **sent)
    assert (untouched["x-plan"], untouched["x-secret"]) == ("self-made", "s")
    assert "x-tag" not in untouched


async def test_set_leaves_one_value_and_add_keeps_those_there_are(edge: edges.Edge) -> None:
    changes = {"set": {"x-one": "ours"}, "add": {"x-both": "ours"}}
    await edge.put(edges.tenant("edited", headers={"response": changes}))
    edge.echo.answer_headers = {"x-one": "theirs", "x-both": "theirs"}
    answer = await edge.ask("edited")
    edge.echo.answer_headers = {}
    assert answer.headers.get_list("x-one") == ["ours"]
    assert answer.headers.get_list("x-both") == ["theirs", "ours"]


async def test_response_headers_are_set_added_and_removed(edge: edges.Edge) -> None:
    changes = {"set": {"cache-control": "no-store"}, "add": {"x-tag": "ours"}, "remove": ["x-upstream"]}
    await edge.put(edges.tenant("edited", headers={"response": changes}), edges.tenant("plain"))
    answer, untouched = await edge.ask("edited"), await edge.ask("plain")
    assert (answer.headers["cache-control"], answer.headers["x-tag"]) == ("no-store", "ours")
    assert "x-upstream" not in answer.headers
    assert untouched.headers["x-upstream"] == "echo"
    assert "cache-control" not in untouched.headers


@pytest.mark.parametrize("value", ["100%", "%REQ(x-tenant-id)%", "%%", "%START_TIME%", 'a, b; c="d"', "", "%CEL(1)%"])
async def test_values_are_literal_text(edge: edges.Edge, value: str) -> None:
    change = {"set": {"x-text": value}}
    await edge.put(edges.tenant("literal", headers={"request": change, "response": change}))
    answer = await edge.ask("literal")
    assert (answer.headers.get("x-text"), answer.json()["headers"].get("x-text")) == (value, value)


async def test_response_headers_are_on_errors_of_the_gateway_too(edge: edges.Edge) -> None:
    change = {"response": {"set": {"x-plan": "gold"}}}
    await edge.put(edges.tenant("strict", headers=change, rate_limit={"requests": 1, "per": "hour"}))
    await edge.ask("strict")
    refused = await edge.ask("strict")
    assert (refused.status_code, refused.headers["x-plan"]) == (429, "gold")


async def test_a_route_replaces_single_values_and_inherits_the_rest(edge: edges.Edge) -> None:
    general = {"request": {"set": {"x-plan": "gold", "x-kept": "yes"}}}
    special = {"b": {"policies": {"headers": {"request": {"set": {"x-plan": "silver"}}}}}}
    await edge.put(edges.tenant("layered", special, headers=general))
    for path, plan in (("/a", "gold"), ("/b", "silver")):
        told = await seen(edge, "layered", path)
        assert (told["x-plan"], told["x-kept"]) == (plan, "yes"), path


async def test_a_correlation_id_is_made_told_to_the_service_and_sent_back(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("traced", correlation_id={"header": "X-Trace"}), edges.tenant("plain"))
    first, second = await edge.ask("traced"), await edge.ask("traced")
    for answer in (first, second):
        assert answer.headers.get_list("x-trace") == [answer.json()["headers"]["x-trace"]]
        assert answer.headers["x-trace"] == answer.headers["x-request-id"]
    assert first.headers["x-trace"] != second.headers["x-trace"]
    plain = await edge.ask("plain")
    assert "x-trace" not in plain.headers
    assert "x-trace" not in plain.json()["headers"]


async def test_the_correlation_id_of_a_client_passes_through(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("traced", correlation_id={"header": "x-trace"}))
    answer = await edge.ask("traced", headers={"x-trace": "mine-%1%"})
    assert answer.json()["headers"]["x-trace"] == "mine-%1%"
    assert answer.headers.get_list("x-trace") == ["mine-%1%"]


async def test_without_generate_only_what_a_client_sends_travels(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("passing", correlation_id={"header": "x-trace", "generate": False}))
    given = await edge.ask("passing", headers={"x-trace": "mine"})
    assert (given.headers["x-trace"], given.json()["headers"]["x-trace"]) == ("mine", "mine")
    none = await edge.ask("passing")
    assert "x-trace" not in none.headers
    assert "x-trace" not in none.json()["headers"]


async def test_without_echo_the_client_hears_nothing_of_it(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("silent", correlation_id={"header": "x-trace", "echo": False}))
    for sent in ({}, {"x-trace": "mine"}):
        answer = await edge.ask("silent", headers=sent)
        assert "x-trace" not in answer.headers
        assert answer.json()["headers"]["x-trace"]


async def test_errors_of_the_gateway_carry_the_correlation_id(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("traced", correlation_id={"header": "x-trace"}, maintenance={}))
    for path in ("/a", "/nowhere"):
        refused = await edge.ask("traced", path, headers={"x-trace": "mine"})
        assert (refused.status_code, refused.headers.get("x-trace")) == (503, "mine"), path
    await edge.put(edges.tenant("traced", correlation_id={"header": "x-trace"}))
    missing = await edge.ask("traced", "/nowhere", headers={"x-trace": "mine"})
    assert (missing.status_code, missing.headers.get("x-trace")) == (404, "mine")


async def test_a_route_can_do_without_the_correlation_id(edge: edges.Edge) -> None:
    off = {"b": {"policies": {"correlation_id": None}}}
    await edge.put(edges.tenant("partly", off, correlation_id={"header": "x-trace"}))
    assert "x-trace" in (await edge.ask("partly", "/a")).headers
    assert "x-trace" not in (await edge.ask("partly", "/b")).headers
