"""Access log and counters of tenants as a listener says them, and the marks in a table that they read."""

import re

import pytest
import tables
from worlds import Json, World, document, gateway, route, service, tenant, world

from xds import messages, translate
from xds.translate import marks
from xds.translate.access_logs import FIELDS
from xds.translate.errors import CODES
from xds.translate.replies import REPLIES
from xds.translate.tenant_stats import DEEP, ERROR, MOST, chosen


def loggers(**fields: object) -> list[Json]:
    (built,) = translate.listeners(document(**gateway(**fields)))
    manager = messages.to_dict(built.message)["filter_chains"][0]["filters"][0]["typed_config"]
    return [one["typed_config"] | {"filter": one.get("filter")} for one in manager.get("access_log", [])]


def table(one: World, name: str = "acme") -> object:
    return next(built.message for built in translate.tenant(one.view(name))[0] if built.kind == "RDS")


def revision(one: World, name: str = "acme") -> str:
    return marks.revision(table(one, name))


def test_by_default_lines_go_to_stdout_and_tenants_are_counted() -> None:
    lines, requests, rejections = loggers()
    assert lines["@type"].endswith("StdoutAccessLog")
    assert lines["log_format"]["json_format"] == {"gateway": "edge", **FIELDS}
    assert [one["counters"][0]["stat"]["name"] for one in (requests, rejections)] == ["requests", "rejections"]
    assert (requests["filter"], bool(rejections["filter"])) == (None, True)


def test_a_file_and_the_query_are_there_when_they_are_asked_for() -> None:
    lines = loggers(access_log={"path": "/var/log/access.log", "query": True})[0]
    assert lines["path"] == "/var/log/access.log"
    assert "WQ" in lines["log_format"]["json_format"]["path"]


def test_nothing_is_told_where_nothing_is_wanted() -> None:
    assert loggers(access_log=None, tenant_stats=False) == []


def test_no_field_but_those_of_the_request_itself_is_taken_from_a_header() -> None:
    named = {name for name, value in FIELDS.items() if "REQ(" in value or "RESP(" in value}
    assert named == {"request_id", "host", "method", "user_agent"}


def test_counters_are_bounded_and_forgotten() -> None:
    for one in loggers()[1:]:
        assert one["stats_scope"]["max_counters"] == MOST
        assert one["stats_scope"]["enable_eviction"] is True
        tags = [tag["name"] for tag in one["counters"][0]["stat"]["tags"]]
        assert tags[0] == "gatecast_tenant"
        assert len(tags) == 2


def test_every_reason_is_an_error_code_and_every_answer_of_envoys_has_one() -> None:
    said = set(re.findall(r"\? '(\w+)'", ERROR)) | {"error"}
    assert said == {row.code for row in REPLIES} | {"error"}
    assert said <= set(CODES)


@pytest.mark.parametrize("count", [1, DEEP, DEEP + 1, 5 * DEEP])
def test_a_long_choice_stays_shallow(count: int) -> None:
    found = chosen(tuple((f"v{i}", f"c{i}") for i in range(count)), "none")
    assert all(f"(c{i}) ? 'v{i}'" in found for i in range(count))
    assert found.endswith("'none'")
    assert max(part.count("?") for part in found.split("(c0) ? ")) <= 2 * count


def test_a_revision_says_all_of_a_table_and_nothing_else() -> None:
    base = [gateway(), service(), route()]
    one = world([*base, tenant(), tenant("beta")])
    assert re.fullmatch(f"[0-9a-f]{{{marks.DIGITS}}}", revision(one))
    assert revision(one) == revision(world([*base, tenant(), tenant("beta", policies={"timeout": {"request": "1s"}})]))
    changed = [
        [*base, tenant(policies={"timeout": {"request": "1s"}})],
        [*base, tenant(status="suspended")],
        [*base, route("more"), tenant()],
        [gateway(policies={"rate_limit": {"requests": 1, "per": "day"}}), service(), route(), tenant()],
    ]
    assert revision(one) not in {revision(world(documents)) for documents in changed}
    assert revision(one) != revision(one, "beta")


def test_what_is_only_for_the_log_changes_no_table() -> None:
    quiet = gateway(access_log=None, tenant_stats=False)
    assert revision(world([gateway(), service(), route(), tenant()])) == revision(
        world([quiet, service(), route(), tenant()])
    )


def test_a_route_that_answers_says_its_error() -> None:
    one = world([gateway(), service(), route(policies={"maintenance": {}}), tenant()])
    routes = tables.host(one)["routes"]
    found = {entry["name"]: entry["metadata"]["filter_metadata"]["gatecast"]["error"] for entry in routes}
    assert found == {"bad-tenant-header": "bad_tenant_header", "orders": "maintenance", "not-found": "not_found"}
