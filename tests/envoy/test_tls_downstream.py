"""TLS towards clients on a real Envoy: which certificate is shown, rotation, and what may not hurt anybody else."""

import asyncio
import ssl
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certificates
import edges
import envoys
import fronts
import pytest
from fronts import certificate

from xds.translate.secrets import certificate_name

pytestmark = pytest.mark.envoy
ACME, BETA = edges.host("acme"), edges.host("beta")
REFUSED = "SSLV3_ALERT_HANDSHAKE_FAILURE"
PAST = {"begin": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2021, 1, 1, tzinfo=UTC)}


async def test_each_host_is_shown_its_own_certificate_and_both_versions_of_http_are_offered(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme"), certificate("beta")) as front:
        for host in (ACME, BETA):
            shown = await front.shake(host, alpn=["h2", "http/1.1"])
            assert (shown.names, shown.version, shown.protocol) == ((host,), "TLSv1.3", "h2")
            assert await front.status(host) == 200
        assert await front.shake(host, alpn=["http/1.1"]) == certificates.Shown(
            (host,), shown.serial, "TLSv1.3", "http/1.1"
        )


async def test_who_asks_for_a_name_that_nobody_has_or_for_none_is_refused_at_once(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme"), tls={}) as front:
        assert await front.shake("nobody.example.com") == REFUSED
        assert await front.shake("example.com") == REFUSED
        assert await front.shake(None) == REFUSED
        assert await front.shake(BETA) == REFUSED  # a tenant without a certificate
        assert await front.status(ACME) == 200


async def test_the_default_is_for_those_who_ask_for_no_name_and_a_wildcard_for_the_tenants_below(
    tmp_path: Path,
) -> None:
    wild = certificates.Shop.document("wild", ["*.example.com"])
    async with fronts.front(tmp_path, certificate("acme"), wild, tls={"default": "wild"}) as front:
        made = front.shop.put("wild", "*.example.com")
        await front.look()
        await front.shows(None, made)
        assert (await front.shake(BETA)).names == ("*.example.com",)
        assert (await front.shake(ACME)).names == (ACME,)
        assert await front.shake("nobody.example.com") == REFUSED
        await front.put(edges.tenant("gamma"))
        assert (await front.shake(edges.host("gamma"))).names == ("*.example.com",)


async def test_one_certificate_for_everybody_is_shown_whatever_is_asked_for(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme"), tls={"certificate": "acme"}) as front:
        assert [(await front.shake(name)).names for name in (ACME, "x.example.com", None)] == [(ACME,)] * 3


async def test_a_certificate_that_is_deleted_while_a_listener_names_it_is_shown_on_and_renewed(tmp_path: Path) -> None:
    documents = (certificate("acme"), certificate("beta"))
    async with fronts.front(tmp_path, *documents, tls={"certificate": "acme"}) as front:
        await front.served.drop(("Certificate", "acme"))
        assert [(code, name) for _, code, name, _, _ in front.problems()] == [("GC211", "Certificate/acme")]
        made = front.shop.put("acme", ACME)
        await front.look()
        await front.shows(None, made)
        await front.put(fronts.gateway(front.port, {"certificate": "beta"}))
        await front.proxy.until(lambda: _shows_beta(front), "the other certificate to be shown")
        assert front.problems() == []
        assert "acme" not in front.served.plane.supplies.certificates


async def _shows_beta(front: fronts.Front) -> bool:
    found = await front.shake(None)
    return isinstance(found, certificates.Shown) and found.names == (BETA,)


async def test_old_versions_of_tls_are_refused_and_the_least_one_can_be_raised(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme")) as front:
        assert (await front.shake(ACME, newest=ssl.TLSVersion.TLSv1_2)).version == "TLSv1.2"
        assert await front.shake(ACME, newest=ssl.TLSVersion.TLSv1_1) == "TLSV1_ALERT_PROTOCOL_VERSION"
        await front.put(fronts.gateway(front.port, {"min_version": "1.3"}))
        await front.proxy.until(lambda: _refuses(front), "TLS 1.2 to be refused")
        assert (await front.shake(ACME)).version == "TLSv1.3"


async def _refuses(front: fronts.Front) -> bool:
    return await front.shake(ACME, newest=ssl.TLSVersion.TLSv1_2) == "TLSV1_ALERT_PROTOCOL_VERSION"


async def test_a_renewed_certificate_is_shown_without_a_listener_update_or_a_closed_connection(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme"), certificate("beta")) as front:
        old = await front.shake(BETA)
        lines = [await front.dial(ACME) for _ in range(20)]
        await front.rest()
        before = front.sent()
        made = front.shop.put("acme", ACME)
        await front.look()
        await front.shows(ACME, made)
        assert front.since(before) == {"SDS": 1}
        assert [await line.get("/a", host=ACME) for line in lines] == [200] * 20
        assert lines[0].shown.serial != certificates.serial(made)
        assert await front.shake(BETA) == old
        assert front.problems() == []


async def test_a_tenant_brings_a_certificate_and_only_that_is_sent_to_who_asks_for_it(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme")) as front:
        lines = [await front.dial(ACME) for _ in range(20)]
        assert await front.shake(BETA) == REFUSED
        await front.rest()
        before = front.sent()
        await front.put(certificate("beta"))
        assert front.since(before) == {}  # nobody asked yet
        assert (await front.shake(BETA)).names == (BETA,)
        assert front.since(before) == {"SDS": 1}
        assert [await line.get("/a", host=ACME) for line in lines] == [200] * 20
        await front.served.drop(("Certificate", "beta"))
        await front.proxy.until(lambda: _gone(front), "the certificate to be gone")
        assert await front.status(ACME) == 200


async def _gone(front: fronts.Front) -> bool:
    return await front.shake(BETA) == REFUSED


@pytest.mark.parametrize("fault", ["expired", "other key", "no file", "no certificate", "other name"])
async def test_a_bad_renewal_is_a_problem_of_its_tenant_and_the_good_certificate_stays(
    tmp_path: Path, fault: str
) -> None:
    async with fronts.front(tmp_path, certificate("acme"), certificate("beta")) as front:
        good = await front.shake(ACME)
        before = front.sent()
        code, path = spoil(front, fault)
        await front.look()
        assert front.problems() == [("error", code, "Certificate/acme", path, "acme")]
        assert front.since(before) == {}
        assert await front.shake(ACME) == good
        assert (await front.shake(BETA)).names == (BETA,)
        made = front.shop.put("acme", ACME)
        await front.look()
        await front.shows(ACME, made)
        assert front.problems() == []


def spoil(front: fronts.Front, fault: str) -> tuple[str, str]:
    """Make the renewal of acme a bad one; the code and the path of its problem."""
    shop = front.shop
    match fault:
        case "expired":
            shop.put("acme", ACME, **PAST)
            return "GC414", "certificate.file"
        case "other key":
            shop.place("acme", shop.issue(ACME), key=shop.issue(ACME))
            return "GC413", "key.file"
        case "no file":
            (shop.folder / "acme.key").unlink()
            return "GC411", "key.file"
        case "no certificate":
            shop.write("acme.pem", b"<html>not found</html>")
            return "GC412", "certificate.file"
        case _:
            shop.put("acme", "other.example.com")
            return "GC416", "hosts"


async def test_a_certificate_that_is_bad_from_the_start_shows_nothing_and_hurts_nobody_else(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("beta")) as front:
        front.shop.put("acme", ACME, **PAST)
        await front.put(certificate("acme"))
        assert front.problems() == [("error", "GC414", "Certificate/acme", "certificate.file", "acme")]
        assert await front.shake(ACME) == REFUSED
        assert await front.status(BETA) == 200


async def test_a_certificate_that_ends_soon_is_a_warning_and_is_shown(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme")) as front:
        made = front.shop.put("acme", ACME, end=datetime.now(UTC) + timedelta(days=29))
        await front.look()
        await front.shows(ACME, made)
        assert front.problems() == [("warning", "GC415", "Certificate/acme", "certificate.file", "acme")]


async def test_a_flood_of_unknown_names_leaves_nothing_behind(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme")) as front:
        assert await front.status(ACME) == 200
        resources = front.served.plane.builder.encoded
        for start in range(0, 300, 30):
            names = [f"n{number}.example.com" for number in range(start, start + 30)]
            assert set(await asyncio.gather(*(front.shake(name) for name in names))) == {REFUSED}
        (client,) = front.served.plane.hub.clients.values()
        asked = client.machine.interests["SDS"]
        await front.proxy.until(lambda: asked.names == {ACME}, "the unknown names to be forgotten")
        assert asked.changes.keys() | asked.wanted | asked.forced <= {ACME}
        active = await front.proxy.stats("on_demand_secret.cert_active$")
        assert list(active.values()) == [1]
        assert front.served.plane.builder.encoded == resources
        assert await front.status(ACME) == 200


async def test_no_client_can_ask_for_a_secret_that_is_not_for_clients(tmp_path: Path) -> None:
    """Envoy asks us for the name that the client sends; names that are not for clients are longer than it takes."""
    async with fronts.front(tmp_path, certificate("acme"), tls={"default": "acme"}) as front:
        name = certificate_name("acme")
        assert front.served.plane.hub.snapshots["edge"].get("SDS", name)
        assert await first_byte(front.port, ACME) == HANDSHAKE
        assert await first_byte(front.port, name) == ALERT
        assert await first_byte(front.port, name[:255]) == ALERT
        assert (await front.shake(None)).names == (ACME,)


HANDSHAKE, ALERT = 22, 21


async def first_byte(port: int, name: str) -> int:
    """The type of the first record that a server answers to a client that asks for this name, by TLS 1.2."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(hello(name.encode()))
    found = await asyncio.wait_for(reader.readexactly(1), 10)
    writer.close()
    return found[0]


def hello(name: bytes) -> bytes:
    """A ClientHello (RFC 5246, RFC 6066) with a server name of any length: libraries refuse to make it."""
    asked = struct.pack("!HBH", len(name) + 3, 0, len(name)) + name
    groups, formats, signatures = b"\0\4\0\x1d\0\x17", b"\1\0", b"\0\4\4\3\x08\4"
    given = {0: asked, 10: groups, 11: formats, 13: signatures}
    extensions = b"".join(struct.pack("!HH", number, len(body)) + body for number, body in given.items())
    body = (
        b"\3\3"
        + bytes(32)
        + b"\0"
        + b"\0\4\xc0\x2b\xc0\x2f"
        + b"\1\0"
        + struct.pack("!H", len(extensions))
        + extensions
    )
    message = b"\1" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\3\1" + struct.pack("!H", len(message)) + message


async def test_a_client_certificate_can_be_demanded(tmp_path: Path) -> None:
    tls = {"client_ca": "ca.pem", "require_client_certificate": True}
    async with fronts.front(tmp_path, certificate("acme"), tls=tls) as front:
        assert await front.status(ACME, own=front.shop.issue("client.example.com")) == 200
        assert await front.status(ACME) == 0
        stranger = certificates.trustme.CA().issue_cert("client.example.com")
        assert await front.status(ACME, own=stranger) == 0


async def test_a_listener_whose_authorities_are_missing_is_not_opened_and_others_are(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme")) as front:
        port = envoys.free_port()
        asks = fronts.listener("asks", port, {"client_ca": "partners.pem", "require_client_certificate": True})
        document = fronts.gateway(front.port, {})
        await front.put({**document, "listeners": [*document["listeners"], asks]})
        assert front.problems() == [("error", "GC411", "Gateway/edge", "listeners[1].tls.client_ca", "")]
        assert await front.status(ACME) == 200
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        front.shop.trust("partners.pem", front.shop.ca)
        await front.look()
        assert front.problems() == []
        own = front.shop.issue("client.example.com")
        await front.proxy.until(lambda: _open(port, front, own), "the listener to be open")


async def _open(port: int, front: fronts.Front, own: certificates.trustme.LeafCert) -> bool:
    return isinstance(await certificates.shake(port, ACME, front.shop.ca, own=own), certificates.Shown)


async def test_without_delta_known_names_are_served_and_unknown_ones_wait_no_longer_than_a_handshake_may(
    tmp_path: Path,
) -> None:
    """State of the world cannot say that there is no such secret."""
    async with fronts.front(tmp_path, certificate("acme"), sotw=True) as front:
        assert (await front.shake(ACME)).names == (ACME,)
        assert await front.shake(BETA) == "ConnectionResetError"
        await front.put(certificate("beta"))
        await front.proxy.until(lambda: _shown(front), "the certificate to be shown")


async def _shown(front: fronts.Front) -> bool:
    return isinstance(await front.shake(BETA), certificates.Shown)


async def test_no_operator_sees_a_key(tmp_path: Path) -> None:
    async with fronts.front(tmp_path, certificate("acme"), tls={"default": "acme"}) as front:
        text = fronts.seen(front)
        assert text.count("BEGIN CERTIFICATE") == 2  # by name and by id
        assert "PRIVATE" not in text
        assert text.count('"private_key": "[redacted]"') == 2
        assert "PRIVATE" not in repr(front.served.plane.supplies)
