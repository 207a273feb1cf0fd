"""Rules for compose.yaml and the Dockerfile, read as text: no container engine is needed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenants.documents import Key
from tenants.reading import read

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
STORE = "store:/var/lib/gatecast"
"""The one thing that is written and kept."""


UNWATCHED = {"ratelimit"}
"""Its image has no program to ask it with; so nobody may wait for it."""


def test_the_services_are_there() -> None:
    assert set(SERVICES) == {"gatecast", "envoy", "orders", "payments", "redis", "ratelimit"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined_and_watched(name: str) -> None:
    service = SERVICES[name]
    if name in UNWATCHED:
        assert service["healthcheck"] == {"disable": True}
        assert not any(name in other.get("depends_on", {}) for other in SERVICES.values())
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not any(re.search("AUTH|PASS|SECRET|TOKEN|KEY|HEADERS", said) for said in service.get("environment", {}))
    assert re.search(r":(v?\d+\.\d+\.\d+|[0-9a-f]{8})$", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_loopback(name: str) -> None:
    service = SERVICES[name]
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service.get("network_mode", "service:orders") == "service:orders"
    assert "--insecure" not in service.get("command", ())


@pytest.mark.parametrize("name", SERVICES)
def test_each_mounted_path_is_in_the_tree_and_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        if (name, volume) == ("gatecast", STORE):
            assert set(COMPOSE["volumes"]) == {"store"}
            continue
        source, _, mode = volume.split(":")
        assert (ROOT / source).exists()
        assert mode == "ro"


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_is_healthy(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    assert set(waits) <= set(SERVICES)
    assert all(wait == {"condition": "service_healthy"} for wait in waits.values())


def test_ports_agree_with_the_example() -> None:
    documents = {
        one.key: one.document.as_given()
        for file in sorted((ROOT / "gatecast" / "example").glob("*.yaml"))
        for one in read(file.read_text(), file.name).documents
    }
    for name in ("orders", "payments"):
        (endpoint,) = documents[Key("Service", name)]["endpoints"]
        assert SERVICES[name]["command"] == [name, endpoint["address"]]
    (endpoint,) = documents[Key("Service", "limits")]["endpoints"]
    told = SERVICES["ratelimit"]["environment"]
    assert f"{told['GRPC_HOST']}:{told['GRPC_PORT']}" == endpoint["address"]
    assert documents[Key("Gateway", told["CONFIG_GRPC_XDS_NODE_ID"])]["rate_limit_service"] == {"service": "limits"}
    port = documents[Key("Gateway", "edge")]["listeners"][0]["port"]
    assert SERVICES["orders"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_rate_limit_service_listens_on_loopback_and_is_told_its_limits_by_us() -> None:
    told = SERVICES["ratelimit"]["environment"]
    assert {told[f"{part}HOST"] for part in ("", "GRPC_", "DEBUG_")} == {"127.0.0.1"}
    assert (told["CONFIG_TYPE"], told["CONFIG_GRPC_XDS_SERVER_URL"]) == ("GRPC_XDS_SOTW", "127.0.0.1:18000")
    command = SERVICES["redis"]["command"]
    at = dict(zip(command[::2], command[1::2], strict=True))
    assert told["REDIS_URL"] == f"{at['--bind']}:{at['--port']}"


def test_the_image_is_pinned_and_runs_as_nobody() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert all(re.search(r":\d+\.\d+-\w+", base) for base in bases)
    assert "USER 65532:65532" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert "-c constraints.txt" in "\n".join(lines)


def test_only_what_the_image_needs_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:].rstrip("/") for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert "*" in lines
    assert kept == {name for names in copied for name in names.split()}
