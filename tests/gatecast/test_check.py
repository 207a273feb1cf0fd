"""`gatecast check`: problems with their places, and a real Envoy's opinion."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from catalogs import catalog

from gatecast.offline import resources
from gatecast.static import culprits, refusals
from xds.envoy_process import validate

EXAMPLE = Path(__file__).parents[2] / "gatecast" / "example"
Run = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "settings"))


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_example_is_without_fault(gatecast: Run) -> None:
    ran = gatecast("check", "-f", str(EXAMPLE))
    assert (ran.code, ran.out) == (0, "9 documents in force, 0 errors, 0 warnings\n")


def test_an_error_is_told_with_its_place_and_what_would_be_right(settings: Path, gatecast: Run) -> None:
    spoil(settings / "acme.yaml", "per: minute", "per: minuet")
    ran = gatecast("check", "-f", str(settings))
    assert ran.code == 3
    head, line, below, end = ran.out.splitlines()
    assert head.split() == ["SEVERITY", "CODE", "DOCUMENT", "PLACE", "FIELD"]
    assert line.split() == ["error", "GC105", "Tenant/acme", f"{settings}/acme.yaml:5", "policies.rate_limit.per"]
    assert below == "    'minuet' is not allowed here (did you mean minute?)"
    assert end == "8 documents in force, 1 error, 0 warnings"


def test_json_has_every_part(settings: Path, gatecast: Run) -> None:
    spoil(settings / "acme.yaml", "organisation: foods", "organisation: food")
    found = json.loads(gatecast("check", "-f", str(settings), "-o", "json").out)
    (problem,) = found["problems"]
    assert (problem["code"], problem["line"], problem["hint"]) == ("GC201", 3, "did you mean foods?")
    assert found["summary"] == {"documents": 8, "errors": 1, "warnings": 0, "envoy": False}


def test_what_envoy_is_not_told_is_said_with_its_place(settings: Path, gatecast: Run) -> None:
    spoil(settings / "acme.yaml", "per: minute}", "per: minute, burst: 50, scope: global}")
    (problem,) = json.loads(gatecast("check", "-f", str(settings), "-o", "json").out)["problems"]
    assert (problem["code"], problem["path"], problem["line"]) == ("GC301", "policies.rate_limit", 5)
    assert problem["file"].endswith("acme.yaml")


def test_a_directory_without_documents_is_refused(tmp_path: Path, gatecast: Run) -> None:
    ran = gatecast("check", "-f", str(tmp_path))
    assert (ran.code, "it holds no documents" in ran.err) == (1, True)


async def test_halving_finds_exactly_the_bad_ones() -> None:
    names, asked = [f"t{number:03}" for number in range(100)], []

    async def check(some: Sequence[str]) -> str:
        asked.append(some)
        return ", ".join(sorted({"t007", "t042"} & set(some)))

    assert [pair async for pair in culprits(names, check)] == [(["t007"], "t007"), (["t042"], "t042")]
    assert len(asked) < 40
    assert [pair async for pair in culprits([], check)] == []


async def test_what_is_refused_only_together_is_told_of_the_gateway() -> None:
    async def check(bootstrap: Any) -> str:
        text = json.dumps(bootstrap)
        return "they clash" if "acme.example" in text and "gamma.example" in text else ""

    documents = catalog(BY_HOST, TENANTS)
    (problem,) = [one async for one in refusals(documents, documents.gateways["hosts"], check)]
    assert (problem.code, problem.kind, problem.id) == ("GC901", "Gateway", "hosts")
    assert problem.message == "Envoy takes each half of the 3 tenants acme to gamma, but not both: they clash"


def test_names_in_a_file_cannot_steer_the_terminal(settings: Path, gatecast: Run) -> None:
    bad = settings / "a\n\x1b[31m.yaml"
    bad.write_text('kind: Nope\nid: "\\e[31m\\n"\n---\nkind: Tenant\nid: a\n"\\e[2J\\n": 1\n')
    for form in ("table", "wide"):
        ran = gatecast("check", "-f", str(settings), "-o", form)
        assert (ran.code, ran.out.count("GC101"), ran.out.count("GC003")) == (3, 1, 1)
        assert "\x1b" not in ran.out
        assert len(ran.out.splitlines()) == (6 if form == "table" else 4)
    ran = gatecast("translate", "-f", str(settings), "--tenant", "a")
    assert (ran.code, "GC101" in ran.err, "\x1b" in ran.err) == (4, True, False)


@pytest.mark.envoy
def test_a_real_envoy_accepts_the_translation_of_the_example(gatecast: Run) -> None:
    ran = gatecast("check", "-f", str(EXAMPLE), "--envoy")
    assert (ran.code, ran.out) == (0, "9 documents in force, 0 errors, 0 warnings; Envoy was asked\n")


TENANTS = "".join(f"kind: Tenant\nid: {name}\nhosts: [{name}.example]\n---\n" for name in ("acme", "beta", "gamma"))
BY_HOST = """
kind: Gateway
id: hosts
listeners: [{name: other, port: 8081}]
tenant: {from: host}
---
kind: Service
id: named
dns: "orders.internal:8080"
---
kind: Route
id: named
match: {regex: "/named/[a-z]{1,200}"}
service: named
"""


@pytest.mark.envoy
async def test_a_real_envoy_accepts_gateways_by_host_without_tenants_with_names_to_resolve_and_large_expressions() -> (
    None
):
    empty, full = catalog(BY_HOST), catalog(BY_HOST, TENANTS)
    assert not full.problems
    for documents in (empty, full):
        assert [one async for one in refusals(documents, documents.gateways["hosts"], validate)] == []


@pytest.mark.envoy
async def test_what_a_real_envoy_refuses_is_put_down_to_its_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = catalog(BY_HOST, TENANTS)

    def spoilt(known: Any, gateway: Any, tenant: Any) -> Any:
        built = resources(known, gateway, tenant)
        for one in built:
            if (one.kind, one.owner) == ("RDS", "beta"):
                one.message.virtual_hosts[0].routes[0].route.cluster = "nowhere"
        return built

    monkeypatch.setattr("gatecast.static.resources", spoilt)
    (problem,) = [one async for one in refusals(documents, documents.gateways["hosts"], validate)]
    assert (problem.code, problem.kind, problem.id, problem.tenant) == ("GC901", "Tenant", "beta", "beta")
    assert problem.message == "Envoy refuses it: route: unknown cluster 'nowhere'"


def test_a_directory_without_a_gateway_is_warned_of(tmp_path: Path, gatecast: Run) -> None:
    (tmp_path / "a.yaml").write_text("kind: Organisation\nid: foods\n")
    ran = gatecast("check", "-f", str(tmp_path))
    assert ran.code == 0
    _head, row, message, end = ran.out.splitlines()
    assert row.split() == ["warning", "GC215", "Gateway", "-", "-"]
    assert message == "    no gateway is in force: nothing is served (add a Gateway, or mend it)"
    assert end == "1 document in force, 0 errors, 1 warning"
