"""`jwt` wherever a document says it: gateway, organisation, route, tenant, override; several issuers side by side."""

import base64
import json
from collections.abc import AsyncIterator

import edges
import idps
import jwt
import pytest
import pytest_asyncio
import tokens

from tenants.keysets.keys import parse
from tenants.keysets.source import Source
from tenants.keysets.state import State

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two() -> AsyncIterator[tuple[idps.Idp, idps.Idp]]:
    """Two identity providers."""
    async with idps.Idp("ES256", name="one") as one, idps.Idp("ES256", name="two") as other:
        yield one, other


async def code(edge: edges.Edge, tenant: str, token: str | None, path: str = "/a") -> str:
    """The error; "ok" if there is none."""
    answer = await edge.ask(tenant, path, headers=tokens.bearer(token) if token else {})
    return "ok" if answer.status_code == 200 else edges.error(answer)


async def test_each_tenant_has_its_own_issuer(edge: edges.Edge, two: tuple[idps.Idp, idps.Idp]) -> None:
    one, other = two
    await tokens.known(edge, one, other)
    await edge.put(edges.tenant("acme", jwt=tokens.policy(one)), edges.tenant("beta", jwt=tokens.policy(other)))
    said = {(name, idp.name): await code(edge, name, idp.token()) for name in ("acme", "beta") for idp in two}
    refused = "token_invalid"
    assert said == {("acme", "one"): "ok", ("acme", "two"): refused, ("beta", "one"): refused, ("beta", "two"): "ok"}


async def test_many_issuers_in_one_gateway_do_not_mix(edge: edges.Edge) -> None:
    """More than there are shards, so several share one."""
    many = [idps.Idp("EdDSA", path=f"/{number}", port=1, name=f"key{number}") for number in range(24)]
    for idp in many:
        idp.add()
    await edge.put(*(edges.tenant(f"many-{number}", jwt=tokens.inline(idp)) for number, idp in enumerate(many)))
    for number, idp in enumerate(many):
        stolen = many[number - 1].token(many[number - 1].keys[0], iss=idp.issuer)
        assert await code(edge, f"many-{number}", idp.token()) == "ok"
        assert await code(edge, f"many-{number}", stolen) == "token_invalid"


async def test_tenants_of_one_issuer_ask_for_different_things(edge: edges.Edge, two: tuple[idps.Idp, idps.Idp]) -> None:
    one, _ = two
    await tokens.known(edge, one)
    await edge.put(
        edges.tenant("acme", jwt=tokens.policy(one, audiences=["a"])),
        edges.tenant("beta", jwt=tokens.policy(one, audiences=["b"])),
        edges.tenant("same", jwt=tokens.policy(one, audiences=["a"])),
    )
    said = {name: await code(edge, name, one.token(aud="a")) for name in ("acme", "beta", "same")}
    assert said == {"acme": "ok", "beta": "token_not_for_this_audience", "same": "ok"}


async def test_a_route_says_its_own(edge: edges.Edge, two: tuple[idps.Idp, idps.Idp]) -> None:
    """Another issuer, no token at all, another demand: against the table of the tenant."""
    one, other = two
    await tokens.known(edge, one, other)
    for said, good, bad in (
        (tokens.policy(other), other.token(tenant="acme"), one.token(tenant="acme")),
        (tokens.policy(other, tenant_claim=None), other.token(tenant="x"), one.token(tenant="acme")),
        (None, None, None),
        ({"audiences": ["a"]}, one.token(aud="a", tenant="acme"), one.token(tenant="acme")),
        ({"required": False}, None, one.token(idps.key("one-1", "ES256"), tenant="acme")),
    ):
        routes = {"b": {"policies": {"jwt": said}}}
        await edge.put(edges.tenant("acme", routes, jwt=tokens.policy(one, tenant_claim="tenant")))
        assert await code(edge, "acme", good, "/b") == "ok", said
        assert bad is None or await code(edge, "acme", bad, "/b") != "ok", said
        assert await code(edge, "acme", one.token(tenant="acme")) == "ok", said
        assert await code(edge, "acme", other.token(tenant="acme")) == "token_invalid", said
        assert await code(edge, "acme", None) == "token_missing", said


async def test_a_route_alone_asks_for_a_token(edge: edges.Edge, two: tuple[idps.Idp, idps.Idp]) -> None:
    one, _ = two
    await tokens.known(edge, one)
    await edge.put(edges.tenant("acme", {"b": {"policies": {"jwt": tokens.policy(one, tenant_claim="tenant")}}}))
    assert await code(edge, "acme", None) == "ok"
    assert await code(edge, "acme", None, "/b") == "token_missing"
    assert await code(edge, "acme", one.token(tenant="beta"), "/b") == "wrong_tenant"
    assert await code(edge, "acme", one.token(tenant="acme"), "/b") == "ok"


