"""Preflights that name no tenant: browsers send none of the headers by which the request itself will name it."""

from collections.abc import AsyncIterator

import edges
import httpx
import idps
import pytest
import pytest_asyncio
import tokens

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

SHOP, OTHER = "https://shop.example.com", "https://other.example.com"
CORS: edges.Json = {"origins": [SHOP], "methods": ["GET", "PUT"], "headers": ["authorization", "x-tenant-id"]}
ASKED = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp("ES256") as made:
        yield made


def said(idp: idps.Idp, by: str, cors: edges.Json | None = None) -> edges.Json:
    """The policies of the gateway."""
    return ({"jwt": tokens.policy(idp)} if by == "claim" else {}) | ({"cors": cors} if cors else {})


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["header", "claim", "header, on demand"])
async def edge(
    request: pytest.FixtureRequest, idp: idps.Idp, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[edges.Edge]:
    by, _, lazy = request.param.partition(", ")
    more = {"on_demand": bool(lazy)}
    async with edges.edge(tmp_path_factory.mktemp("envoy"), by, more, **said(idp, by, CORS)) as made:
        made.token = lambda tenant: idp.token(tenant=tenant)
        await tokens.known(made, idp)
        yield made


async def ask(edge: edges.Edge, method: str = "OPTIONS", **headers: str) -> httpx.Response:
    """A request that names no tenant."""
    spoken = {name.replace("_", "-"): value for name, value in headers.items()}
    return await edge.client().request(method, edge.url(), headers=spoken)


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("access-control-allow-origin")


async def test_the_gateways_own_cors_answers_them(edge: edges.Edge) -> None:
    before = edge.echo.count
    answer = await ask(edge, origin=SHOP, **ASKED)
    assert (answer.status_code, allowed(answer)) == (200, SHOP)
    assert answer.headers["access-control-allow-methods"] == "GET, PUT"
    assert answer.headers["access-control-allow-headers"] == "authorization, x-tenant-id"
    assert allowed(await ask(edge, origin=OTHER, **ASKED)) is None
    assert edge.echo.count == before


async def test_the_request_that_follows_is_the_tenants(edge: edges.Edge) -> None:
    await edge.put(
        edges.tenant("same"), edges.tenant("apart", cors={"origins": [OTHER]}), edges.tenant("none", cors=None)
    )
    for name, origins in (("same", {SHOP}), ("apart", {OTHER}), ("none", set())):
        for origin in (SHOP, OTHER):
            answer = await edge.ask(name, "/a", "PUT", {"origin": origin})
            assert (answer.status_code, allowed(answer)) == (200, origin if origin in origins else None), name


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", {"origin": "", **ASKED}),
        ("OPTIONS", {"origin": SHOP, "access-control-request-method": ""}),
        ("OPTIONS", {"origin": SHOP}),
        ("OPTIONS", ASKED),
        ("GET", {"origin": SHOP, **ASKED}),
    ],
)
@pytest.mark.parametrize("spoof", [{}, {"x-tenant-id": "-unnamed"}, {"x-gatecast-claim": "-unnamed"}])
async def test_anything_else_must_name_its_tenant(
    edge: edges.Edge, method: str, headers: dict[str, str], spoof: dict[str, str]
) -> None:
    before = edge.echo.count
    answer = await ask(edge, method, **headers, **spoof)
    assert edges.error(answer) in ("unknown_tenant", "token_missing", "bad_request"), answer.text
    assert (answer.status_code < 400, allowed(answer), edge.echo.count) == (False, None, before)


async def test_no_preflight_reaches_a_tenant_that_a_token_or_header_of_ours_names(
    edge: edges.Edge, idp: idps.Idp
) -> None:
    await edge.put(edges.tenant("acme", cors=None))
    before = edge.echo.count
    named = {"x-gatecast-claim": "acme", "x-gatecast-host": "acme"}
    for headers in (named, named | ({} if edge.by == "header" else tokens.bearer(idp.token(tenant="acme")))):
        answer = await ask(edge, origin=SHOP, **ASKED, **headers)
        assert (answer.status_code, allowed(answer), edge.echo.count) == (200, SHOP, before)


async def test_a_gateway_takes_its_cors_up_and_lets_it_go_without_a_new_listener(
    edge: edges.Edge, idp: idps.Idp
) -> None:
    listeners, destroyed = edge.served.sent("LDS"), await edge.proxy.stats("public.downstream_cx_destroy$")
    more = {"on_demand": edge.served.plane.catalog.gateways["edge"].on_demand}
    for cors, status in ((None, 404), (CORS | {"origins": [OTHER]}, 200)):
        await edge.served.apply(edges.text([edges.gateway(edge.port, edge.by, more, **said(idp, edge.by, cors))]))

        async def changed(status: int = status) -> bool:
            answer = await ask(edge, origin=OTHER, **ASKED)
            return (answer.status_code, allowed(answer)) == (status, OTHER if status == 200 else None)

        await edge.until(changed, f"preflights to be {status}")
    await edge.served.apply(edges.text([edges.gateway(edge.port, edge.by, more, **said(idp, edge.by, CORS))]))

    async def back() -> bool:
        return allowed(await ask(edge, origin=SHOP, **ASKED)) == SHOP

    await edge.until(back, "preflights as before")
    assert edge.served.sent("LDS") == listeners
    assert await edge.proxy.stats("public.downstream_cx_destroy$") == destroyed
