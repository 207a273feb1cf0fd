"""`tracing`: spans reach a real OTLP collector, with tenant and route of ours, for the share that the document says."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import collectors
import edges
import pytest
import pytest_asyncio

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

SERVER = 2
"""The kind of a span."""

ENOUGH = 5
"""So many spans Envoy sends at once; fewer wait for 5 s."""


@dataclass(frozen=True)
class Traced:
    """An edge whose requests are all traced, and the collector."""

    edge: edges.Edge
    collector: collectors.Collector

    async def told(self, tenant: str, path: str = "/a", **headers: str) -> tuple[collectors.Span, edges.Json]:
        """The gateway's own span of one request, and what the service saw of it."""
        answer = await self.edge.ask(tenant, path, headers={name.replace("_", "-"): v for name, v in headers.items()})
        await self.edge.statuses("beta", times=ENOUGH)
        request = answer.headers["x-request-id"]

        def found() -> collectors.Span | None:
            spans = (one for one in self.collector.spans if one.tags.get("guid:x-request-id") == request)
            return next((one for one in spans if one.kind == SERVER), None)

        span: collectors.Span = await self.edge.proxy.until(found, f"the span of {request}", within=20.0)
        return span, answer.json()


def more(port: int, sample: float) -> tuple[edges.Json, edges.Json]:
    tracing = {"tracing": {"service": "otel", "sample": sample}}
    return tracing, edges.service("otel", port, protocol="grpc")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    async with collectors.Collector() as collector:
        tracing, service = more(collector.port, 100)
        async with edges.edge(tmp_path_factory.mktemp("envoy"), more=tracing, others=[service]) as edge:
            await edge.put(edges.tenant("acme"), edges.tenant("beta"))
            yield Traced(edge, collector)


async def test_a_span_says_tenant_route_and_revision(traced: Traced) -> None:
    span, _seen = await traced.told("acme", "/b/x")
    assert (span.service, span.tags["gatecast.tenant"], span.tags["gatecast.route"]) == ("edge", "acme", "b")
    assert re.fullmatch("[0-9a-f]{12}", span.tags["gatecast.revision"])
    assert (span.tags["http.method"], span.tags["http.status_code"]) == ("GET", "200")


async def test_a_request_of_nobody_has_no_tenant_in_its_span(traced: Traced) -> None:
    span, _seen = await traced.told("nobody")
    assert not span.tags.get("gatecast.tenant")
    assert span.tags["http.status_code"] == "404"


async def test_the_query_is_in_no_span(traced: Traced) -> None:
    span, _seen = await traced.told("acme", "/a/x?token=secret")
    assert span.tags["http.url"].endswith("/a/x")
    assert not [one for one in traced.collector.spans if "secret" in str(one.tags)]


async def test_the_service_continues_the_trace_and_so_does_the_gateway(traced: Traced) -> None:
    caller = f"00-{'ab' * 16}-{'cd' * 8}-01"
    span, seen = await traced.told("acme", traceparent=caller)
    assert (span.trace, span.parent) == ("ab" * 16, "cd" * 8)
    _version, trace, parent, flags = seen["headers"]["traceparent"].split("-")
    assert (trace, flags) == (span.trace, "01")
    assert parent in {one.id for one in traced.collector.spans if one.trace == trace} | {span.id}


async def test_a_client_cannot_ask_for_more_than_the_share(tmp_path: Path) -> None:
    async with collectors.Collector() as collector:
        tracing, service = more(collector.port, 0)
        async with edges.edge(tmp_path, more=tracing, others=[service]) as edge:
            await edge.put(edges.tenant("acme"))
            asks = {
                "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01",
                "x-client-trace-id": "1",
                "x-envoy-force-trace": "1",
            }
            answer = await edge.ask("acme", headers=asks)
            assert answer.json()["headers"]["traceparent"].endswith("-00")
            assert (await edge.proxy.stats("tracing.opentelemetry.spans_sent$")) in (
                {},
                {"tracing.opentelemetry.spans_sent": 0},
            )
            assert collector.spans == []


async def test_the_collectors_cluster_is_there_although_no_route_uses_it(traced: Traced) -> None:
    found = await traced.edge.proxy.config_dump("dynamic_active_clusters", name="otel")
    assert [one["cluster"]["name"] for one in found] == ["otel"]


async def test_a_collector_that_is_away_costs_no_request(tmp_path: Path) -> None:
    async with collectors.Collector() as gone:
        tracing, service = more(gone.port, 100)
    async with edges.edge(tmp_path, more=tracing, others=[service]) as edge:
        await edge.put(edges.tenant("acme"))
        assert await edge.statuses("acme", times=20) == [200] * 20
