"""`jwt`: a good token passes and any other does not, with an error that says what is wrong."""

from collections.abc import AsyncIterator

import edges
import httpx
import idps
import pytest
import pytest_asyncio
import tokens

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

EXPIRED = -600.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp() as made:
        yield made


async def ask(edge: edges.Edge, tenant: str, *values: str, path: str = "/a") -> httpx.Response:
    """A request with these Authorization headers."""
    return await edge.ask(tenant, path, headers=[("authorization", value.encode("latin-1")) for value in values])


async def guard(edge: edges.Edge, idp: idps.Idp, *names: str, **more: object) -> None:
    await tokens.known(edge, idp)
    await edge.put(*(edges.tenant(name, jwt=tokens.policy(idp, **more)) for name in names))


async def test_a_good_token_passes_and_the_service_sees_it(edge: edges.Edge, idp: idps.Idp) -> None:
    await guard(edge, idp, "acme")
    token = idp.token()
    answer = await ask(edge, "acme", f"Bearer {token}")
    assert answer.status_code == 200
    assert answer.json()["headers"]["authorization"] == f"Bearer {token}"


async def test_every_path_of_the_tenant_is_guarded_and_nobody_elses(edge: edges.Edge, idp: idps.Idp) -> None:
    await guard(edge, idp, "acme")
    await edge.put(edges.tenant("open"))
    before = edge.echo.count
    assert [(await ask(edge, "acme", path=path)).status_code for path in ("/a", "/b/x", "/nowhere")] == [401] * 3
    assert edge.echo.count == before
    assert (await ask(edge, "open")).status_code == 200


def faults(idp: idps.Idp) -> dict[str, tuple[str, str, int]]:
    """Token, code, status."""
    other = idps.key(idp.keys[-1].kid)
    good = {"aud": "orders"}
    return {
        "expired": (idp.token(expires_in=EXPIRED, **good), "token_expired", 401),
        "not yet valid": (idp.token(nbf=9_999_999_999, **good), "token_invalid", 401),
        "another issuer": (idp.token(iss="https://evil.example", **good), "token_invalid", 401),
        "no issuer": (idp.token(iss=None, **good), "token_invalid", 401),
        "another audience": (idp.token(aud="billing"), "token_not_for_this_audience", 403),
        "no audience": (idp.token(), "token_not_for_this_audience", 403),
        "another key of that name": (idp.token(other, **good), "token_invalid", 401),
        "an unknown key": (idp.token(other, kid="unknown", **good), "token_invalid", 401),
        "another key without a name": (idp.token(other, kid="", **good), "token_invalid", 401),
        "no signature": (idp.forged("none", **good), "token_invalid", 401),
        "our public key as a secret": (idp.forged("HS256", **good), "token_invalid", 401),
        "no token at all": ("a.b.c", "token_invalid", 401),
        "a part of one": (idp.token(**good).rpartition(".")[0], "token_invalid", 401),
        "another payload": (_swapped(idp.token(**good), idp.token(**good, sub="root")), "token_invalid", 401),
    }


def _swapped(one: str, other: str) -> str:
    """The payload of another token with this one's signature."""
    head, _payload, signature = one.split(".")
    return ".".join((head, other.split(".")[1], signature))


@pytest.mark.parametrize("required", [True, False])
async def test_a_bad_token_is_refused_with_a_code_and_a_challenge(
    edge: edges.Edge, idp: idps.Idp, required: bool
) -> None:
    await guard(edge, idp, "acme", audiences=["orders"], required=required)
    before = edge.echo.count
    for name, (token, code, status) in faults(idp).items():
        answer = await ask(edge, "acme", f"Bearer {token}")
        assert (answer.status_code, edges.error(answer)) == (status, code), (name, answer.text)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], name
        if code == "token_invalid":
            assert answer.json()["error"]["details"]["reason"].startswith("jwt_authn_access_denied{"), name
    assert edge.echo.count == before
    assert (await ask(edge, "acme", f"Bearer {idp.token(aud=['x', 'orders'])}")).status_code == 200


async def test_without_a_token_the_answer_says_that_one_is_needed(edge: edges.Edge, idp: idps.Idp) -> None:
    await guard(edge, idp, "acme")
    for values in ((), ("Basic YTpi",), ("Bearer",), ("Digest x",), (idp.token(),)):
        answer = await ask(edge, "acme", *values)
        assert (answer.status_code, edges.error(answer)) == (401, "token_missing"), values
        assert answer.headers["www-authenticate"].startswith("Bearer "), values


@pytest.mark.parametrize("parameter", ["access_token", "token", "jwt", "authorization"])
async def test_a_token_elsewhere_does_not_count(edge: edges.Edge, idp: idps.Idp, parameter: str) -> None:
    await guard(edge, idp, "acme")
    token = idp.token()
    for headers in ({}, {"x-access-token": token}, {"cookie": f"{parameter}={token}"}, {"authorization_": token}):
        answer = await edge.ask("acme", f"/a?{parameter}={token}", headers=headers)
        assert (answer.status_code, edges.error(answer)) == (401, "token_missing"), headers


async def test_the_scheme_knows_no_case(edge: edges.Edge, idp: idps.Idp) -> None:
    """RFC 9110, 11.1. Spellings that no client uses are refused."""
    await guard(edge, idp, "acme")
    token = idp.token()
    said = {word: (await ask(edge, "acme", f"{word} {token}")).status_code for word in ("bearer", "BEARER", "bEaReR")}
    assert said == {"bearer": 200, "BEARER": 200, "bEaReR": 401}


