"""`body_limit` and `access`: how much a client may send, and from which address."""

from collections.abc import AsyncIterator

import edges
import pytest

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

KIB = 1024


async def pieces(size: int, piece: int = 512) -> AsyncIterator[bytes]:
    """A body whose length is not told ahead."""
    for start in range(0, size, piece):
        yield b"x" * min(piece, size - start)


async def test_a_body_that_is_too_large_is_413_and_never_reaches_the_service(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("small", body_limit={"max": "1KiB"}), edges.tenant("large"))
    before = edge.echo.count
    for body in (b"x" * (KIB + 1), pieces(KIB + 1), b"x" * 300 * KIB, pieces(300 * KIB, 4 * KIB)):
        answer = await edge.ask("small", "/a", "POST", content=body)
        assert (answer.status_code, edges.error(answer)) == (413, "body_too_large")
    assert edge.echo.count == before


async def test_a_body_up_to_the_limit_passes_whole(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("small", body_limit={"max": "1KiB"}))
    for body in (b"x" * KIB, pieces(KIB), b"", b"x"):
        answer = await edge.ask("small", "/a", "POST", content=body)
        assert answer.status_code == 200
    assert (await edge.ask("small", "/a", "POST", content=pieces(KIB))).json()["length"] == KIB


async def test_a_neighbour_without_a_limit_sends_what_it_likes(edge: edges.Edge) -> None:
    await edge.put(edges.tenant("small", body_limit={"max": "1KiB"}), edges.tenant("large"))
    answer = await edge.ask("large", "/a", "POST", content=pieces(300 * KIB, 4 * KIB))
    assert (answer.status_code, answer.json()["length"]) == (200, 300 * KIB)


async def test_a_route_has_a_limit_of_its_own_or_none(edge: edges.Edge) -> None:
    routes = {"b": {"policies": {"body_limit": {"max": "2KiB"}}}}
    await edge.put(edges.tenant("mixed", routes, body_limit={"max": "1KiB"}))
    assert await edge.statuses("mixed", "/b", method="POST", content=b"x" * 2 * KIB) == [200]
    assert await edge.statuses("mixed", "/a", method="POST", content=b"x" * 2 * KIB) == [413]
    await edge.put(edges.tenant("mixed", {"b": {"policies": {"body_limit": None}}}, body_limit={"max": "1KiB"}))
    assert await edge.statuses("mixed", "/b", method="POST", content=b"x" * 64 * KIB) == [200]
    assert await edge.statuses("mixed", "/a", method="POST", content=b"x" * 2 * KIB) == [413]


async def allowed(edge: edges.Edge, tenant: str, path: str = "/a") -> set[int]:
    """Which of the addresses 127.0.0.1 to 127.0.0.5 may call, by their last number."""
    found = set()
    for last in range(1, 6):
        answer = await edge.ask(tenant, path, address=f"127.0.0.{last}")
        assert answer.status_code in (200, 403)
        if answer.status_code == 200:
            found.add(last)
        else:
            assert edges.error(answer) == "access_denied"
    return found


@pytest.mark.parametrize(
    ("access", "who"),
    [
        ({"allow": ["127.0.0.2/32", "127.0.0.4"]}, {2, 4}),
        ({"allow": ["127.0.0.2/31"]}, {2, 3}),
        ({"deny": ["127.0.0.2/31"]}, {1, 4, 5}),
        ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.3/32"]}, {1, 2, 4, 5}),
        ({"allow": ["127.0.0.3/32"], "deny": ["127.0.0.0/8"]}, set()),
        ({"allow": ["192.0.2.0/24", "2001:db8::/32"]}, set()),
        ({"deny": ["0.0.0.0/0"]}, set()),
        ({}, {1, 2, 3, 4, 5}),
    ],
)
async def test_allow_and_deny_by_address_and_deny_wins(
    edge: edges.Edge, access: dict[str, list[str]], who: set[int]
) -> None:
    # 127.0.0.1 is the address that asks whether a change is in force: /probe has no access list.
    await edge.put(edges.tenant("listed", access=access), edges.tenant("open"))
    assert await allowed(edge, "listed") == who
    assert await allowed(edge, "open") == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "name", ["x-forwarded-for", "x-real-ip", "forwarded", "x-envoy-external-address", "true-client-ip"]
)
async def test_a_header_gives_nobody_another_address(edge: edges.Edge, name: str) -> None:
    await edge.put(edges.tenant("listed", access={"allow": ["127.0.0.2/32"]}))
    assert await edge.statuses("listed", headers={name: "127.0.0.2"}, address="127.0.0.3") == [403]
    assert await edge.statuses("listed", headers={name: "127.0.0.3"}, address="127.0.0.2") == [200]


