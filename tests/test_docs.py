"""The pages under docs/ and the README say what the code does: examples, tables, commands and links."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import exposed
import pytest
from pydantic import BaseModel

from gatecast import api
from gatecast.cli import COMMANDS, cli
from gatecast.config import Settings
from gatecast.exits import Exit
from gatecast.plane import Plane
from gatecast.states import State
from gatecast.telemetry import Telemetry
from tenants import documents, observed, paths, policies, tls, tokens
from tenants.catalog import Catalog, Changes
from tenants.codes import CODES
from tenants.effective import provenance, view
from tenants.keysets.fetcher import Fetcher
from tenants.policies import POLICIES
from tenants.reading import read
from tenants.values import duration_text
from xds.hub import Hub
from xds.kinds import KINDS
from xds.metrics import Metrics
from xds.translate.errors import CODES as ERRORS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in (ROOT / "README.md", *DOCS.rglob("*.md")) if path.exists())
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "": 1}

BASE = """
kind: Gateway
id: edge
listeners: [{name: public, port: 8080}]
allow_local_endpoints: true
---
{kind: Service, id: orders, endpoints: ["10.0.0.1:80"]}
---
{kind: Service, id: orders-next, endpoints: ["10.0.0.2:80"]}
---
{kind: Service, id: orders-acme, endpoints: ["10.0.0.3:80"]}
---
{kind: Service, id: payments, endpoints: ["10.0.0.4:80"]}
---
{kind: Service, id: opa, protocol: grpc, endpoints: ["10.0.0.5:80"]}
---
{kind: Route, id: orders, match: {prefix: /api/orders}, service: orders}
---
{kind: Organisation, id: foods}
"""
"""What examples may refer to; an example of the same name takes its place."""

MODELS: Mapping[str, type[BaseModel]] = {
    "Gateway": documents.Gateway,
    "Gateway.listeners[]": documents.Listener,
    "Gateway.listeners[].tls": tls.ListenerTls,
    "Gateway.access_log": observed.AccessLog,
    "Gateway.tracing": observed.Tracing,
    "Gateway.rate_limit_service": documents.RateLimitService,
    "Gateway.tenant": documents.TenantSelector,
    "Service": documents.Service,
    "Service.endpoints[]": documents.Endpoint,
    "Service.health_check": documents.HealthCheck,
    "Service.tls": tls.Tls,
    "Certificate": documents.Certificate,
    "Certificate.key": tls.Place,
    "Route": documents.Route,
    "Route.match": paths.Match,
    "Route.match.headers": paths.HeaderMatch,
    "Route.split[]": paths.Share,
    "Route.rewrite": paths.Rewrite,
    "Organisation": documents.Organisation,
    "Tenant": documents.Tenant,
    "Tenant.routes": documents.Override,
    "rate_limit": policies.RateLimit,
    "jwt": tokens.Jwt,
    "jwt.jwks": tokens.Jwks,
    "cors": policies.Cors,
    "required_headers[]": policies.RequiredHeader,
    "correlation_id": policies.CorrelationId,
    "headers": policies.Headers,
    "headers.request": policies.HeaderChanges,
    "timeout": policies.Timeout,
    "retry": policies.Retry,
    "circuit_breaker": policies.CircuitBreaker,
    "outlier": policies.Outlier,
    "access": policies.Access,
    "body_limit": policies.BodyLimit,
    "authz": policies.Authz,
    "maintenance": policies.Maintenance,
}
"""By the head of the table of its fields."""


def table(page: str, head: str) -> list[list[str]]:
    """The rows below the one table whose first column is called so; cells without backticks."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", (DOCS / page).read_text() + "\n", re.M):
        cells = [line.strip("|").split("|") for line in block.splitlines()]
        rows = [[cell.strip().replace("`", "") for cell in row] for row in cells]
        found += [rows[2:]] if rows[0][0] == head else []
    assert len(found) == 1, f"{page} has {len(found)} tables headed {head!r}"
    return found[0]


