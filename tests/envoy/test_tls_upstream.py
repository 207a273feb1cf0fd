"""TLS towards services on a real Envoy: who is believed, who we are, rotation, and what may not hurt anybody else."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import certificates
import edges
import fronts
import grpc
import httpx
import pytest
import trustme
import upstreams
from fronts import Front, Json
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

pytestmark = pytest.mark.envoy
NAME = "pay.internal"
TLS: Json = {"sni": NAME, "ca_file": "ca.pem"}


def context(made: trustme.LeafCert, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """What a service shows; `clients`: who signs the certificates of those it lets in."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.set_alpn_protocols(["h2", "http/1.1"])
    made.configure_cert(found)
    if clients is not None:
        clients.configure_trust(found)
        found.verify_mode = ssl.CERT_REQUIRED
    return found


@asynccontextmanager
async def paying(folder: Path, tls: Json | None = None, *more: Json, **shows: Any) -> AsyncIterator[tuple[Front, Any]]:
    """A plain front with a route /pay to a service that speaks TLS. `shows`: `made`, `clients`; see `context`."""
    async with fronts.front(folder, *more) as front:
        made = shows.get("made") or front.shop.issue(NAME)
        async with upstreams.Upstream("pay", tls=context(made, shows.get("clients"))) as pay:
            plain = fronts.gateway(front.port)
            await front.put(plain, service(pay, TLS if tls is None else tls), edges.route("pay", service="pay"))
            await front.proxy.until(lambda: _plain(front), "the listener to be plain")
            yield front, pay


def service(pay: upstreams.Upstream, tls: Json, name: str = "pay", **more: Any) -> Json:
    return edges.service(name, pay, tls=tls, **more)


async def _plain(front: Front) -> bool:
    return await ask(front, "/a") == 200


