"""A change of each policy, for one tenant of 10,000, to traffic on a real Envoy; and what a policy costs a request.

A change gives the policy another value and the tenant's answers another mark; measured is the time until a request sees
the mark. Resources are those sent for one change; connections are 50 that stay open meanwhile. The cost of a request is
CPU time of Envoy, over so many requests on one connection, against a tenant with no policy in the same run.
"""

import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import fleet
import structlog

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import authz_servers  # noqa: E402
import edges  # noqa: E402
import idps  # noqa: E402
import planes  # noqa: E402
import rls_servers  # noqa: E402
import upstreams  # noqa: E402
from envoys import Envoy, envoy, free_port, until  # noqa: E402
from traffic import settled  # noqa: E402

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
Json = dict[str, Any]
TENANTS, CHANGES, HELD, ASKED = 10_000, 200, 50, 10_000
WARM = 500  # requests before the cost is counted
KINDS = ("CDS", "EDS", "LDS", "SRDS", "RDS", "ECDS", "SDS", "RLS")


def values(idp: idps.Idp) -> dict[str, tuple[Json, ...]]:
    """For each policy values to go round: two, but for jwt, where each is a provider that no proxy has seen."""
    jwt = {"issuer": idp.issuer, "jwks": idp.jwks()}
    return {
        "headers only": ({}, {}),
        "rate_limit": tuple({"requests": n, "per": "second"} for n in (900_000, 800_000)),
        "rate_limit global": tuple({"requests": n, "per": "second", "scope": "global"} for n in (900_000, 800_000)),
        "jwt": tuple({**jwt, "audiences": ["bench", f"other-{n}"]} for n in range(CHANGES + 1)),
        "jwt tenant_claim": ({**jwt, "tenant_claim": "tenant"}, {**jwt, "tenant_claim": "org.tenant"}),
        "authz": ({"service": "authz"}, {"service": "authz", "timeout": "1s"}),
        "cors": tuple({"origins": [f"https://{name}.example"]} for name in "ab"),
        "required_headers": tuple([{"name": name}] for name in ("host", "x-tenant-id")),
        "correlation_id": tuple({"header": f"x-{name}"} for name in "ab"),
        "timeout": ({"request": "5s"}, {"request": "6s"}),
        "retry": ({"attempts": 1}, {"attempts": 2}),
        "circuit_breaker": ({"max_requests": 1000}, {"max_requests": 1001}),
        "outlier": ({"consecutive_5xx": 5}, {"consecutive_5xx": 6}),
        "access": ({"deny": ["192.0.2.1/32"]}, {"deny": ["192.0.2.2/32"]}),
        "body_limit": ({"max": "1MiB"}, {"max": "2MiB"}),
        "maintenance": ({"message": "a"}, {"message": "b"}),
    }  # type: ignore[return-value]


def changed(name: str, value: Any, mark: int) -> str:
    """The tenant t5000 with this policy, and a mark in its answers."""
    bare = {"rate_limit": None, "cors": None, "correlation_id": None}
    policies: Json = {**bare, "headers": {"response": {"set": {"x-revision": str(mark)}}}}
    if name != "headers only":
        policies[name.partition(" ")[0]] = value
    return edges.text([{"kind": "Tenant", "id": f"t{TENANTS // 2}", "organisation": "foods", "policies": policies}])


async def world(stack: AsyncExitStack) -> tuple[planes.Served, Envoy, int, idps.Idp]:
    """10,000 tenants on one Envoy, with an identity provider and an authorization server."""
    port, limits = free_port(), free_port()
    upstream = await stack.enter_async_context(upstreams.Upstream("backend"))
    authz = await stack.enter_async_context(authz_servers.Authz())
    authz.decide = lambda _check: authz_servers.ok()
    idp = await stack.enter_async_context(idps.Idp())
    more = [edges.service("authz", authz.port, protocol="grpc"), edges.service("limits", limits, protocol="grpc")]
    gateway = fleet.shared(port, upstream.port).replace(
        "allow_local_endpoints: true",
        "allow_local_endpoints: true\nrate_limit_service: {service: limits}\naccess_log: null",
    )
    served = await stack.enter_async_context(planes.plane(gateway + "\n---\n" + edges.text(more)))
    await stack.enter_async_context(rls_servers.Rls(served.port, port=limits))
    for text in fleet.batches(TENANTS):
        await served.apply(text)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    proxy = await stack.enter_async_context(envoy(served.bootstrap(), Path(folder), log_level="warning"))
    await until(lambda: settled(served), "the proxy holds everything", within=180)
    return served, proxy, port, idp


