"""The HTTP API on a real plane with hand-made documents; clients join the hub without a network."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from catalogs import BASE, changes
from prometheus_client import CollectorRegistry

from gatecast import api
from gatecast.plane import Plane
from xds.hub import Client, Hub
from xds.kinds import KINDS
from xds.metrics import Metrics
from xds.stream import Adjust, Ask
from xds.wire import Node

DOCUMENTS = BASE + "---\nkind: Tenant\nid: acme\n---\nkind: Tenant\nid: beta\n---\nkind: Tenant\nid: gamma\n"
WALL = 1_795_000_000.0


@dataclass
class Operator:
    """An API, a client for it, and the plane and hub behind it."""

    hub: Hub
    plane: Plane
    http: httpx.AsyncClient

    async def get(self, path: str, status: int = 200, **query: str | int) -> httpx.Response:
        answer = await self.http.get(path, params=query)
        assert answer.status_code == status, answer.text
        return answer

    def join(self, node: str = "envoy-1") -> Client:
        return self.hub.join(
            Node(node, "edge", "envoy 1.40.0"), "ipv4:10.0.0.1:5", "delta", delta=True, kinds=tuple(KINDS)
        )


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    registry = CollectorRegistry()
    hub = Hub(Metrics(registry), wall=lambda: WALL)
    plane = Plane(hub)
    made = api.app(plane, registry, clock=lambda: 100.0, wall=lambda: WALL + 7)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://gatecast") as http:
        yield Operator(hub, plane, http)


@pytest.fixture
async def served(operator: Operator) -> Operator:
    await operator.plane.apply(changes(DOCUMENTS))
    assert operator.plane.problems() == ()
    return operator


LIVE, READY = ("/livez", "/health/live"), ("/readyz", "/health/ready", "/healthz", "/startupz")


@pytest.mark.parametrize("path", LIVE)
async def test_a_server_without_settings_is_alive(path: str, operator: Operator) -> None:
    await operator.get(path)


@pytest.mark.parametrize("path", READY)
async def test_a_server_is_ready_from_its_first_snapshot_until_it_drains(path: str, operator: Operator) -> None:
    assert (await operator.get(path, 503)).json()["error"]["code"] == "loading"
    await operator.plane.apply(changes(DOCUMENTS))
    await operator.get(path)
    await operator.hub.drain()
    assert (await operator.get(path, 503)).json()["error"]["code"] == "draining"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:18001", 200), ("edge.localhost.:1", 200), ("127.0.0.1:18001", 200),
        ("10.1.2.3", 200), ("[::1]:18001", 200), ("[fd00::7]", 200),
        ("evil.example", 421), ("evil.example:18001", 421), ("localhost.evil.example", 421), ("evillocalhost", 421),
        ("127.0.0.1.evil.example", 421), ("localhost:x", 421), ("[evil.example]", 421), ("::1", 421), ("", 421),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/livez", "/metrics", "/api/v1/problems", "/openapi.json", "/nix"])
async def test_on_loopback_only_a_name_of_this_machine_or_an_address_is_answered(
    host: str, status: int, path: str
) -> None:
    registry = CollectorRegistry()
    made = api.app(Plane(Hub(Metrics(registry), wall=lambda: WALL)), registry, local=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost") as http:
        answer = await http.get(path, headers={"host": host})
    assert answer.status_code == (404 if path == "/nix" and status == 200 else status)
    assert "x-request-id" in answer.headers
    if status == 421:
        error = answer.json()["error"]
        assert error["code"] == "wrong_host"
        assert repr(host) in error["message"]
        assert "localhost or an IP address" in error["message"]


async def test_metrics_are_prometheus_text(served: Operator) -> None:
    served.join()
    text = (await served.get("/metrics")).text
    assert 'gatecast_xds_streams{variant="delta"} 1.0' in text
    assert 'gatecast_xds_resources{gateway="edge",kind="RDS"} 3.0' in text


async def test_every_answer_has_an_id_and_a_time(served: Operator) -> None:
    for path, status in (("/livez", 200), ("/nowhere", 404)):
        answer = await served.http.get(path, headers={"X-Request-ID": "abc-123"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (status, "abc-123")
        assert float(answer.headers["x-process-time"]) >= 0
    for bad in ("a b", "x" * 129, "<script>"):
        answer = await served.http.get("/livez", headers={"X-Request-ID": bad})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("POST", "/api/v1/clients", 405, "method_not_allowed"),
        ("GET", "/api/v1/clients/17", 404, "not_found"),
        ("GET", "/api/v1/clients?limit=0", 422, "invalid_parameter"),
        ("GET", "/api/v1/clients?limit=1001", 422, "invalid_parameter"),
        ("GET", "/api/v1/snapshots/nix", 404, "not_found"),
        ("GET", "/api/v1/snapshots/edge/nix", 404, "not_found"),
        ("GET", "/api/v1/snapshots/edge/rds/nix", 404, "not_found"),
    ],
)
async def test_every_error_has_the_one_body(method: str, path: str, status: int, code: str, served: Operator) -> None:
    answer = await served.http.request(method, path)
    body = answer.json()
    assert answer.status_code == status
    assert list(body) == ["error"]
    assert list(body["error"]) == ["code", "message", "details"]
    assert (body["error"]["code"], bool(body["error"]["message"])) == (code, True)


async def test_a_defect_is_answered_in_the_one_body_and_without_its_details(
    served: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plane, "problems", lambda _self: 1 / 0)
    answer = await served.get("/api/v1/problems", 500)
    assert answer.json()["error"]["code"] == "internal"
    assert "ZeroDivision" not in answer.text
    assert answer.headers["x-request-id"]


async def test_the_description_of_the_api_names_every_path(served: Operator) -> None:
    document = (await served.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    expected = {"/api/v1/clients", "/api/v1/clients/{id}", "/api/v1/snapshots", "/api/v1/snapshots/{gateway}"}
    expected |= {"/api/v1/snapshots/{gateway}/{type}", "/api/v1/snapshots/{gateway}/{type}/{name}", "/api/v1/problems"}
    assert expected | {*LIVE, *READY, "/metrics"} <= document["paths"].keys()


async def test_snapshots_are_counts_and_versions(served: Operator) -> None:
    page = (await served.get("/api/v1/snapshots")).json()
    (edge,) = page["snapshots"]
    types = {row["type"]: row for row in edge["types"]}
    counts = {name: row["resources"] for name, row in types.items() if name != "ECDS"}
    assert counts == {"CDS": 1, "EDS": 1, "LDS": 1, "SRDS": 3, "RDS": 3, "SDS": 0, "RLS": 0, "SHARED": 0, "TENANTS": 0}
    assert types["RDS"]["version"] == served.hub.snapshots["edge"].version("RDS")
    assert edge["published_at"] == "2026-11-18T11:06:40.000Z"
    assert (await served.get("/api/v1/snapshots/edge")).json() == edge


async def test_resources_are_paged_by_name(served: Operator) -> None:
    names, cursor = [], ""
    for _ in range(3):
        page = (await served.get("/api/v1/snapshots/edge/RDS", limit=1, cursor=cursor)).json()
        assert page["total"] == 3
        names += [row["name"] for row in page["resources"]]
        cursor = page["next_cursor"] or ""
    assert (names, cursor) == (["acme", "beta", "gamma"], "")


async def test_a_resource_is_readable(served: Operator) -> None:
    found = (await served.get("/api/v1/snapshots/edge/rds/acme")).json()
    assert (found["name"], found["type"], found["tenant"]) == ("acme", "RDS", "acme")
    assert found["resource"]["virtual_hosts"][0]["name"] == "acme"
    assert found["version"] == served.hub.snapshots["edge"].resources["RDS"]["acme"].version
    listener = (await served.get("/api/v1/snapshots/edge/lds/public")).json()["resource"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["@type"].endswith("HttpConnectionManager")


def of_type(client: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [row for row in client["types"] if row["type"] == kind]
    return dict(found)


async def test_a_client_shows_what_it_refused_and_whose_it_is(served: Operator) -> None:
    client = served.join()
    client.machine.receive(Ask("RDS", Adjust(("acme",))), 90.0)
    (answer,) = client.machine.answers(90.0)
    served.hub.sent(client, "RDS", answer.version, 10)
    waiting = (await served.get("/api/v1/clients/1")).json()
    assert (waiting["state"], of_type(waiting, "RDS")["waiting"]) == ("PENDING", 10.0)
    reply = client.machine.receive(Ask("RDS", Adjust(), answer.nonce, "bad domains"), 95.0)
    assert reply is not None
    served.hub.answered(client, reply, 95.0)
    found = (await served.get("/api/v1/clients/envoy-1")).json()
    rds = of_type(found, "RDS")
    assert (found["id"], found["state"], found["gateway"], found["build"]) == ("1", "REJECTED", "edge", "envoy 1.40.0")
    assert (rds["state"], rds["rejected"], rds["tenants"]) == ("REJECTED", ["acme"], ["acme"])
    assert (found["kind"], rds["words"]) == ("envoy", {"acme": "bad domains"})
    assert (rds["error"], rds["rejections"], rds["pushed_age"], rds["answered_age"]) == ("bad domains", 1, 7.0, 7.0)
    assert found["types"][0]["state"] == "NOT_SUBSCRIBED"


async def test_clients_are_paged_and_narrowed(served: Operator) -> None:
    for number in range(5):
        served.join(f"envoy-{number}")
    served.hub.leave(served.hub.clients[2])
    first = (await served.get("/api/v1/clients", limit=2)).json()
    assert ([one["id"] for one in first["clients"]], first["total"]) == (["1", "3"], 4)
    second = (await served.get("/api/v1/clients", limit=2, cursor=first["next_cursor"])).json()
    assert ([one["id"] for one in second["clients"]], second["next_cursor"]) == (["4", "5"], None)
    named = (await served.get("/api/v1/clients", node="envoy-3")).json()
    assert [one["node"] for one in named["clients"]] == ["envoy-3"]
    assert (await served.get("/api/v1/clients", gateway="other")).json()["total"] == 0


async def test_a_node_with_two_streams_is_asked_for_by_number(served: Operator) -> None:
    for _ in range(2):
        served.join()
    assert "1, 2" in (await served.get("/api/v1/clients/envoy-1", 409)).json()["error"]["message"]
    assert (await served.get("/api/v1/clients/2")).json()["node"] == "envoy-1"


async def test_a_problem_of_no_document_is_shown(operator: Operator) -> None:
    await operator.plane.apply(changes("kind: Tenant\nid: acme\n"))
    (problem,) = (await operator.get("/api/v1/problems")).json()["problems"]
    assert (problem["code"], problem["kind"], problem["id"], problem["severity"]) == ("GC215", "Gateway", "", "warning")


async def test_problems_have_all_their_parts_and_pages(served: Operator) -> None:
    await served.plane.apply(changes("kind: Tenant\nid: acme\norganisation: nix\n---\nkind: Tenant\nid: x\nhost: 1\n"))
    page = (await served.get("/api/v1/problems", limit=1)).json()
    (problem,) = page["problems"]
    assert page["total"] == len(served.plane.problems()) == 2
    assert (problem["code"], problem["file"], problem["line"], problem["tenant"]) == ("GC201", "a.yaml", 3, "acme")
    rest = (await served.get("/api/v1/problems", limit=1, cursor=page["next_cursor"])).json()
    assert [one["tenant"] for one in rest["problems"]] == ["x"]
    assert (await served.get("/api/v1/problems", tenant="x")).json()["total"] == 1


async def test_status_is_the_server_in_one_look(served: Operator) -> None:
    served.join()
    found = (await served.get("/api/v1/status")).json()
    assert (found["ready"], found["clients"], found["problems"], found["gateways"]) == (True, 1, 0, ["edge"])
    assert found["documents"]["Tenant"] == 3


async def test_an_error_is_a_problem_as_the_standard_has_it_for_who_asks_for_that(served: Operator) -> None:
    for path, status, code in (
        ("/api/v1/nix", 404, "not_found"),
        ("/api/v1/clients?limit=0", 422, "invalid_parameter"),
    ):
        answer = await served.http.get(path, headers={"accept": "application/problem+json"})
        body = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
        assert body["title"]
        assert body["detail"]
        assert "message" not in body


async def test_a_server_without_a_store_says_so(served: Operator) -> None:
    for path in ("/api/v1/documents", "/api/v1/revisions", "/api/v1/audit", "/api/v1/tokens", "/api/v1/pins"):
        assert (await served.get(path, 503)).json()["error"]["code"] == "no_store"
