"""`gatecast kong` given something wrong: a clear error, the published exit code, and Kong as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kong_threads
import kong_worlds
import kongs
import pytest
import yaml
from kong_worlds import GATEWAY

from kong_double.double import Double
from kong_sync.entities import KINDS
from kong_sync.lease import TERM

Run = Callable[..., Any]
MANY = "".join(f"---\nkind: Tenant\nid: t{i:02}\n" for i in range(20))
STRANGE = {
    "nothing at all": ("", "no file of decK"),
    "no yaml": ("a: [", "line 2"),
    "no text": ("\0\1\2", "kong.yaml"),
    "an older format": ("_format_version: '1.1'\n", "_format_version '3.0'"),
    "a manifest of Kubernetes": ("apiVersion: v1\nkind: Service\n", "no file of decK"),
    "a file that decK made": ("_format_version: '3.0'\nservices:\n- {name: x, host: h}\n", "without id"),
    "what we do not write": ("_format_version: '3.0'\nvaults: []\n", "vaults"),
    "no list": ("_format_version: '3.0'\nservices: 5\n", "not laid out"),
    "no list inside": ("_format_version: '3.0'\nservices: [{id: a, routes: 5}]\n", "not laid out"),
    "no id": ("_format_version: '3.0'\nservices: [{id: 5}]\n", "`id` is no UUID"),
    "no name": ("_format_version: '3.0'\nservices: [{id: a, name: {b: c}}]\n", "`name` is no text"),
    "no tags": ("_format_version: '3.0'\nservices: [{id: a, tags: 7}]\n", "`tags` is no list"),
    "entities of others": (
        "_format_version: '3.0'\nservices:\n- {id: 10000000-0000-4000-8000-000000000001, name: x, host: h}\n",
        "does not carry the tags gatecast, gateway:edge",
    ),
}
"""What -> text of the file, and what is said of it."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return kong_worlds.folder(tmp_path, MANY)


def rows(kong: Double) -> int:
    return sum(len(list(kong.store.all(kind))) for kind in KINDS)


def digest(said: str) -> str:
    return said.partition("--force ")[2].split()[0]


@pytest.mark.parametrize("what", STRANGE)
def test_a_file_that_is_no_backup_of_this_gateway_changes_nothing(
    what: str, gatecast: Run, kong: Double, tmp_path: Path
) -> None:
    text, said = STRANGE[what]
    file = tmp_path / "kong.yaml"
    file.write_text(text)
    for more in ((), ("--dry-run",)):
        ran = gatecast("kong", "restore", str(file), "--gateway", "edge", *more)
        assert (ran.code, ran.out) == (1, ""), ran
        assert str(file) in ran.err
        assert said in ran.err
        assert len(ran.err.splitlines()) == 1
    assert kong.calls == []


@pytest.mark.parametrize("dbless", [False, True])
def test_a_reference_to_nothing_in_a_file_is_found_before_kong_is_asked(
    dbless: bool, gatecast: Run, settings: Path, tmp_path: Path
) -> None:
    data = yaml.safe_load(gatecast("kong", "export", "-f", str(settings)).out)
    nobody, mine = (f"{n}0000000-0000-4000-8000-000000000001" for n in (1, 2))
    row = {"id": mine, "name": "jwt", "route": nobody, "tags": ["gatecast", "gateway:edge"]}
    data.setdefault("plugins", []).append(row)
    file = tmp_path / "kong.yaml"
    file.write_text(yaml.safe_dump(data))
    with kong_threads.kong(dbless=dbless) as double:
        ran = gatecast("kong", "restore", str(file), "--gateway", "edge", "--admin", double.admin_url)
    assert (ran.code, ran.out) == (1, ""), ran
    assert nobody in ran.err
    assert "nothing was changed" in ran.err
    assert double.calls == []


@pytest.mark.parametrize("place", ["/nowhere/kong.yaml", "/tmp"])
def test_a_file_that_cannot_be_read_is_named(place: str, gatecast: Run, kong: Double) -> None:
    ran = gatecast("kong", "restore", place, "--gateway", "edge")
    assert (ran.code, ran.out) == (1, ""), ran
    assert ran.err.startswith(f"Error: {place}: ")