async def changes() -> list[dict[str, Any]]:
    """A row a policy."""
    async with AsyncExitStack() as stack:
        served, proxy, port, idp = await world(stack)
        rows = []
        for name, found in values(idp).items():
            rows.append(await _row(served, proxy, port, idp, name, found))
        return rows


async def _row(
    served: planes.Served, proxy: Envoy, port: int, idp: idps.Idp, name: str, found: tuple[Json, ...]
) -> dict[str, Any]:
    token = idp.token(aud="bench", tenant=f"t{TENANTS // 2}", org={"tenant": f"t{TENANTS // 2}"})
    held = await asyncio.to_thread(lambda: [_held(port) for _ in range(HELD)])
    prober = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "prober.py"), str(port), f"t{TENANTS // 2}", "x-revision",
        f"authorization: Bearer {token}", stdout=PIPE,
    )  # fmt: skip
    assert prober.stdout is not None
    await served.apply(changed(name, found[0], 0))
    await _seen(prober.stdout, "0")
    await asyncio.sleep(0.2)  # what the first change still has on its way is not counted
    before = {kind: served.sent(kind) for kind in KINDS}
    taken = []
    for number in range(1, CHANGES + 1):
        began = time.monotonic()
        await served.apply(changed(name, found[number % len(found)], number))
        taken.append((await _seen(prober.stdout, str(number)) - began) * 1e3)
    sent = {kind: (served.sent(kind) - before[kind]) / CHANGES for kind in KINDS}
    prober.kill()
    await prober.wait()
    closed = sum(not _open(one) for one in held)
    taken.sort()
    return {
        "policy": name,
        "median_ms": round(statistics.median(taken), 2),
        "p99_ms": round(taken[int(len(taken) * 0.99)], 2),
        "answers a change": ", ".join(f"{kind} {count:.2g}" for kind, count in sent.items() if count),
        "closed": closed,
        "rejected": sum(served.rejected(kind) for kind in KINDS),
    }


def _held(port: int) -> socket.socket:
    """A connection that has had an answer and stays open."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(b"GET /api/0/x HTTP/1.1\r\nhost: bench\r\nx-tenant-id: t1\r\n\r\n")
    made.recv(65536)
    made.setblocking(False)
    return made


def _open(connection: socket.socket) -> bool:
    """Whether the other side has closed it; ours is closed in any case."""
    with connection:
        try:
            return connection.recv(65536) != b""
        except BlockingIOError:
            return True


async def _seen(out: asyncio.StreamReader, value: str) -> float:
    while line := (await out.readline()).split():
        if line[0].decode() == value:
            return float(line[1])
    raise RuntimeError("the prober ended")


async def costs() -> list[dict[str, Any]]:
    """CPU of Envoy a request, by policy."""
    async with AsyncExitStack() as stack:
        served, proxy, port, idp = await world(stack)
        rows: list[dict[str, Any]] = []
        found = values(idp)
        for name in (
            "headers only",
            "jwt",
            "jwt tenant_claim",
            "rate_limit",
            "rate_limit global",
            "access",
            "cors",
            "authz",
        ):
            await served.apply(changed(name, found[name][0], 1))
            await asyncio.sleep(0.5)
            token = idp.token(aud="bench", tenant=f"t{TENANTS // 2}")
            spent = await asyncio.to_thread(_spend, proxy.pid, port, token)
            base = rows[0]["cpu_us"] if rows else spent
            rows.append({"policy": name, "cpu_us": round(spent, 1), "over the bare route": round(spent - base, 1)})
        return rows


def _spend(pid: int, port: int, token: str) -> float:
    """Microseconds of CPU that Envoy spends on one request."""
    ask = (
        f"GET /api/0/x HTTP/1.1\r\nhost: bench\r\nx-tenant-id: t{TENANTS // 2}\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        before = 0.0
        for number in range(WARM + ASKED):
            before = _cpu(pid) if number == WARM else before
            connection.sendall(ask.encode())
            head = connection.recv(65536)
            assert head.startswith(b"HTTP/1.1 200"), head[:300]
        return (_cpu(pid) - before) / ASKED * 1e6


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures() -> list[dict[str, Any]]:
    """A row a policy."""
    return asyncio.run(changes())


def overhead() -> list[dict[str, Any]]:
    """A row a policy."""
    return asyncio.run(costs())


if __name__ == "__main__":
    for part in (figures, overhead):
        for row in part():
            print(row, flush=True)
