"""A server in a process of its own, as users start it: `async with processes.serve(folder) as served:`.

It has no store but its memory, unless the flags say another one.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xds.waiting import until

EXAMPLE = Path(__file__).parents[2] / "gatecast" / "example"
ANY = "127.0.0.1:0"
PATIENCE = 60.0  # seconds; a Python with all its imports starts slowly on a machine that is busy


@dataclass
class Served:
    """A server process and the log lines it has written so far."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def said(self, event: str) -> dict[str, Any]:
        """Wait for a log line of this event."""
        return await until(lambda: self.find(event), f"the log line {event!r}", within=PATIENCE)

    def find(self, event: str) -> dict[str, Any] | None:
        return next((line for line in self.lines if line["event"] == event), None)

    async def listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@asynccontextmanager
async def serve(
    settings: Path, *flags: str, xds: str = ANY, program: tuple[str, ...] = ("-m", "gatecast.cli")
) -> AsyncIterator[Served]:
    """A server; `program` is what Python runs in place of the command line."""
    given = ("--settings", settings, "--xds", xds, "--api", ANY, "--store", "memory", *flags)
    command = (sys.executable, *program, "serve", *given)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATECAST_")}
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=environ)
    served = Served(process)
    listening = asyncio.create_task(served.listen())
    try:
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening
