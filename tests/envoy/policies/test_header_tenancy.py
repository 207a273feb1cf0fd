"""The tenant from a header: every answer is the named tenant's, or an error; whatever else a request says."""

import asyncio
import itertools

import edges
import httpx
import pytest

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

WHOSE = "x-whose"
"""Each tenant's routes set this header, towards the service and towards the client."""


def signed(name: str, **policies: object) -> edges.Json:
    """A tenant whose answers, errors among them, tell that they are its own."""
    sign = {"set": {WHOSE: name}}
    return edges.tenant(name, headers={"request": sign, "response": sign}, **policies)


async def get(edge: edges.Edge, path: str = "/a", *headers: tuple[str, str]) -> httpx.Response:
    return await edge.client().get(edge.url(path), headers=list(headers))


def whose(answer: httpx.Response) -> str | None:
    """Whose routes answered; nobody's if the request was refused."""
    told = answer.headers.get(WHOSE)
    if answer.status_code == 200:
        assert told
        assert answer.json()["headers"][WHOSE] == told, answer.text
    return told


async def test_each_tenant_is_answered_by_its_own_routes(edge: edges.Edge) -> None:
    await edge.put(signed("acme"), signed("beta"))
    for name in ("acme", "beta"):
        answer = await edge.ask(name)
        assert (answer.status_code, whose(answer)) == (200, name)


async def test_the_name_of_the_header_knows_no_case_and_blanks_around_the_value_do_not_count(edge: edges.Edge) -> None:
    await edge.put(signed("acme"), signed("beta"))
    for line in ("X-Tenant-ID: acme", "X-TENANT-ID:acme", "x-tenant-id: \tacme \t"):
        said = await edge.raw(f"GET /a HTTP/1.1\r\nhost: x\r\n{line}\r\n\r\n".encode())
        assert f"{WHOSE}: acme\r\n" in said, (line, said)


async def test_an_unknown_tenant_is_404_and_no_service_hears_of_it(edge: edges.Edge) -> None:
    await edge.put(signed("acme"))
    before = edge.echo.count
    unknown = ("nobody", "ACME", "Acme", "acme.", "acme/", "acm", "acmee", "*", "edge", "acme;beta", "%61cme")
    for name in unknown:
        answer = await get(edge, "/a", ("x-tenant-id", name))
        assert (answer.status_code, edges.error(answer), whose(answer)) == (404, "unknown_tenant", None), name
    assert edge.echo.count == before


async def test_a_request_that_names_no_tenant_is_404(edge: edges.Edge) -> None:
    await edge.put(signed("acme"))
    for headers in ([], [("x-tenant-id", "")], [("x-tenant", "acme")], [("tenant", "acme")]):
        answer = await get(edge, "/a", *headers)
        assert (answer.status_code, edges.error(answer)) == (404, "unknown_tenant"), headers


async def test_a_path_that_a_tenant_does_not_have_is_its_own_404(edge: edges.Edge) -> None:
    await edge.put(signed("acme"), signed("beta"))
    answer = await edge.ask("acme", "/nowhere")
    assert (answer.status_code, edges.error(answer), whose(answer)) == (404, "not_found", "acme")


async def test_two_tenants_in_one_request_are_refused_in_every_arrangement(edge: edges.Edge) -> None:
    await edge.put(signed("acme"), signed("beta"))
    before = edge.echo.count
    for one, other in itertools.permutations(("acme", "beta", "", "nobody", "ACME"), 2):
        joined = [[("x-tenant-id", (one + glue + other).strip())] for glue in (",", ", ", " , ", ";")]
        repeated = [("X-Tenant-Id", one), ("x-tenant-id", other)]
        for headers in (*joined, repeated, [("accept", "a"), *repeated, ("x-tenant-id", one)]):
            answer = await get(edge, "/a", *headers)
            assert answer.status_code in (400, 404), (headers, answer.text)
            assert edges.error(answer) in ("bad_tenant_header", "unknown_tenant"), headers
            assert answer.headers.get(WHOSE) is None, headers
    assert edge.echo.count == before


async def test_the_same_tenant_twice_is_refused_too(edge: edges.Edge) -> None:
    await edge.put(signed("acme"))
    answer = await get(edge, "/a", ("x-tenant-id", "acme"), ("x-tenant-id", "acme"))
    assert (answer.status_code, edges.error(answer)) == (400, "bad_tenant_header")


