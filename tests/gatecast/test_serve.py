"""`gatecast serve` as a process: when it says that it is ready, how it ends, what it refuses."""

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import adsclients
import grpc
import httpx
import pytest
from processes import EXAMPLE, PATIENCE, serve

from gatecast.addresses import Address
from gatecast.config import Settings
from gatecast.plane import Plane
from gatecast.serve import asked_to_end, running
from protos import discovery_pb2
from tenants.errors import Refused
from xds.waiting import until

LARGE = "kind: Organisation\nid: large\npolicies:\n  headers:\n    response:\n      set:\n" + "".join(
    f"        x-{number}: {'x' * 1000}\n" for number in range(60)
)
TENANT = "kind: Tenant\norganisation: large"
"""400 such tenants come to more than 20 MB: more than gRPC takes for a client that does not read."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "settings"))


async def test_it_is_ready_with_its_first_snapshot_and_ends_in_order_on_sigterm(settings: Path) -> None:
    async with serve(settings) as served, httpx.AsyncClient(trust_env=False) as http:
        ready = await served.said("Server ready")
        said = [one for one in served.events if one != "end of the audit"]  # at any moment
        assert said[:3] == ["listening", "applied", "Server ready"]
        assert (await http.get(f"http://{ready['api']}/readyz")).status_code == 200
        async with adsclients.delta(ready["xds"]) as client:
            await client.ask(adsclients.LDS, resource_names_subscribe=["*"])
            await client.next()
            assert list(client.held[adsclients.LDS]) == ["public"]
            clients = (await http.get(f"http://{ready['api']}/api/v1/clients")).json()
            assert [one["node"] for one in clients["clients"]] == ["n1"]
            served.process.send_signal(signal.SIGTERM)
            assert await client.ended() == (grpc.StatusCode.UNAVAILABLE, "this server is shutting down")
        assert await served.ended() == 0
        assert await served.said("stopped")
        assert not [line for line in served.lines if line.get("level") in ("warning", "error")]


async def test_it_listens_on_loopback_and_answers_no_other_name_unless_it_is_insecure(settings: Path) -> None:
    for flags, code in (((), 421), (("--insecure",), 200)):
        async with serve(settings, *flags) as served, httpx.AsyncClient(trust_env=False) as http:
            api = f"http://{(await served.said('Server ready'))['api']}"
            assert (await http.get(f"{api}/livez", headers={"host": "evil.example"})).status_code == code
            assert (await http.get(f"{api}/livez")).status_code == 200


async def test_it_ends_in_time_on_sigterm_although_a_client_reads_nothing_of_a_large_push(settings: Path) -> None:
    names = [f"t{number}" for number in range(400)]
    (settings / "many.yaml").write_text("---\n".join([LARGE, *(f"{TENANT}\nid: {name}\n" for name in names)]))
    async with serve(settings, "--drain", "1") as served, httpx.AsyncClient(trust_env=False) as http:
        ready = await served.said("Server ready")
        deaf_node = discovery_pb2.Node(id="deaf", cluster="edge")
        async with adsclients.delta(ready["xds"], node=deaf_node) as deaf, adsclients.delta(ready["xds"]) as other:
            await other.ask(adsclients.LDS, resource_names_subscribe=["*"])
            await other.next()
            await deaf.ask(adsclients.RDS, resource_names_subscribe=names)

            async def pushing() -> bool:
                sent = (await http.get(f"http://{ready['api']}/api/v1/clients/deaf")).json()["types"]
                return any((one["type"], one["pushes"]) == ("RDS", 1) for one in sent)

            await until(pushing, "a push that is not read", within=PATIENCE)
            served.process.send_signal(signal.SIGTERM)
            assert await other.ended() == (grpc.StatusCode.UNAVAILABLE, "this server is shutting down")
            assert await served.ended() == 0
        assert await served.said("streams did not end in time"), "the push went through"
        assert "Traceback" not in "".join(served.events)


async def test_a_changed_file_is_applied_and_a_broken_one_is_logged_with_its_place(settings: Path) -> None:
    async with serve(settings) as served:
        await served.said("Server ready")
        (settings / "acme.yaml").write_text("kind: Tenant\nid: acme\nstatus: asleep\n")
        problem = await served.said("problem")
        assert problem["problem"].startswith("acme.yaml:3 Tenant/acme status: ")
        assert (problem["code"], problem["tenant"], problem["level"]) == ("GC105", "acme", "error")
        (settings / "acme.yaml").write_text("kind: Tenant\nid: acme\nstatus: suspended\n")
        await served.said("problems solved")


async def test_status_and_clients_ask_the_server(settings: Path) -> None:
    async with serve(settings) as served:
        api = (await served.said("Server ready"))["api"]
        for command, code, expected in (
            (["status"], 0, "ready, revision 1"),
            (["clients"], 0, "no proxy is connected"),
            (["clients", "../status"], 4, "no client '../status' is connected"),
            (["clients", "a?b#c%2e/."], 4, "no client 'a?b#c%2e/.' is connected"),
        ):
            arguments = (sys.executable, "-m", "gatecast.cli", *command, "--server", f"http://{api}")
            pipe = asyncio.subprocess.PIPE
            ran = await asyncio.create_subprocess_exec(*arguments, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
            out, _ = await ran.communicate()
            assert (ran.returncode, expected in out.decode()) == (code, True), out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--xds", "0.0.0.0:0"), "proxies do not show who they are"),
        (("--api", "[::]:0"), "operators are not asked who they are"),
        (("--drain", "60"), "--drain"),
    ],
)
async def test_what_is_unsafe_is_refused(flags: tuple[str, ...], said: str, settings: Path) -> None:
    async with serve(settings, *flags) as served:
        assert await served.ended() == 2
    told = "".join(served.events)
    assert said.replace("there is ", "gatecast has ") in told
    assert "Traceback" not in told


async def test_an_empty_directory_is_refused_unless_that_is_meant(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        assert await served.ended() == 1
    assert "Server ready" not in served.events
    assert any("--allow-empty" in event for event in served.events)
    async with serve(tmp_path, "--allow-empty") as served:
        await served.said("Server ready")
        served.process.send_signal(signal.SIGINT)
        assert await served.ended() == 0


async def test_an_address_in_use_is_refused(settings: Path) -> None:
    async with serve(settings) as first:
        taken = (await first.said("Server ready"))["xds"]
        async with serve(settings, xds=taken) as second:
            assert await second.ended() == 1
        assert any(f"cannot listen on {taken}" in event for event in second.events)
        assert "Traceback" not in "".join(second.events)


def test_a_second_signal_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    shutting_down = asyncio.Event()
    shutting_down.set()
    asked_to_end(signal.SIGTERM, shutting_down)
    assert codes == [128 + signal.SIGTERM]


@pytest.fixture
def here(settings: Path) -> Settings:
    return Settings(settings=settings, store="memory", xds=Address("127.0.0.1", 0), api=Address("127.0.0.1", 0))


async def test_streams_are_refused_before_the_first_snapshot(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, take = asyncio.Event(), Plane.take

    async def late(plane: Plane, *found: Any) -> Any:
        await gate.wait()
        return await take(plane, *found)

    monkeypatch.setattr(Plane, "take", late)
    async with running(here) as server, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"http://{server.api}/livez")).status_code == 200
        assert (await http.get(f"http://{server.api}/readyz")).json()["error"]["code"] == "loading"
        async with adsclients.delta(str(server.xds)) as client:
            await client.ask(adsclients.LDS, resource_names_subscribe=["*"])
            assert await client.call.code() is grpc.StatusCode.UNAVAILABLE
        gate.set()
        await server.ready()
        assert (await http.get(f"http://{server.api}/readyz")).status_code == 200


async def test_changes_that_cannot_be_applied_do_not_stop_the_next_ones(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(here) as server:
        await server.ready()
        steps = type(server.plane.builder).steps
        failed = asyncio.Event()

        def once(*arguments: Any, **more: Any) -> Any:
            if not failed.is_set():
                failed.set()
                raise RuntimeError("a defect")
            return steps(*arguments, **more)

        monkeypatch.setattr(type(server.plane.builder), "steps", once)
        acme = here.settings / "acme.yaml"
        acme.write_text(acme.read_text().replace("600", "601"))
        await until(failed.is_set, "the defect")
        before = server.plane.hub.snapshots["edge"]
        beta = here.settings / "beta.yaml"
        beta.write_text(beta.read_text().replace("requests: 3", "requests: 4"))
        await until(lambda: server.plane.hub.snapshots["edge"] is not before, "the next snapshot")
        after = server.plane.hub.snapshots["edge"]
        changed = {name for name in ("acme", "beta") if after.get("RDS", name) is not before.get("RDS", name)}
        assert changed == {"acme", "beta"}  # what the failed turn left undone was made up for


async def test_a_directory_that_is_not_there_is_told_to_whoever_waits(here: Settings, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no such directory"):
        async with running(here.model_copy(update={"settings": tmp_path / "nothing"})) as server:
            await server.ready()
