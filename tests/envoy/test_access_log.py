"""The access log: one line of JSON a request; tenant, route, revision and error are ours, whatever a client says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import edges
import pytest
import pytest_asyncio

from tenants.effective import view
from xds import translate
from xds.translate.access_logs import FIELDS
from xds.translate.marks import revision

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


class Logged:
    """An edge whose proxies write to a file that only this test reads."""

    def __init__(self, edge: edges.Edge, file: Path) -> None:
        self.edge = edge
        self.file = file

    async def line(self, request_id: str) -> edges.Json:
        """The line of the request with this id."""

        def found() -> edges.Json | None:
            lines = (json.loads(line) for line in self.file.read_text().splitlines())
            return next((one for one in lines if one["request_id"] == request_id), None)

        line: edges.Json = await self.edge.proxy.until(found, f"a line of {request_id}")
        return line

    async def told(self, tenant: str, path: str = "/a", **more: object) -> edges.Json:
        """The line of one request of a tenant."""
        answer = await self.edge.ask(tenant, path, **more)  # type: ignore[arg-type]
        return await self.line(answer.headers["x-request-id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def logged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Logged]:
    file = tmp_path_factory.mktemp("log") / "access.log"
    async with edges.edge(tmp_path_factory.mktemp("envoy"), more={"access_log": {"path": str(file)}}) as edge:
        await edge.put(edges.tenant("acme"), edges.tenant("beta"))
        yield Logged(edge, file)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Logged]:
    file = tmp_path_factory.mktemp("log") / "access.log"
    more = {"access_log": {"path": str(file), "query": True}}
    async with edges.edge(tmp_path_factory.mktemp("envoy"), by="host", more=more) as edge:
        await edge.put(edges.tenant("acme"), edges.tenant("beta"))
        yield Logged(edge, file)


async def test_a_line_says_who_asked_what_and_what_came_of_it(logged: Logged) -> None:
    line = await logged.told("acme", "/a/b", method="POST", content=b"12345", headers={"user-agent": "shop"})
    assert line.keys() == {"gateway", *FIELDS}
    said = {name: line[name] for name in ("gateway", "tenant", "route", "method", "path", "status", "error", "cluster")}
    assert said == {
        "gateway": "edge",
        "tenant": "acme",
        "route": "a",
        "method": "POST",
        "path": "/a/b",
        "status": 200,
        "error": "",
        "cluster": "echo",
    }
    assert (line["request_bytes"], line["endpoint"]) == (5, f"127.0.0.1:{logged.edge.echo.port}")
    assert (line["client"], line["user_agent"], line["details"]) == ("127.0.0.1", "shop", "via_upstream")
    assert all(isinstance(line[name], int) for name in ("duration_ms", "upstream_ms", "response_bytes"))


async def test_the_query_is_left_out_for_it_may_hold_secrets(logged: Logged) -> None:
    assert (await logged.told("acme", "/a/x?token=secret"))["path"] == "/a/x"
    assert "secret" not in logged.file.read_text()


async def test_the_query_is_there_where_it_is_asked_for(by_host: Logged) -> None:
    assert (await by_host.told("acme", "/a/x?page=2"))["path"] == "/a/x?page=2"


async def test_the_revision_is_that_of_the_table_we_translated(logged: Logged) -> None:
    before = await logged.told("beta")
    await logged.edge.put(edges.tenant("acme", timeout={"request": "3s"}))
    catalog = logged.edge.served.plane.catalog
    seen = view(catalog, catalog.gateways["edge"], catalog.tenants["acme"])
    table = next(one for one in translate.tenant(seen)[0] if one.kind == "RDS")
    assert (await logged.told("acme"))["revision"] == revision(table.message)
    assert (await logged.told("beta"))["revision"] == before["revision"] != revision(table.message)


async def test_a_client_cannot_name_a_tenant_in_the_log(logged: Logged, by_host: Logged) -> None:
    unknown = await logged.told("nobody", headers={"x-gatecast-tenant": "acme"})
    assert (unknown["tenant"], unknown["route"], unknown["revision"]) == (None, None, None)
    assert (unknown["status"], unknown["error"]) == (404, "unknown_tenant")
    other = await by_host.told("nobody", headers={"x-tenant-id": "acme", "x-gatecast-host": "acme.example.com"})
    assert (other["tenant"], other["status"], other["error"]) == (None, 404, "unknown_tenant")


async def test_a_tenant_found_by_host_has_its_own_name_in_the_log(by_host: Logged) -> None:
    line = await by_host.told("acme")
    assert (line["tenant"], line["route"], line["host"]) == ("acme", "a", "acme.example.com")


async def test_what_the_gateway_answers_itself_has_the_code_of_its_body(logged: Logged) -> None:
    limits = {
        "rate_limit": {"requests": 1, "per": "hour"},
        "required_headers": [{"name": "if-match", "methods": ["PUT"]}],
        "body_limit": {"max": "1B"},
    }
    closed = {"b": {"policies": {"maintenance": {}, "rate_limit": None}}}
    free = edges.tenant("free", closed, access={"deny": ["127.0.0.0/8"]})
    await logged.edge.put(edges.tenant("limited", closed, **limits), free)
    await logged.edge.ask("limited")
    asked = [("limited", "/a", "GET"), ("limited", "/b", "GET"), ("limited", "/none", "GET"), ("free", "/a", "GET")]
    for tenant, path, method in asked:
        answer = await logged.edge.ask(tenant, path, method)
        line = await logged.line(answer.headers["x-request-id"])
        assert (line["tenant"], line["error"]) == (tenant, edges.error(answer))


async def test_an_error_of_the_service_is_no_error_of_the_gateway(logged: Logged) -> None:
    line = await logged.told("acme", "/a?status=503")
    assert (line["status"], line["error"], line["details"]) == (503, "", "via_upstream")


async def test_odd_text_of_a_client_stays_within_its_line(logged: Logged) -> None:
    agent = 'x","tenant":"beta\t' + "é" * 400
    line = await logged.told("acme", '/a/%0a%22,"tenant":"beta"', headers={"user-agent": agent.encode()})
    assert (line["tenant"], line["status"]) == ("acme", 200)
    assert line["user_agent"].startswith('x","tenant":"beta\t')
    assert len(line["user_agent"].encode()) <= 256


async def test_a_gateway_may_have_no_log(tmp_path: Path) -> None:
    async with edges.edge(tmp_path, more={"access_log": None, "tenant_stats": False}) as edge:
        await edge.put(edges.tenant("acme"))
        assert await edge.statuses("acme", times=3) == [200] * 3
        (listener,) = await edge.proxy.config_dump("dynamic_listeners")
        assert '"access_log"' not in json.dumps(listener)
        assert edge.proxy.access_log == ""


async def test_lines_go_to_the_proxys_stdout_where_no_file_is_named(tmp_path: Path) -> None:
    async with edges.edge(tmp_path) as edge:
        await edge.put(edges.tenant("acme"))
        asked = (await edge.ask("acme")).headers["x-request-id"]
        await edge.proxy.until(lambda: f'"request_id":"{asked}"' in edge.proxy.access_log, "the line of the request")