@pytest.mark.parametrize("path", ["/a", "/nowhere", "/probe", "/b/x?y=z"])
async def test_a_header_with_two_names_is_refused_on_every_path(edge: edges.Edge, path: str) -> None:
    await edge.put(signed("acme"), signed("beta"))
    answer = await get(edge, path, ("x-tenant-id", "acme"), ("x-tenant-id", "beta"))
    assert (answer.status_code, edges.error(answer)) == (400, "bad_tenant_header")


@pytest.mark.parametrize(
    "spoof",
    [
        ("x_tenant_id", "beta"),
        ("x-tenant_id", "beta"),
        ("host", "beta.example.com"),
        ("x-forwarded-host", "beta.example.com"),
        ("x-gatecast-host", "beta.example.com"),
        ("x-gatecast-claim", "beta"),
        ("x-original-url", "/b"),
        ("x-envoy-original-path", "/b"),
        ("x-rewrite-url", "/b"),
        ("cookie", "x-tenant-id=beta"),
        ("connection", "x-tenant-id"),
        ("te", "x-tenant-id"),
        (WHOSE, "beta"),
    ],
)
async def test_nothing_else_in_a_request_changes_the_tenant(edge: edges.Edge, spoof: tuple[str, str]) -> None:
    await edge.put(signed("acme"), signed("beta"))
    for headers in ([("x-tenant-id", "acme"), spoof], [spoof, ("x-tenant-id", "acme")]):
        answer = await get(edge, "/a", *headers)
        if answer.status_code == 200:
            assert whose(answer) == "acme", answer.text
            assert answer.json()["headers"]["x-tenant-id"] == "acme"
            assert "x_tenant_id" not in answer.json()["headers"]
        else:
            assert edges.error(answer) in ("bad_request", "bad_tenant_header", "unknown_tenant"), answer.text


async def test_tenants_that_take_turns_on_one_connection_get_their_own_answers(edge: edges.Edge) -> None:
    names = [f"turn-{number}" for number in range(5)]
    await edge.put(*(signed(name) for name in names))
    order = [name for pair in itertools.permutations(names, 2) for name in pair]
    ask = "".join(f"GET /a HTTP/1.1\r\nhost: x\r\nx-tenant-id: {name}\r\n\r\n" for name in order)
    bad = "GET /a HTTP/1.1\r\nhost: x\r\nx-tenant-id: nobody\r\n\r\n"
    said = await edge.raw(ask.encode(), bad.encode(), answers=len(order) + 1)
    told = [line.removeprefix(f"{WHOSE}: ") for line in said.split("\r\n") if line.startswith(f"{WHOSE}: ")]
    assert told == order
    assert said.count("HTTP/1.1 200") == len(order)
    assert said.count("HTTP/1.1 404") == 1


async def test_tenants_at_once_on_one_http2_connection_get_their_own_answers(edge: edges.Edge) -> None:
    names = [f"turn-{number}" for number in range(5)]
    await edge.put(*(signed(name) for name in names))
    client = edge.client(http2=True)
    order = [*names, "nobody"] * 10
    said = await asyncio.gather(*(client.get(edge.url(), headers={"x-tenant-id": name}) for name in order))
    assert {answer.http_version for answer in said} == {"HTTP/2"}
    assert [whose(answer) for answer in said] == [None if name == "nobody" else name for name in order]
    twice = await client.get(edge.url(), headers=[("x-tenant-id", "turn-0"), ("x-tenant-id", "turn-1")])
    assert (twice.status_code, edges.error(twice)) == (400, "bad_tenant_header")


async def test_a_dropped_tenant_is_unknown_and_its_neighbour_stays(edge: edges.Edge) -> None:
    await edge.put(signed("leaving"), signed("staying"))
    assert await edge.statuses("leaving") == [200]
    await edge.served.drop(("Tenant", "leaving"))

    async def gone() -> bool:
        answer = await edge.ask("leaving")
        assert answer.status_code in (200, 404)
        return answer.status_code == 404 and edges.error(answer) == "unknown_tenant"

    await edge.until(gone, "the tenant to be gone")
    assert whose(await edge.ask("staying")) == "staying"