async def test_who_is_denied_learns_nothing_else(edge: edges.Edge) -> None:
    closed = {"b": {"policies": {"maintenance": {}}}}
    await edge.put(
        edges.tenant("listed", closed, access={"deny": ["127.0.0.3/32"]}, required_headers=[{"name": "x-key"}])
    )
    for path, otherwise in (("/a", 400), ("/b", 503), ("/nowhere", 404)):
        assert await edge.statuses("listed", path, address="127.0.0.3") == [403], path
        assert await edge.statuses("listed", path, address="127.0.0.2") == [otherwise], path


async def test_who_is_denied_uses_up_no_rate_limit(edge: edges.Edge) -> None:
    limit = {"requests": 1, "per": "hour"}
    await edge.put(edges.tenant("listed", access={"deny": ["127.0.0.3/32"]}, rate_limit=limit))
    assert await edge.statuses("listed", times=3, address="127.0.0.3") == [403] * 3
    assert await edge.statuses("listed", times=2) == [200, 429]


async def test_a_route_has_a_list_of_its_own_or_none(edge: edges.Edge) -> None:
    routes = {"a": {"policies": {"access": {"allow": ["127.0.0.4/32"]}}}, "b": {"policies": {"access": None}}}
    await edge.put(edges.tenant("mixed", routes, access={"allow": ["127.0.0.2/32"]}))
    assert await allowed(edge, "mixed", "/a") == {4}
    assert await allowed(edge, "mixed", "/b") == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("origin", ["", "https://shop.example"])
async def test_what_only_looks_like_a_preflight_is_not_let_past_the_list(edge: edges.Edge, origin: str) -> None:
    """To Envoy's CORS filter an empty origin is none; a real preflight it answers itself."""
    policies = {
        "access": {"allow": ["127.0.0.4/32"]},
        "cors": {"origins": ["https://shop.example"]},
        "required_headers": [{"name": "x-key", "methods": ["GET"]}],  # gives preflights a route of their own
    }
    await edge.put(edges.tenant("asked", {"a": {"policies": policies}}))
    before = edge.echo.count
    headers = {"origin": origin, "access-control-request-method": "GET"}
    answer = await edge.ask("asked", "/a", "OPTIONS", headers=headers, address="127.0.0.3")
    assert (answer.status_code, edge.echo.count) == (200 if origin else 403, before)


SAME = ("/a", "//a", "/./a", "/%61", "/a/", "/a//x", "/a/.", "/a?x", "/a/../a", "/b/../a", "/b/../../a", "http://x/a")
DISGUISED = ("/b/%2e%2e/a", "/b/.%2e/a", "/b/..%2fa", "/b/..%5Ca", "/b/..\\a", "/b;/../a", "/b/..;/a", "/b#/../a")


@pytest.mark.parametrize("path", [*SAME, *DISGUISED])
async def test_a_path_has_one_spelling_so_no_list_is_passed_by_another(edge: edges.Edge, path: str) -> None:
    await edge.put(edges.tenant("spelt", {"a": {"policies": {"access": {"allow": ["127.0.0.4/32"]}}}}))
    before = edge.echo.count
    said = await edge.raw(f"GET {path} HTTP/1.1\r\nhost: x\r\nx-tenant-id: spelt\r\n\r\n".encode())
    assert said.startswith(("HTTP/1.1 403", "HTTP/1.1 400")), said
    assert edge.echo.count == before
    assert await edge.statuses("spelt", "/b") == [200]
