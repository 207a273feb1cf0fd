"""How `gatecast kong` reaches an Admin API: token, TLS, workspace, a Kong that is another than was thought; `ping`."""

import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kong_threads
import kong_worlds
import kongs
import pytest
from certificates import Shop
from consoles import stranger

from gatecast.kong_offline import PLUGINS
from kong_double.double import Double
from kong_double.faults import EVERY, Fault
from kong_double.pages import PRIORITIES, Node
from kong_sync.lease import TERM

Run = Callable[..., Any]
TENANT = "---\nkind: Tenant\nid: acme\n"


@pytest.fixture
def settings(tmp_path: Path) -> str:
    return str(kong_worlds.folder(tmp_path, TENANT))


@pytest.mark.parametrize("command", ["diff", "sync --once", "ping", "export --gateway edge"])
def test_without_the_right_token_it_is_no_access(
    command: str, gatecast: Run, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("-f", settings) if command.startswith(("diff", "sync")) else ()
    with kong_threads.kong(token="sesame") as double:
        monkeypatch.setenv("GATECAST_KONG_ADMIN_URL", double.admin_url)
        for token in ("", "wrong-one"):
            monkeypatch.setenv("GATECAST_KONG_TOKEN", token)
            ran = gatecast("kong", *command.split(), *place)
            assert (ran.code, ran.out) == (6, ""), ran
            assert "GATECAST_KONG_TOKEN" in ran.err
            assert "wrong-one" not in ran.err
        monkeypatch.setenv("GATECAST_KONG_TOKEN", "sesame")
        if not command.startswith("export"):
            assert gatecast("kong", *command.split(), *place).code == 0


def test_a_sidecar_without_the_right_token_ends_with_the_same_code() -> None:
    with kong_threads.kong(token="sesame") as double:
        told = ("--gateway", "edge", "--admin", double.admin_url, "--listen", "127.0.0.1:0")
        command = [sys.executable, "-m", "gatecast.cli", "kong", *told]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (6, ""), ran
    assert "GATECAST_KONG_TOKEN" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_admin_api_may_ask_for_a_certificate(gatecast: Run, settings: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put("kong", "127.0.0.1")
    shop.put("us", "gatecast.internal")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    tls.load_cert_chain(tmp_path / "kong.pem", tmp_path / "kong.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    with kong_threads.kong(tls=tls) as double:
        diff = ("kong", "diff", "-f", settings, "--admin", double.admin_url)
        trust = ("--admin-ca", str(tmp_path / "ca.pem"))
        pair = ("--admin-certificate", str(tmp_path / "us.pem"), "--admin-key", str(tmp_path / "us.key"))
        stranger = gatecast(*diff)
        assert (stranger.code, stranger.out) == (7, ""), stranger
        assert "certificate" in stranger.err.lower()
        assert gatecast(*diff, *trust).code == 7
        assert gatecast(*diff, *trust, *pair).code == 0
        half = gatecast(*diff, *trust, *pair[:2])
        assert (half.code, "go together" in half.err) == (2, True)
        for option in ("--admin-ca", "--admin-certificate"):
            wrong = gatecast(*diff, *trust, *pair, option, str(tmp_path / "nowhere.pem"))
            assert (wrong.code, wrong.out) == (1, ""), wrong
            assert "nowhere.pem" in wrong.err


def test_of_an_enterprise_edition_the_workspace_is_meant(
    gatecast: Run, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kong_threads.kong(workspaces=("team",)) as double:
        monkeypatch.setenv("GATECAST_KONG_ADMIN_URL", double.admin_url)
        assert gatecast("kong", "sync", "--once", "-f", settings, "--workspace", "team", "--single").code == 0
        assert gatecast("kong", "diff", "-f", settings, "--workspace", "team", "--exit-code").code == 0
        assert gatecast("kong", "diff", "-f", settings, "--exit-code").code == 3
        ran = gatecast("kong", "diff", "-f", settings, "--workspace", "nobodys")
    assert ran.code == 4, ran
    assert "nobodys" in ran.err


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((200, {"status": "ok"}, {}), 1, "no Admin API of Kong"),
        ((200, "<html>hello</html>", {}), 7, "is not JSON"),
        ((404, {"message": "no Route matched"}, {}), 4, "no Admin API of Kong"),
        ((403, {"message": "forbidden"}, {}), 6, "forbidden"),
    ],
)
def test_another_server_is_told_from_a_kong(
    answer: tuple[int, Any, dict[str, str]], code: int, said: str, gatecast: Run, settings: str
) -> None:
    with stranger(answer) as (url, _asked):
        ran = gatecast("kong", "diff", "-f", settings, "--admin", url)
    assert (ran.code, ran.out) == (code, ""), ran
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_kong_that_cannot_answer_is_unreachable_and_a_slow_one_is_waited_for(gatecast: Run, settings: str) -> None:
    with kong_threads.kong() as double:
        double.faults.on(1, Fault(status=503), methods=EVERY, times=10**6)
        ran = gatecast("kong", "diff", "-f", settings, "--admin", double.admin_url)
        assert (ran.code, ran.out) == (7, ""), ran
        assert "503" in ran.err
        double.faults.clear()
        double.faults.on(1, Fault(delay=0.05), methods=EVERY, times=5)
        assert gatecast("kong", "diff", "-f", settings, "--admin", double.admin_url).code == 0
        assert double.faults.hit >= 10


def test_ping_says_who_it_is_who_writes_and_what_would_be_in_our_way(
    gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kong_threads.kong() as double:
        monkeypatch.setenv("GATECAST_KONG_ADMIN_URL", double.admin_url)
        ran = gatecast("kong", "ping")
        assert ran.code == 0, ran
        assert "Kong 3.9.1 (community), on postgres" in ran.out
        held(double)
        found = json.loads(gatecast("kong", "ping", "-o", "json").out)
        assert found["writers"] == ["sidecar@here (gateway:edge)"]
        assert (found["missing_plugins"], found["doubts"]) == ([], [])
        assert {one.method for one in double.calls} == {"GET"}
        double.node = Node(version="3.3.0")
        for api in double._apis.values():
            api.pages[""].__self__.node = double.node  # type: ignore[attr-defined]
        monkeypatch.setattr("kong_double.pages.PRIORITIES", {"jwt": 1})
        found = json.loads(gatecast("kong", "ping", "-o", "json").out)
        assert found["missing_plugins"] == sorted(PLUGINS - {"jwt"})
        assert "3.3.0" in found["doubts"][0]
        assert "It has no plugin acl" in gatecast("kong", "ping").out


def held(double: Double) -> None:
    """A lease of a sidecar, as `kong_sync.lease` writes it."""
    until = f"{double.wall() + TERM:.3f} sidecar@here"
    tags = ["gatecast", "gateway:edge", "lease"]
    row = kongs.make(double, "/consumers", username="gatecast.edge.lease.1", custom_id=until, tags=tags)
    assert row["custom_id"] == until


def test_the_plugins_that_are_looked_for_are_those_the_double_has() -> None:
    assert set(PRIORITIES) >= PLUGINS