def pairs(page: str, head: str, first: int = 0, second: int = 1) -> list[tuple[str, str]]:
    """Two columns of a table."""
    return [(row[first], row[second]) for row in table(page, head)]


def examples() -> Iterator[Any]:
    for page in PAGES:
        for number, (language, text) in enumerate(FENCE.findall(page.read_text())):
            if language == "yaml" and text.startswith("kind:"):
                yield pytest.param(text, id=f"{page.name}-{number}")


@pytest.mark.parametrize("text", list(examples()))
def test_an_example_of_settings_has_no_problem(text: str) -> None:
    reading = read(text, "example.yaml")
    assert not reading.problems, reading.problems
    given = {one.key for one in reading.documents}
    base = tuple(one for one in read(BASE, "base.yaml").documents if one.key not in given)
    catalog = Catalog.empty().apply(Changes(put=(*base, *reading.documents))).catalog
    assert not [str(problem) for problem in catalog.problems if problem.severity == "error"]


def test_every_model_of_the_settings_has_its_table() -> None:
    modules = (documents, paths, policies, tls, tokens)
    made = {one for module in modules for one in vars(module).values() if isinstance(one, type)}
    models = {one for one in made if issubclass(one, policies.Strict)}
    assert models - {policies.Strict, policies.Policies, documents.Document} == set(MODELS.values())
    headings = re.findall(r"^### (\w+)$", (DOCS / "settings.md").read_text(), re.M)
    assert set(POLICIES) | set(documents.KINDS) == set(headings)


@pytest.mark.parametrize("name", MODELS)
def test_a_table_has_every_field_with_its_default(name: str) -> None:
    shown = {row[0]: row[2] for row in table("settings.md", name)}
    fields = {field.alias or key: field for key, field in MODELS[name].model_fields.items()}
    assert list(shown) == list(fields)
    for key, field in fields.items():
        value = field.get_default(call_default_factory=True)
        if field.is_required() or not isinstance(value, BaseModel):
            assert shown[key] == ("required" if field.is_required() else written(value)), key


def written(value: Any) -> str:
    """A default as the pages write it."""
    if value is None or (not isinstance(value, int | str | timedelta) and not value):
        return "none"
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_code_has_its_meaning() -> None:
    assert dict(pairs("settings.md", "code")) == {code: text.replace("`", "") for code, text in CODES.items()}


def test_no_code_is_used_that_the_table_does_not_have() -> None:
    sources = [path.read_text() for room in ("tenants", "xds", "gatecast") for path in (ROOT / room).rglob("*.py")]
    assert {code for text in sources for code in re.findall(r"\bGC\d{3}\b", text)} == CODES.keys()


def test_every_error_of_the_gateway_has_its_meaning() -> None:
    assert dict(pairs("settings.md", "error code", 0, 2)) == dict(ERRORS)


def test_the_merge_of_the_example_is_what_it_comes_to() -> None:
    page = (DOCS / "settings.md").read_text()
    text = next(text for _, text in FENCE.findall(page[page.index("## Merge") :]))
    orders = read(BASE, "base.yaml").documents[1]
    catalog = Catalog.empty().apply(Changes(put=(orders, *read(text, "example.yaml").documents))).catalog
    found = provenance(catalog, "edge", "acme", "orders")
    assert pairs("settings.md", "effective field", 0, 2) == [(field, str(key)) for field, key in found.items()]
    seen = view(catalog, catalog.gateways["edge"], catalog.tenants["acme"])
    merged = seen.routes[0].policies.model_dump(mode="json")
    for path, value in pairs("settings.md", "effective field"):
        policy, field = path.split(".")
        said = merged[policy][field]
        assert value == (", ".join(said) if isinstance(said, list) else str(said)), path


def plane(telemetry: Telemetry) -> tuple[Plane, Metrics]:
    """What a server process assembles."""
    metrics = Metrics(telemetry.registry)
    made = Plane(Hub(metrics, wall=lambda: 0.0))
    telemetry.watch(made, Fetcher(made.keyed))
    return made, metrics


