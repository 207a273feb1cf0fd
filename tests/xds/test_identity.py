"""The certificate decides which gateway a proxy may read: the rule, and every way in with a foreign certificate."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adsclients
import grpc
import pytest
import trustme
from adsclients import CDS, OPTIONS
from adsservers import changed
from certificates import Shop
from prometheus_client import CollectorRegistry

from protos import discovery_pb2
from xds import reports, status
from xds.credentials import Files, credentials
from xds.hub import Hub
from xds.identity import ANY, Names, Trust, names
from xds.kinds import KINDS
from xds.metrics import Metrics
from xds.server import AdsServer, _services
from xds.snapshot import Snapshot
from xds.status import ClientStatusRequest, ClientStatusResponse
from xds.translate.unknown_keys import NAME
from xds.wire import ADS

EDGE = "spiffe://mesh.example/gateway/edge"
MAPPED = {
    "proxy.internal": "edge",
    "*.inner.internal": "inner",
    "ops.internal": ANY,
    "spiffe://mesh.example/sa/x": "inner",
}


@pytest.mark.parametrize(
    ("said", "gateways"),
    [
        (Names(EDGE), {"edge"}), (Names(f"{EDGE}/envoy-1"), {"edge"}),
        (Names("spiffe://other.example/gateway/edge"), {"edge"}),
        (Names("spiffe://mesh.example/sa/x"), {"inner"}), (Names("spiffe://mesh.example/gateway"), set()),
        (Names("spiffe://mesh.example/gateway/"), set()), (Names("spiffe://mesh.example/x/gateway/edge"), set()),
        (Names("https://mesh.example/gateway/edge"), set()), (Names("", ("edge",)), set()), (Names(), set()),
        (Names("", ("proxy.internal",)), {"edge"}), (Names("", ("a.proxy.internal",)), set()),
        (Names("", ("a.inner.internal",)), {"inner"}), (Names("", ("a.b.inner.internal",)), set()),
        (Names("", ("inner.internal",)), set()), (Names(EDGE, ("b.inner.internal", "x")), {"edge", "inner"}),
        (Names("", ("ops.internal",)), {ANY}), (Names("spiffe://ops.internal"), set()),
    ],
)  # fmt: skip
def test_a_certificate_names_gateways_itself_or_is_named(said: Names, gateways: set[str]) -> None:
    trust = Trust(MAPPED)
    assert trust.gateways(said) == gateways
    for one in ("edge", "inner"):
        assert trust.admits(said, one) == (one in gateways or ANY in gateways)


def test_only_the_trust_domain_that_is_named_speaks_for_itself() -> None:
    trust = Trust({}, "mesh.example")
    assert trust.gateways(Names(EDGE)) == {"edge"}
    for other in (
        "spiffe://mesh.example.evil/gateway/edge",
        "spiffe://x@mesh.example/gateway/edge",
        "spiffe:///gateway/edge",
    ):
        assert trust.gateways(Names(other)) == frozenset(), other


def test_the_names_of_a_certificate_are_read_by_their_type(tmp_path: Path) -> None:
    ca = trustme.CA()

    def of(*said: str) -> Names:
        return names(ca.issue_cert(*said).cert_chain_pems[0].bytes())

    assert of("Proxy.Internal", "10.0.0.1") == Names("", ("proxy.internal",))
    assert names(ca.cert_pem.bytes()) == Names()
    with pytest.raises(ValueError, match=r".+"):
        names(b"nonsense")


def spiffe(ca: trustme.CA, *uris: str, dns: str = "") -> tuple[bytes, bytes]:
    """A certificate with these URIs, which trustme does not make, and its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    authority = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    signer: Any = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    said: list[x509.GeneralName] = [x509.UniformResourceIdentifier(one) for one in uris]
    said += [x509.DNSName(dns)] if dns else []
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(said), critical=True)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def test_several_uris_are_no_identity() -> None:
    ca = trustme.CA()
    assert names(spiffe(ca, EDGE)[0]) == Names(EDGE)
    assert names(spiffe(ca, EDGE, "spiffe://mesh.example/gateway/inner")[0]) == Names()
    assert names(spiffe(ca, "https://a.example/gateway/edge", dns="a.example")[0]) == Names("", ("a.example",))


@dataclass
class Mutual:
    """A server with two gateways that asks for certificates, and clients that show one."""

    shop: Shop
    hub: Hub
    port: int
    told: list[Any]

    def channel(self, *names: str, uri: str = "") -> grpc.aio.Channel:
        if uri:
            chain, key = spiffe(self.shop.ca, uri)
        else:
            own = self.shop.issue(*names)
            chain, key = own.cert_chain_pems[0].bytes(), own.private_key_pem.bytes()
        made = grpc.ssl_channel_credentials(self.shop.ca.cert_pem.bytes(), key, chain)
        named = (
            *OPTIONS,
            ("grpc.ssl_target_name_override", "gatecast.internal"),
            ("grpc.use_local_subchannel_pool", 1),
        )
        return grpc.aio.secure_channel(f"127.0.0.1:{self.port}", made, options=named)


