"""Keys from a real identity provider through the fetcher to a real Envoy: found, rotated, kept, stale."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import edges
import envoys
import httpx
import idps
import pytest
import upstreams

from gatecast.addresses import Address
from gatecast.config import Settings
from gatecast.serve import running
from tenants.keysets.fetcher import Fetcher
from tenants.keysets.limits import Limits
from tenants.keysets.source import Source
from xds.bootstrap import bootstrap

pytestmark = pytest.mark.envoy
QUICK = Limits(floor=0.2, default=0.2, first_retry=0.1, last_retry=0.2, unknown=0.0, tick=0.05)


@contextlib.asynccontextmanager
async def following(edge: edges.Edge, limits: Limits) -> AsyncIterator[Fetcher]:
    """The fetcher beside the edge's plane, as `gatecast.serve` puts it there."""
    plane = edge.served.plane
    fetcher = Fetcher(plane.keyed, limits=limits)
    plane.want = fetcher.want
    task = asyncio.create_task(fetcher.run())
    try:
        yield fetcher
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def status(edge: edges.Edge, tenant: str, token: str) -> int:
    return (await edge.ask(tenant, headers=bearer(token))).status_code


async def until_status(edge: edges.Edge, tenant: str, token: str, wanted: int) -> httpx.Response:
    async def seen() -> httpx.Response | None:
        answer = await edge.ask(tenant, headers=bearer(token))
        return answer if answer.status_code == wanted else None

    found: httpx.Response = await edge.until(seen, f"{tenant} to be answered {wanted}")
    return found


async def test_keys_are_found_at_the_issuer_and_a_rotation_refuses_no_good_token(tmp_path: Path) -> None:
    async with idps.Idp() as idp, edges.edge(tmp_path) as edge, following(edge, Limits(unknown=0.0)) as fetcher:
        await edge.put(edges.tenant("acme", jwt={"issuer": idp.issuer}))
        old = idp.token(sub="ann")
        await until_status(edge, "acme", old, 200)
        assert await status(edge, "acme", idp.token(expires_in=-600)) == 401
        idp.rotate()  # the old key is not published any more
        new = idp.token(sub="ann")
        fetcher.unknown_key(Source(idp.issuer, "", local=True))
        await until_status(edge, "acme", new, 200)
        assert {await status(edge, "acme", token) for token in [old, new] * 10} == {200}
        assert edge.served.problems() == []


async def test_last_good_keys_serve_while_the_issuer_is_down_until_they_are_stale(tmp_path: Path) -> None:
    async with idps.Idp() as idp, edges.edge(tmp_path) as edge:
        limits = Limits(floor=0.2, default=0.2, first_retry=0.1, last_retry=0.2, stale=3.0, tick=0.05)
        async with following(edge, limits):
            jwt = {"issuer": idp.issuer, "jwks": {"uri": idp.uri}}
            await edge.put(
                edges.tenant("acme", jwt=jwt), edges.tenant("beta", rate_limit={"requests": 1, "per": "hour"})
            )
            token = idp.token(sub="ann")
            await until_status(edge, "acme", token, 200)
            assert await edge.statuses("beta", times=2) == [200, 429]
            await idp.stop()
            await edge.until(lambda: problems(edge, "warning"), "the problem to be listed")
            assert await status(edge, "acme", token) == 200
            refused = await until_status(edge, "acme", token, 503)
            assert edges.error(refused) == "keys_unavailable"
            (problem,) = problems(edge, "error")
            assert (problem.kind, problem.id, problem.path, problem.tenant) == (
                "Tenant",
                "acme",
                "policies.jwt",
                "acme",
            )
            await idp.start()
            await until_status(edge, "acme", token, 200)
            assert await status(edge, "acme", "x.y.z") == 401
            assert await edge.statuses("beta") == [429]  # nobody else's table was touched
            await edge.until(lambda: not edge.served.problems(), "the problem to be solved")


def problems(edge: edges.Edge, severity: str) -> list[edges.Json]:
    return [one for one in edge.served.plane.problems() if one.severity == severity]


async def test_a_server_that_starts_publishes_when_it_has_the_keys(tmp_path: Path) -> None:
    async with idps.Idp() as idp:
        idp.delay = 0.3
        gateway = edges.gateway(8080, jwt={"issuer": idp.issuer, "jwks": {"uri": idp.uri}})
        (tmp_path / "all.yaml").write_text(json.dumps(gateway) + "\n---\n" + json.dumps(edges.tenant("acme")))
        address = Address("127.0.0.1", 0)
        async with running(Settings(settings=tmp_path, store="memory", xds=address, api=address)) as server:
            await server.ready()
            snapshot = server.plane.hub.snapshots["edge"]
            filters = [one.body for one in snapshot.resources["ECDS"].values()]
            assert any(b'"kid":"key-1"' in one.replace(b" ", b"") for one in filters)
            assert snapshot.serial == server.plane.builder.snapshots["edge"].serial


async def test_a_keyless_provider_that_loops_costs_the_others_nothing(tmp_path: Path) -> None:
    """HTML in place of keys: a problem of that tenant; the other issuer's tokens are good all the while."""
    async with idps.Idp() as good, idps.Idp(name="odd") as odd, edges.edge(tmp_path) as edge, following(edge, QUICK):
        odd.body, odd.content_type = "<html>log in</html>", "text/html"
        tenants = [edges.tenant(name, jwt={"issuer": idp.issuer}) for name, idp in (("acme", good), ("beta", odd))]
        await edge.put(*tenants)
        await until_status(edge, "acme", good.token(), 200)
        await edge.until(lambda: problems(edge, "error"), "the problem to be listed")
        assert {one.tenant for one in problems(edge, "error")} == {"beta"}
        assert await status(edge, "beta", odd.token()) == 503
        assert await status(edge, "acme", good.token()) == 200
        odd.body, odd.content_type = None, "application/json"
        await until_status(edge, "beta", odd.token(), 200)


async def test_a_token_of_a_key_that_is_not_known_yet_has_the_keys_fetched_anew(tmp_path: Path) -> None:
    async with idps.Idp() as idp:
        port = envoys.free_port()
        gateway = edges.gateway(port, jwt={"issuer": idp.issuer}) | {"report_unknown_keys": True}
        async with upstreams.Upstream("echo") as echo:
            documents = [gateway, edges.service("echo", echo), edges.route("a"), edges.tenant("acme")]
            (tmp_path / "all.yaml").write_text(edges.text(documents))
            address = Address("127.0.0.1", 0)
            settings = Settings(settings=tmp_path, store="memory", xds=address, api=address)
            async with running(settings) as server, httpx.AsyncClient(trust_env=False) as http:
                await server.ready()
                file = bootstrap("edge", "envoy-1", ("127.0.0.1", server.xds.port))
                async with envoys.envoy(file, tmp_path / "envoy") as proxy:
                    await proxy.ready()

                    async def status() -> int:
                        headers = {"x-tenant-id": "acme", **bearer(idp.token())}
                        return (await http.get(f"http://127.0.0.1:{port}/a", headers=headers)).status_code

                    async def good() -> bool:
                        return await status() == 200

                    await proxy.until(good, "a good token to pass")
                    idp.rotate()
                    assert await status() == 401
                    await proxy.until(good, "the new key to be known")
                    assert server.keys.counts.unknown_keys == 1