def test_every_metric_is_there_with_its_type_and_labels_and_no_other() -> None:
    rows = {row[0]: (row[1], frozenset(filter(None, row[2].split(", ")))) for row in table("operations.md", "metric")}
    assert rows == {name: one for name, one in exposed.families().items() if name.startswith("gatecast_")}


def test_every_setting_of_the_process_is_there_with_its_flag_and_default() -> None:
    flags = {option.name: option.opts for option in command("serve").params}
    rows = table("operations.md", "setting")
    assert [row[0] for row in rows] == list(Settings.model_fields)
    for name, flag, variable, default, _ in rows:
        field = Settings.model_fields[name]
        assert (flag.split(", "), variable) == (flags.get(name, [""]), f"GATECAST_{name.upper()}")
        assert default == ("required" if field.is_required() else written(field.default)), name


def test_every_path_of_the_api_is_there() -> None:
    shown = [path for row in table("operations.md", "path") for path in row[0].split(", ")]
    assert sorted(shown) == sorted(json.loads(api.description())["paths"])


def test_exit_codes_states_and_types_are_those_of_the_code() -> None:
    assert pairs("operations.md", "exit code") == [(str(one.value), one.name) for one in Exit]
    assert [state for state, _ in pairs("operations.md", "state")] == list(State)
    shown = [tuple(row) for row in table("protocol.md", "kind")]
    words = {True: "yes", False: "no"}
    assert shown == [
        (one.name, one.message, one.service, words[one.complete], words[one.legacy_wildcard]) for one in KINDS.values()
    ]


def test_every_limit_has_the_value_of_its_constant() -> None:
    for what, value, where in table("operations.md", "limit"):
        number, _, unit = value.replace(",", "").partition(" ")
        module, _, name = where.rpartition(".")
        assert float(number) * UNITS[unit] == getattr(import_module(module), name), what


def command(*names: str) -> click.Command:
    """A command by its name, or one inside it as far as the words name one."""
    found: click.Command = cli
    for name in names:
        inner = found.get_command(click.Context(found), name) if isinstance(found, click.Group) else None
        if inner is None:
            break
        found = inner
    assert found is not cli
    return found


def calls() -> Iterator[Any]:
    """Every `gatecast ...` in a span or on a line of code."""
    for page in PAGES:
        text = page.read_text()
        spans = re.findall(r"`gatecast ([^`]+)`", FENCE.sub("", text)) + re.findall(
            r"^(?: {4}|\$ ?)gatecast (.+)$", text, re.M
        )
        fenced = "\n".join(code for language, code in FENCE.findall(text) if language not in ("yaml", "json"))
        spans += re.findall(r"^(?:\$ )?gatecast (.+)$", fenced, re.M)
        yield from (pytest.param(page.name, span, id=f"{page.name}-{span}") for span in dict.fromkeys(spans))


@pytest.mark.parametrize(("page", "call"), list(calls()))
def test_a_command_that_is_named_exists_with_its_options(page: str, call: str) -> None:
    name, *words = call.split(">")[0].split("#")[0].split()
    if name in ("COMMAND", "--help"):
        return
    assert name in COMMANDS, f"{page}: gatecast {call}"
    known = {text for one in command(name, *words).params for text in one.opts} | {"--help", "-h"}
    asked = {word.split("=")[0] for word in words if word.startswith("-")}
    assert asked <= known, f"{page}: gatecast {call}"


def test_every_command_is_described_and_has_the_options_said_of_it() -> None:
    rows = {tuple(row[0].split()[1:]): row[1] for row in table("cli.md", "command")}
    assert {words[0] for words in rows} == COMMANDS.keys()
    groups = [(name, one) for name in COMMANDS if isinstance(one := command(name), click.Group)]
    verbs = {(name, verb) for name, one in groups for verb in one.list_commands(click.Context(one))}
    assert verbs <= {words[:2] for words in rows}
    for words, text in rows.items():
        known = {word for one in command(*words).params for word in one.opts}
        assert set(re.findall(r"--[\w-]+", text)) <= known, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        aim = (page.parent / file).resolve() if file else page
        assert aim.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(aim), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The anchors a forge makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
