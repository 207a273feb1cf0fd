"""The tenant from the token: whoever has it verified is that tenant, and nothing else in a request says who it is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import edges
import httpx
import idps
import pytest
import pytest_asyncio
import tokens

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

WHOSE = "x-whose"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp("ES256") as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def claims(tmp_path_factory: pytest.TempPathFactory, idp: idps.Idp) -> AsyncIterator[edges.Edge]:
    """A gateway that knows tenants by the claim `tenant`."""
    folder: Path = tmp_path_factory.mktemp("envoy")
    jwt = tokens.policy(idp, audiences=["edge"])
    async with edges.edge(folder, "claim", jwt=jwt) as made:
        made.token = lambda tenant: idp.token(tenant=tenant, aud="edge")
        await tokens.known(made, idp)
        yield made


def signed(name: str, **policies: Any) -> edges.Json:
    """A tenant whose answers tell that they are its own."""
    sign = {"set": {WHOSE: name}}
    return edges.tenant(name, headers={"request": sign, "response": sign}, **policies)


async def get(claims: edges.Edge, token: str | None, path: str = "/a", *headers: tuple[str, str]) -> httpx.Response:
    said = [*headers, *(tokens.bearer(token).items() if token else ())]
    return await claims.client().get(claims.url(path), headers=said)


async def test_the_token_says_who_the_tenant_is(claims: edges.Edge, idp: idps.Idp) -> None:
    await claims.put(signed("acme"), signed("beta"))
    for name in ("acme", "beta", "acme"):
        answer = await claims.ask(name)
        assert (answer.status_code, answer.headers[WHOSE], answer.json()["headers"][WHOSE]) == (200, name, name)
        assert "x-gatecast-claim" not in answer.json()["headers"]


@pytest.mark.parametrize("path", ["/a", "/nowhere", "/probe"])
async def test_without_a_good_token_nobody_gets_in(claims: edges.Edge, idp: idps.Idp, path: str) -> None:
    await claims.put(signed("acme"))
    before = claims.echo.count
    other = idps.key("key-1", "ES256")
    for token, code, status in (
        (None, "token_missing", 401),
        (idp.token(tenant="acme", aud="edge", expires_in=-600.0), "token_expired", 401),
        (idp.token(other, tenant="acme", aud="edge"), "token_invalid", 401),
        (idp.forged("none", tenant="acme", aud="edge"), "token_invalid", 401),
        (idp.token(tenant="acme", aud="edge", iss="https://evil.example"), "token_invalid", 401),
        (idp.token(tenant="acme"), "token_not_for_this_audience", 403),
    ):
        for spoof in ((), ("x-gatecast-claim", "acme"), ("x-tenant-id", "acme"), ("host", "acme.example.com")):
            answer = await get(claims, token, path, *([spoof] if spoof else ()))
            assert (answer.status_code, edges.error(answer), answer.headers.get(WHOSE)) == (status, code, None)
    assert claims.echo.count == before


@pytest.mark.parametrize(
    "claim",
    [
        "nobody",
        "ACME",
        "acme ",
        " acme",
        "acme,beta",
        "acme\n",
        "",
        "*",
        5,
        True,
        None,
        ["acme"],
        {"a": "acme"},
        [],
        {},
    ],
)
async def test_a_claim_that_is_no_tenants_is_nobodys(claims: edges.Edge, idp: idps.Idp, claim: object) -> None:
    await claims.put(signed("acme"), signed("beta"), signed("5"), signed("true"), signed("null"))
    before = claims.echo.count
    for spoof in ((), ("x-gatecast-claim", "acme"), ("X-Gatecast-Claim", "acme"), ("x_gatecast_claim", "acme")):
        answer = await get(claims, idp.token(tenant=claim, aud="edge"), "/a", *([spoof] if spoof else ()))
        assert (answer.status_code, edges.error(answer)) == (404, "unknown_tenant"), answer.text
    assert claims.echo.count == before


async def test_a_body_of_nobodys_is_refused_as_any_request_of_nobodys(claims: edges.Edge, idp: idps.Idp) -> None:
    await claims.put(signed("acme"))
    answer = await claims.client().post(
        claims.url(), headers=tokens.bearer(idp.token(tenant="nobody", aud="edge")), content=b"x" * 100_000
    )
    assert (answer.status_code, edges.error(answer)) == (404, "unknown_tenant")


async def test_what_the_tenant_says_holds_though_its_table_is_found_late(claims: edges.Edge, idp: idps.Idp) -> None:
    """Every kind of filter that a table switches on."""
    await claims.put(
        signed("limited", rate_limit={"requests": 1, "per": "hour"}),
        signed("denied", access={"deny": ["127.0.0.0/8"]}),
        signed("small", body_limit={"max": "10B"}),
        signed("strict", required_headers=[{"name": "x-key"}]),
        signed("pages", cors={"origins": ["https://a.example"]}),
        signed("free"),
    )
    assert await claims.statuses("limited", times=2) == [200, 429]
    assert edges.error(await claims.ask("denied")) == "access_denied"
    assert edges.error(await claims.ask("small", "/a", "POST", content=b"x" * 100)) == "body_too_large"
    assert edges.error(await claims.ask("strict")) == "missing_header"
    answer = await claims.ask("pages", headers={"origin": "https://a.example"})
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert await claims.statuses("free", times=3, method="POST", content=b"x" * 100_000) == [200] * 3


async def test_a_tenant_may_ask_for_more_of_the_same_tokens(claims: edges.Edge, idp: idps.Idp) -> None:
    more = {"audiences": ["orders"], "forward_claims": {"sub": "x-user"}, "tenant_claim": "tenant"}
    routes = {"b": {"policies": {"jwt": {"tenant_claim": "org.unit"}}}}
    await claims.put(edges.tenant("tight", routes), signed("wide"))
    await claims.served.apply(edges.text([edges.tenant("tight", routes, jwt=more)]))
    assert claims.served.problems() == []
    good = idp.token(tenant="tight", aud=["edge", "orders"], sub="ann", org={"unit": "tight"})

    async def tightened() -> bool:
        return (await claims.ask("tight")).status_code == 403

    await claims.until(tightened, "the audience to be asked for")
    assert edges.error(await claims.ask("tight")) == "token_not_for_this_audience"
    answer = await get(claims, good, "/a", ("x-user", "root"))
    assert (answer.status_code, answer.json()["headers"]["x-user"]) == (200, "ann")
    assert (await get(claims, good, "/b")).status_code == 200
    unbound = idp.token(tenant="tight", aud=["edge", "orders"])
    assert edges.error(await get(claims, unbound, "/b")) == "wrong_tenant"
    wide = await get(claims, idp.token(tenant="wide", aud="edge", sub="ann"), "/a", ("x-user", "root"))
    assert (wide.status_code, wide.json()["headers"]["x-user"]) == (200, "root")


async def test_a_tenant_of_another_issuer_is_a_problem_and_closed(claims: edges.Edge, idp: idps.Idp) -> None:
    other = idps.Idp("ES256", port=1, name="other")
    other.add()
    jwt = {"issuer": other.issuer, "jwks": {"uri": None, **other.jwks()}}
    await claims.served.apply(edges.text([edges.tenant("foreign", jwt=jwt)]))
    found = {(one.code, one.severity, one.id, one.path, one.tenant) for one in claims.served.plane.problems()}
    assert found == {("GC302", "error", "foreign", "policies.jwt", "foreign")}

    async def closed() -> bool:
        return (await claims.ask("foreign")).status_code == 401

    await claims.until(closed, "the tenant to be closed")
    assert edges.error(await claims.ask("foreign")) == "token_invalid"
    assert edges.error(await get(claims, other.token(tenant="foreign", aud="edge"))) == "token_invalid"
    await claims.served.drop(("Tenant", "foreign"))


async def test_the_keys_of_the_gateway_come_and_go_as_others_do(claims: edges.Edge, idp: idps.Idp) -> None:
    await claims.put(signed("acme"))
    connections, listeners = await claims.proxy.stats("downstream_cx_destroy$"), claims.served.sent("LDS")
    await tokens.forgotten(claims, idp)

    async def unavailable() -> bool:
        return (await claims.ask("acme")).status_code == 503

    await claims.until(unavailable, "the keys to be gone")
    assert edges.error(await claims.ask("acme")) == "keys_unavailable"
    await tokens.known(claims, idp)

    async def back() -> bool:
        return (await claims.ask("acme")).status_code == 200

    await claims.until(back, "the keys to be back")
    assert claims.served.sent("LDS") == listeners
    assert await claims.proxy.stats("public.downstream_cx_destroy$") == {
        name: value for name, value in connections.items() if ".public." in name
    }
