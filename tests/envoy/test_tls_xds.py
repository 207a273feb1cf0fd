"""TLS between proxies and the server: who gets in, which keys are handed out, and renewal without a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import certificates
import edges
import envoys
import pytest
from certificates import Shop

from gatecast.config import Settings
from gatecast.serve import Running, running
from tenants.errors import Refused
from xds.bootstrap import Tls, bootstrap
from xds.credentials import Files, credentials

pytestmark = pytest.mark.envoy
ACME = edges.host("acme")


@asynccontextmanager
async def server(folder: Path, shop: Shop, port: int, **more: Any) -> AsyncIterator[Running]:
    """The process as it is assembled, with a gateway that speaks TLS and a tenant with a certificate."""
    shop.put("server", "gatecast.internal")
    shop.put("acme", ACME)
    documents = folder / "documents"
    documents.mkdir()
    public = {**edges.gateway(port, "host"), "listeners": [{"name": "public", "port": port, "tls": {}}]}
    own = Shop.document("acme", [ACME], tenant="acme")
    body = [public, edges.service("echo", 9), edges.route("a"), edges.tenant("acme"), own]
    (documents / "all.yaml").write_text(edges.text(body))
    files = {"xds_certificate": shop.folder / "server.pem", "xds_key": shop.folder / "server.key"}
    known = {"xds_client_ca": shop.folder / "ca.pem", "xds_clients": {"proxy.internal": "edge"}}
    given = {**files, **known, "xds": "127.0.0.1:0", "drain": 1.0, **more}
    settings = Settings(settings=documents, secrets=shop.folder, api="127.0.0.1:0", store="memory", **given)
    async with running(settings) as made:
        await made.ready()
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "secrets").mkdir()
    return Shop(tmp_path / "secrets")


def reach(folder: Path, made: Running, *, own: bool = True, name: str = "gatecast.internal") -> dict[str, Any]:
    """A bootstrap for a proxy with, or without, a certificate of its own, that expects a server of this name."""
    pair = (str(folder / "proxy.pem"), str(folder / "proxy.key")) if own else ()
    return bootstrap("edge", "e", ("127.0.0.1", made.xds.port), tls=Tls(str(folder / "ca.pem"), name, *pair))


async def test_a_proxy_with_a_certificate_is_served_and_one_without_is_not(tmp_path: Path, shop: Shop) -> None:
    shop.put("proxy", "proxy.internal")
    port = envoys.free_port()
    async with (
        server(tmp_path, shop, port) as made,
        envoys.envoy(reach(shop.folder, made, own=False), tmp_path / "stranger") as stranger,
        envoys.envoy(reach(shop.folder, made), tmp_path / "envoy") as proxy,
    ):
        await proxy.ready()
        assert (await certificates.shake(port, ACME, shop.ca)).names == (ACME,)
        await stranger.until(lambda: _failed(stranger), "the stranger to have failed")
        assert len(made.plane.hub.clients) == 1
        assert list((await stranger.stats(r"listener_manager\.lds\.update_success$")).values()) == [0]


async def test_files_are_looked_at_while_the_server_runs(tmp_path: Path, shop: Shop) -> None:
    shop.put("proxy", "proxy.internal")
    port = envoys.free_port()
    async with (
        server(tmp_path, shop, port) as made,
        envoys.envoy(reach(shop.folder, made), tmp_path / "envoy") as proxy,
    ):
        await proxy.ready()
        renewed = certificates.serial(shop.put("acme", ACME))

        async def shown() -> bool:
            return bool((await certificates.shake(port, ACME, shop.ca)).serial == renewed)

        await proxy.until(shown, "the renewed certificate to be shown")


async def _failed(proxy: envoys.Envoy) -> bool:
    return any(
        (await proxy.stats(r"cluster\.gatecast_xds\.(ssl\.connection_error|upstream_cx_destroy_remote)$")).values()
    )


async def test_a_server_of_another_name_is_not_believed(tmp_path: Path, shop: Shop) -> None:
    shop.put("proxy", "proxy.internal")
    async with (
        server(tmp_path, shop, envoys.free_port()) as made,
        envoys.envoy(reach(shop.folder, made, name="other.internal"), tmp_path / "envoy") as proxy,
    ):
        await proxy.until(lambda: _unbelieved(proxy), "the server's name to be refused")
        assert not made.plane.hub.clients


async def _unbelieved(proxy: envoys.Envoy) -> bool:
    return any((await proxy.stats(r"cluster\.gatecast_xds\.ssl\.fail_verify_san$")).values())


async def test_the_servers_renewed_certificate_is_shown_to_new_connections(tmp_path: Path, shop: Shop) -> None:
    own = shop.issue("proxy.internal")
    async with server(tmp_path, shop, envoys.free_port()) as made:
        before = await certificates.shake(made.xds.port, "gatecast.internal", shop.ca, own=own, alpn=["h2"])
        new = shop.put("server", "gatecast.internal")
        after = await certificates.shake(made.xds.port, "gatecast.internal", shop.ca, own=own, alpn=["h2"])
        assert after.serial == certificates.serial(new) != before.serial
        (shop.folder / "server.key").write_bytes(b"no luck")
        assert await certificates.shake(made.xds.port, "gatecast.internal", shop.ca, own=own, alpn=["h2"]) == after


@pytest.mark.parametrize("file", ["server.pem", "server.key", "ca.pem"])
def test_files_that_cannot_be_used_are_refused_at_the_start(shop: Shop, file: str) -> None:
    shop.put("server", "gatecast.internal")
    files = Files(*(shop.folder / name for name in ("server.pem", "server.key", "ca.pem")))
    credentials(files)
    shop.write(file, b"secret words")
    with pytest.raises(Refused, match=f"{file}") as refused:
        credentials(files)
    assert "secret" not in str(refused.value).replace(str(shop.folder), "")
    (shop.folder / file).unlink()
    with pytest.raises(Refused, match=rf"{file}: no such file"):
        credentials(files)


async def test_keys_are_not_even_read_where_proxies_do_not_show_who_they_are(tmp_path: Path, shop: Shop) -> None:
    public = {"xds": "0.0.0.0:0", "insecure": True, "xds_client_ca": None}
    async with server(tmp_path, shop, envoys.free_port(), **public) as made:
        assert not made.plane.supplies.certificates
        assert not made.plane.hub.snapshots["edge"].resources["SDS"]
        (problem,) = made.plane.problems()
        assert (problem.code, problem.id, problem.tenant) == ("GC417", "acme", "acme")
        assert "xds_client_ca" in problem.message