@pytest.fixture
async def mutual(tmp_path: Path) -> AsyncIterator[Mutual]:
    shop = Shop(tmp_path)
    shop.put("server", "gatecast.internal")
    files = Files(*(tmp_path / name for name in ("server.pem", "server.key", "ca.pem")))
    metrics = Metrics(CollectorRegistry())
    hub, told = Hub(metrics, wall=lambda: 0.0), list[Any]()
    await hub.publish({name: changed(Snapshot.empty(name), CDS={f"{name}-c": b"x"}) for name in ("edge", "inner")})
    server = AdsServer(
        hub, metrics, identifier="test", trust=Trust(MAPPED, "mesh.example"),
        unknown_key=lambda node, tenant: told.append((node, tenant)),
    )  # fmt: skip
    port = await server.start("127.0.0.1:0", credentials(files))
    yield Mutual(shop, hub, port, told)
    await server.stop(1.0)


STREAMS = [
    (f"/{service}/{name}", method.delta) for service, methods in _services().items() for name, method in methods.items()
]
INNER = [
    {"cluster": "inner", "id": "n"}, {"cluster": "inner", "id": "edge/n"}, {"cluster": "", "id": "inner"},
    {"cluster": "", "id": "inner/limits-1"},
]  # fmt: skip
FOREIGN: list[Callable[[Mutual], grpc.aio.Channel]] = [
    lambda here: here.channel("proxy.internal"),
    lambda here: here.channel("stranger.internal"),
    lambda here: here.channel("inner"),
    lambda here: here.channel(uri=EDGE),
    lambda here: here.channel(uri="spiffe://other.example/gateway/inner"),
]


@pytest.mark.parametrize(("path", "delta"), STREAMS)
@pytest.mark.parametrize("node", INNER, ids=str)
async def test_a_foreign_certificate_gets_no_resource_on_any_stream(
    path: str, delta: bool, node: dict[str, str], mutual: Mutual
) -> None:
    for connect in FOREIGN:
        async with connect(mutual) as channel:
            call = channel.stream_stream(path)()
            client = adsclients.Raw(delta, call, discovery_pb2.Node(**node))
            kind = next(
                (one.type_url for one in KINDS.values() if one.service and path.startswith(f"/{one.service}/")), CDS
            )
            await client.ask(kind)
            assert (await client.ended())[0] is grpc.StatusCode.PERMISSION_DENIED
            assert client.held == {}
    assert mutual.hub.clients == {}


@pytest.mark.parametrize("node", INNER, ids=str)
async def test_the_right_certificate_reads_its_gateway(node: dict[str, str], mutual: Mutual) -> None:
    rights: list[grpc.aio.Channel] = [
        mutual.channel("a.inner.internal"), mutual.channel(uri="spiffe://mesh.example/gateway/inner/e1"),
        mutual.channel("ops.internal"), mutual.channel(uri="spiffe://mesh.example/sa/x"),
    ]  # fmt: skip
    for made in rights:
        async with made as channel:
            call = channel.stream_stream(f"/{ADS}/DeltaAggregatedResources")()
            client = adsclients.Raw(True, call, discovery_pb2.Node(**node))
            await client.ask(CDS, resource_names_subscribe=["*"])
            await client.next()
            assert client.held[CDS] == {"inner-c": b"x"}


async def test_who_may_read_nothing_is_not_told_what_there_is(mutual: Mutual) -> None:
    async with mutual.channel("proxy.internal") as channel:
        call = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
        )()
        client = adsclients.Raw(False, call, discovery_pb2.Node(id="n", cluster="nix"))
        await client.ask(CDS)
        code, said = await client.ended()
    assert (code, "edge" in said, "inner" in said) == (grpc.StatusCode.NOT_FOUND, True, False)


async def test_a_foreign_proxy_reports_no_unknown_keys(mutual: Mutual) -> None:
    for node in INNER:
        async with mutual.channel("proxy.internal") as channel:
            message = reports.StreamAccessLogsMessage()
            message.identifier.log_name = NAME
            message.identifier.node.id, message.identifier.node.cluster = node["id"], node["cluster"]
            message.http_logs.log_entry.add().common_properties.custom_tags["tenant"] = "acme"
            call = channel.stream_unary(f"/{reports.SERVICE}/{reports.METHOD}")()
            await call.write(message.SerializeToString())
            assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
    assert mutual.told == []


async def test_status_shows_a_caller_the_clients_of_his_gateways_alone(mutual: Mutual) -> None:
    from xds.wire import Node

    for gateway in ("edge", "inner"):
        mutual.hub.join(Node(f"{gateway}-1", gateway), "p", "delta", delta=True, kinds=tuple(KINDS))
    for name, wanted in (
        ("proxy.internal", ["edge-1"]),
        ("ops.internal", ["edge-1", "inner-1"]),
        ("stranger.internal", []),
    ):
        async with mutual.channel(name) as channel:
            ask = channel.unary_unary(f"/{status.SERVICE}/FetchClientStatus")
            answer = await ask(ClientStatusRequest().SerializeToString())
        found = ClientStatusResponse.FromString(answer)  # type: ignore[attr-defined]
        assert sorted(one.node.id for one in found.config) == wanted
    for client in list(mutual.hub.clients.values()):
        mutual.hub.leave(client)
