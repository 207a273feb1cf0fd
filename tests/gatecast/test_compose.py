"""Rules for compose.yaml, the Dockerfile and `make demo-kong`, read as text: no container engine is needed."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import transcripts
import yaml

from tenants.documents import Key
from tenants.reading import read

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
KEPT = {"gatecast": "store:/var/lib/gatecast", "kong-database": "kong-database:/var/lib/postgresql/data"}
"""All that is written and kept."""
UNWATCHED = {"ratelimit"}
"""Its image has no program to ask it with; so nobody may wait for it."""
ONCE = {"kong-migrations"}
"""It ends; who waits for it waits for that."""
OF_KONG = {"kong", "kong-database", "kong-migrations", "kong-sidecar"}
TRUSTING = {"POSTGRES_HOST_AUTH_METHOD": "trust"}
"""No password at all, on loopback alone: the one word about access that may stand here."""


def test_the_services_are_there_and_those_of_kong_only_when_they_are_asked_for() -> None:
    assert set(SERVICES) == {"gatecast", "envoy", "orders", "payments", "redis", "ratelimit"} | OF_KONG
    assert {name for name, one in SERVICES.items() if one.get("profiles") == ["kong"]} == OF_KONG
    assert all("profiles" not in one for name, one in SERVICES.items() if name not in OF_KONG)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined_and_watched(name: str) -> None:
    service = SERVICES[name]
    if name in UNWATCHED | ONCE:
        assert service["healthcheck"] == {"disable": True}
        assert any(name in other.get("depends_on", {}) for other in SERVICES.values()) == (name in ONCE)
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    told = {said: value for said, value in service.get("environment", {}).items() if TRUSTING.get(said) != value}
    assert not any(re.search("AUTH|PASS|SECRET|TOKEN|KEY|HEADERS", said) for said in told)
    assert re.search(r":(v?\d+\.\d+\.\d+|\d+\.\d+-\w+|[0-9a-f]{8})$", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_loopback(name: str) -> None:
    service = SERVICES[name]
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service.get("network_mode", "service:orders") == "service:orders"
    assert "--insecure" not in service.get("command", ())


@pytest.mark.parametrize("name", SERVICES)
def test_each_mounted_path_is_in_the_tree_and_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        if volume == KEPT.get(name):
            continue
        source, _, mode = volume.split(":")
        assert (ROOT / source).exists()
        assert mode == "ro"


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_is_healthy(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    assert set(waits) <= set(SERVICES)
    words = {one: "service_completed_successfully" if one in ONCE else "service_healthy" for one in waits}
    assert waits == {one: {"condition": word} for one, word in words.items()}
    assert name in OF_KONG or not set(waits) & OF_KONG, "who wants Envoy alone needs no Kong"


def test_what_is_kept_is_declared() -> None:
    assert set(COMPOSE["volumes"]) == {volume.partition(":")[0] for volume in KEPT.values()}


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
    assert documents[Key("Gateway", "edge")]["kong"] is True
    proxy = SERVICES["kong"]["environment"]["KONG_PROXY_LISTEN"].rpartition(":")[2]
    assert SERVICES["orders"]["ports"] == [f"127.0.0.1:{port}:{port}", f"127.0.0.1:10001:{proxy}"]


def test_the_rate_limit_service_listens_on_loopback_and_is_told_its_limits_by_us() -> None:
    told = SERVICES["ratelimit"]["environment"]
    assert {told[f"{part}HOST"] for part in ("", "GRPC_", "DEBUG_")} == {"127.0.0.1"}
    assert (told["CONFIG_TYPE"], told["CONFIG_GRPC_XDS_SERVER_URL"]) == ("GRPC_XDS_SOTW", "127.0.0.1:18000")
    command = SERVICES["redis"]["command"]
    at = dict(zip(command[::2], command[1::2], strict=True))
    assert told["REDIS_URL"] == f"{at['--bind']}:{at['--port']}"


def test_kong_is_a_version_we_know_and_is_told_nothing_it_does_not_know() -> None:
    """The recorded `GET /` of a real Kong names every setting there is."""
    told = SERVICES["kong"]["environment"]
    root = next(transcripts.exchanges("postgres/01-root")).json()
    assert SERVICES["kong"]["image"] == f"kong/kong:{root['version']}"
    assert {one.removeprefix("KONG_").lower() for one in told} <= set(root["configuration"])
    assert (SERVICES["kong-migrations"]["image"], SERVICES["kong-migrations"]["environment"]) == (
        SERVICES["kong"]["image"],
        told,
    )


def test_of_kong_only_the_proxy_is_reached_from_outside_the_shared_network() -> None:
    told = SERVICES["kong"]["environment"]
    listeners = {one: address for one, address in told.items() if one.endswith("_LISTEN")}
    assert listeners.pop("KONG_PROXY_LISTEN").startswith("0.0.0.0:")
    assert listeners.pop("KONG_ADMIN_LISTEN") == "127.0.0.1:8001", "where `gatecast kong` looks without --admin"
    assert listeners == {"KONG_STATUS_LISTEN": "off", "KONG_ADMIN_GUI_LISTEN": "off"}
    assert told["KONG_PREFIX"].startswith(f"{SERVICES['kong']['tmpfs'][0]}/"), "it writes nowhere else"


def test_the_database_of_kong_has_no_password_and_listens_on_loopback_alone() -> None:
    told, database = SERVICES["kong"]["environment"], SERVICES["kong-database"]
    assert database["command"] == ["postgres", "-c", f"listen_addresses={told['KONG_PG_HOST']}"]
    assert told["KONG_PG_HOST"] == "127.0.0.1"
    assert database["environment"] == {"POSTGRES_USER": told["KONG_PG_USER"], **TRUSTING}
    assert told["KONG_PG_DATABASE"] == told["KONG_PG_USER"], "the image names the database after the user"


def test_the_sidecar_is_the_same_image_and_follows_the_gateway_of_the_example() -> None:
    sidecar = SERVICES["kong-sidecar"]
    assert sidecar["image"] == SERVICES["gatecast"]["image"]
    words = sidecar["command"]
    assert words[0] == "kong"
    assert words[words.index("--gateway") + 1] == "edge"
    port = SERVICES["kong"]["environment"]["KONG_PROXY_LISTEN"].rpartition(":")[2]
    assert words[words.index("--proxy") + 1] == f"http://127.0.0.1:{port}"
    assert "18002/readyz" in sidecar["healthcheck"]["test"][-1]


def made(tmp_path: Path, *, daemon: bool) -> list[str]:
    """What `make demo-kong` does on a machine with this `docker` and this `gatecast`."""
    said = tmp_path / "said"
    for name, more in (("docker", "" if daemon else "exit 1"), ("venv/bin/gatecast", "")):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "{program.name} $*" >> {said}\n{more}\n')
        program.chmod(0o755)
    (tmp_path / "venv" / ".ready").touch()
    path = f"{tmp_path}:{os.environ['PATH']}"
    words = ["make", "-s", "demo-kong", f"VENV={tmp_path}/venv"]
    subprocess.run(words, cwd=ROOT, env={**os.environ, "PATH": path}, check=True, capture_output=True)
    return said.read_text().splitlines()


def test_make_demo_kong_tells_the_story_inside_the_shared_network_and_takes_all_down(tmp_path: Path) -> None:
    asked, running, up, story, down = made(tmp_path, daemon=True)
    assert (asked, running) == ("docker compose version", "docker info")
    stack = "docker compose --project-name gatecast-demo-kong --profile kong"
    assert up == f"{stack} up --build --detach --wait kong"
    admin, proxy = "KONG_ADMIN_URL=http://127.0.0.1:8001", "KONG_PROXY_URL=http://127.0.0.1:8000"
    assert story == f"{stack} exec -T --env {admin} --env {proxy} orders gatecast demo --kong"
    assert down == f"{stack} down --volumes"


def test_make_demo_kong_takes_the_double_where_no_docker_runs(tmp_path: Path) -> None:
    assert made(tmp_path, daemon=False)[-1] == "gatecast demo --kong"


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