@pytest.mark.parametrize("required", [True, False])
async def test_a_header_that_a_service_could_read_otherwise_is_refused(
    edge: edges.Edge, idp: idps.Idp, required: bool
) -> None:
    """Where no token is required too: a token that nobody verified must not reach the service."""
    await guard(edge, idp, "acme", required=required)
    good, bad = f"Bearer {idp.token()}", f"Bearer {idp.token(idps.key('key-1'), sub='root')}"
    before = edge.echo.count
    cases: list[tuple[str, ...]] = [
        *((good, other) for other in (good, bad, "Basic YTpi", "Bearer x")),
        *((other, good) for other in (bad, "Basic YTpi", "Bearer x", "Negotiate")),
        *((f"{one}{glue}{good}",) for one in ("Basic YTpi", bad, "x") for glue in (", ", ",", " ", "")),
        (f"{good} x",),
        (f"{good}, x",),
        (bad.replace("Bearer", "bEaReR"),),
        (bad.replace("Bearer ", "Bearer\t"),),
        (bad.replace("Bearer", "Basic x, bEARER"),),
        *((bad.replace("Bearer ", f"bEARER{glue}"),) for glue in ("\xa0", "\x85", "=", ":", '" ')),
        *((f"{glue}{bad.replace('Bearer', 'bEARER')}",) for glue in ("Basic x;", "\xff ", "\xff")),
        *((bad.replace("Bearer ", word),) for word in ("Token ", "JWT ", "DPoP ", "", "Token token=", 'x "', "\xff")),
        (f"Token {idp.forged('none', sub='root')}",),
    ]
    for values in cases:
        answer = await ask(edge, "acme", *values)
        assert (answer.status_code, edges.error(answer)) in ((401, "token_invalid"), (401, "token_missing")), values
        assert "www-authenticate" in answer.headers, values
    assert edge.echo.count == before


@pytest.mark.parametrize(
    "value",
    [
        "Basic YTpi",
        "Basic ZTpleUo6eyJhbGciOiJub25lIn06YTpiOmM6ZDplOmY=",
        'Digest username="eve", uri="/www.example.com/Download.Index.html", nonce="dcd98b7102.Dd2f0e8b11", qop=auth',
        "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-1/s3/aws4_request, SignedHeaders=host;date, Signature=eeff00",
        "Token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
        "Negotiate YIIeyJ.x",
    ],
)
async def test_what_is_no_token_passes_where_none_is_required(edge: edges.Edge, idp: idps.Idp, value: str) -> None:
    await guard(edge, idp, "acme", required=False)
    answer = await ask(edge, "acme", value)
    assert (answer.status_code, answer.json()["headers"]["authorization"]) == (200, value)


async def test_clocks_may_differ_by_the_skew(edge: edges.Edge, idp: idps.Idp) -> None:
    await guard(edge, idp, "lax", clock_skew="1h")
    await guard(edge, idp, "strict", clock_skew="1s")
    late = f"Bearer {idp.token(expires_in=-300.0)}"
    assert (await ask(edge, "lax", late)).status_code == 200
    assert edges.error(await ask(edge, "strict", late)) == "token_expired"


@pytest.mark.parametrize("required", [True, False])
async def test_without_keys_a_token_is_neither_good_nor_bad(edge: edges.Edge, idp: idps.Idp, required: bool) -> None:
    await guard(edge, idp, "acme", required=required)
    await tokens.forgotten(edge, idp)
    token = f"Bearer {idp.token()}"

    async def closed() -> bool:
        return (await ask(edge, "acme", token)).status_code != 200

    await edge.until(closed, "the keys to be gone")
    answer = await ask(edge, "acme", token)
    assert (answer.status_code, edges.error(answer)) == (503, "keys_unavailable")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await ask(edge, "acme")).status_code == (401 if required else 200)
    await tokens.known(edge, idp)

    async def open_again() -> bool:
        return (await ask(edge, "acme", token)).status_code == 200

    await edge.until(open_again, "the keys to be back")


async def test_what_the_gateway_answers_itself_is_behind_the_guard(edge: edges.Edge, idp: idps.Idp) -> None:
    await tokens.known(edge, idp)
    jwt = tokens.policy(idp)
    await edge.put(edges.tenant("strict", jwt=jwt, required_headers=[{"name": "x-key"}]))
    await edge.put(edges.tenant("closed", jwt=jwt, maintenance={}))
    assert edges.error(await ask(edge, "strict")) == "token_missing"
    assert edges.error(await ask(edge, "strict", f"Bearer {idp.token()}")) == "missing_header"
    assert edges.error(await ask(edge, "closed")) == "token_missing"
    assert edges.error(await ask(edge, "closed", f"Bearer {idp.token()}")) == "maintenance"


async def test_preflights_need_no_token_where_cors_answers_them_and_one_elsewhere(
    edge: edges.Edge, idp: idps.Idp
) -> None:
    await tokens.known(edge, idp)
    cors = {"origins": ["https://a.example"]}
    await edge.put(
        edges.tenant("pages", jwt=tokens.policy(idp), cors=cors), edges.tenant("api", jwt=tokens.policy(idp))
    )
    asks = {"origin": "https://a.example", "access-control-request-method": "GET"}
    before = edge.echo.count
    answer = await edge.ask("pages", "/a", "OPTIONS", headers=asks)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://a.example")
    assert (await edge.ask("api", "/a", "OPTIONS", headers=asks)).status_code == 401
    assert (await edge.ask("pages", "/a", headers={"origin": "https://a.example"})).status_code == 401
    assert edge.echo.count == before
