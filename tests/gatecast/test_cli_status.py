"""`gatecast status`, `clients`, `tenant` and `bundle`, against a whole server: what is wrong comes first."""

import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from consoles import Console, console, stranger
from ledgers import answer

from gatecast import output
from gatecast.about import version
from gatecast.commands.bundle import environment
from gatecast.look import counts
from tenants.errors import Unavailable
from tenants.store import By, Store, Write
from xds.stream import Adjust, Ask

Run = Callable[..., Any]
METRICS = """# HELP gatecast_key_sets x
gatecast_problems{code="GC1",kind="Te \\"nant\\"",severity="error"} 2.0
gatecast_problems{code="GC2",kind="Tenant",severity="error"} 1.0
gatecast_problems{code="GC2",kind="Tenant",severity="warning"} 0.0
gatecast_ready 1.0
"""


def refusing(here: Console, node: str = "edge-7") -> None:
    """A proxy that refuses what there is for acme."""
    client = here.call(here.operator.join, node)
    here.call(client.machine.receive, Ask("RDS", Adjust(("acme",))), 0.0)
    here.call(answer, here.operator.ledger, client, "RDS")


def test_a_server_that_is_well_says_so_in_its_first_line(here: Console, gatecast: Run) -> None:
    ran = gatecast("status", "--exit-code")
    top, empty, *rows = ran.out.splitlines()
    assert (ran.code, top, empty) == (0, f"everything is fine: gatecast {version()} at {here.url}", "")
    shown = {row[:10].strip(): row[10:].strip() for row in rows}
    assert shown["server"] == "ready, revision 1"
    assert shown["store"].endswith("ago by setup (revision 1)")
    assert (shown["sources"], shown["gateways"], shown["pins"]) == ("none", "edge", "none")
    assert (shown["proxies"], shown["key sets"]) == ("none is connected", "none is needed")
    assert "2 tenants" in shown["documents"]


def test_what_is_wrong_comes_first_with_whose_setting_it_is_and_where_to_look(here: Console, gatecast: Run) -> None:
    refusing(here)
    ran = gatecast("status", "--exit-code")
    assert ran.code == 3
    top, fault = ran.out.splitlines()[:2]
    assert top.startswith("1 problem: gatecast ")
    assert fault == "  error: edge-7 of gateway edge rejects RDS acme of tenant acme: no  -> gatecast clients 1"
    found = json.loads(gatecast("status", "-o", "json").out)
    assert (found["fine"], found["clients"]) == (False, {"REJECTED": 1})
    assert found["unwell"][0]["tenants"] == ["acme"]
    assert gatecast("status").code == 0  # the exit code is asked for


def test_many_of_a_kind_are_not_all_named(here: Console, gatecast: Run) -> None:
    for number in range(8):
        refusing(here, f"edge-{number}")
    lines = gatecast("status").out.splitlines()
    assert len([line for line in lines if "rejects RDS" in line]) == 5
    assert "  error: 3 more like these  -> gatecast clients --state rejected --state stale" in lines


def test_problems_of_documents_are_named(tmp_path: Path, gatecast: Run) -> None:
    with console(tmp_path, "kind: Tenant\nid: acme\n") as here:
        found = json.loads(gatecast("status", "--server", here.url, "-o", "json").out)
    (problem,) = found["first_problems"]
    assert (problem["code"], found["problems"]["total"], found["fine"]) == ("GC215", 1, True)
    assert {"severity": "warning", "what": output.detail(problem), "see": ""} in found["faults"]


