"""What `gatecast kong` prints: forms, colours, the words of decK, and what it never prints."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kong_worlds
import kongs
import pytest
import yaml
from sidecars import TENANTS

from kong_double.double import Double

Run = Callable[..., Any]
COMMANDS = ["diff", "sync --once --dry-run", "sync --once --single", "ping", "parity"]
GREEN, YELLOW, RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"


@pytest.fixture
def settings(tmp_path: Path) -> str:
    return str(kong_worlds.folder(tmp_path, TENANTS))


def arguments(command: str, settings: str) -> list[str]:
    place = ["-f", settings] if command.startswith(("diff", "sync")) else []
    return ["kong", *command.split(), *place]


@pytest.mark.parametrize("command", COMMANDS)
def test_json_and_yaml_are_one_document_that_says_the_same(
    command: str, gatecast: Run, kong: Double, settings: str
) -> None:
    if "--single" in command:  # what it says differs from one time to the next
        found = json.loads(gatecast(*arguments(command, settings), "-o", "json").out)
        assert found["summary"]["created"] > 5
    as_json, as_yaml = (gatecast(*arguments(command, settings), "-o", form) for form in ("json", "yaml"))
    assert (as_json.code, as_yaml.code) == (0, 0), as_json
    assert json.loads(as_json.out) == yaml.safe_load(as_yaml.out)


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("kong", "diff", "-f", "/nowhere"), 1),
        (("kong", "diff"), 2),
        (("kong", "dump"), 2),
        (("kong", "sync", "-f", "{settings}"), 2),
        (("kong", "diff", "-f", "{settings}", "--gateway", "nix"), 4),
        (("kong", "ping", "--admin", "http://127.0.0.1:9"), 7),
    ],
)
def test_an_error_is_one_document_too(
    form: str, words: tuple[str, ...], code: int, gatecast: Run, kong: Double, settings: str
) -> None:
    ran = gatecast(*(one.format(settings=settings) for one in words), "-o", form)
    assert ran.code == code, ran
    found = (json.loads if form == "json" else yaml.safe_load)(ran.out)
    assert set(found) == {"error"}
    assert found["error"]["message"] in ran.err


def test_a_process_prints_one_document_on_stdout_and_all_else_on_stderr(kong: Double, settings: str) -> None:
    command = [sys.executable, "-m", "gatecast.cli", *arguments("sync --once --single", settings), "-o", "json"]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["summary"]["created"] > 5
    assert "2 times it waits" in ran.stderr


def test_the_words_are_those_of_deck(gatecast: Run, kong: Double, settings: str) -> None:
    first = gatecast("kong", "sync", "--once", "-f", settings, "--single")
    made = len([one for one in first.out.splitlines() if one.startswith("creating ")])
    assert first.out.splitlines()[made:] == [
        "Summary:",
        f"  Created: {made}",
        "  Updated: 0",
        "  Deleted: 0",
        first.out.splitlines()[-1],
    ]
    (limit,) = [one for one in kong.store.all("plugins") if one["name"] == "rate-limiting"]
    kongs.change(kong, f"/plugins/{limit['id']}", config={"minute": 99})
    kongs.make(kong, "/services", name="left", host="left.test", tags=["gatecast", "gateway:edge"])
    found = gatecast("kong", "diff", "-f", settings)
    assert "updating plugins/" in found.out
    assert "deleting services/left" in found.out
    assert found.out.splitlines()[-4:-1] == ["  Created: 0", "  Updated: 1", "  Deleted: 1"]
    assert json.loads(gatecast("kong", "diff", "-f", settings, "-o", "json").out)["kinds"] == {
        "created": {},
        "updated": {"plugins": 1},
        "deleted": {"services": 1},
    }


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_diff_has_colours_at_a_terminal_unless_no_color_says_no(
    no_color: str, gatecast: Run, kong: Double, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gatecast("kong", "sync", "--once", "-f", settings, "--single")
    (limit,) = [one for one in kong.store.all("plugins") if one["name"] == "rate-limiting"]
    kongs.change(kong, f"/plugins/{limit['id']}", config={"minute": 99})
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = gatecast("kong", "diff", "-f", settings).out
    assert (f"{YELLOW}updating plugins/" in out) is not bool(no_color)
    assert (f"{RED}  -  config.minute: 99" in out) is not bool(no_color)
    assert (f"{GREEN}  +  config.minute: 5" in out) is not bool(no_color)
    assert ("\x1b" in out) is not bool(no_color)
    assert "\x1b" not in gatecast("kong", "diff", "-f", settings, "-o", "json").out


def test_secrets_are_hidden_in_diffs_and_are_in_the_file_of_an_export(
    gatecast: Run, kong: Double, settings: str, tmp_path: Path
) -> None:
    gatecast("kong", "sync", "--once", "-f", settings, "--single")
    row = next(one for one in kong.store.all("consumers") if one["username"] == "acme")
    mine = {"tags": row["tags"], "key": "acme-1", "secret": "hunter2-hunter2"}
    kongs.make(kong, f"/consumers/{row['id']}/jwt", **mine)
    kongs.make(kong, f"/consumers/{row['id']}/key-auth", key="sesame-sesame", tags=row["tags"])
    for form in ("table", "wide", "json", "yaml"):
        out = gatecast("kong", "diff", "-f", settings, "-o", form).out
        assert "hunter2" not in out
        assert "sesame" not in out
        assert form == "table" or "***" in out
    file = tmp_path / "export.yaml"
    ran = gatecast("kong", "export", "--gateway", "edge", "--to", str(file))
    assert (ran.code, ran.out) == (0, ""), ran
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert "hunter2-hunter2" in text
    assert "sesame-sesame" in text
    again = gatecast("kong", "export", "--gateway", "edge", "--to", str(file))
    assert (again.code, again.out) == (1, ""), again
    assert f"{file}: file exists" in again.err
    assert file.read_text() == text
