"""`gatecast kong` between two strangers: TLS with certificates of both sides to the control plane and to the Admin API,
and the token of an administrator."""

import asyncio
import os
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import kong_worlds
import pytest
import sidecars
from certificates import Shop
from sidecars import TENANTS, limits

from gatecast.config import Settings
from gatecast.kong import Told, running
from gatecast.serve import Running as Serving
from gatecast.serve import running as serving
from kong_double.double import Double
from kong_double.pages import Node
from kong_double.timers import Timers
from kong_sync.admin import Access
from xds.waiting import until

QUICK = 0.01
TOKEN = "sesame-of-the-admin"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Certificates for both servers, for us, and of a stranger whom nobody trusts."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    made = Shop(folder)
    for name, host in (("xds", "127.0.0.1"), ("kong", "127.0.0.1"), ("us", "kong.internal")):
        made.put(name, host)
    (tmp_path / "strange").mkdir()
    Shop(tmp_path / "strange").put("us", "kong.internal")
    return made


@asynccontextmanager
async def plane(folder: Path, shop: Shop) -> AsyncIterator[Serving]:
    """A control plane that shows a certificate, and asks each client for one that says which gateway it is."""
    documents = folder / "documents"
    documents.mkdir()
    (documents / "all.yaml").write_text(kong_worlds.GATEWAY + TENANTS)
    files = {"xds_certificate": shop.folder / "xds.pem", "xds_key": shop.folder / "xds.key"}
    known = {"xds_client_ca": shop.folder / "ca.pem", "xds_clients": {"kong.internal": "edge"}}
    given = {**files, **known, "xds": "127.0.0.1:0", "api": "127.0.0.1:0", "store": "memory", "drain": 1.0}
    async with serving(Settings(settings=documents, **given)) as made:
        await made.ready()
        yield made


def kong(shop: Shop) -> Double:
    """A Kong whose Admin API shows a certificate, and asks for one and for a token."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(shop.folder / "ca.pem"))
    tls.load_cert_chain(shop.folder / "kong.pem", shop.folder / "kong.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    return Double(node=Node(state=QUICK, database=QUICK), timers=Timers(period=QUICK), tls=tls, token=TOKEN)


async def test_the_command_follows_and_writes_over_tls_with_certificates_of_both_sides(
    tmp_path: Path, shop: Shop
) -> None:
    ca, pem, key = (str(shop.folder / name) for name in ("ca.pem", "us.pem", "us.key"))
    async with kong(shop).serving() as double, plane(tmp_path, shop) as served:
        flags = (
            *("--admin", double.admin_url, "--admin-ca", ca, "--admin-certificate", pem, "--admin-key", key),
            *("--xds", f"127.0.0.1:{served.xds.port}", "--xds-ca", ca, "--xds-certificate", pem, "--xds-key", key),
            *("--gateway", "edge", "--node", "kong-1", "--listen", "127.0.0.1:0", "--proxy", double.proxy_url),
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gatecast.cli", "kong", *flags),
            env=os.environ | {"GATECAST_KONG_TOKEN": TOKEN},
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            await until(lambda: limits(double) == {"acme": 5}, "its writes", within=60)
            hub = served.plane.hub
            await until(lambda: any(one.of("TENANTS").accepted_version for one in hub.clients.values()), "its word")
            process.terminate()
            out, err = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert (process.returncode, out) == (0, b""), err
        assert TOKEN.encode() not in err
        assert b"BEGIN" not in err


@pytest.mark.parametrize("lacking", ["nothing", "no authority", "no certificate", "a certificate of a stranger"])
async def test_a_control_plane_serves_only_whom_it_knows(lacking: str, tmp_path: Path, shop: Shop) -> None:
    mine = shop.folder if lacking != "a certificate of a stranger" else tmp_path / "strange"
    own = {"certificate": mine / "us.pem", "key": mine / "us.key"} if lacking != "no certificate" else {}
    trusted = {"ca": (tmp_path / "strange" if lacking == "no authority" else shop.folder) / "ca.pem"}
    files = [str(shop.folder / name) for name in ("ca.pem", "us.pem", "us.key")]
    async with kong(shop).serving() as double, plane(tmp_path, shop) as served:
        access = Access(double.admin_url, TOKEN, "", *files)
        told = Told(
            access, f"127.0.0.1:{served.xds.port}", "edge", "kong-1",
            listen=sidecars.ANY, backoff=sidecars.QUICK, wait=0.0, **trusted, **own,
        )  # fmt: skip
        async with running(told) as (on, _work):
            if lacking == "nothing":
                await until(lambda: limits(double) == {"acme": 5}, "its writes", within=20)
                return
            await until(lambda: on.client is not None and on.client.streams > 2 and on.client.failure, "failures")
            assert on.unready
            assert not served.plane.hub.clients
            assert sidecars.writes(double) == []


@pytest.mark.parametrize("lacking", ["certificate", "authority"])
async def test_an_admin_api_that_asks_for_a_certificate_is_said_and_nothing_is_written(
    lacking: str, tmp_path: Path, shop: Shop
) -> None:
    ca, pem, key = (str(shop.folder / name) for name in ("ca.pem", "us.pem", "us.key"))
    access = {"certificate": (ca, "", ""), "authority": ("", pem, key)}[lacking]
    async with kong(shop).serving() as double, plane(tmp_path, shop) as served:
        told = Told(
            Access(double.admin_url, TOKEN, "", *access), f"127.0.0.1:{served.xds.port}", "edge", "kong-1",
            Path(ca), Path(pem), Path(key), listen=sidecars.ANY, backoff=sidecars.QUICK,
        )  # fmt: skip
        async with running(told) as (on, _work):
            await until(lambda: "GET /" in on.unready, "the word for it", within=30)
            assert TOKEN not in on.unready
        assert double.calls == []
