"""The command line: exit codes, what stands on stdout, what an error says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from gatecast import output
from gatecast.cli import COMMANDS, cli
from gatecast.commands import clients
from gatecast.output import age, paint, table
from gatecast.parameters import sure
from gatecast.progress import progress
from gatecast.states import State
from gatecast.views import TypeView
from tenants.errors import Refused

EXAMPLE = str(Path(__file__).parents[2] / "gatecast" / "example")
Run = Callable[..., Any]
PROBLEM = {"kind": "Tenant", "id": "a", "path": "x", "message": "bad", "code": "GC1"}


def test_help_names_every_command(gatecast: Run) -> None:
    ran = gatecast("--help")
    assert ran.code == 0
    assert all(f"  {name} " in ran.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_begins_as_the_table_says(name: str, gatecast: Run) -> None:
    ran = gatecast(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: gatecast {name} ")
    assert COMMANDS[name][1].rstrip(".") in " ".join(ran.out.split())


def test_help_imports_nothing_heavy() -> None:
    heavy = "grpc google pydantic fastapi uvicorn httpx rich yaml xds watchfiles structlog asyncio ssl sqlalchemy"
    program = (
        "import sys; from gatecast.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print(*sorted(set('{heavy}'.split()) & set(sys.modules)), file=sys.stderr, end='')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("nix",), 2),
        (("check",), 2),
        (("check", "-f", EXAMPLE, "-o", "xml"), 2),
        (("check", "-f", "/nowhere"), 1),
        (("check", "-f", EXAMPLE), 0),
        (("translate", "-f", EXAMPLE, "--tenant", "nix"), 4),
        (("translate", "-f", EXAMPLE, "--tenant", "acme", "--gateway", "nix"), 4),
        (("bootstrap", "--gateway", "edge", "--node", "a", "--xds", "nonsense"), 2),
        (("bootstrap", "--gateway", "edge", "--node", "a", "--certificate", "a.pem", "--key", "a.key"), 2),
        (("bootstrap", "--gateway", "edge", "--node", "a", "--ca", "ca.pem", "--key", "a.key"), 2),
        (("serve",), 2),
        (("serve", "--settings", EXAMPLE, "--xds", "0.0.0.0:1"), 2),
        (("serve", "--settings", EXAMPLE, "--drain", "100"), 2),
        (("serve", "--settings", EXAMPLE, "--config", "/nowhere"), 2),
        (("serve", "--settings", "/nowhere", "--store", "memory", "--xds", "127.0.0.1:0", "--api", "127.0.0.1:0"), 1),
        (("status", "--server", "http://127.0.0.1:9"), 7),
        (("clients", "--server", "http://127.0.0.1:9"), 7),
        (("clients", "--server", "nonsense"), 2),
        (("--server", "http://127.0.0.1:9", "status"), 7),
        (("--context", "nix", "status"), 4),
        (("-o", "xml", "version"), 2),
        (("version",), 0),
        (("--version",), 0),
    ],
)
def test_exit_codes_are_the_published_ones(arguments: tuple[str, ...], code: int, gatecast: Run) -> None:
    ran = gatecast(*arguments)
    assert ran.code == code, ran
    assert "Traceback" not in ran.err
    assert bool(ran.err) == (code != 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "-f", EXAMPLE, "-o", "json"),
        ("check", "-f", "/nowhere", "-o", "json"),
        ("check", "-ojson"),
        ("-o", "json"),
        ("-o", "json", "version"),
        ("-ojson", "check", "-f", EXAMPLE),
        ("-o", "json", "nix"),
        ("--output=json", "--server", "http://127.0.0.1:9", "status"),
        ("check", "-f", EXAMPLE, "--output=json", "--nix"),
        ("translate", "-f", EXAMPLE, "--tenant", "acme", "-o", "json"),
        ("translate", "-f", EXAMPLE, "--tenant", "nix", "-o", "json"),
        ("status", "--server", "http://127.0.0.1:9", "-o", "json"),
        ("apply", "-f", "/nowhere", "-o", "json"),
        ("db", "backup", "-o", "json"),
    ],
)
def test_with_json_stdout_is_one_document_also_on_error(arguments: tuple[str, ...], gatecast: Run) -> None:
    ran = gatecast(*arguments)
    found = json.loads(ran.out)
    assert ("error" in found) == (ran.code != 0)
    if ran.code:
        assert found["error"]["message"] in ran.err


def test_a_form_said_before_the_command_gives_way_to_one_said_after_it(gatecast: Run) -> None:
    assert yaml.safe_load(gatecast("-o", "json", "version", "-o", "yaml").out) == json.loads(
        gatecast("-o", "json", "version").out
    )
    refused = gatecast("-o", "wide", "version")
    assert (refused.code, "'wide' is not one of" in refused.err) == (2, True)


def test_a_command_that_is_misspelt_is_told_the_nearest_ones(gatecast: Run) -> None:
    assert "Did you mean" in gatecast("statsu").err
    assert "'status'" in gatecast("statsu").err


def test_with_yaml_an_error_is_yaml(gatecast: Run) -> None:
    ran = gatecast("status", "--server", "http://127.0.0.1:9", "--output", "yaml")
    assert (ran.code, yaml.safe_load(ran.out)["error"]["code"]) == (7, "unreachable")


def test_a_defect_is_told_without_a_stack_trace(gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatecast.offline.problems", lambda *_: 1 / 0)
    ran = gatecast("check", "-f", EXAMPLE)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: ZeroDivisionError: division by zero\nThis is a defect of gatecast.")
    assert "Traceback" not in ran.err


def test_a_file_in_place_of_a_directory_is_told_so(gatecast: Run) -> None:
    ran = gatecast("check", "-f", f"{EXAMPLE}/acme.yaml")
    assert (ran.code, ran.err) == (1, f"Error: settings directory {EXAMPLE}/acme.yaml: it is a file\n")


def test_translate_tells_what_envoy_is_not_told(tmp_path: Path, gatecast: Run) -> None:
    settings = Path(shutil.copytree(EXAMPLE, tmp_path / "settings"))
    acme = settings / "acme.yaml"
    acme.write_text(acme.read_text().replace("per: minute}", "per: minute, burst: 50, scope: global}"))
    ran = gatecast("translate", "-f", str(settings), "--tenant", "acme")
    assert ran.code == 0
    assert ran.err.startswith(f"{settings}/acme.yaml:5 Tenant/acme policies.rate_limit: ")
    assert gatecast("translate", "-f", str(settings), "--tenant", "beta").err == ""


def test_translate_prints_each_resource_under_its_name(gatecast: Run) -> None:
    ran = gatecast("translate", "-f", EXAMPLE, "--tenant", "beta")
    documents = list(yaml.safe_load_all(ran.out))
    heads = [line for line in ran.out.splitlines() if line.startswith("# gateway")]
    names = ("SRDS beta", "RDS beta", "CDS orders", "EDS orders", "CDS payments", "EDS payments")
    assert heads == [f"# gateway edge: {name}" for name in names]
    assert [one.get("name") or one["cluster_name"] for one in documents] == [head.split()[-1] for head in heads]
    assert documents[1]["virtual_hosts"][0]["routes"]


def test_translate_prints_what_a_kong_would_hold(gatecast: Run) -> None:
    ran = gatecast("translate", "-f", EXAMPLE, "--tenant", "beta", "--to", "kong")
    heads = [line.split() for line in ran.out.splitlines() if line.startswith("# gateway")]
    assert {head[3] for head in heads} >= {"consumers", "acls", "upstreams", "services", "routes", "plugins"}
    assert all(one["tags"][:2] == ["gatecast", "gateway:edge"] for one in yaml.safe_load_all(ran.out))


def test_bootstrap_prints_what_stands_in_the_tree(gatecast: Run) -> None:
    ran = gatecast("bootstrap", "--gateway", "edge", "--node", "envoy-1")
    assert ran.out == (Path(__file__).parents[2] / "envoy" / "bootstrap.yaml").read_text()


def test_bootstrap_says_what_it_was_told(gatecast: Run) -> None:
    ran = gatecast("bootstrap", "--gateway", "g", "--node", "n", "--sotw", "--xds", "[::1]:7", "--admin-port", "8")
    found = yaml.safe_load(ran.out)
    assert found["node"] == {"id": "n", "cluster": "g"}
    assert found["dynamic_resources"]["ads_config"]["api_type"] == "GRPC"
    assert found["admin"]["address"]["socket_address"]["port_value"] == 8
    assert '"::1"' in json.dumps(found["static_resources"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, gatecast: Run) -> None:
    ran = gatecast("completion", shell)
    assert (ran.code, "_GATECAST_COMPLETE" in ran.out) == (0, True)


def subcommands() -> Iterator[tuple[str, str]]:
    for name in COMMANDS:
        found = cli.get_command(click.Context(cli), name)
        if isinstance(found, click.Group):
            yield from ((name, verb) for verb in found.list_commands(click.Context(found)))


@pytest.mark.parametrize(("name", "verb"), list(subcommands()))
def test_every_verb_has_help(name: str, verb: str, gatecast: Run) -> None:
    ran = gatecast(name, verb, "--help")
    assert (ran.code, ran.out.startswith(f"Usage: gatecast {name} {verb} ")) == (0, True)


@pytest.mark.parametrize("colour", ["1", ""])
def test_colours_are_for_terminals_and_for_who_wants_them(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert paint("x", "red", {"TERM": "xterm", "NO_COLOR": colour}) == ("x" if colour else "\x1b[31mx\x1b[0m")
    assert paint("x", "red", {"TERM": "dumb"}) == "x"
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert paint("x", "red", {"TERM": "xterm"}) == "x"


def test_progress_is_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with progress("copying", 2) as advance:
        advance(1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress("copying", 2) as advance:
        advance(1)
    assert "copying" in capsys.readouterr().err


def test_who_sits_at_a_terminal_is_asked_and_may_say_no(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    sure("Really?", yes=False)  # a script is not asked
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    sure("Really?", yes=True)
    assert asked == []
    with pytest.raises(Refused, match="nothing was changed"):
        sure("Really?", yes=False)
    assert asked == ["Really?"]


@pytest.mark.parametrize(
    ("detail", "line"),
    [
        (
            {**PROBLEM, "hint": "good", "file": "f", "line": 2},
            "f:2 Tenant/a x: bad (good) [GC1]",
        ),
        ({**PROBLEM, "message": "b\nad"}, "Tenant/a x: b ad [GC1]"),
        ({**PROBLEM, "file": "registry", "line": 0}, "registry Tenant/a x: bad [GC1]"),
        ({"path": "limit", "message": "too large"}, ""),
        ({"expected": "a", "current": "b"}, "expected: a, current: b"),
        (5, "5"),
    ],
)
def test_details_of_an_error_are_a_line_each(detail: Any, line: str) -> None:
    assert output.detail(detail) == line


@pytest.mark.parametrize("text", ["2026-11-20T11:59:00Z", "2026-11-20T12:59:00+01:00"])
def test_a_moment_is_shown_by_its_age(text: str) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert output.since(text, now) == "1m00s"
    assert output.since("2026-11-20T12:00:01Z", now) == "0.0s"
    for other in ("", "soon", "2026-11-20T12:00:00"):
        assert output.since(other, now) == other


def test_a_table_counts_how_wide_letters_are() -> None:
    assert table(("A", "B"), [("租户", "x"), ("ab", "y")]) == "A     B\n租户  x\nab    y"


def test_a_table_is_aligned_and_cuts_nothing_off() -> None:
    assert table(("A", "BB"), [("long one", "x"), ("s", "y")]) == "A         BB\nlong one  x\ns         y"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (59.9, "59s"),
        (182.0, "3m02s"),
        (18_420.0, "5h07m"),
        (172_800.0, "2d"),
    ],
)
def test_ages_are_short(seconds: float | None, text: str) -> None:
    assert age(seconds) == text


def client(**rds: Any) -> dict[str, Any]:
    cds = asdict(TypeView(type="CDS", state=State.SYNCED))
    types = [cds, {**cds, "type": "RDS", **rds}]
    return {
        "id": "1", "kind": "envoy", "node": "edge-1", "gateway": "edge", "state": rds.get("state", "SYNCED"),
        "types": types,
        "variant": "delta", "address": "ipv4:1", "build": "envoy 1.40.0", "connected_at": "2026-11-20T10:00:00.000Z",
    }  # fmt: skip


def test_clients_are_a_line_each_and_their_refusals_below() -> None:
    refusal: dict[str, Any] = {"state": "REJECTED", "rejected": ["acme"], "tenants": ["acme"], "pushed_age": 3.0}
    refusal["error"] = "bad\n\x1b[31mdomains"
    shown = clients.listing([client(**refusal)], wide=False).splitlines()
    assert shown[0].split()[:5] == ["ID", "KIND", "NODE", "GATEWAY", "STATE"]
    assert shown[0].split()[5:] == ["CDS", "RDS", "LAST", "PUSH", "LAST", "ANSWER"]
    assert shown[1].split() == ["1", "envoy", "edge-1", "edge", "REJECTED", "ok", "rejected", "3.0s", "-"]
    assert shown[2] == "  edge-1: RDS rejected acme of tenant acme: bad  [31mdomains"
    assert shown[3] == "1 stream, 1 with something rejected"
    assert clients.listing([], wide=False) == "no proxy is connected"
    assert "envoy 1.40.0" in clients.listing([client()], wide=True)
    assert "TYPE" in clients.detail(client())


def test_who_refuses_several_says_why_of_each() -> None:
    refusal: dict[str, Any] = {"state": "REJECTED", "rejected": ["acme", "beta"], "tenants": ["acme", "beta"]}
    refusal |= {"error": "too long", "words": {"acme": "too short", "beta": "too long"}}
    shown = clients.listing([client(**refusal)], wide=False).splitlines()
    assert shown[2] == "  edge-1: RDS rejected acme, beta of tenant acme, beta: why"
    assert shown[3:5] == ["    acme: too short", "    beta: too long"]
