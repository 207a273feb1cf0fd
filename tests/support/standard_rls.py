"""The standard rate limit service (envoyproxy/ratelimit) with a Redis, as processes on loopback.

    async with standard_rls.standard(served.port, port, tmp_path) as service:
        ...requests...

The program is `bench/bin/ratelimit`, or what GATECAST_RATELIMIT names; Redis is `redis-server` on the PATH, or what
GATECAST_REDIS names. Neither is in the repository, and no test builds one: `MISSING` says what a machine lacks.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import envoys

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("GATECAST_RATELIMIT", ROOT / "bench" / "bin" / "ratelimit"))
REDIS = os.environ.get("GATECAST_REDIS") or shutil.which("redis-server")
MISSING = ", ".join(
    text
    for text, there in {
        f"no rate limit service ({PROGRAM}, or GATECAST_RATELIMIT)": PROGRAM.is_file(),
        "no redis-server (on the PATH, or GATECAST_REDIS)": REDIS is not None,
    }.items()
    if not there
)
LEAVE = 10.0  # seconds for a process to end


@dataclass(eq=False)
class Process:
    """One process on `port`, which can be stopped and started again; its output goes to `log`."""

    command: tuple[str, ...]
    port: int
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _running: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("ab") as out:
            self._running = await asyncio.create_subprocess_exec(
                *self.command, env={**os.environ, **self.environment}, stdout=out, stderr=out
            )
        await envoys.until(self._listens, f"{self.command[0]} to listen", within=30.0)

    async def stop(self) -> None:
        """End it and wait for that."""
        if self._running is None:
            return
        if self._running.returncode is None:
            self._running.kill()
        async with asyncio.timeout(LEAVE):
            await self._running.wait()
        self._running = None

    async def _listens(self) -> bool:
        assert self._running is not None
        assert self._running.returncode is None, self.log.read_text()[-3000:]
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def standard(xds: int, port: int, folder: Path, node: str = "edge") -> AsyncIterator[Process]:
    """The service on `port`, told its limits by the server on `xds`; it listens once it was told something."""
    assert REDIS is not None
    redis_port = envoys.free_port()
    asks = ("--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder))
    environment = {
        "CONFIG_TYPE": "GRPC_XDS_SOTW",
        "CONFIG_GRPC_XDS_NODE_ID": node,
        "CONFIG_GRPC_XDS_SERVER_URL": f"127.0.0.1:{xds}",
        "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "100ms",
        "XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES": str(1 << 28),
        "BACKEND_TYPE": "redis",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"127.0.0.1:{redis_port}",
        "USE_STATSD": "false",
        "DISABLE_STATS": "true",
        "LOG_LEVEL": "info",
        **{f"{name}HOST": "127.0.0.1" for name in ("", "GRPC_", "DEBUG_")},
        **{f"{name}PORT": str(envoys.free_port()) for name in ("", "DEBUG_")},
        "GRPC_PORT": str(port),
    }
    redis = Process((REDIS, *asks), redis_port, folder / "redis.log")
    async with redis, Process((str(PROGRAM),), port, folder / "ratelimit.log", environment) as service:
        yield service
