"""`gatecast kong` and a Kong without a database: compared, given all at once, guarded, exported and restored."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kong_threads
import kong_worlds
import kongs
import pytest
from kong_worlds import GATEWAY

from kong_double.double import Double
from kong_sync import declarative

Run = Callable[..., Any]
LIMIT = "policies: {rate_limit: {requests: 5, per: minute}}"
MANY = "".join(f"---\nkind: Tenant\nid: t{i:02}\n{LIMIT}\n" for i in range(20))
THEIRS = (
    "_format_version: '3.0'\nservices: [{name: theirs, host: theirs.test, routes: [{name: theirs, paths: [/t]}]}]\n"
)


@pytest.fixture
def kong(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with kong_threads.kong(dbless=True) as double:
        monkeypatch.setenv("GATECAST_KONG_ADMIN_URL", double.admin_url)
        yield double


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return kong_worlds.folder(tmp_path, MANY)


def pushes(kong: Double) -> list[int]:
    return [one.status for one in kong.calls if one.method != "GET"]


def config(kong: Double) -> bytes:
    return kongs.call(kong, "GET", "/config").body


def test_a_push_is_what_the_diff_shows_and_the_next_one_is_not_loaded(
    gatecast: Run, kong: Double, settings: Path
) -> None:
    sync = ("kong", "sync", "--once", "-f", str(settings), "-o", "json")
    shown = json.loads(gatecast(*sync, "--dry-run").out)
    assert pushes(kong) == []
    done = json.loads(gatecast(*sync).out)
    assert (done["digest"], done["summary"], done["waits"]) == (shown["digest"], shown["summary"], 0)
    assert done["summary"]["created"] == sum(len(kong.store.tables[kind]) for kind in kong.store.tables)
    assert gatecast("kong", "diff", "-f", str(settings), "--exit-code").code == 0
    assert gatecast(*sync).code == 0
    assert pushes(kong) == [201, 304]


def test_what_takes_nearly_all_away_needs_the_digest_that_the_diff_shows(
    gatecast: Run, kong: Double, settings: Path
) -> None:
    sync = ("kong", "sync", "--once", "-f", str(settings))
    gatecast(*sync)
    held = config(kong)
    (settings / "all.yaml").write_text(GATEWAY)
    for force in ((), ("--force", "0123456789abcdef")):
        ran = gatecast(*sync, *force)
        assert (ran.code, ran.out) == (1, ""), ran
        assert "nothing was changed" in ran.err
        assert config(kong) == held
    digest = json.loads(gatecast("kong", "diff", "-f", str(settings), "-o", "json").out)["digest"]
    assert f"--force {digest} " in ran.err
    assert gatecast(*sync, "--force", digest).code == 0
    assert not [one for one in kong.store.all("plugins") if one["name"] == "rate-limiting"]
    assert config(kong) != held


def test_what_others_gave_it_is_shown_as_deleted_and_kept_until_forced(
    gatecast: Run, kong: Double, settings: Path
) -> None:
    kongs.call(kong, "POST", "/config", {"config": THEIRS})
    shown = gatecast("kong", "diff", "-f", str(settings))
    assert "deleting services/theirs" in shown.out
    assert "deleting routes/theirs" in shown.out
    assert "  Deleted: 2" in shown.out
    assert gatecast("kong", "sync", "--once", "-f", str(settings)).code == 1
    assert [one["name"] for one in kong.store.all("services")] == ["theirs"]
    digest = shown.out.rpartition("Digest: ")[2].strip()
    assert gatecast("kong", "sync", "--once", "-f", str(settings), "--force", digest).code == 0
    assert "theirs" not in [one["name"] for one in kong.store.all("services")]


def test_an_export_goes_back_whole(gatecast: Run, kong: Double, settings: Path, tmp_path: Path) -> None:
    gatecast("kong", "sync", "--once", "-f", str(settings))
    file = tmp_path / "kong.yaml"
    assert gatecast("kong", "export", "--gateway", "edge", "--to", str(file)).code == 0
    (settings / "all.yaml").write_text(GATEWAY + MANY.replace("requests: 5", "requests: 7"))
    gatecast("kong", "sync", "--once", "-f", str(settings), "--backups", str(tmp_path / "kept"))
    assert gatecast("kong", "export", "--gateway", "edge").out != file.read_text()
    shown = gatecast("kong", "restore", str(file), "--gateway", "edge", "--dry-run", "-o", "json")
    assert json.loads(shown.out)["summary"] == {"created": 0, "updated": 20, "deleted": 0}
    ran = gatecast("kong", "restore", str(file), "--gateway", "edge")
    assert ran.code == 0, ran
    assert gatecast("kong", "export", "--gateway", "edge").out == file.read_text()


def test_one_that_is_too_large_is_warned_about_and_refused_with_what_to_raise(
    gatecast: Run, kong: Double, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declarative, "MANY", 20)
    monkeypatch.setattr(declarative, "LARGE", 1000)
    kong.api.pages["config"].__self__.limit = 1000  # type: ignore[attr-defined]
    shown = gatecast("kong", "diff", "-f", str(settings))
    assert shown.code == 0, shown
    assert "above 20 a push takes seconds" in shown.err
    ran = gatecast("kong", "sync", "--once", "-f", str(settings))
    assert ran.code == 3, ran
    assert "nginx_admin_client_max_body_size" in ran.err
    assert "413" in ran.out
    assert list(kong.store.all("services")) == []
