"""Our discovery envelope against Envoy's own messages as envoy-data-plane has them, and against its own source."""

import dataclasses
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from protos import discovery_pb2 as ours

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of its own use of pydantic
    from envoy_data_plane.envoy.config.core import v3 as core
    from envoy_data_plane.envoy.service.discovery import v3 as theirs
    from envoy_data_plane.envoy.type import v3 as kind
    from envoy_data_plane.google import protobuf, rpc

ROOT = Path(__file__).parents[2]
ENVOYS: dict[str, Any] = {
    "SemanticVersion": kind.SemanticVersion,
    "BuildVersion": core.BuildVersion,
    "Node": core.Node,
    "Status": rpc.Status,
    "ControlPlane": core.ControlPlane,
    "Any": protobuf.Any,
    "DiscoveryRequest": theirs.DiscoveryRequest,
    "DiscoveryResponse": theirs.DiscoveryResponse,
    "DeltaDiscoveryRequest": theirs.DeltaDiscoveryRequest,
    "DeltaDiscoveryResponse": theirs.DeltaDiscoveryResponse,
    "Resource": theirs.Resource,
}
CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def their_node(**more: Any) -> Any:
    version = core.BuildVersion(version=kind.SemanticVersion(major_number=1, minor_number=40, patch=2))
    return core.Node(id="n1", cluster="edge", user_agent_name="envoy", user_agent_build_version=version, **more)


def our_node() -> ours.Node:
    version = ours.BuildVersion(version=ours.SemanticVersion(major_number=1, minor_number=40, patch=2))
    return ours.Node(id="n1", cluster="edge", user_agent_name="envoy", user_agent_build_version=version)


def our_resource() -> ours.Resource:
    return ours.Resource(name="c1", version="v1", resource=ours.Any(type_url=CDS, value=b"\x0a\x02c1"))


ANY = protobuf.Any(type_url=CDS, value=b"\x0a\x02c1")
SAME: list[tuple[Message, Any]] = [
    (
        ours.DiscoveryRequest(
            version_info="v1",
            node=our_node(),
            resource_names=["a", "b"],
            type_url=CDS,
            response_nonce="7",
            error_detail=ours.Status(code=13, message="no"),
        ),
        theirs.DiscoveryRequest(
            version_info="v1",
            node=their_node(),
            resource_names=["a", "b"],
            type_url=CDS,
            response_nonce="7",
            error_detail=rpc.Status(code=13, message="no"),
        ),
    ),
    (
        ours.DiscoveryResponse(
            version_info="v1",
            resources=[our_resource().resource.SerializeToString()],
            type_url=CDS,
            nonce="7",
            control_plane=ours.ControlPlane(identifier="us"),
        ),
        theirs.DiscoveryResponse(
            version_info="v1",
            resources=[ANY],
            type_url=CDS,
            nonce="7",
            control_plane=core.ControlPlane(identifier="us"),
        ),
    ),
    (
        ours.DeltaDiscoveryRequest(
            node=our_node(),
            type_url=CDS,
            resource_names_subscribe=["*", "a"],
            resource_names_unsubscribe=["b"],
            initial_resource_versions={"a": "v1", "c": "v2"},
            response_nonce="7",
            error_detail=ours.Status(message=""),
        ),
        theirs.DeltaDiscoveryRequest(
            node=their_node(),
            type_url=CDS,
            resource_names_subscribe=["*", "a"],
            resource_names_unsubscribe=["b"],
            initial_resource_versions={"a": "v1", "c": "v2"},
            response_nonce="7",
            error_detail=rpc.Status(message=""),
        ),
    ),
    (
        ours.DeltaDiscoveryResponse(
            system_version_info="v1",
            resources=[our_resource().SerializeToString()],
            type_url=CDS,
            nonce="7",
            removed_resources=["a", "b"],
            control_plane=ours.ControlPlane(identifier="us"),
        ),
        theirs.DeltaDiscoveryResponse(
            system_version_info="v1",
            resources=[theirs.Resource(name="c1", version="v1", resource=ANY)],
            type_url=CDS,
            nonce="7",
            removed_resources=["a", "b"],
            control_plane=core.ControlPlane(identifier="us"),
        ),
    ),
    (our_resource(), theirs.Resource(name="c1", version="v1", resource=ANY)),
]
NAMES = [type(mine).__name__ for mine, _ in SAME]


@pytest.mark.parametrize(("mine", "envoys"), SAME, ids=NAMES)
def test_envoy_reads_what_we_write(mine: Message, envoys: Any) -> None:
    assert type(envoys).parse(mine.SerializeToString()) == envoys


@pytest.mark.parametrize(("mine", "envoys"), SAME, ids=NAMES)
def test_we_read_what_envoy_writes(mine: Message, envoys: Any) -> None:
    parsed = type(mine).FromString(bytes(envoys))
    assert type(envoys).parse(parsed.SerializeToString()) == envoys
    resources = type(mine).DESCRIPTOR.fields_by_name.get("resources")
    if resources is None:  # resources are bytes to us, in whatever order Envoy wrote their fields
        assert parsed == mine


def test_every_message_of_ours_is_compared() -> None:
    assert set(ENVOYS) == set(ours.DESCRIPTOR.message_types_by_name)


@pytest.mark.parametrize("name", ENVOYS)
def test_every_field_has_envoys_number(name: str) -> None:
    numbers = {one.name: one.metadata["betterproto"].number for one in dataclasses.fields(ENVOYS[name])}
    mine = {one.name: one.number for one in ours.DESCRIPTOR.message_types_by_name[name].fields}
    assert mine.items() <= numbers.items()


@pytest.mark.parametrize("name", ["DiscoveryResponse", "DeltaDiscoveryResponse"])
def test_resources_are_kept_as_bytes(name: str) -> None:
    field = ours.DESCRIPTOR.message_types_by_name[name].fields_by_name["resources"]
    assert field.type == FieldDescriptor.TYPE_BYTES


def test_a_node_with_all_of_envoys_extensions_is_read_and_skipped() -> None:
    extensions = [core.Extension(name=f"envoy.filters.http.{n}", category="envoy.filters.http") for n in range(516)]
    request = theirs.DeltaDiscoveryRequest(node=their_node(extensions=extensions), type_url=CDS)
    parsed = ours.DeltaDiscoveryRequest.FromString(bytes(request))
    assert (parsed.node.id, parsed.node.cluster, parsed.type_url) == ("n1", "edge", CDS)


def test_regenerating_the_modules_gives_the_files_checked_in(tmp_path: Path) -> None:
    protos = sorted(path.relative_to(ROOT) for path in ROOT.glob("protos/*.proto"))
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I",
        ".",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
    ]
    subprocess.run([*command, *map(str, protos)], cwd=ROOT, check=True)
    made = {path.name: path.read_bytes() for path in (tmp_path / "protos").iterdir()}
    assert len(made) == 2 * len(protos)
    assert made == {name: (ROOT / "protos" / name).read_bytes() for name in made}
