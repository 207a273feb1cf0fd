"""The rules and the dashboard under deploy/ speak of what is exposed, and the rules fire as their own tests say.

Names, labels and values are always checked. Whether Prometheus agrees, its `promtool` says where there is one: in the
PATH or at bench/bin/promtool (docs/operations.md says where it comes from).
"""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exposed
import promql
import pytest
import yaml
from prometheus_client import generate_latest

from gatecast.states import State

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
TESTS = RULES.with_name("alerts_test.yaml")
CONFIG = RULES.with_name("prometheus.yaml")
BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "gatecast.json").read_text())
ALERTS: list[dict[str, Any]] = [one for group in yaml.safe_load(RULES.read_text())["groups"] for one in group["rules"]]
PANELS = [one for one in BOARD["panels"] if one["type"] != "row"]

TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus gives to everything it scrapes."""

VALUES = {
    ("gatecast_xds_clients", "state"): set(State),
    ("gatecast_key_sources", "state"): {"fresh", "kept", "missing"},
    ("gatecast_problems", "severity"): {"error", "warning"},
    ("gatecast_notifications_total", "outcome"): {"sent", "failed"},
    ("gatecast_syncs_total", "outcome"): {"done", "failed"},
    ("gatecast_notifications_total", "sink"): {"webhook", "mail"},
}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool") or shutil.which("promtool", path=str(ROOT / "bench" / "bin"))
    if found is None:
        pytest.skip("promtool is not there: install Debian's `prometheus`, or put it at bench/bin/promtool")
    return found


def run(*command: str | Path, data: bytes = b"") -> None:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def expressions() -> Iterator[Any]:
    """Every expression with the text that shows its labels, `{{kind}}` or `$labels.kind`."""
    for alert in ALERTS:
        yield pytest.param(alert["expr"], str(alert["annotations"]), id=alert["alert"])
    for panel in PANELS:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], target["legendFormat"], id=f"{panel['title']}-{target['refId']}")


@pytest.mark.parametrize(("expression", "shown"), list(expressions()))
def test_an_expression_names_what_is_exposed(expression: str, shown: str) -> None:
    known = {"up": frozenset[str](), **exposed.samples()}
    found = promql.read(expression)
    labels = set(TARGET)
    assert found.series
    for one in found.series:
        assert one.name in known, f"no such metric: {one.name}"
        assert one.values.keys() <= known[one.name] | TARGET, f"{one.name} has no such label"
        for label, values in one.values.items():
            assert values <= VALUES.get((one.name, label), values), f"{one.name}: no such {label}"
        labels |= known[one.name]
    assert found.groups <= labels
    told = set(re.findall(r"\$labels\.(\w+)", shown) or re.findall(r"\{\{\s*(\w+)\s*\}\}", shown))
    assert told <= (found.groups if found.aggregates else labels), "shows a label that is not left"


def test_the_reader_of_expressions_finds_what_is_wrong() -> None:
    found = promql.read('sum by (le) (rate(a_bucket{x=~"1|2", y!="3"}[5m])) / 0.5 > b offset 15m and nonsense(c)')
    assert [one.name for one in found.series] == ["a_bucket", "b", "nonsense", "c"]
    assert found.series[0].values == {"x": {"1", "2"}, "y": {"3"}}
    assert (found.groups, found.aggregates) == ({"le"}, True)


def test_the_variables_of_the_dashboard_come_from_what_is_exposed() -> None:
    known = exposed.samples()
    variables = {one["name"]: one for one in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) - {"__rate_interval"}
    assert used == set(variables)
    for name in used - {"datasource"}:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables[name]["query"]["query"])
        assert found, name
        assert found[2] in known[found[1]] | TARGET


def test_panels_have_each_a_number_a_title_and_a_place_of_their_own() -> None:
    assert len({one["id"] for one in BOARD["panels"]}) == len(BOARD["panels"])
    assert len({one["title"] for one in BOARD["panels"]}) == len(BOARD["panels"])
    places = Counter(
        (x, y)
        for at in (one["gridPos"] for one in BOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    )
    assert set(places.values()) == {1}, "panels lie on each other"
    assert max(x for x, _ in places) < 24


def test_every_alert_says_how_bad_it_is_and_where_help_is() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", page, re.M)}
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"].keys() == {"summary", "description", "runbook"}
        file, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert (file, anchor in anchors) == ("docs/operations.md", True), alert["alert"]


def test_the_page_lists_every_alert() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    shown = re.findall(r"^\| `(Gatecast\w+)` \| (\w+) \|", page, re.M)
    assert shown == [(alert["alert"], alert["labels"]["severity"]) for alert in ALERTS]


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires, rests = set(), set()
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        for one in case["alert_rule_test"]:
            (fires if one.get("exp_alerts") else rests).add(one["alertname"])
    assert fires == rests == {alert["alert"] for alert in ALERTS}


def test_the_job_is_called_as_the_expressions_say() -> None:
    jobs = {one["job_name"] for one in yaml.safe_load(CONFIG.read_text())["scrape_configs"]}
    texts = [alert["expr"] for alert in ALERTS] + [target["expr"] for one in PANELS for target in one["targets"]]
    assert {job for text in texts for job in re.findall(r'job="([^"]+)"', text)} == jobs


def test_prometheus_reads_the_rules_and_they_fire_as_they_should(promtool: str) -> None:
    run(promtool, "check", "config", CONFIG)
    run(promtool, "check", "rules", "--lint-fatal", RULES)
    run(promtool, "test", "rules", TESTS)


def test_prometheus_reads_every_expression_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    texts = [target["expr"].replace("$__rate_interval", "1m") for one in PANELS for target in one["targets"]]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(texts)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run(promtool, "check", "rules", file)


def test_prometheus_has_nothing_to_say_against_our_metrics(promtool: str) -> None:
    text = generate_latest(exposed.registry()).decode()
    ours = [line for line in text.splitlines() if re.match(r"(# \w+ )?gatecast_", line)]
    run(promtool, "check", "metrics", data="\n".join([*ours, ""]).encode())