def test_a_store_that_is_away_is_a_problem(here: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(Store, "revisions", away)
    ran = gatecast("status")
    assert "  error: the store is away: the database does not answer" in ran.out
    assert "\nstore      away\n" in ran.out


def test_a_server_that_serves_files_alone_is_well(gatecast: Run) -> None:
    status = {
        "ready": True, "revision": 3, "version": "1", "documents": {"Tenant": 1}, "problems": 0, "clients": 0,
        "gateways": [],
    }  # fmt: skip
    none = (503, {"error": {"code": "no_store", "message": "none", "details": []}}, {})
    clients = (200, {"clients": [], "next_cursor": None}, {})
    with stranger((200, status, {}), (200, METRICS, {}), none, none, none, clients) as (url, _):
        out = gatecast("status", "--server", url).out
    assert out.splitlines()[0].startswith("everything is fine: ")
    assert "store      none: this server serves files alone\nd" in out


def test_numbers_come_from_metrics() -> None:
    assert counts(METRICS, "gatecast_problems", "severity") == {"error": 3}
    assert counts(METRICS, "gatecast_ready", "") == {"": 1}
    assert counts("", "gatecast_ready", "x") == {}


def test_watching_looks_again_until_somebody_ends_it(
    here: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        monkeypatch.setenv("NO_COLOR", "1")
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    ran = gatecast("status", "--watch", "--every", "500ms")
    assert (ran.code, looks, ran.out.count("everything is fine")) == (130, [0.5, 0.5], 2)
    assert gatecast("status", "--watch", "-o", "json").code == 2


def test_watching_goes_on_while_nobody_answers(gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if looks.count(9.0) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    ran = gatecast("status", "--server", "http://127.0.0.1:9", "--watch", "--every", "9s")
    assert (ran.code, ran.out.count("no answer: http://127.0.0.1:9 cannot be reached")) == (130, 2)


def test_clients_are_narrowed_by_their_state(here: Console, gatecast: Run) -> None:
    refusing(here)
    here.call(here.operator.join, "edge-8")
    assert [one["node"] for one in json.loads(gatecast("clients", "-o", "json").out)] == ["edge-7", "edge-8"]
    ran = gatecast("clients", "--state", "rejected", "--exit-code", "-o", "json")
    assert (ran.code, [one["node"] for one in json.loads(ran.out)]) == (3, ["edge-7"])
    assert gatecast("clients", "edge-8", "--exit-code").code == 0
    assert gatecast("clients", "edge-9").code == 4
    assert gatecast("clients", "--gateway", "other").out == "no proxy is connected\n"


def test_a_tenant_is_shown_with_who_says_what(here: Console, gatecast: Run) -> None:
    text = "kind: Tenant\nid: acme\norganisation: foods\npolicies: {rate_limit: {requests: 5, per: minute}}\n"
    gatecast("apply", "-f", here.write("a.yaml", text))
    lines = gatecast("tenant", "effective", "acme").out.splitlines()
    assert lines[0] == "gateway edge, route orders: orders"
    assert ["rate_limit.requests", "5", "Tenant/acme"] in [line.split() for line in lines]
    assert gatecast("tenant", "effective", "acme", "--gateway", "nix").out.startswith("no gateway serves acme")
    assert gatecast("tenant", "parity", "acme").out.splitlines()[1].split() == [
        "edge",
        "envoy",
        "rate_limit",
        "exact",
        "-",
    ]
    rows = [line.split() for line in gatecast("tenant", "resources", "acme", "-o", "table").out.splitlines()[1:]]
    assert ["edge", "envoy", "RDS", "acme"] in rows
    assert "virtual_hosts:" in gatecast("tenant", "resources", "acme").out
    for verb in ("effective", "parity", "resources"):
        assert gatecast("tenant", verb, "nix").code == 4


SECRET = {"kind": "Tenant", "id": "acme", "policies": {"headers": {"request": {"set": {"x-api-key": "geheim"}}}}}


def test_our_variables_are_told_without_secrets() -> None:
    given = {
        "GATECAST_TOKEN": "geheim", "GATECAST_STORE": "postgresql://dana:geheim@db/x", "HOME": "/root",
        "GATECAST_NOTIFY_WEBHOOK": "https://hooks.example/geheim", "GATECAST_DRAIN": "5",
    }  # fmt: skip
    assert environment(given) == {
        "GATECAST_DRAIN": "5", "GATECAST_NOTIFY_WEBHOOK": "(secret)", "GATECAST_STORE": "postgresql://(secret)@db/x",
        "GATECAST_TOKEN": "(secret)",
    }  # fmt: skip


def test_a_bundle_has_everything_and_no_secret(here: Console, gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(here)
    here.run(here.operator.ledger.write([Write.put(SECRET)], By("dana", "api", "because")))
    monkeypatch.setenv("GATECAST_STORE", "postgresql://dana:geheim@db/gatecast")
    config = here.write(
        "serve.yaml", "store: postgresql://dana:geheim@db/gatecast\nnotify_webhook: https://x/geheim\ndrain: 5\n"
    )
    file = here.folder / "all.tar.gz"
    ran = gatecast("bundle", "-f", str(file), "--config", config, "-o", "json")
    assert (ran.code, json.loads(ran.out)["errors"], stat.S_IMODE(file.stat().st_mode)) == (0, {}, 0o600)
    with tarfile.open(file) as archive:
        parts = {Path(one.name).name: archive.extractfile(one).read().decode() for one in archive}  # type: ignore[union-attr]
    assert sorted(parts) == json.loads(ran.out)["parts"]
    assert [name for name, text in parts.items() if "geheim" in text] == []
    assert json.loads(parts["clients.json"])[0]["node"] == "edge-7"
    assert json.loads(parts["revisions.json"])["answer"]["revisions"][0]["reason"] == "because"
    assert json.loads(parts["audit-check.json"])["answer"]["whole"] is True
    assert "gatecast_ready" in parts["metrics.txt"] or "gatecast_xds" in parts["metrics.txt"]
    assert "drain: 5" in parts["config.yaml"]
    assert gatecast("bundle", "-f", str(file)).err == f"Error: {file} is there already: give another name\n"


def test_a_bundle_is_made_also_where_little_can_be_had(
    tmp_path: Path, gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.sleep", lambda _: None)
    ran = gatecast("bundle", "--server", "http://127.0.0.1:9", "--config", "/nowhere")
    assert ran.code == 0
    assert "  without status.json: http://127.0.0.1:9 cannot be reached" in ran.out
    (file,) = tmp_path.glob("gatecast-bundle-*.tar.gz")
    with tarfile.open(file) as archive:
        names = {Path(one.name).name for one in archive}
    assert names == {"environment.json", "errors.json", "versions.json"}
