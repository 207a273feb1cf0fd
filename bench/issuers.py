"""New issuers while 200 connections are open and busy: how long each takes to reach traffic, and what it disturbs.

Half of the connections belong to a tenant whose requests carry a token, half to one that needs none. A new tenant with
a new issuer comes every time the one before it is served; measured is the time until its first token is accepted.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fleet
import structlog

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import edges  # noqa: E402
import idps  # noqa: E402
import tokens  # noqa: E402
import upstreams  # noqa: E402

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

CONNECTIONS = 200
RATE = 400.0


async def measure(issuers: int, tenants: int) -> dict[str, Any]:
    """One Envoy with `tenants` tenants, and `issuers` new ones of issuers of their own."""
    with tempfile.TemporaryDirectory() as folder:
        async with edges.edge(Path(folder)) as edge:
            for text in fleet.batches(tenants):
                await edge.served.apply(text.replace("organisation: foods\n", ""))
            known = _issuer("known")
            await edge.put(edges.tenant("busy", jwt=tokens.inline(known, tenant_claim="tenant")), edges.tenant("plain"))
            asked = {**edge.named("busy"), **tokens.bearer(known.token(tenant="busy"))}
            each = {"rate": RATE / 2, "connections": CONNECTIONS // 2}
            async with (
                upstreams.load(edge.url(), headers=asked, **each) as one,
                upstreams.load(edge.url("/b"), headers=edge.named("plain"), **each) as other,
            ):
                await one.more(CONNECTIONS)
                await other.more(CONNECTIONS)
                before, listeners = await _ended(edge), edge.served.sent("LDS")
                millis = sorted([await _added(edge, number) for number in range(issuers)])
                closed, sent = await _ended(edge) - before, edge.served.sent("LDS") - listeners
    return {
        "tenants": tenants,
        "connections": CONNECTIONS,
        "new issuers": issuers,
        "median_ms": round(statistics.median(millis), 1),
        "p99_ms": round(millis[int(len(millis) * 0.99)], 1),
        "requests meanwhile": one.done + other.done,
        "requests failed": len(one.failures) + len(other.failures),
        "connections closed": closed,
        "listeners sent": sent,
    }


def _issuer(name: str) -> idps.Idp:
    """Its keys stand in the document, so it is never called."""
    made = idps.Idp("ES256", path=f"/{name}", port=1)
    made.add()
    return made


async def _ended(edge: edges.Edge) -> int:
    found = await edge.proxy.stats(r"^http\.public\.downstream_cx_destroy$")
    return found["http.public.downstream_cx_destroy"]


async def _added(edge: edges.Edge, number: int) -> float:
    """Milliseconds from the document to the first request that its token opens."""
    new, name = _issuer(str(number)), f"new-{number}"
    token, document = tokens.bearer(new.token()), edges.text([edges.tenant(name, jwt=tokens.inline(new))])
    began = time.perf_counter()
    await edge.served.apply(document)
    while (await edge.ask(name, headers=token)).status_code != 200:
        await asyncio.sleep(0)
    return (time.perf_counter() - began) * 1e3


def figures(issuers: int = 100, tenants: int = 10_000) -> list[dict[str, Any]]:
    """One row."""
    return [asyncio.run(measure(issuers, tenants))]


if __name__ == "__main__":
    print(figures(*map(int, sys.argv[1:])))
