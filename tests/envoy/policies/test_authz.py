"""`authz`: a real ext_authz server is asked about each request, told who is meant, and its word counts."""

import os
from collections.abc import AsyncIterator
from typing import Any

import authz_servers
import edges
import httpx
import idps
import pytest
import pytest_asyncio
from authz_servers import Authz, denied, ok

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

OPA = {"service": "opa"}
GOOD, BAD = {"x-key": "good"}, {"x-key": "bad"}
ASKED = ["good", "bad"]
"""What a server that is asked about both answers with 200 and 403."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Authz]:
    async with Authz() as made:
        yield made


@pytest.fixture
def authz(server: Authz) -> Authz:
    """The server `opa`: whoever carries the good key passes."""
    server.decide, server.delay = authz_servers.by_key, 0.0
    server.checks.clear()
    return server


@pytest.fixture(params=["edge", "hosts"])
def either(request: pytest.FixtureRequest) -> edges.Edge:
    """A gateway that finds the tenant by header, and one that finds it by host: their filters differ."""
    made: edges.Edge = request.getfixturevalue(request.param)
    return made


async def put(edge: edges.Edge, authz: Authz, *documents: edges.Json) -> None:
    """Bring the documents into force, with the server as the service `opa`."""
    await edge.put(edges.service("opa", authz.port, protocol="grpc"), *documents)


async def both(edge: edges.Edge, tenant: str, path: str = "/a", **more: Any) -> list[int]:
    """The statuses of a request with the good key and of one with a bad one."""
    answers = [await edge.ask(tenant, path, headers=headers, **more) for headers in (GOOD, BAD)]
    return [answer.status_code for answer in answers]


async def test_who_is_allowed_passes_and_who_is_not_never_reaches_the_service(either: edges.Edge, authz: Authz) -> None:
    await put(either, authz, edges.tenant("guarded", authz=OPA), edges.tenant("open"))
    before = either.echo.count
    assert await both(either, "guarded") == [200, 403]
    assert (either.echo.count, len(authz.checks)) == (before + 1, 2)
    assert await both(either, "open") == [200, 200]
    assert len(authz.checks) == 2


async def test_the_server_is_told_the_request_and_who_is_meant(either: edges.Edge, authz: Authz) -> None:
    policy = OPA | {"context": {"plan": "gold", "Ünï": "ä"}}
    await put(
        either,
        authz,
        edges.organisation("foods"),
        edges.tenant("told", more={"organisation": "foods"}, authz=policy),
        edges.tenant("alone", authz=OPA),
    )
    await either.ask("told", "/a/x?q=1", "POST", headers={"authorization": "Bearer t", "cookie": "c=1"}, content=b"x")
    await either.ask("alone", "/b", headers=GOOD)
    first, second = authz.checks
    assert first.context == {"tenant": "told", "organisation": "foods", "route": "a", "plan": "gold", "Ünï": "ä"}
    assert (first.method, first.path, first.body) == ("POST", "/a/x?q=1", "")
    assert (first.headers["authorization"], first.headers["cookie"]) == ("Bearer t", "c=1")
    assert second.context == {"tenant": "alone", "route": "b"}
    assert not [name for name in first.headers if name.startswith("x-gatecast-")]


async def test_no_client_can_say_the_context(edge: edges.Edge, authz: Authz) -> None:
    await put(edge, authz, edges.tenant("mine", authz=OPA), edges.tenant("other"))
    forged = {"tenant": "other", "route": "b", "organisation": "foods", "x-gatecast-host": "other.example.com"}
    assert (await edge.ask("mine", headers=GOOD | forged)).status_code == 200
    assert authz.checks[-1].context == {"tenant": "mine", "route": "a"}
    twice = await edge.ask("mine", headers=[("x-tenant-id", "other"), *GOOD.items()])
    assert (twice.status_code, edges.error(twice)) == (400, "bad_tenant_header")
    assert authz.checks[-1].context == {"tenant": "mine"}


async def test_the_server_is_told_the_claims_of_a_token_that_was_verified(either: edges.Edge, authz: Authz) -> None:
    async with idps.Idp() as provider:
        jwt = {"issuer": provider.issuer, "jwks": provider.jwks()}
        await put(either, authz, edges.tenant("signed", authz=OPA, jwt=jwt), edges.tenant("plain", authz=OPA))
        token = provider.token(sub="ann", role="clerk")
    bearer = {"authorization": f"Bearer {token}"}
    assert (await either.ask("signed", headers=GOOD | bearer)).status_code == 200
    assert (authz.checks[-1].claims["sub"], authz.checks[-1].claims["role"]) == ("ann", "clerk")
    assert (await either.ask("plain", headers=GOOD | bearer)).status_code == 200
    assert authz.checks.pop().claims == {}
    asked = len(authz.checks)
    assert (await either.ask("signed", headers=GOOD | {"authorization": f"Bearer {token}x"})).status_code == 401
    assert len(authz.checks) == asked


async def test_a_refusal_without_words_gets_ours(either: edges.Edge, authz: Authz) -> None:
    await put(either, authz, edges.tenant("guarded", authz=OPA))
    for said, status, reason in (
        (denied(), 403, ""),
        (denied(401), 401, ""),
        (denied(402, 'pay "up"'), 402, 'pay "up"'),
    ):
        authz.decide = lambda _check, said=said: said  # type: ignore[misc]
        answer = await either.ask("guarded")
        assert (answer.status_code, edges.error(answer)) == (status, "not_authorized")
        assert answer.json()["error"]["details"] == {"status": status, "reason": reason}


async def test_a_refusal_with_a_content_type_is_handed_on_as_it_is(either: edges.Edge, authz: Authz) -> None:
    await put(either, authz, edges.tenant("guarded", authz=OPA))
    headers = {"content-type": "text/html", "www-authenticate": "Bearer", "x-own": "1"}
    authz.decide = lambda _check: denied(401, "<b>no</b>", headers)
    answer = await either.ask("guarded")
    assert (answer.status_code, answer.text) == (401, "<b>no</b>")
    assert {name: answer.headers[name] for name in headers} == headers
    assert answer.headers["x-request-id"]
    authz.decide = lambda _check: denied(302, "", {"location": "https://login.example.com/"})
    answer = await either.ask("guarded")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://login.example.com/")


async def test_an_error_of_the_service_is_not_taken_for_a_refusal(edge: edges.Edge, authz: Authz) -> None:
    await put(edge, authz, edges.tenant("guarded", authz=OPA))
    answer: httpx.Response = await edge.ask("guarded", "/a?status=403", headers=GOOD)
    assert (answer.status_code, answer.json()["name"]) == (403, "echo")


async def test_the_server_sets_and_removes_headers_for_the_service(either: edges.Edge, authz: Authz) -> None:
    await put(either, authz, edges.tenant("guarded", authz=OPA))
    authz.decide = lambda _check: ok({"x-user": "ada", "x-new": "1"}, remove=["x-secret"])
    answer = await either.ask("guarded", headers={"x-user": "mallory", "x-secret": "s"})
    seen = answer.json()["headers"]
    assert (seen["x-user"], seen["x-new"]) == ("ada", "1")
    assert "x-secret" not in seen


@pytest.mark.parametrize("name", [":path", ":authority", "host", ":method", "x-envoy-original-path"])
async def test_the_server_sends_nobody_elsewhere(edge: edges.Edge, authz: Authz, name: str) -> None:
    await put(edge, authz, edges.tenant("guarded", authz=OPA))
    authz.decide = lambda _check: ok({name: "/b", "x-new": "1"})
    answer = (await edge.ask("guarded", "/a", headers={"host": "h.example"})).json()
    assert (answer["path"], answer["method"], answer["headers"]["host"]) == ("/a", "GET", "h.example")
    assert answer["headers"]["x-new"] == "1"
    assert answer["headers"].get("x-envoy-original-path") != "/b"


async def test_the_body_is_shown_up_to_a_size_and_a_larger_one_is_413(either: edges.Edge, authz: Authz) -> None:
    body = {"b": {"policies": {"authz": {"body": "8B"}}}}
    await put(either, authz, edges.tenant("shown", body, authz=OPA))
    for path, sent, seen in (("/b", b"12345678", "12345678"), ("/b", b"", ""), ("/a", b"12345678", "")):
        answer = await either.ask("shown", path, "POST", headers=GOOD, content=sent)
        assert (answer.status_code, answer.json()["length"], authz.checks[-1].body) == (200, len(sent), seen)
    asked, before = len(authz.checks), either.echo.count
    answer = await either.ask("shown", "/b", "POST", headers=GOOD, content=b"123456789")
    assert (answer.status_code, edges.error(answer)) == (413, "body_too_large")
    assert (len(authz.checks), either.echo.count) == (asked, before)
    binary = await either.ask("shown", "/b", "POST", headers=GOOD, content=b"\xff\xfe\x00")
    assert (binary.status_code, authz.checks[-1].body) == (200, "!!\x00")


async def test_null_switches_it_off_for_a_tenant_or_on_a_route(either: edges.Edge, authz: Authz) -> None:
    off = {"b": {"policies": {"authz": None}}}
    await put(
        either,
        authz,
        edges.organisation("asking", authz=OPA | {"context": {"plan": "free"}}),
        edges.tenant("inherits", more={"organisation": "asking"}),
        edges.tenant("extends", more={"organisation": "asking"}, authz={"context": {"seats": "5"}}),
        edges.tenant("partly", off, more={"organisation": "asking"}),
        edges.tenant("refuses", more={"organisation": "asking"}, authz=None),
    )
    assert await both(either, "inherits") == [200, 403]
    assert authz.checks[-1].context["plan"] == "free"
    assert await both(either, "extends") == [200, 403]
    assert authz.checks[-1].context == {
        "tenant": "extends", "organisation": "asking", "route": "a", "plan": "free", "seats": "5"
    }  # fmt: skip
    assert await both(either, "partly", "/a") == [200, 403]
    asked = len(authz.checks)
    assert await both(either, "partly", "/b") == [200, 200]
    assert await both(either, "refuses") == [200, 200]
    assert len(authz.checks) == asked


async def test_a_route_asks_by_itself_and_its_neighbours_do_not(either: edges.Edge, authz: Authz) -> None:
    await put(either, authz, edges.tenant("mixed", {"a": {"policies": {"authz": OPA}}}))
    assert await both(either, "mixed", "/a") == [200, 403]
    asked = len(authz.checks)
    assert await both(either, "mixed", "/b") == [200, 200]
    assert await both(either, "mixed", "/nowhere") == [404, 404]
    assert len(authz.checks) == asked


async def test_a_route_tells_its_own_context_and_what_it_takes_out_is_not_told(edge: edges.Edge, authz: Authz) -> None:
    own = {"b": {"policies": {"authz": {"context": {"plan": None, "scope": "write"}}}}}
    await put(edge, authz, edges.tenant("scoped", own, authz=OPA | {"context": {"plan": "gold"}}))
    for path in ("/a", "/b", "/nowhere"):
        await edge.ask("scoped", path, headers=GOOD)
    assert [check.context for check in authz.checks] == [
        {"tenant": "scoped", "route": "a", "plan": "gold"},
        {"tenant": "scoped", "route": "b", "scope": "write"},
        {"tenant": "scoped", "plan": "gold"},
    ]


async def test_two_servers_are_each_asked_for_their_own(either: edges.Edge, authz: Authz) -> None:
    async with Authz(decide=lambda _check: denied(418)) as second:
        await either.put(edges.service("second", second.port, protocol="grpc"))
        other = {"b": {"policies": {"authz": {"service": "second"}}}}
        await put(
            either, authz, edges.tenant("two", other, authz=OPA), edges.tenant("one", authz={"service": "second"})
        )
        assert await both(either, "two", "/a") == [200, 403]
        assert await both(either, "two", "/b") == [418, 418]
        assert await both(either, "one", "/a") == [418, 418]
        assert {check.context["tenant"] for check in second.checks} == {"two", "one"}
        await either.put(edges.tenant("two"), edges.tenant("one"))
    await either.served.drop(("Service", "second"))


async def test_who_is_refused_learns_nothing_else_and_uses_up_nothing(either: edges.Edge, authz: Authz) -> None:
    closed = {"b": {"policies": {"maintenance": {}}}}
    limit = {"requests": 1, "per": "hour"}
    await put(
        either,
        authz,
        edges.tenant("quiet", closed, authz=OPA, required_headers=[{"name": "x-need"}], rate_limit=limit),
    )
    for path in ("/a", "/b", "/nowhere"):
        assert (await either.ask("quiet", path, headers=BAD)).status_code == 403, path
    need = {"x-need": "1"}
    answers = [(await either.ask("quiet", "/a", headers=headers | need)).status_code for headers in (BAD, GOOD, GOOD)]
    assert answers == [403, 200, 429]


async def test_who_may_not_call_from_his_address_is_refused_without_a_question(edge: edges.Edge, authz: Authz) -> None:
    await put(edge, authz, edges.tenant("listed", authz=OPA, access={"deny": ["127.0.0.3/32"]}))
    answer = await edge.ask("listed", headers=GOOD, address="127.0.0.3")
    assert (answer.status_code, edges.error(answer), authz.checks) == (403, "access_denied", [])


ORIGIN = {"origin": "https://shop.example", "access-control-request-method": "POST"}


@pytest.mark.parametrize("where", ["tenant", "route"])
async def test_preflights_are_answered_without_a_question(either: edges.Edge, authz: Authz, where: str) -> None:
    cors = {"origins": ["https://shop.example"], "methods": ["POST"]}
    routes = {"a": {"policies": {"authz": OPA}}} if where == "route" else {}
    policies = {} if where == "route" else {"authz": OPA}
    need = [{"name": "x-need", "methods": ["POST"]}]  # gives preflights a route of their own
    await put(either, authz, edges.tenant("paged", routes, cors=cors, required_headers=need, **policies))
    answer = await either.ask("paged", "/a", "OPTIONS", headers=ORIGIN)
    assert (answer.status_code, authz.checks) == (200, [])
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    before = either.echo.count
    for headers in (
        ORIGIN | {"origin": ""},
        {"access-control-request-method": "POST"},
        {"origin": "https://x.example"},
    ):
        assert (await either.ask("paged", "/a", "OPTIONS", headers=headers | BAD)).status_code == 403, headers
    assert either.echo.count == before


async def test_a_change_reaches_traffic_by_its_own_table_and_disturbs_nobody(either: edges.Edge, authz: Authz) -> None:
    await put(
        either,
        authz,
        edges.tenant("changing"),
        edges.tenant("asks", authz=OPA),
        edges.tenant("limited", rate_limit={"requests": 1, "per": "hour"}),
    )
    assert await either.statuses("limited", times=2) == [200, 429]
    assert await both(either, "changing") == [200, 200]
    kinds = ("CDS", "EDS", "LDS", "SRDS")
    before = {kind: either.served.sent(kind) for kind in kinds}
    tables, closed = either.served.sent("RDS"), await either.proxy.stats("http.public.downstream_cx_destroy$")
    assert closed
    steps: list[tuple[edges.Json | None, list[int]]] = [
        (OPA, [200, 403]),
        (OPA | {"on_failure": "allow", "timeout": "1s"}, [200, 403]),
        (OPA | {"context": {"plan": "gold"}}, [200, 403]),
        (None, [200, 200]),
    ]
    for number, (policy, expected) in enumerate(steps, 1):
        await either.put(edges.tenant("changing", authz=policy))
        assert await both(either, "changing") == expected, policy
        assert either.served.sent("RDS") == tables + number
    assert {kind: either.served.sent(kind) for kind in kinds} == before
    assert await either.proxy.stats("http.public.downstream_cx_destroy$") == closed
    assert await either.statuses("limited", times=2) == [429, 429]


async def test_the_first_that_asks_waits_for_the_server_to_be_known_and_nobody_is_let_past(
    either: edges.Edge, authz: Authz
) -> None:
    """A table that asks a server is sent when the proxy holds the cluster: no request meets one that is missing."""
    async with Authz(decide=lambda _check: denied(418)) as late:
        await either.put(edges.tenant("early"))
        pushed = either.served.sent("LDS")
        service = edges.service("late", late.port, protocol="grpc")
        await either.put(service, edges.tenant("early", authz={"service": "late"}))
        assert await both(either, "early") == [418, 418]
        assert either.served.sent("LDS") == pushed
        await either.put(edges.tenant("early"))
    await either.served.drop(("Service", "late"))


@pytest.mark.skipif("OPA_ADDR" not in os.environ, reason="OPA_ADDR names no Open Policy Agent")
async def test_open_policy_agent_is_asked_and_decides_by_the_context(either: edges.Edge) -> None:
    """OPA with tests/support/authz.rego, its gRPC address in OPA_ADDR."""
    agent = {"kind": "Service", "id": "agent", "endpoints": [os.environ["OPA_ADDR"]], "protocol": "grpc"}
    policy = {"service": "agent", "timeout": "2s"}
    await either.put(
        agent,
        edges.tenant("gold", authz=policy | {"context": {"plan": "gold"}}),
        edges.tenant("free", authz=policy | {"context": {"plan": "free"}}),
    )
    assert (await either.ask("gold", "/a")).status_code == 200
    for tenant, path in (("gold", "/b"), ("free", "/a")):
        answer = await either.ask(tenant, path)
        assert (answer.status_code, edges.error(answer)) == (403, "not_authorized")
