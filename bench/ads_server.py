"""Our side of the comparison with go-control-plane: the same N route configurations, the same commands on standard
input.

Called by bench/streams.py. Commands: `u I WANT` changes tenant I and waits for WANT ACKs; `s` prints totals; `q` ends.
Snapshot, hub, stream machine and gRPC server are the product's own; only the messages are the peer program's.
"""

import asyncio
import resource as rusage
import sys
import time
from datetime import timedelta
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from gatecast.collector import tune_gc
from xds import messages
from xds.hub import Hub
from xds.metrics import Metrics
from xds.server import AdsServer
from xds.snapshot import Resource, Snapshot, resource

RouteConfiguration = messages.message("envoy.config.route.v3.RouteConfiguration")
VirtualHost = messages.message("envoy.config.route.v3.VirtualHost")
Route = messages.message("envoy.config.route.v3.Route")
RouteMatch = messages.message("envoy.config.route.v3.RouteMatch")
RouteAction = messages.message("envoy.config.route.v3.RouteAction")
Direct = messages.message("envoy.config.route.v3.DirectResponseAction")
DataSource = messages.message("envoy.config.core.v3.DataSource")


def table(tenant: int, version: int) -> Resource:
    """The peer program's RouteConfiguration, field by field."""
    body = DataSource(inline_string=f"{tenant}:{version}")
    routes = [Route(match=RouteMatch(prefix="/api/0"), direct_response=Direct(status=200, body=body))]
    for k in range(1, 5):
        action = RouteAction(cluster="c", timeout=messages.duration(timedelta(seconds=5)))
        routes.append(Route(match=RouteMatch(prefix=f"/api/{k}"), route=action))
    host = VirtualHost(name=f"t{tenant}", domains=["*"], routes=routes)
    built = RouteConfiguration(name=f"rc{tenant}", virtual_hosts=[host])
    return resource("RDS", f"rc{tenant}", messages.encode(built))


def cpu() -> float:
    used = rusage.getrusage(rusage.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Counted:
    """Runs the commands; owns the newest snapshot."""

    def __init__(self, tenants: int) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        self.hub = Hub(metrics, wall=time.time)
        self.server = AdsServer(self.hub, metrics, identifier="bench")
        rows: dict[str, Resource | None] = {f"rc{i}": table(i, 0) for i in range(tenants)}
        self.snapshot = Snapshot.empty("edge").next({"RDS": rows})
        self.version = 0

    def acks(self) -> int:
        return int(self.registry.get_sample_value("gatecast_xds_acks_total", {"kind": "RDS"}) or 0)

    async def update(self, tenant: int, want: int) -> None:
        self.version += 1
        before, used, began = self.acks(), cpu(), time.perf_counter()
        changed = table(tenant, self.version)
        self.snapshot = self.snapshot.next({"RDS": {changed.name: changed}})
        await self.hub.publish({"edge": self.snapshot})
        taken = time.perf_counter() - began
        while self.acks() - before < want and time.perf_counter() - began < 30:
            await asyncio.sleep(0.001)
        wall, spent = time.perf_counter() - began, cpu() - used
        text = f"wall_ms {wall * 1e3:.1f} cpu_ms {spent * 1e3:.1f} set_ms {taken * 1e3:.1f}"
        print(f"update acks {self.acks() - before} {text}", flush=True)

    def totals(self) -> None:
        # Not ru_maxrss: a child process inherits its parent's.
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
        print(f"stat acks {self.acks()} cpu_ms {cpu() * 1e3:.0f} maxrss_mb {peak}", flush=True)


async def main(tenants: int, address: str) -> None:
    began = time.perf_counter()
    counted = Counted(tenants)
    print(f"built {time.perf_counter() - began:.3f}s", flush=True)
    await counted.hub.publish({"edge": counted.snapshot})
    await counted.server.start(address)
    tune_gc()  # as `gatecast serve` does once it is ready
    print("up", flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        match line:
            case ["u", tenant, want]:
                await counted.update(int(tenant), int(want))
            case ["s"]:
                counted.totals()
            case _:
                break
    await counted.server.stop(0.5)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
