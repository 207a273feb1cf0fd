"""Logs and metrics of the process."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from adsservers import GATEWAY, snapshot
from catalogs import BASE, changes
from prometheus_client import CollectorRegistry

from gatecast.feeds import Feed
from gatecast.outcomes import SourceState
from gatecast.plane import Plane
from gatecast.serve import SHOWN, told
from gatecast.states import State
from gatecast.telemetry import Clients, Telemetry, set_up_logs
from tenants.errors import Problem, Unavailable
from tenants.keysets.fetcher import Fetcher
from tenants.sources.folder import Folder
from xds.hub import Hub
from xds.metrics import Metrics
from xds.stream import Adjust, Ask
from xds.wire import Node


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    kept, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**kept)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_logs_are_json_where_there_is_no_terminal_also_those_of_libraries() -> None:
    stream = io.StringIO()
    set_up_logs("auto", "info", stream)
    structlog.get_logger("a").info("stream opened", node="n\n1", kind="RDS")
    structlog.get_logger("a").debug("not this one")
    logging.getLogger("uvicorn.error").error("no %s", "way")
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["node"], ours["level"], ours["kind"]) == ("stream opened", "n\n1", "info", "RDS")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("no way", "uvicorn.error", "error")


def test_on_a_console_what_a_proxy_says_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    set_up_logs("console", "info", stream)
    structlog.get_logger("a").warning("rejected", error="bad\x1b[2J\nnews")
    assert r"bad\x1b[2J\nnews" in stream.getvalue()


def test_the_numbers_of_the_plane_are_shown_and_no_label_is_a_tenant() -> None:
    telemetry = Telemetry()
    plane = Plane(Hub(Metrics(telemetry.registry), wall=lambda: 0.0))
    telemetry.watch(plane, Fetcher(plane.keyed))
    bad = "".join(f"kind: Tenant\nid: t{number}\norganisation: nix\n---\n" for number in range(3))
    plane.catalog = plane.catalog.apply(changes(BASE)).catalog.apply(changes(bad, "b.yaml")).catalog
    value = telemetry.registry.get_sample_value
    assert value("gatecast_problems", {"code": "GC201", "kind": "Tenant", "severity": "error"}) == 3
    assert value("gatecast_tenants_with_problems") == 3
    assert value("gatecast_revision") == 2
    assert value("gatecast_ready") == 0
    assert value("gatecast_documents", {"kind": "Service"}) == 2
    assert value("process_cpu_seconds_total") is not None
    assert value("gatecast_loop_lag_seconds_count") == 0
    samples = [sample for family in telemetry.registry.collect() for sample in family.samples]
    assert not [sample for sample in samples if "t1" in sample.labels.values()]


async def test_every_gateway_tells_how_its_clients_stand_also_when_there_are_none() -> None:
    registry = CollectorRegistry()
    hub, now = Hub(Metrics(registry), wall=lambda: 0.0), [5.0]
    registry.register(Clients(hub, clock=lambda: now[0]))
    await hub.publish({GATEWAY: snapshot(CDS={"a": b"1"})})

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"gatecast_xds_{name}", {"gateway": GATEWAY, **labels})

    assert [value("clients", state=state) for state in State] == [0.0] * len(State)
    assert value("oldest_pending_seconds", kind="CDS") == 0.0
    client = hub.join(Node("envoy-1", GATEWAY), "", "delta", delta=True, kinds=("CDS",))
    client.machine.receive(Ask("CDS", Adjust(("*",))), now[0])
    list(client.machine.answers(now[0]))
    now[0] = 45.0
    assert (value("clients", state="STALE"), value("clients", state="SYNCED")) == (1.0, 0.0)
    assert value("oldest_pending_seconds", kind="CDS") == 40.0


def problem(number: int) -> Problem:
    return Problem("GC104", "Tenant", f"t{number}", "", "wrong", tenant=f"t{number}")


def test_a_problem_is_logged_once_and_many_are_counted() -> None:
    many = tuple(problem(number) for number in range(SHOWN + 7))
    lines = list(told(many, frozenset()))
    assert [event for _, event, _ in lines] == ["problem"] * SHOWN + ["more problems"]
    assert lines[-1][2]["count"] == 7
    assert list(told(many, frozenset(many))) == []
    assert list(told((), frozenset(many))) == [(20, "problems solved", {"count": SHOWN + 7, "left": 0})]


async def test_the_store_and_the_sources_tell_how_they_do() -> None:
    telemetry, trouble = Telemetry(), ["it does not answer"]
    states = SourceState("settings", "file", 5.0), SourceState("registry", "registry", None, "404")
    telemetry.follow(lambda: trouble[0], lambda: states, lambda: {"edge": 3})
    value = telemetry.registry.get_sample_value
    assert value("gatecast_store_up") == 0
    trouble[0] = ""
    assert value("gatecast_store_up") == 1
    assert value("gatecast_revision_lag", {"gateway": "edge"}) == 3
    names = [{"source": one.name} for one in states]
    assert [value("gatecast_source_up", one) for one in names] == [1, 0]
    assert [value("gatecast_source_success_timestamp_seconds", one) for one in names] == [5.0, None]


async def test_what_sources_say_is_counted_and_timed() -> None:
    telemetry, came = Telemetry(), iter((None, Unavailable("away")))

    async def reconcile(_feed: Feed) -> None:
        if error := next(came):
            raise error

    timed = telemetry.syncs.timed(reconcile)
    feed = Feed(Folder(Path("settings")), timed, lambda _family: ())
    await timed(feed)
    with pytest.raises(Unavailable):
        await timed(feed)
    value, name = telemetry.registry.get_sample_value, feed.source.name
    tries = [value("gatecast_syncs_total", {"source": name, "outcome": one}) for one in ("done", "failed")]
    assert (tries, value("gatecast_sync_seconds_count", {"source": name})) == ([1, 1], 2)
