"""docs/openapi.json is what the server says, and the server does what it says: schemathesis finds nothing."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from operators import operator
from schemathesis.checks import CHECKS

from gatecast import api, faults
from gatecast.addresses import Address
from gatecast.web import serving

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
MAKERS, HEALTH = ("access", "answers", "api", "faults"), Path("gatecast/http/health.py")
EXAMPLES = 12  # of each operation


def test_the_description_that_is_checked_in_is_that_of_the_server() -> None:
    assert DOCUMENT.read_text() == api.description(), "run: make openapi"


def test_every_operation_has_a_name_and_a_text_and_its_errors() -> None:
    found = json.loads(DOCUMENT.read_text())
    assert found["openapi"].startswith("3.1")
    for path, operations in found["paths"].items():
        for method, one in operations.items():
            assert one["description"], f"{method} {path}"
            if path.startswith("/api/"):
                assert {"401", "403", "422"} <= one["responses"].keys(), f"{method} {path}"


def test_the_page_has_every_code_and_no_other() -> None:
    page = (DOCUMENT.parent / "api.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| \d{3} \|", page, re.M)
    shown = [code for row in rows for code in re.findall(r"`(\w+)`", row)]
    rooms = [*(ROOT / "gatecast" / "http").glob("*.py"), *(ROOT / "gatecast" / f"{name}.py" for name in MAKERS)]
    said = {code for room in rooms for code in re.findall(r"\b[45]\d\d, \"(\w+)\"", room.read_text())}
    said |= set(re.findall(r"return answers.failure\(503, .*\"(\w+)\"\)", (ROOT / HEALTH).read_text()))
    said |= {"unauthenticated", "wrong_host", *faults.CODES.values()}
    assert sorted(shown) == sorted(said)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own thread, with documents."""
    folder, started, stop = tmp_path_factory.mktemp("fuzz"), threading.Event(), asyncio.Event()
    where: list[Any] = []

    async def serve() -> None:
        async with operator(folder) as here, serving(here.app, Address("127.0.0.1", 0)) as port:
            here.plane.hub.draining = True  # the stream of events ends at once
            where.extend((port, asyncio.get_running_loop()))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{where[0]}"
    where[1].call_soon_threadsafe(stop.set)
    thread.join(30)


def unguarded() -> dict[str, Any]:
    """The description of a server that asks nobody who he is; `test_access` walks every route of one that does."""
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    del found["security"], found["components"]["securitySchemes"]
    found["paths"] = {path: one for path, one in found["paths"].items() if path.startswith("/api/")}
    return found


SCHEMA = schemathesis.openapi.from_dict(unguarded())
LEFT_OUT = frozenset(
    {
        "positive_data_acceptance",  # a document or condition of the right shape may be refused by what it says
        "missing_required_header",
        "use_after_free", "ensure_resource_availability",  # ids are made up
    }
)  # fmt: skip


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip
def test_no_request_that_can_be_made_up_is_answered_otherwise_than_described(case: schemathesis.Case, url: str) -> None:
    response = case.call(base_url=url)
    case.validate_response(response, excluded_checks=[one for name in CHECKS.get_all_names() if name in LEFT_OUT
                                                      for one in CHECKS.get_by_names([name])])  # fmt: skip
    assert response.status_code < 500 or response.status_code == 503, response.text


def test_an_empty_description_would_be_noticed() -> None:
    assert len(list(SCHEMA.get_all_operations())) > 30
