"""`authz` when the server is dead, slow or wrong: `on_failure: deny` lets nobody in, `allow` everybody."""

from collections.abc import AsyncIterator

import authz_servers
import edges
import envoys
import pytest
import pytest_asyncio
from authz_servers import Authz, denied, ok

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

GOOD, BAD = {"x-key": "good"}, {"x-key": "bad"}
BOTH = {"deny": {"service": "opa"}, "allow": {"service": "opa", "on_failure": "allow"}}
"""A tenant for each way of failing."""


@pytest_asyncio.fixture(loop_scope="module")
async def authz(either: edges.Edge) -> AsyncIterator[Authz]:
    """A server `opa`, asked by the tenants `deny` and `allow`."""
    async with Authz() as made:
        service = edges.service("opa", made.port, protocol="grpc")
        await either.put(service, *(edges.tenant(name, authz=policy) for name, policy in BOTH.items()))
        yield made


@pytest.fixture(params=["edge", "hosts"])
def either(request: pytest.FixtureRequest) -> edges.Edge:
    """A gateway that finds the tenant by header, and one that finds it by host: their filters differ."""
    made: edges.Edge = request.getfixturevalue(request.param)
    return made


async def refused(edge: edges.Edge, tenant: str, path: str = "/a") -> None:
    """Nobody passes, and the answer says that it is not the client's fault."""
    before = edge.echo.count
    for headers in (GOOD, BAD):
        answer = await edge.ask(tenant, path, headers=headers)
        assert (answer.status_code, edges.error(answer)) == (503, "authz_unavailable")
    assert edge.echo.count == before


async def open_to_all(edge: edges.Edge, tenant: str) -> None:
    for headers in (GOOD, BAD):
        assert (await edge.ask(tenant, headers=headers)).status_code == 200


async def asked(edge: edges.Edge, tenant: str) -> None:
    """The server's word counts."""
    said = [(await edge.ask(tenant, headers=headers)).status_code for headers in (GOOD, BAD)]
    assert said == [200, 403]


async def test_a_server_that_dies_and_comes_back(either: edges.Edge, authz: Authz) -> None:
    await asked(either, "deny")
    await asked(either, "allow")
    await authz.stop()
    await refused(either, "deny")
    await open_to_all(either, "allow")
    await authz.start()

    async def back() -> bool:
        return (await either.ask("deny", headers=GOOD)).status_code == 200

    await either.until(back, "the server to be asked again")
    await asked(either, "deny")
    await asked(either, "allow")


async def test_a_server_that_is_too_slow(either: edges.Edge, authz: Authz) -> None:
    patient = BOTH["deny"] | {"timeout": "5s"}
    await either.put(edges.tenant("patient", {"b": {"policies": {"authz": {"timeout": "10ms"}}}}, authz=patient))
    authz.delay = 0.5
    await refused(either, "deny")
    await open_to_all(either, "allow")
    await asked(either, "patient")
    await refused(either, "patient", "/b")


async def test_a_server_that_fails_or_answers_nonsense(either: edges.Edge, authz: Authz) -> None:
    def fails(_check: authz_servers.Check) -> authz_servers.Message:
        raise RuntimeError("no decision")

    authz.decide = fails
    await refused(either, "deny")
    await open_to_all(either, "allow")
    authz.decide = lambda _check: authz_servers.broken(418, "I cannot tell")
    await refused(either, "deny")
    await open_to_all(either, "allow")


@pytest.mark.parametrize("tenant", sorted(BOTH))
@pytest.mark.parametrize("header", [("x-a", "b\r\nx-c: d"), ("bad name", "x")])
async def test_a_header_that_is_none_lets_nobody_pass(
    either: edges.Edge, authz: Authz, tenant: str, header: tuple[str, str]
) -> None:
    """Whatever the policy says of failures: that is an answer."""
    authz.decide = lambda _check: ok(dict([header]))
    await refused(either, tenant)
    authz.decide = lambda _check: denied(403, "no", dict([header]))
    before = either.echo.count
    assert (await either.ask(tenant)).status_code in (403, 503)
    assert either.echo.count == before


async def test_one_dead_server_of_two_is_not_noticed(either: edges.Edge, authz: Authz) -> None:
    await either.put(edges.service("opa", envoys.free_port(), authz.port, protocol="grpc"))

    async def two() -> bool:
        found = await either.proxy.stats("cluster.opa.membership_total$")
        return list(found.values()) == [2]

    await either.until(two, "both endpoints to be known")
    for _ in range(10):
        await asked(either, "deny")
        await asked(either, "allow")


async def test_the_way_of_failing_changes_with_the_table_alone(either: edges.Edge, authz: Authz) -> None:
    await authz.stop()
    await refused(either, "deny")
    pushed = either.served.sent("LDS")
    own = {"b": {"policies": {"authz": {"on_failure": "deny"}}}}
    await either.put(edges.tenant("deny", own, authz=BOTH["allow"]))
    await open_to_all(either, "deny")
    await refused(either, "deny", "/b")
    assert (await either.ask("deny", "/nowhere")).status_code == 404
    await either.put(edges.tenant("deny", {"b": {"policies": {"authz": {"on_failure": "allow"}}}}, authz=BOTH["deny"]))
    await refused(either, "deny")
    await refused(either, "deny", "/nowhere")
    assert (await either.ask("deny", "/b")).status_code == 200
    assert either.served.sent("LDS") == pushed


async def test_no_header_of_a_client_is_taken_for_an_answer(either: edges.Edge, authz: Authz) -> None:
    await authz.stop()
    names = ["x-envoy-auth-failure-mode-allowed", "x-envoy-auth-partial-body", "x-ext-authz-check-result"]
    answer = await either.ask("deny", headers=[(name, "true") for name in names])
    assert (answer.status_code, edges.error(answer)) == (503, "authz_unavailable")
