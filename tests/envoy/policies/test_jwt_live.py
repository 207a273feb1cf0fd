"""A change of `jwt` in service: it reaches traffic, no connection is closed, and nobody else notices."""

from collections.abc import AsyncIterator

import edges
import idps
import pytest
import pytest_asyncio
import tokens
import upstreams

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

CONNECTIONS = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[idps.Idp]:
    async with idps.Idp("ES256") as made:
        yield made


async def opened(edge: edges.Edge) -> dict[str, int]:
    """Connections that clients opened, and those that ended, so far."""
    found = await edge.proxy.stats(r"^http\.public\.downstream_cx_(total|destroy)$")
    assert len(found) == 2, found
    return found


async def test_a_change_of_one_tenant_sends_no_listener_and_resets_no_bucket(edge: edges.Edge, idp: idps.Idp) -> None:
    await tokens.known(edge, idp)
    limit = {"requests": 2, "per": "hour"}
    await edge.put(
        edges.tenant("changes"),
        edges.tenant("neighbour", jwt=tokens.policy(idp), rate_limit=limit),
    )
    good = tokens.bearer(idp.token(tenant="changes"))
    assert await edge.statuses("neighbour", times=1, headers=good) == [200]
    listeners, connections = edge.served.sent("LDS"), await opened(edge)
    for jwt, with_token, without in (
        (tokens.policy(idp), 200, 401),
        (tokens.policy(idp, tenant_claim="tenant"), 200, 401),
        (tokens.policy(idp, tenant_claim="tenant", audiences=["x"]), 403, 401),
        (tokens.policy(idp, required=False), 200, 200),
        ({"issuer": "https://other.example", **{"jwks": {"keys": idp.jwks()["keys"]}}}, 401, 401),
        (None, 200, 200),
    ):
        await edge.put(edges.tenant("changes", jwt=jwt))
        assert await edge.statuses("changes", headers=good) == [with_token], jwt
        assert await edge.statuses("changes") == [without], jwt
    assert edge.served.sent("LDS") == listeners
    assert await opened(edge) == connections
    assert await edge.statuses("neighbour", times=2, headers=good) == [200, 429]


async def test_a_new_issuer_closes_no_connection_and_fails_no_request(edge: edges.Edge, idp: idps.Idp) -> None:
    """Of tenants with and without tokens, whose filter is the one that changes."""
    await tokens.known(edge, idp)
    await edge.put(edges.tenant("busy", jwt=tokens.policy(idp, tenant_claim="tenant")), edges.tenant("plain"))
    known = {**edge.named("busy"), **tokens.bearer(idp.token(tenant="busy"))}
    loads = [(edge.url(), known), (edge.url("/b"), edge.named("plain"))]
    async with (
        upstreams.load(loads[0][0], rate=400, connections=CONNECTIONS, headers=loads[0][1]) as one,
        upstreams.load(loads[1][0], rate=400, connections=CONNECTIONS, headers=loads[1][1]) as other,
    ):
        await one.more(CONNECTIONS * 2)
        await other.more(CONNECTIONS * 2)
        before, listeners, filters = await opened(edge), edge.served.sent("LDS"), edge.served.sent("ECDS")
        for number in range(20):  # more than there are filters
            new = idps.Idp("EdDSA", path=f"/{number}", port=1)
            new.add()
            await edge.put(edges.tenant(f"new-{number}", jwt=tokens.inline(new)))
            answer = await edge.ask(f"new-{number}", headers=tokens.bearer(new.token()))
            assert answer.status_code == 200
        await one.more(CONNECTIONS)
        await other.more(CONNECTIONS)
        after = await opened(edge)
    assert (one.failures, other.failures) == ([], [])
    assert after == before
    assert edge.served.sent("LDS") == listeners
    assert edge.served.sent("ECDS") == filters + 20


async def test_rotated_keys_reach_traffic_and_old_ones_end(edge: edges.Edge) -> None:
    rotates = idps.Idp("ES256", port=1)
    rotates.add()
    await tokens.known(edge, rotates)
    await edge.put(edges.tenant("acme", jwt=tokens.policy(rotates)))
    old = tokens.bearer(rotates.token())
    assert await edge.statuses("acme", headers=old) == [200]
    tables = edge.served.sent("RDS")
    rotates.add()
    await tokens.known(edge, rotates)

    async def both() -> bool:
        return await edge.statuses("acme", headers=tokens.bearer(rotates.token())) == [200]

    await edge.until(both, "the new key to be known")
    assert await edge.statuses("acme", headers=old) == [200]
    rotates.keys.pop(0)
    await tokens.known(edge, rotates)

    async def gone() -> bool:
        return await edge.statuses("acme", headers=old) == [401]

    await edge.until(gone, "the old key to be gone")
    assert await edge.statuses("acme", headers=tokens.bearer(rotates.token())) == [200]
    assert edge.served.sent("RDS") == tables
