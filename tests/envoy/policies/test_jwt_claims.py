"""`jwt.forward_claims`: what the token says goes on in headers, and nobody else can set them."""

from collections.abc import AsyncIterator
from typing import Any

import edges
import idps
import pytest
import pytest_asyncio
import tokens

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

GROUPS = "https://claims.example.com/v1.0/groups"
"""Named by a URI, with dots that do not descend."""

ODD = 'urn:%x)%"\\é\N{SNOWMAN}'

FORWARD = {
    "sub": "X-User",
    "realm.role": "x-role",
    "plan": "x-plan",
    GROUPS: "x-groups",
    ODD: "x-odd",
}
SPOOF = [(name, "spoofed") for name in ("x-user", "X-Role", "x-plan", "X-GROUPS", "x-odd")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp("ES256") as made:
        yield made


async def told(edge: edges.Edge, tenant: str, token: str | None, path: str = "/a") -> dict[str, str]:
    """The claims that the service hears of, though the client sets all their headers, some twice."""
    headers = [*SPOOF, *SPOOF[:2], *(tokens.bearer(token).items() if token else ())]
    answer = await edge.ask(tenant, path, headers=headers)
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json()["headers"].items() if name in map(str.lower, FORWARD.values())}


async def test_claims_go_on_as_headers(edge: edges.Edge, idp: idps.Idp) -> None:
    await tokens.known(edge, idp)
    await edge.put(edges.tenant("acme", jwt=tokens.policy(idp, forward_claims=FORWARD)))
    claims: dict[str, Any] = {"realm": {"role": "admin"}, "plan": "gold", GROUPS: "staff", ODD: "odd"}
    said = await told(edge, "acme", idp.token(sub="ann", **claims))
    assert said == {"x-user": "ann", "x-role": "admin", "x-plan": "gold", "x-groups": "staff", "x-odd": "odd"}


@pytest.mark.parametrize(
    ("value", "plain", "named"),
    [
        (5, "5", "5"),
        (1_795_213_132, "1795213132", "1795213132"),
        (True, "true", "true"),
        ("a, b", "a, b", "a, b"),
        (1.5, "1.5", "1.5"),
        (-3, "-3", "-3"),
        (9_007_199_254_740_991, "9007199254740991", "9007199254740991"),
        (["a"], '["a"]', '["a"]'),
        (["a", "b c", "d,e"], '["a","b c","d,e"]', '["a","b c","d,e"]'),
        ([], "[]", "[]"),
        (['a"b', "c"], '["a\\"b","c"]', None),
        (["a\\b"], '["a\\\\b"]', None),
        (["a", 1], '["a",1]', None),
        ({"a": 1}, '{"a":1}', None),
        (None, None, None),
        ("", None, None),
    ],
)
async def test_a_claim_has_one_form_of_its_type(
    edge: edges.Edge, idp: idps.Idp, value: object, plain: str | None, named: str | None
) -> None:
    await tokens.known(edge, idp)
    await edge.put(edges.tenant("acme", jwt=tokens.policy(idp, forward_claims=FORWARD)))
    said = await told(edge, "acme", idp.token(plan=value, **{GROUPS: value}))
    assert (said.get("x-plan"), said.get("x-groups")) == (plain, named)


async def test_a_claim_that_is_absent_leaves_no_header(edge: edges.Edge, idp: idps.Idp) -> None:
    await tokens.known(edge, idp)
    await edge.put(edges.tenant("acme", jwt=tokens.policy(idp, forward_claims=FORWARD)))
    assert await told(edge, "acme", idp.token(sub=None, realm="text")) == {}


async def test_without_a_token_nobody_speaks_for_it(edge: edges.Edge, idp: idps.Idp) -> None:
    await tokens.known(edge, idp)
    await edge.put(edges.tenant("acme", jwt=tokens.policy(idp, forward_claims=FORWARD, required=False)))
    assert await told(edge, "acme", None) == {}
    assert await told(edge, "acme", idp.token(sub="ann")) == {"x-user": "ann"}


async def test_where_a_route_asks_for_no_token_the_headers_are_dropped_all_the_same(
    edge: edges.Edge, idp: idps.Idp
) -> None:
    """Its service may be the one that believes them on the other routes."""
    await tokens.known(edge, idp)
    routes = {"b": {"policies": {"jwt": None}}}
    await edge.put(edges.tenant("acme", routes, jwt=tokens.policy(idp, forward_claims=FORWARD)))
    assert await told(edge, "acme", None, "/b") == {}
    routes = {"b": {"policies": {"jwt": {"forward_claims": dict.fromkeys(FORWARD) | {"sub": "x-role"}}}}}
    await edge.put(edges.tenant("acme", routes, jwt=tokens.policy(idp, forward_claims=FORWARD)))
    assert await told(edge, "acme", idp.token(sub="ann"), "/b") == {"x-role": "ann"}


@pytest.mark.parametrize("claim", ["plan", GROUPS])
async def test_a_claim_cannot_smuggle_a_header(edge: edges.Edge, idp: idps.Idp, claim: str) -> None:
    await tokens.known(edge, idp)
    await edge.put(edges.tenant("acme", jwt=tokens.policy(idp, forward_claims=FORWARD)))
    before = edge.echo.count
    for value in ("a\r\nx-admin: 1", "a\nb", "a\r", "a\0b"):
        token = idp.token(**{claim: value})
        answer = await edge.ask("acme", headers=tokens.bearer(token))
        assert (answer.status_code, edges.error(answer)) == (401, "token_invalid"), value
    assert edge.echo.count == before


async def test_headers_that_one_route_makes_of_claims_nobody_sets_on_the_others(
    edge: edges.Edge, idp: idps.Idp
) -> None:
    """The table itself has no `jwt`."""
    await tokens.known(edge, idp)
    one = {"policies": {"jwt": tokens.policy(idp, forward_claims={"sub": "x-user"})}}
    await edge.put(edges.tenant("apart", routes={"b": one}))
    assert (await told(edge, "apart", idp.token(sub="ann"), "/b"))["x-user"] == "ann"
    said = await told(edge, "apart", None, "/a")
    assert "x-user" not in said
    assert said["x-plan"] == "spoofed"  # nobody's claim here
