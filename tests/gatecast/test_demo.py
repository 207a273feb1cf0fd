"""`gatecast demo` from its first line to its last."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from xds.waiting import until

pytestmark = pytest.mark.envoy


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def start(tmp_path: Path, *flags: str) -> asyncio.subprocess.Process:
    """It runs in another directory than the tree, and leaves its files where the test can look."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gatecast.cli", "demo", *flags, cwd="/", env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_the_demo_shows_what_it_promises_and_leaves_nothing(tmp_path: Path) -> None:
    process = await start(tmp_path)
    out, err = (data.decode() for data in await process.communicate())
    assert (process.returncode, err) == (0, "")
    assert re.search(r"acme +GET /api/orders +200", out)
    assert re.search(r"nobody +GET /api/orders +404 +unknown_tenant", out)
    assert re.search(r"enforced by Envoy after \d+ ms", out)
    assert re.search(r"beta +GET /api/orders +429 +untouched", out)
    assert "acme.yaml:5 Tenant/acme policies.rate_limit.requests: 'lots' is not a whole number" in out
    assert "repaired: 0 problems" in out
    assert out.endswith("Cleaned up: no process and no file is left.\n")
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_that_is_kept_says_what_to_try_and_ends_in_order(number: signal.Signals, tmp_path: Path) -> None:
    process = await start(tmp_path, "--keep")
    assert process.stdout is not None
    said = b""
    while b"config_dump" not in said:
        line = await process.stdout.readline()
        assert line, said
        said += line
    assert b"curl -i -H 'x-tenant-id: acme'" in said
    assert b"Ctrl-C ends it" in said
    envoys = children(process.pid)
    assert len(envoys) == 1
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"Cleaned up" in out
    await until(lambda: not Path(f"/proc/{envoys[0]}").exists(), "Envoy to be gone")
    assert left(tmp_path) == []


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_without_an_envoy_it_says_how_to_get_one(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gatecast.cli", "demo", env={**os.environ, "GATECAST_ENVOY": "/nowhere/envoy"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert b"GATECAST_ENVOY=/nowhere/envoy: no such program" in err
