"""10,000 tenants and 1,000 delta streams: ours beside go-control-plane (either cache), driven by the same Go load
client.

The peer program stands in ../shared/peers/go-control-plane; it is copied to bench/bin and built there with Go's own
tools. Without Go, or without that folder, the comparison is left out and the row says so.
"""

import asyncio
import re
import resource
import shutil
import statistics
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEER = HERE.parent.parent / "shared" / "peers" / "go-control-plane"
BIN = HERE / "bin"
MODULE = "module peer\n\ngo 1.22\n"


def built() -> bool:
    """The peer's server and load client are there; False (with the reason on stderr) if they cannot be built."""
    if (BIN / "server").exists() and (BIN / "client").exists():
        return True
    if shutil.which("go") is None or not PEER.is_dir():
        print("go-control-plane: skipped (no Go, or no ../shared/peers)", file=sys.stderr)
        return False
    source = BIN / "source"
    shutil.copytree(PEER, source, dirs_exist_ok=True)
    (source / "go.mod").write_text(MODULE)
    steps = (
        ["go", "mod", "tidy"],
        ["go", "build", "-o", "../server", "."],
        ["go", "build", "-o", "../client", "./client"],
    )
    for step in steps:
        done = subprocess.run(step, cwd=source, capture_output=True, text=True)
        if done.returncode:
            print(f"go-control-plane: skipped: {done.stderr[-400:]}", file=sys.stderr)
            return False
    return True


async def measure(name: str, command: list[str], address: str, streams: int, changes: int) -> dict[str, Any]:
    """Start a server, connect the streams, change one tenant `changes` times; CPU is the server's."""
    server = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    client: Process | None = None
    try:
        await _line(server, "up")
        client = await asyncio.create_subprocess_exec(str(BIN / "client"), address, str(streams), stdout=PIPE)
        first = await _line(client, "first push")
        await asyncio.sleep(3)  # the last ACKs of the first pushes; not part of any figure
        loaded = await _say(server, "s", "stat")
        rows = [await _say(server, f"u {i} {streams}", "update") for i in range(changes)]
        end = await _say(server, "s", "stat")
    finally:
        for process in filter(None, (client, server)):
            process.kill()
            await process.wait()
    return {
        "server": name,
        "streams": streams,
        "first_push_s": float(re.findall(r"after ([\d.]+)s", first)[0]),
        "first_push_cpu_s": round(_number(loaded, "cpu_ms") / 1e3, 2),
        "change_cpu_ms": statistics.median(_number(row, "cpu_ms") for row in rows),
        "change_wall_ms": statistics.median(_number(row, "wall_ms") for row in rows),
        "max_rss_mb": int(_number(end, "maxrss_mb")),
    }


def _number(text: str, name: str) -> float:
    return float(re.findall(rf"{name} ([\d.]+)", text)[0])


async def _say(server: Process, command: str, answer: str) -> str:
    assert server.stdin is not None
    server.stdin.write(f"{command}\n".encode())
    return await _line(server, answer)


async def _line(process: Process, word: str) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(180):
        while raw := await process.stdout.readline():
            if word in raw.decode():
                return raw.decode()
    raise RuntimeError(f"ended before it said {word!r}")


def figures(tenants: int = 10_000, streams: int = 1_000, changes: int = 9) -> list[dict[str, Any]]:
    """A row a server; none if there is no load client."""
    if not built():
        return []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    size = str(tenants)
    servers = {
        "gatecast": [sys.executable, str(HERE / "ads_server.py"), size],
        "go-control-plane SnapshotCache": [str(BIN / "server"), "snapshot", size],
        "go-control-plane LinearCache": [str(BIN / "server"), "linear", size],
    }
    rows = []
    for number, (name, command) in enumerate(servers.items()):
        address = f"127.0.0.1:{19400 + number}"
        rows.append(asyncio.run(measure(name, [*command, address], address, streams, changes)))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    figures()
