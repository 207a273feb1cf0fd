"""What both demos stand on: a control plane, the packaged example on disk, two echo services; and as much of the story
as is the same for Envoy and Kong. Called by `gatecast.demo` and `gatecast.demo_kong`.
"""

import asyncio
import contextlib
import shutil
import signal
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
from xds.waiting import until

ANY = Address("127.0.0.1", 0)
QUIET = 0.05
PORT = 10000
"""Where the example's gateway listens."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """The server, a folder for files (the settings are in it), and the address of the gateway.

    `pause`: seconds between two requests that ask whether a change is felt; `patience`: how long they ask.
    """

    server: Running
    folder: Path
    url: str
    client: httpx.AsyncClient
    pause: float = 0.0
    patience: float = 10.0

    @property
    def settings(self) -> Path:
        return self.folder / "settings"

    async def ask(self, tenant: str, path: str = "/api/orders") -> httpx.Response:
        """A request of a tenant through the gateway."""
        return await self.client.get(self.url + path, headers={"x-tenant-id": tenant})

    async def serves(self) -> bool:
        """Whether requests reach the services."""
        return (await self.ask("acme", "/api/payments")).is_success

    async def rejected(self, tenant: str) -> bool:
        """Whether its limit refuses a request now."""
        return (await self.ask(tenant)).status_code == httpx.codes.TOO_MANY_REQUESTS

    def edit(self, name: str, old: str, new: str) -> float:
        """Change a settings file; returns when, on the performance counter."""
        text = (self.settings / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        return self.write(name, text.replace(old, new))

    def write(self, name: str, text: str) -> float:
        """Save a settings file as an editor does (write beside, rename)."""
        file = self.settings / name
        beside = file.with_suffix(".new")
        beside.write_text(text)
        began = time.perf_counter()
        beside.rename(file)
        return began

    async def felt(self, began: float, *, rejected: bool) -> float:
        """Ask until acme's requests are rejected, or no more; the seconds since `began`. Raises TimeoutError."""
        async with asyncio.timeout(self.patience):
            while True:
                if await self.rejected("acme") == rejected:
                    return time.perf_counter() - began
                await asyncio.sleep(self.pause)


@contextlib.asynccontextmanager
async def stage(url: str = "", port: int = PORT, *, pause: float = 0.0, patience: float = 10.0) -> AsyncIterator[Stage]:
    """All but the gateway, up and serving; nothing is left of it afterwards. `port`: where the gateway listens."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatecast-demo-")))
        ports = {name: await stack.enter_async_context(serving(echo(name), ANY)) for name in ("orders", "payments")}
        settings = _settings(folder / "settings", {"9001": ports["orders"], "9002": ports["payments"], str(PORT): port})
        process = Settings(settings=settings, store=MEMORY, xds=ANY, api=ANY, quiet=QUIET)
        server = await stack.enter_async_context(running(process))
        await server.ready()
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=5.0))
        yield Stage(server, folder, url or f"http://127.0.0.1:{port}", client, pause, patience)


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


# -- how a demo ends --------------------------------------------------------------------------------------------------


def end_by_sigterm() -> None:
    """SIGTERM cancels the demo, so that it clears up; else its processes would outlive it."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def kept(say: Say, hints: str) -> None:
    """Say what to try, and wait for Ctrl-C or SIGTERM, which from now on are an orderly end."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    say(hints)
    await told.wait()


# -- the story --------------------------------------------------------------------------------------------------------


async def requests(on: Stage, say: Say) -> None:
    """Two tenants, two limits, and a tenant nobody knows."""
    answer = await on.ask("acme")
    say(f"   acme    GET /api/orders   {status(answer)}  from the service {answer.headers.get('x-service')!r}")
    for _ in range(3):
        await on.ask("beta")
    say(f"   beta    GET /api/orders   {status(await on.ask('beta'))}  its 3 requests an hour are used up")
    say(f"   nobody  GET /api/orders   {status(answer := await on.ask('nobody'))}  {_code(answer)}")


async def mistake(on: Stage, say: Say) -> None:
    """A broken document: what is said, and what goes on."""
    on.edit("acme.yaml", "requests: 600", "requests: lots")
    await until(on.server.plane.problems, "the problem to be found")
    for problem in on.server.plane.problems():
        say(f"   {paint(str(problem), 'red')}")
    say(f"   acme    GET /api/orders   {status(await on.ask('acme'))}  it keeps its last good settings")
    on.edit("acme.yaml", "requests: lots", "requests: 500")
    await until(lambda: not on.server.plane.problems(), "the repair")
    say(f"   repaired: {len(on.server.plane.problems())} problems, revision {on.server.plane.catalog.revision}")


def status(answer: httpx.Response) -> str:
    """The status of an answer, in colour where there are colours."""
    return paint(str(answer.status_code), "green" if answer.is_success else "yellow")


def _code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def strong(text: str) -> str:
    """What is to be seen at once."""
    return paint(text, "cyan")


def milliseconds(seconds: float) -> str:
    return strong(f"{seconds * 1000:.0f} ms")