def test_a_backup_of_another_gateway_is_refused(gatecast: Run, kong: Double, settings: Path, tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    assert gatecast("kong", "export", "-f", str(settings), "--to", str(file)).code == 0
    ran = gatecast("kong", "restore", str(file), "--gateway", "other")
    assert (ran.code, ran.out) == (1, ""), ran
    assert "does not carry the tags gatecast, gateway:other" in ran.err
    assert kong.calls == []


def test_a_restore_that_takes_nearly_all_away_needs_its_digest(
    gatecast: Run, kong: Double, settings: Path, tmp_path: Path
) -> None:
    gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    held = rows(kong)
    file = tmp_path / "small.yaml"
    data = yaml.safe_load(gatecast("kong", "export", "--gateway", "edge").out)
    del data["consumers"]
    file.write_text(yaml.safe_dump(data))
    shown = gatecast("kong", "restore", str(file), "--gateway", "edge", "--dry-run")
    assert shown.code == 0, shown
    assert "Digest: " in shown.out
    for force in ((), ("--force", "0123456789abcdef")):
        ran = gatecast("kong", "restore", str(file), "--gateway", "edge", *force)
        assert (ran.code, ran.out) == (1, ""), ran
        assert "nothing was changed" in ran.err
        assert rows(kong) == held
    done = gatecast("kong", "restore", str(file), "--gateway", "edge", "--force", digest(ran.err))
    assert done.code == 0, done
    assert rows(kong) < held


def test_the_digest_of_another_plan_forces_nothing(gatecast: Run, kong: Double, settings: Path) -> None:
    sync = ("kong", "sync", "--once", "-f", str(settings), "--single")
    gatecast(*sync)
    held = rows(kong)
    (settings / "all.yaml").write_text(GATEWAY)
    shown = digest(gatecast(*sync).err)
    (settings / "all.yaml").write_text(GATEWAY + "---\nkind: Tenant\nid: t00\n")
    ran = gatecast(*sync, "--force", shown)
    assert (ran.code, ran.out) == (1, ""), ran
    assert f"is not the one that was shown ({shown})" in ran.err
    assert rows(kong) == held


def test_while_a_sidecar_has_the_lease_nothing_is_written_and_it_says_who(
    gatecast: Run, kong: Double, settings: Path, tmp_path: Path
) -> None:
    file = tmp_path / "edge.yaml"
    gatecast("kong", "export", "-f", str(settings), "--to", str(file))
    until = f"{kong.wall() + TERM:.3f} sidecar@here"
    tags = ["gatecast", "gateway:edge", "lease"]
    kongs.make(kong, "/consumers", username="gatecast.edge.lease.1", custom_id=until, tags=tags)
    for command in (("sync", "--once", "-f", str(settings)), ("restore", str(file), "--gateway", "edge")):
        ran = gatecast("kong", *command)
        assert (ran.code, ran.out) == (5, ""), ran
        assert "sidecar@here" in ran.err
        assert "control plane" in ran.err
    assert rows(kong) == 1
    assert gatecast("kong", "diff", "-f", str(settings)).code == 0, "to look needs no lease"


def test_settings_with_problems_are_not_compared(gatecast: Run, kong: Double, settings: Path) -> None:
    (settings / "bad.yaml").write_text("kind: Tenant\nid: bad\npolicies: {rate_limit: {requests: -1, per: minute}}\n")
    ran = gatecast("kong", "diff", "-f", str(settings))
    assert (ran.code, ran.out) == (1, ""), ran
    assert "nothing was compared" in ran.err
    assert f"gatecast check -f {settings}" in ran.err
    assert kong.calls == []


def test_without_a_backup_nothing_is_changed(gatecast: Run, kong: Double, settings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    sync = ("kong", "sync", "--once", "-f", str(settings), "--single", "--backups", str(folder))
    gatecast(*sync)
    (settings / "all.yaml").write_text(GATEWAY + MANY.replace("---\nkind: Tenant\nid: t19\n", ""))
    folder.symlink_to(tmp_path / "nowhere" / "deep")
    held = rows(kong)
    ran = gatecast(*sync)
    assert (ran.code, ran.out) == (7, ""), ran
    assert "nothing was changed, for there is no backup" in ran.err
    assert rows(kong) == held
    folder.unlink()
    assert gatecast(*sync).code == 0
    assert rows(kong) < held
    assert len(list(folder.iterdir())) == 1


def test_what_kong_refuses_is_told_and_the_rest_is_done(gatecast: Run, kong: Double, settings: Path) -> None:
    kongs.make(kong, "/consumers", username="t07", tags=["them"])
    ran = gatecast("kong", "sync", "--once", "-f", str(settings), "--single")
    assert ran.code == 3, ran
    (told,) = [one for one in ran.out.splitlines() if one.startswith("problem: ")]
    assert "t07" in told
    names = {one["username"] for one in kong.store.all("consumers")}
    assert {f"t{i:02}" for i in range(20)} <= names
    assert len([one for one in kong.store.all("consumers") if one["tags"] == ["them"]]) == 1
