"""The bootstrap says what the server expects (field by field), and a real Envoy accepts every variant of it."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import envoys
import grpc
import grpc.aio
import pytest
import yaml

from tenants.errors import Refused
from xds.bootstrap import as_yaml, bootstrap
from xds.envoy_binary import envoy_binary

SERVER = ("127.0.0.1", 18000)
VARIANTS = {
    "delta": {},
    "sotw": {"sotw": True},
    "separate delta": {"separate": True},
    "separate sotw": {"separate": True, "sotw": True},
}


ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
CDS = "/envoy.service.cluster.v3.ClusterDiscoveryService"
FIRST_CALLS = [
    ({}, f"{ADS}/DeltaAggregatedResources"),
    ({"sotw": True}, f"{ADS}/StreamAggregatedResources"),
    ({"separate": True}, f"{CDS}/DeltaClusters"),
    ({"separate": True, "sotw": True}, f"{CDS}/StreamClusters"),
]


class Listening(grpc.GenericRpcHandler):
    """A server that hears what Envoy asks and never answers."""

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def hear(requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
            async for request in requests:
                self.heard.setdefault(details.method, request)
            return
            yield b""

        return grpc.stream_stream_rpc_method_handler(hear)


def dynamic(**variant: bool) -> dict[str, Any]:
    return bootstrap("edge", "edge-1", SERVER, **variant)["dynamic_resources"]


def cluster(host: str) -> dict[str, Any]:
    (only,) = bootstrap("edge", "edge-1", (host, 18000))["static_resources"]["clusters"]
    return only


def test_the_node_names_the_envoy_and_its_gateway() -> None:
    assert bootstrap("edge", "edge-1", SERVER)["node"] == {"id": "edge-1", "cluster": "edge"}


@pytest.mark.parametrize(("variant", "api_type"), [({}, "DELTA_GRPC"), ({"sotw": True}, "GRPC")])
def test_listeners_and_clusters_come_by_one_ads_stream(variant: dict[str, bool], api_type: str) -> None:
    sources = dynamic(**variant)
    assert sources["ads_config"]["api_type"] == api_type
    assert sources["ads_config"]["transport_api_version"] == "V3"
    by_ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "15s"}
    assert (sources["cds_config"], sources["lds_config"]) == (by_ads, by_ads)


@pytest.mark.parametrize(("variant", "api_type"), [({}, "DELTA_GRPC"), ({"sotw": True}, "GRPC")])
def test_separate_streams_carry_listeners_and_clusters(variant: dict[str, bool], api_type: str) -> None:
    sources = dynamic(separate=True, **variant)
    for kind in ("cds_config", "lds_config"):
        assert "ads" not in sources[kind]
        assert sources[kind]["api_config_source"] == sources["ads_config"]
    assert sources["ads_config"]["api_type"] == api_type


def test_the_node_is_sent_once_a_stream() -> None:
    assert dynamic()["ads_config"]["set_node_on_first_message_only"] is True


def test_the_server_is_reached_by_http2_with_pings() -> None:
    ((_, options),) = cluster("127.0.0.1")["typed_extension_protocol_options"].items()
    http2 = options["explicit_http_config"]["http2_protocol_options"]
    assert http2 == {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}


@pytest.mark.parametrize(
    ("host", "kind"),
    [("127.0.0.1", "STATIC"), ("::1", "STATIC"), ("localhost", "STRICT_DNS"), ("xds.example", "STRICT_DNS")],
)
def test_only_a_name_is_resolved(host: str, kind: str) -> None:
    found = cluster(host)
    (endpoint,) = found["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert found["type"] == kind
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": host, "port_value": 18000}


def test_the_admin_page_stays_on_loopback() -> None:
    address = bootstrap("edge", "edge-1", SERVER, admin_port=9901)["admin"]["address"]
    assert address == {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_text_says_how_to_run_it_and_reads_back_the_same(variant: dict[str, bool]) -> None:
    document = bootstrap("edge", "edge-1", SERVER, **variant)
    text = as_yaml(document)
    assert text.startswith("# Envoy bootstrap for node 'edge-1' of gateway 'edge'.")
    assert "# Run: envoy -c FILE\n" in text
    assert yaml.safe_load(text) == document
    assert "&id" not in text  # a reader meets no YAML anchors


@pytest.mark.envoy
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
async def test_envoy_accepts_it(variant: dict[str, bool], host: str) -> None:
    assert await envoys.validate(bootstrap("edge", "edge-1", (host, 18000), **variant)) == ""


@pytest.mark.envoy
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(("variant", "call"), FIRST_CALLS)
async def test_envoy_calls_the_server_and_says_who_it_is(
    variant: dict[str, bool], call: str, host: str, tmp_path: Path
) -> None:
    listening = Listening()
    server = grpc.aio.server(handlers=[listening])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with envoys.envoy(bootstrap("edge", "edge-1", (host, port), **variant), tmp_path) as proxy:
            request = await proxy.until(lambda: listening.heard.get(call), f"a call of {call}")
    finally:
        await server.stop(None)
    assert b"\x0a\x06edge-1\x12\x04edge" in request  # the protobuf of Node: id and cluster


@pytest.mark.envoy
async def test_envoy_takes_the_yaml_file_as_written(tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text(as_yaml(bootstrap("edge", "edge-1", SERVER)))
    command = (str(envoy_binary()), "--mode", "validate", "-c", str(file))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.envoy
async def test_validation_tells_what_is_wrong() -> None:
    document = json.loads(json.dumps(bootstrap("edge", "edge-1", SERVER)).replace("initial_fetch_timeout", "patience"))
    assert "patience" in await envoys.validate(document)


def test_the_variable_chooses_the_binary(tmp_path: Path) -> None:
    mine = tmp_path / "my-envoy"
    mine.touch(mode=0o755)
    assert envoy_binary({"GATECAST_ENVOY": str(mine)}) == mine
    assert envoy_binary({"GATECAST_ENVOY": "my-envoy", "PATH": str(tmp_path)}) == mine


def test_a_variable_that_names_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"GATECAST_ENVOY=.*missing: no such program"):
        envoy_binary({"GATECAST_ENVOY": str(tmp_path / "missing")})


def test_the_wheel_goes_before_the_path(tmp_path: Path) -> None:
    (tmp_path / "envoy").touch(mode=0o755)
    found = envoy_binary({"PATH": str(tmp_path)})
    assert found is not None
    assert found.parent.name == "_bin"


def test_without_the_wheel_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert envoy_binary({"PATH": str(tmp_path)}) is None
    (tmp_path / "envoy").touch(mode=0o755)
    assert envoy_binary({"PATH": str(tmp_path)}) == tmp_path / "envoy"


async def test_an_envoy_that_fails_without_a_word_has_accepted_nothing() -> None:
    assert "ended with 1 and said nothing" in await envoys.validate({}, binary=Path("/bin/false"))
