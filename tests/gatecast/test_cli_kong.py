"""`gatecast kong ...` against the double: what is printed, what is written, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kong_threads
import kong_worlds
import kongs
import pytest
import yaml
from kong_worlds import GATEWAY
from sidecars import TENANTS

from kong_double.double import Double
from kong_double.faults import Fault
from kong_sync.plugins import ROWS

Run = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return kong_worlds.folder(tmp_path, TENANTS)


def test_sync_writes_what_diff_shows_and_then_there_is_no_difference(
    gatecast: Run, kong: Double, settings: Path
) -> None:
    first = gatecast("kong", "diff", "-f", str(settings), "--exit-code")
    assert first.code == 3, first
    assert "creating routes/" in first.out
    assert not any(one.method != "GET" for one in kong.calls)
    ran = gatecast("kong", "sync", "--once", "-f", str(settings), "--single", "-o", "json")
    assert ran.code == 0, ran
    made = json.loads(ran.out)["summary"]
    assert made["created"] > 5
    assert (made["updated"], made["deleted"]) == (0, 0)
    again = gatecast("kong", "diff", "-f", str(settings), "--exit-code")
    assert again.code == 0, again
    assert "Created: 0" in again.out
    assert kongs.ask(kong, "/api/orders", ("x-tenant-id", "acme")).status == 200


def test_a_dry_run_writes_nothing(gatecast: Run, kong: Double, settings: Path) -> None:
    ran = gatecast("kong", "sync", "--once", "--dry-run", "-f", str(settings))
    assert ran.code == 0, ran
    assert {one.method for one in kong.calls} == {"GET"}


def test_a_field_that_somebody_changed_is_shown_with_both_values(gatecast: Run, kong: Double, settings: Path) -> None:
    gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    (limit,) = [one for one in kong.store.all("plugins") if one["name"] == "rate-limiting"]
    kongs.change(kong, f"/plugins/{limit['id']}", config={"minute": 99})
    ran = gatecast("kong", "diff", "-f", str(settings))
    assert ran.code == 0, ran
    assert "updating plugins/" in ran.out
    assert "-  config.minute: 99" in ran.out
    assert "+  config.minute: 5" in ran.out


def test_an_empty_push_is_refused_and_done_with_the_digest_that_was_shown(
    gatecast: Run, kong: Double, settings: Path
) -> None:
    many = "".join(f"---\nkind: Tenant\nid: t{i}\n" for i in range(20))
    (settings / "all.yaml").write_text(GATEWAY + many)
    gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    held = len(list(kong.store.all("consumers")))
    (settings / "all.yaml").write_text(GATEWAY)
    ran = gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    assert ran.code == 1, ran
    assert "nothing was changed" in ran.err
    assert "it waits" not in ran.err, "of what is not done nothing is announced"
    assert len(list(kong.store.all("consumers"))) == held
    digest = ran.err.partition("--force ")[2].split()[0]
    forced = gatecast("kong", "sync", "--once", "-f", str(settings), "--single", "--force", digest)
    assert forced.code == 0, forced
    assert len(list(kong.store.all("consumers"))) < held


def test_an_export_is_a_file_of_deck_and_restores_what_was_there(
    gatecast: Run, kong: Double, settings: Path, tmp_path: Path
) -> None:
    gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    before = gatecast("kong", "export", "--gateway", "edge")
    assert before.code == 0, before
    data = yaml.safe_load(before.out)
    assert data["_format_version"] == "3.0"
    assert data["_info"]["select_tags"] == ["gatecast", "gateway:edge"]
    assert any(service.get("routes") for service in data["services"])
    file = tmp_path / "backup.yaml"
    file.write_text(before.out)
    (settings / "all.yaml").write_text(GATEWAY + TENANTS.replace("requests: 5", "requests: 7"))
    gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    assert gatecast("kong", "export", "--gateway", "edge").out != before.out
    ran = gatecast("kong", "restore", str(file), "--gateway", "edge")
    assert ran.code == 0, ran
    assert gatecast("kong", "export", "--gateway", "edge").out == before.out


def test_an_export_of_settings_needs_no_kong(gatecast: Run, settings: Path) -> None:
    ran = gatecast("kong", "export", "-f", str(settings))
    assert ran.code == 0, ran
    assert yaml.safe_load(ran.out)["services"]


def test_parity_shows_every_policy(gatecast: Run) -> None:
    found = json.loads(gatecast("kong", "parity", "-o", "json").out)
    assert [one["policy"] for one in found] == list(ROWS)
    assert {one["parity"] for one in found} <= {"exact", "approximate", "unsupported"}
    assert all(bool(one["why"]) == (one["parity"] != "exact") for one in found)


def test_without_a_database_all_is_given_at_once(
    gatecast: Run, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kong_threads.kong(dbless=True) as double:
        monkeypatch.setenv("GATECAST_KONG_ADMIN_URL", double.admin_url)
        ran = gatecast("kong", "sync", "--once", "-f", str(settings))
        assert ran.code == 0, ran
        assert [one.path.partition("?")[0] for one in double.calls if one.method == "POST"] == ["/config"]
        assert kongs.ask(double, "/api/orders", ("x-tenant-id", "acme")).status == 200
        assert gatecast("kong", "diff", "-f", str(settings), "--exit-code").code == 0


def test_what_kong_refused_is_not_counted_as_done(gatecast: Run, kong: Double, settings: Path) -> None:
    planned = json.loads(gatecast("kong", "diff", "-f", str(settings), "-o", "json").out)["summary"]["created"]
    sync = ("kong", "sync", "--once", "-f", str(settings), "--single")
    kong.faults.on(2, Fault(status=400))  # the first write is the lease
    ran = gatecast(*sync, "-o", "json")
    found = json.loads(ran.out)
    assert (ran.code, len(found["problems"])) == (3, 1), ran
    assert found["left"] > 0
    assert found["summary"] == {"created": planned - found["left"], "updated": 0, "deleted": 0}
    assert found["summary"]["created"] == len(found["changes"]) == sum(map(sum_of, found["kinds"].values()))
    assert all(one["id"] in kong.store.tables[one["kind"]] for one in found["changes"])
    kong.faults.on(2, Fault(status=400))
    assert "Not done: " in gatecast(*sync).out
    assert gatecast(*sync).code == 0
    assert "Not done" not in gatecast(*sync).out


def sum_of(counts: dict[str, int]) -> int:
    return sum(counts.values())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("kong",), 2, "--gateway"),
        (("kong", "--gateway", "edge", "--xds", "nonsense"), 2, "nonsense"),
        (("kong", "--gateway", "edge", "--xds-key", "a"), 2, "go together"),
        (("kong", "--gateway", "edge", "--proxy", "127.0.0.1:8000"), 2, "--proxy"),
        (("kong", "--gateway", "edge", "--proxy", "https://127.0.0.1:8443"), 2, "http://127.0.0.1:8000"),
        (("kong", "sync", "-f", "{settings}"), 2, "--once"),
        (("kong", "diff", "-f", "/nowhere"), 1, "/nowhere"),
        (("kong", "diff", "-f", "{settings}", "--admin", "http://127.0.0.1:9"), 7, "GET /"),
        (("kong", "diff", "-f", "{settings}", "--admin", "http://me:secret@127.0.0.1:9"), 2, "GATECAST_KONG_TOKEN"),
        (("kong", "diff", "-f", "{settings}", "--gateway", "nix"), 4, "nix"),
        (("kong", "restore", "/nowhere", "--gateway", "edge"), 1, "/nowhere"),
        (("kong", "export",), 2, "--gateway"),
    ],
)  # fmt: skip
def test_errors_have_the_published_exit_codes(
    arguments: tuple[str, ...], code: int, said: str, gatecast: Run, settings: Path
) -> None:
    ran = gatecast(*(one.format(settings=settings) for one in arguments))
    assert (ran.code, ran.out) == (code, ""), ran
    assert said in ran.err
    assert "secret" not in ran.err
    assert "Traceback" not in ran.err


def test_in_a_kong_that_serves_others_only_the_paths_of_our_routes_are_ours(
    gatecast: Run, kong: Double, settings: Path
) -> None:
    kongs.make(kong, "/services", name="theirs", host="theirs.test")
    kongs.make(kong, "/services/theirs/routes", name="theirs", paths=["/theirs"])
    sync = ("kong", "sync", "--once", "-f", str(settings), "--single")
    assert gatecast(*sync, "--shared-kong").code == 0
    kong.restart()
    acme = ("x-tenant-id", "acme")
    assert kongs.ask(kong, "/api/orders", acme).status == 200
    assert kongs.ask(kong, "/theirs").status == 200
    assert b"no Route matched" in kongs.ask(kong, "/elsewhere").body
    assert gatecast("kong", "diff", "-f", str(settings), "--shared-kong", "--exit-code").code == 0
    alone = gatecast("kong", "diff", "-f", str(settings), "--exit-code")
    assert alone.code == 3, "the routes that answer for all other paths are missing"
    assert "creating routes/" in alone.out
    assert gatecast(*sync).code == 0
    kong.restart()
    assert kongs.ask(kong, "/elsewhere", acme).json()["error"]["code"]
    names = {one["name"] for one in kong.store.all("routes")}
    assert "theirs" in names, "entities of others are never touched"
