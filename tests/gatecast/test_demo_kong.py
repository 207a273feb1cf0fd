"""`gatecast demo --kong` from its first line to its last: on the double, and on a Kong that somebody else runs."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import kong_threads
import kongs
import pytest

from gatecast import demo_kong
from gatecast.exits import Conflict, Usage
from kong_double.double import Double
from kong_sync.entities import KINDS
from tenants.errors import Refused

OTHERS = {name: value for name, value in os.environ.items() if not name.startswith("KONG_")}


async def start(tmp_path: Path, *flags: str, **more: str) -> asyncio.subprocess.Process:
    """It leaves its files where the test can look. `more`: variables of its environment."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gatecast.cli", "demo", "--kong", *flags, env={**OTHERS, "TMPDIR": str(tmp_path), **more},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def told(tmp_path: Path, **more: str) -> str:
    """All it says; it ends well, says nothing else and leaves no file."""
    process = await start(tmp_path, **more)
    out, err = (data.decode() for data in await process.communicate())
    assert (process.returncode, err) == (0, ""), out
    assert list(tmp_path.iterdir()) == []
    return out


def story(out: str) -> None:
    """What is told of any Kong."""
    assert re.search(r"First sync: \d+ entities written, acknowledged after \d+ ms, \d+ ms of them the wait", out)
    assert re.search(r"acme +GET /api/orders +200 +from the service 'orders'", out)
    assert re.search(r"beta +GET /api/orders +429", out)
    assert re.search(r"nobody +GET /api/orders +404 +unknown_tenant", out)
    assert len(re.findall(r"acknowledged after \d+ ms, \d+ ms of them the wait .*; 1 entity written", out)) == 2
    assert re.search(r"felt after \d+ ms: .* refused\n", out)
    assert re.search(r"felt after \d+ ms: .* let through\n", out)
    assert "acme.yaml:5 Tenant/acme policies.rate_limit.requests: 'lots' is not a whole number" in out
    assert re.search(r"gatecast clients`: tenant gamma: consumers/gamma: UNIQUE violation", out)
    assert "acme    its limit in Kong is 400 a minute: the others of the push are applied" in out
    assert "gamma.yaml taken away: nothing is refused any more" in out
    assert "(config.minute: 400 became 100000)" in out
    assert "acme    its limit in Kong is 400 a minute: healed" in out
    assert out.endswith("Cleaned up: no process, no file and no entity in Kong is left.\n")


async def test_the_story_on_the_double_which_is_called_a_double_first_of_all(tmp_path: Path) -> None:
    out = await told(tmp_path)
    assert out.startswith("This Kong is a DOUBLE, not Kong")
    story(out)


def held(kong: Double) -> dict[str, list[str]]:
    """What is in it, by kind."""
    return {name: [one["id"] for one in kong.store.all(name)] for name in KINDS}


async def test_the_story_on_a_kong_that_somebody_runs_who_gets_it_back_as_it_was(tmp_path: Path) -> None:
    with kong_threads.kong() as kong:
        kongs.make(kong, "/services", name="theirs", host="theirs.test")
        kongs.make(kong, "/services/theirs/routes", name="theirs", paths=["/theirs"])
        before = held(kong)
        out = await told(tmp_path, KONG_ADMIN_URL=kong.admin_url, KONG_PROXY_URL=kong.proxy_url)
        assert out.startswith(f"This Kong is real: 3.9.1 at {kong.admin_url}.")
        assert "DOUBLE" not in out
        story(out)
        assert held(kong) == before


async def test_a_demo_that_is_kept_says_what_to_try_and_ends_in_order(tmp_path: Path) -> None:
    with kong_threads.kong() as kong:
        process = await start(tmp_path, "--keep", KONG_ADMIN_URL=kong.admin_url, KONG_PROXY_URL=kong.proxy_url)
        assert process.stdout is not None
        said = b""
        while b"/metrics" not in said:
            line = await process.stdout.readline()
            assert line, said
            said += line
        assert b"curl -i -H 'x-tenant-id: acme'" in said
        assert held(kong)["routes"]
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert b"Cleaned up" in out
        assert not any(held(kong).values())
        assert list(tmp_path.iterdir()) == []


async def test_a_demo_that_is_ended_in_the_middle_takes_its_entities_along(tmp_path: Path) -> None:
    with kong_threads.kong() as kong:
        process = await start(tmp_path, KONG_ADMIN_URL=kong.admin_url, KONG_PROXY_URL=kong.proxy_url)
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"First sync"):
            assert line
        assert held(kong)["routes"]
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        assert (process.returncode, err) == (128 + signal.SIGTERM, b"")
        assert not any(held(kong).values())
        assert list(tmp_path.iterdir()) == []


async def asked(**environment: str) -> None:
    await demo_kong.run(lambda line: pytest.fail(f"it said {line!r}"), environment)


async def test_without_lua_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lupa", None)
    with pytest.raises(Refused, match=r"the double of Kong runs Lua: pip install 'gatecast\[demo\]'"):
        await asked()


async def test_half_an_address_and_a_bad_one_are_refused() -> None:
    with pytest.raises(Usage, match="KONG_ADMIN_URL and KONG_PROXY_URL go together"):
        await asked(KONG_ADMIN_URL="http://127.0.0.1:8001")
    with pytest.raises(Usage, match="KONG_ADMIN_URL: 'kong:8001' is not the URL of an Admin API"):
        await asked(KONG_ADMIN_URL="kong:8001", KONG_PROXY_URL="http://127.0.0.1:8000")


async def test_a_kong_that_gatecast_uses_already_is_left_alone() -> None:
    with kong_threads.kong() as kong:
        kongs.make(kong, "/consumers", username="acme", tags=["gatecast", "gateway:edge"])
        before = held(kong)
        with pytest.raises(Conflict, match="has entities of gatecast already"):
            await asked(KONG_ADMIN_URL=kong.admin_url, KONG_PROXY_URL=kong.proxy_url)
        assert held(kong) == before


async def test_a_kong_without_a_database_is_refused() -> None:
    with kong_threads.kong(dbless=True) as kong:
        with pytest.raises(Refused, match="this Kong has no database"):
            await asked(KONG_ADMIN_URL=kong.admin_url, KONG_PROXY_URL=kong.proxy_url)
        assert all(one.method == "GET" for one in kong.calls)
