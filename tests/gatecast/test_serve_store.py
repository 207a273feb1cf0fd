"""A server process and its store: what was committed is served by the next one, whatever became of this one."""

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ledgers import API, limited, put
from postgres import Postgres, own_server
from processes import EXAMPLE, PATIENCE, serve

from gatecast.config import load
from gatecast.serve import FIRST_KEYS, running
from tenants.documents import Key
from tenants.store import By, Store, Write
from xds.waiting import until

HALFWAY = """
import os, signal, sys
from gatecast.cli import main
from gatecast.plane import Plane

take = Plane.take

async def killed(plane, step, revision):
    if revision > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return await take(plane, step, revision)

Plane.take = killed
main(sys.argv[1:])
"""
"""A server that is killed between the commit of its second revision and the publication of it."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "settings"))


async def test_a_server_killed_between_commit_and_publication_is_followed_by_one_that_serves_it(
    settings: Path, tmp_path: Path
) -> None:
    store = f"{tmp_path}/store.db"
    async with serve(settings, "--store", store, program=("-c", HALFWAY)) as served:
        await served.said("Server ready")
        file = settings / "acme.yaml"
        file.write_text(file.read_text().replace("600", "601"))
        assert await served.ended() == -signal.SIGKILL
    shutil.rmtree(settings)  # the files are gone too: what was committed is in the store
    settings.mkdir()
    async with serve(settings, "--store", store) as after, httpx.AsyncClient(trust_env=False) as http:
        api = (await after.said("Server ready"))["api"]
        assert (await http.get(f"http://{api}/api/v1/status")).json()["revision"] == 2
        table = (await http.get(f"http://{api}/api/v1/snapshots/edge/RDS/acme")).text
        assert "601" in table


async def test_the_last_good_version_of_a_broken_file_survives_a_restart(settings: Path, tmp_path: Path) -> None:
    store = f"{tmp_path}/store.db"
    async with serve(settings, "--store", store) as served:
        await served.said("Server ready")
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0
    (settings / "acme.yaml").write_text("kind: Tenant\nid: acme\nstatus: asleep\n")
    async with serve(settings, "--store", store) as served, httpx.AsyncClient(trust_env=False) as http:
        problem = await served.said("problem")
        assert problem["problem"].startswith("acme.yaml:3 Tenant/acme status: ")
        api = (await served.said("Server ready"))["api"]
        assert (await http.get(f"http://{api}/api/v1/snapshots/edge/RDS/acme")).status_code == 200


@pytest.fixture
def fragile() -> Iterator[Postgres]:
    """A server that tests may kill."""
    with own_server() as server:
        yield server


async def test_a_server_of_a_store_alone_needs_no_directory_and_is_ready_at_once(tmp_path: Path) -> None:
    settings = load({"store": f"{tmp_path}/alone.db", "xds": "127.0.0.1:0", "api": "127.0.0.1:0"})
    async with running(settings) as server:
        async with asyncio.timeout(FIRST_KEYS):
            await server.ready()
        done = await server.ledger.write([Write.put({"kind": "Tenant", "id": "acme"})], By("dana", "api"))
        assert (server.ledger.sources(), done.revision) == ((), 1)
    async with running(settings) as server:
        await server.ready()
        assert server.plane.catalog.get(Key("Tenant", "acme"))


async def test_a_server_waits_for_its_database_and_then_serves_what_it_holds(settings: Path, fragile: Postgres) -> None:
    async with await Store.open(fragile.url) as store:
        await store.commit(put(limited("stored", 1)), API)
    fragile.stop()
    async with serve(settings, "--store", fragile.url) as served, httpx.AsyncClient(trust_env=False) as http:
        await served.said("the store is away: the server waits for it")
        assert "listening" not in served.events
        fragile.start()
        api = (await served.said("Server ready"))["api"]
        assert (await http.get(f"http://{api}/api/v1/snapshots/edge/RDS/stored")).status_code == 404  # no gateway yet
        await until(lambda: _there(http, api), "the documents of the files", within=PATIENCE)
        fragile.stop()
        assert (await http.get(f"http://{api}/readyz")).status_code == 200
        fragile.start()
        async with await Store.open(fragile.url) as store:
            assert (await store.document(Key("Tenant", "acme"))).source == "file:acme.yaml"


async def _there(http: httpx.AsyncClient, api: str) -> bool:
    return (await http.get(f"http://{api}/api/v1/snapshots/edge/RDS/stored")).status_code == 200


async def test_a_server_that_waits_for_its_database_ends_when_asked_and_shows_no_password(settings: Path) -> None:
    url = "postgresql://dana:the-canary@127.0.0.1:1/gatecast"
    async with serve(settings, "--store", url) as served:
        await served.said("the store is away: the server waits for it")
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 7
    assert "the-canary" not in json.dumps(served.lines)