async def test_an_organisation_says_it_for_its_tenants(edge: edges.Edge, two: tuple[idps.Idp, idps.Idp]) -> None:
    one, other = two
    await tokens.known(edge, one, other)
    foods = {"organisation": "foods"}
    await edge.put(
        edges.organisation("foods", jwt=tokens.policy(one, tenant_claim="tenant")),
        edges.tenant("inherits", more=foods),
        edges.tenant("differs", more=foods, jwt=tokens.policy(other, tenant_claim=None)),
        edges.tenant("off", more=foods, jwt=None),
    )
    assert await code(edge, "inherits", one.token(tenant="inherits")) == "ok"
    assert await code(edge, "inherits", one.token(tenant="differs")) == "wrong_tenant"
    assert await code(edge, "differs", other.token()) == "ok"
    assert await code(edge, "differs", one.token(tenant="differs")) == "token_invalid"
    assert await code(edge, "off", None) == "ok"


async def test_keys_are_found_by_discovery_where_a_document_gives_none(
    edge: edges.Edge, two: tuple[idps.Idp, idps.Idp]
) -> None:
    one, other = two
    await tokens.known(edge, one)
    await edge.put(edges.tenant("acme", jwt={"issuer": one.issuer}), edges.tenant("beta", jwt={"issuer": other.issuer}))
    assert await code(edge, "acme", one.token()) == "ok"
    assert await code(edge, "beta", None) == "token_missing"


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_every_algorithm_for_public_keys_verifies(edge: edges.Edge, alg: str) -> None:
    idp = idps.Idp(alg, port=1)
    idp.add()
    await edge.put(edges.tenant("acme", jwt=tokens.inline(idp)))
    assert await code(edge, "acme", idp.token()) == "ok"
    assert await code(edge, "acme", idp.token(idps.key("key-1", alg))) == "token_invalid"


async def test_only_the_listed_algorithms_pass_whatever_the_key_could(edge: edges.Edge) -> None:
    """A key that names no algorithm verifies six."""
    idp = idps.Idp("RS256", port=1)
    signer = idp.add()
    bare = {name: value for name, value in signer.public().items() if name != "alg"}
    said = {"issuer": idp.issuer, "jwks": {"keys": [bare]}, "algorithms": ["RS512", "PS256"]}
    await edge.put(edges.tenant("narrow", jwt=said), edges.tenant("wide", jwt={**said, "algorithms": list(ALGORITHMS)}))
    signed = {alg: idp.token(idps.Key("key-1", alg, signer.private)) for alg in ("RS256", "RS512", "PS256", "PS512")}
    narrow = {alg: await code(edge, "narrow", token) for alg, token in signed.items()}
    assert narrow == {"RS256": "token_invalid", "RS512": "ok", "PS256": "ok", "PS512": "token_invalid"}
    assert {alg: await code(edge, "wide", token) for alg, token in signed.items()} == dict.fromkeys(signed, "ok")


async def test_a_shared_secret_counts_only_where_its_algorithm_is_listed(edge: edges.Edge) -> None:
    issuer, secret = "https://hmac.example", b"s" * 64
    jwk = {"kty": "oct", "kid": "1", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}
    both = {"keys": [jwk, idps.key("2", "ES256").public()]}
    body = json.dumps(both).encode()
    states = {Source(issuer, "", True, wide): State(parse(body, symmetric=wide)) for wide in (True, False)}
    await edge.served.plane.keyed(states)
    await edge.put(
        edges.tenant("listed", jwt={"issuer": issuer, "algorithms": ["HS256", "ES256"]}),
        edges.tenant("usual", jwt={"issuer": issuer}),
    )
    signed = {alg: jwt.encode({"iss": issuer}, secret, alg, headers={"kid": "1"}) for alg in ("HS256", "HS384")}
    assert {alg: await code(edge, "listed", token) for alg, token in signed.items()} == {
        "HS256": "ok",
        "HS384": "token_invalid",
    }
    assert {alg: await code(edge, "usual", token) for alg, token in signed.items()} == dict.fromkeys(
        signed, "token_invalid"
    )


async def test_no_document_can_bring_a_key_that_stops_the_others(edge: edges.Edge) -> None:
    """Envoy refuses a whole filter for one bad key; so the document is refused, with the number of the key."""
    idp = idps.Idp("ES256", port=1)
    good = idp.add().public()
    bad = [
        {**good, "x": good["y"]},
        {**good, "crv": "P-384"},
        {**good, "crv": "secp256k1"},
        {**good, "use": "enc"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {**idps.key("k", "RS256").public(), "e": "BQ"},
        {"kty": "oct", "k": "A" * 43},
        {"kty": "RSA", "x5c": ["junk"]},
        idp.keys[0].secret(),
    ]
    before = edge.served.sent("ECDS")
    for one in bad:
        said = {"issuer": idp.issuer, "jwks": {"keys": [good, one]}}
        await edge.served.apply(json.dumps(edges.tenant("refused", jwt=said)))
        (problem,) = edge.served.plane.problems()
        assert problem.code in ("GC122", "GC124"), problem
        assert problem.path == "policies.jwt.jwks.keys[1]", problem
    assert edge.served.sent("ECDS") == before
    await edge.served.drop(("Tenant", "refused"))