async def ask(front: Front, path: str = "/pay", host: str = "acme") -> int:
    """The status of a request in the clear."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        answer = await http.get(f"http://127.0.0.1:{front.port}{path}", headers={"host": edges.host(host)})
    return answer.status_code


async def becomes(front: Front, status: int, path: str = "/pay") -> None:
    async def is_so() -> bool:
        return await ask(front, path) == status

    await front.proxy.until(is_so, f"{path} to be {status}")


async def test_a_service_with_the_right_name_from_the_right_authority_is_asked_by_tls(tmp_path: Path) -> None:
    async with paying(tmp_path) as (front, pay):
        assert await ask(front) == 200
        assert (pay.connections, pay.clients) == (1, [None])
        assert front.problems() == []


@pytest.mark.parametrize("fault", ["authority", "name", "system"])
async def test_a_service_of_another_authority_or_name_gets_nothing_and_others_do(tmp_path: Path, fault: str) -> None:
    other = trustme.CA()
    made = {"authority": other.issue_cert(NAME)}.get(fault)
    tls = {"name": {**TLS, "sni": "other.internal"}, "system": {"sni": NAME}}.get(fault, TLS)
    async with paying(tmp_path, tls, made=made) as (front, pay):
        assert await ask(front) == 503, front.proxy.log[-3000:]
        assert pay.count == 0
        assert await ask(front, "/a") == 200
        failed = await front.proxy.stats(r"cluster\.pay\.ssl\.fail_verify_(san|error)$")
        assert sum(failed.values()) > 0


async def test_a_service_that_demands_a_certificate_is_shown_ours_and_its_renewal_too(tmp_path: Path) -> None:
    ours = certificates.Shop.document("ours")
    authority = trustme.CA()
    async with paying(tmp_path, None, clients=authority) as (front, pay):
        assert await ask(front) == 503
        assert pay.count == 0
        front.shop.place("ours", authority.issue_cert("gateway.internal"))
        await front.put(ours, service(pay, {**TLS, "certificate": "ours"}))
        await becomes(front, 200)
        assert front.problems() == []
        before = front.sent()
        made = authority.issue_cert("gateway.internal")
        front.shop.place("ours", made)
        await front.look()
        assert front.since(before) == {"SDS": 1}
        await front.proxy.until(lambda: _shown(front, pay, certificates.serial(made)), "the new one to be shown")


async def _shown(front: Front, pay: upstreams.Upstream, serial: str) -> bool:
    """New connections show it: the service closes those that are open."""
    await pay.stop()
    await pay.start()
    await ask(front)
    return bool(pay.clients) and pay.clients[-1]["serialNumber"] == serial


async def test_authorities_change_without_a_cluster_update(tmp_path: Path) -> None:
    new = trustme.CA()
    async with paying(tmp_path) as (front, pay):
        assert await ask(front) == 200
        await pay.stop()
        pay.tls = context(new.issue_cert(NAME))
        await pay.start()
        await becomes(front, 503)
        before = front.sent()
        front.shop.trust("ca.pem", front.shop.ca, new)
        await front.look()
        await becomes(front, 200)
        assert front.since(before) == {"SDS": 1}


async def test_other_files_and_certificates_change_the_cluster_and_no_request_fails(tmp_path: Path) -> None:
    """What was named before is taken back while the cluster that names it is still in use."""
    ours = [certificates.Shop.document(name) for name in ("one", "two")]
    async with paying(tmp_path, None, *ours) as (front, pay):
        for name in ("one", "two"):
            front.shop.put(name, "gateway.internal")
        front.shop.trust("second.pem", front.shop.ca)
        await front.put(service(pay, {**TLS, "certificate": "one"}), *ours)
        await front.look()
        url = f"http://127.0.0.1:{front.port}/pay"
        async with upstreams.load(url, headers={"host": edges.host("acme")}, rate=200) as traffic:
            for tls in (
                {"ca_file": "second.pem", "certificate": "two"},
                {"ca_file": "second.pem"},
                {"ca_file": "ca.pem"},
            ):
                await front.put(service(pay, {**TLS, **tls}))
                await front.rest()
                await traffic.more(40)
        assert traffic.failures == []
        assert len(front.served.plane.hub.snapshots["edge"].resources["SDS"]) == 1


@pytest.mark.parametrize("fault", ["gone", "no certificates"])
async def test_authorities_that_vanish_are_a_problem_and_the_last_good_ones_stay(tmp_path: Path, fault: str) -> None:
    async with paying(tmp_path) as (front, pay):
        before = front.sent()
        if fault == "gone":
            (front.shop.folder / "ca.pem").unlink()
        else:
            front.shop.write("ca.pem", b"no luck")
        await front.look()
        code = {"gone": "GC411"}.get(fault, "GC412")
        assert front.problems() == [("error", code, "Service/pay", "tls.ca_file", "")]
        await pay.stop()
        await pay.start()
        await becomes(front, 200)
        assert front.since(before) == {}


async def test_a_service_without_its_authorities_gets_nothing_until_they_come_and_nobody_waits_for_it(
    tmp_path: Path,
) -> None:
    async with paying(tmp_path, {**TLS, "ca_file": "partners.pem"}) as (front, pay):
        assert front.problems() == [("error", "GC411", "Service/pay", "tls.ca_file", "")]
        assert (await ask(front), await ask(front, "/a"), pay.connections) == (503, 200, 0)
        assert await front.proxy.config_dump("dynamic_warming_clusters") == []
        front.shop.trust("partners.pem", front.shop.ca)
        await front.look()
        await becomes(front, 200)
        assert front.problems() == []


async def test_without_verification_anybody_is_believed_and_that_is_a_warning(tmp_path: Path) -> None:
    async with paying(tmp_path, {"verify": False}, made=trustme.CA().issue_cert("x.internal")) as (front, _):
        assert await ask(front) == 200
        assert front.problems() == [("warning", "GC225", "Service/pay", "tls.verify", "")]


async def test_the_name_of_a_service_found_by_name_is_verified(tmp_path: Path) -> None:
    async with paying(tmp_path) as (front, pay):
        for name, status in (("localhost", 200), ("other.internal", 503)):
            await pay.stop()
            pay.tls = context(front.shop.issue(name))
            await pay.start()
            body = {"dns": f"localhost:{pay.port}", "tls": {"ca_file": "ca.pem"}}
            await front.put({"kind": "Service", "id": "pay", **body})
            await becomes(front, status)


async def test_health_is_asked_by_tls_and_in_http2_of_a_service_that_speaks_grpc(tmp_path: Path) -> None:
    async with paying(tmp_path) as (front, pay), healthy(front.shop.issue(NAME)) as port:
        calls = edges.service("calls", port, tls=TLS, protocol="grpc", health_check={"interval": "50ms"})
        checked = service(pay, TLS, health_check={"path": "/healthz", "interval": "50ms"})
        await front.put(calls, checked, edges.route("calls", service="calls"))
        for name in ("pay", "calls"):
            await front.proxy.until(lambda name=name: _healthy(front, name), f"{name} to be healthy")
        assert pay.health_checks > 0


async def _healthy(front: Front, name: str) -> bool:
    found = await front.proxy.stats(rf"cluster\.{name}\.(health_check\.success|membership_healthy)$")
    return len(found) == 2 and all(found.values())


@asynccontextmanager
async def healthy(made: trustme.LeafCert) -> AsyncIterator[int]:
    """A gRPC server that says it is well, by TLS alone."""
    server = grpc.aio.server()
    servicer = health.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    pair = made.private_key_pem.bytes(), made.cert_chain_pems[0].bytes()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
