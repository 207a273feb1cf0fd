"""decK beside ours: the same settings as the same file, the same double of Kong, the same run. `python bench/deck.py`.

Three ways to bring an empty Kong to the settings, and then to those with one tenant's limit changed: the sidecar
(`gatecast kong`), `gatecast kong sync --once`, and decK's sync of what `gatecast kong export` wrote. The last two know
nothing from run to run: they list all that Kong has. Seconds and CPU are of the whole process; the double shares the
machine. After decK's sync its own diff must be empty, and so must be ours.

`deck_engine` is the engine of decK 1.64.0 (go-database-reconciler 1.40.3) with a `main` of ours: of the command itself
a part that checks OpenAPI files cannot be had. Go builds it into bench/bin; where that fails its row says why.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kong as sidecars_figures
import kong_worlds
from sidecars import limit

from kong_double.double import Double
from kong_double.pages import Node
from kong_double.timers import Timers

HERE = Path(__file__).parent
DECK = HERE / "bin" / "deck"
Row = dict[str, Any]


def built() -> str:
    """Why there is no decK; "" if bench/bin has one."""
    if DECK.exists():
        return ""
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        return "no Go"
    command = [go, "build", "-o", str(DECK.resolve()), "."]
    done = subprocess.run(command, cwd=HERE / "deck_engine", capture_output=True, text=True)
    return " ".join(done.stderr.split())[-300:] if done.returncode else ""


async def ran(kong: Double, *command: str) -> Row:
    """One run of a program against this Kong. Raises RuntimeError if it fails."""
    kong.calls.clear()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _out, said = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]}: {said.decode()[-400:]}")
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "s": round(seconds, 2),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "calls": len(kong.calls),
        "listings": sum(one.method == "GET" and "size=" in one.path for one in kong.calls),
    }


async def compared(tenants: int, deck: bool) -> list[Row]:
    """Rows of both programs that run once, first and after the change."""
    rows = []
    with TemporaryDirectory() as place:
        folder, file = Path(place) / "settings", Path(place) / "kong.yaml"
        folder.mkdir()
        ours = sys.executable, "-m", "gatecast.cli", "kong"
        once = *ours, "sync", "--once", "-f", str(folder), "--single", "--admin"
        ways = {"gatecast kong sync --once": (*once, "{url}")}
        if deck:
            ways["decK 1.64.0 (engine)"] = (str(DECK), "sync", "{url}", str(file))
        for name, command in ways.items():
            timers = Timers(period=0.05)
            async with Double(node=Node(state=0.0, database=0.0), timers=timers).serving() as kong:
                for step, changed in (("first", 100), ("one limit", 500)):
                    _write(folder, tenants, changed)
                    file.unlink(missing_ok=True)
                    subprocess.run([*ours, "export", "-f", str(folder), "--to", str(file)], check=True)
                    with_url = [part.replace("{url}", kong.admin_url) for part in command]
                    rows.append({"program": name, "tenants": tenants, "step": step, **await ran(kong, *with_url)})
                    if deck:
                        await _agreed(kong, [*once, kong.admin_url], file)
    return rows


async def _agreed(kong: Double, ours: list[str], file: Path) -> None:
    """Neither of the programs has anything left to do. Raises RuntimeError."""
    told = subprocess.PIPE
    diff = await asyncio.create_subprocess_exec(str(DECK), "diff", kong.admin_url, str(file), stdout=told)
    theirs = (await diff.communicate())[0].decode().split("\n")[-2:-1]
    kong.calls.clear()
    await ran(kong, *ours)
    written = [one for one in kong.calls if one.method != "GET" and "consumers" not in one.path]
    if theirs != ["0 0 0"] or written:
        raise RuntimeError(f"decK sees {theirs}, we write {written[:3]}")


def _write(folder: Path, tenants: int, first: int) -> None:
    """The documents; `first`: the limit of the first tenant."""
    limits = "".join(limit(f"t{i:05}", first if i == 0 else 100 + i % 7) for i in range(tenants))
    (folder / "all.yaml").write_text(kong_worlds.GATEWAY + limits)


def _sidecar(tenants: int) -> list[Row]:
    found = asyncio.run(sidecars_figures.measure(tenants))
    about = {"program": "gatecast kong (sidecar)", "tenants": tenants}
    first = {"s": found["first_sync_s"], "cpu_s": found["cpu_s"], "calls": found["first_calls"], "listings": "-"}
    change = {"s": found["change_ms"] / 1e3, "cpu_s": found["change_cpu_s"], "calls": found["calls"]}
    change["listings"] = found["listings"]
    return [{**about, "step": "first", **first}, {**about, "step": "one limit", **change}]


def figures(sizes: tuple[int, ...] = (1_000, 3_000)) -> list[Row]:
    """A row a program and step; waits for Kong's propagation are left out of the sidecar's, the others include them."""
    missing, rows = built(), []
    for size in sizes:
        rows += _sidecar(size) + asyncio.run(compared(size, not missing))
    if missing:
        print(f"decK: skipped: {missing}", file=sys.stderr)
        rows.append(dict.fromkeys(rows[0], "-") | {"program": f"decK: {missing}"})
    return rows


if __name__ == "__main__":
    for line in figures(tuple(map(int, sys.argv[1:])) or (1_000, 3_000)):
        print(line, flush=True)
