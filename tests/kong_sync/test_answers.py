"""What answers of a Kong mean, without a Kong."""

import json
from typing import Any

import pytest

from kong_sync.answers import About, Busy, Conflict, KongRefused, LostPlace, Missing, about, doubts, failure
from kong_sync.entities import KINDS, Kind, label
from tenants.errors import Refused, Unavailable

ROUTE = {"id": "i", "name": "r", "tags": ["gatecast", "tenant:acme"]}


def said(status: int, body: Any, entity: Any = ROUTE, kind: str = "routes", again: str = "") -> Refused | Unavailable:
    text = body if isinstance(body, str) else json.dumps(body)
    return failure("PUT /routes/i", KINDS[kind], entity, status, again, text)


@pytest.mark.parametrize(
    ("status", "made"),
    [
        (400, KongRefused),
        (401, KongRefused),
        (404, Missing),
        (405, KongRefused),
        (409, Conflict),
        (413, KongRefused),
        (429, Busy),
        (500, Busy),
        (503, Busy),
    ],
)
def test_a_status_is_an_error_of_one_type(status: int, made: type[Exception]) -> None:
    assert type(said(status, {"message": "why"})) is made


def test_a_lost_place_is_a_type_of_its_own() -> None:
    assert type(said(400, {"code": 7, "message": "'x' is not a valid offset"})) is LostPlace


@pytest.mark.parametrize(("again", "after"), [("7", 7.0), ("1.5", 1.5), ("", 0.0), ("Fri, 20 Nov 2026", 0.0)])
def test_how_long_to_wait_is_read_from_the_answer(again: str, after: float) -> None:
    error = said(429, {"message": "busy"}, again=again)
    assert isinstance(error, Busy)
    assert error.after == after


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<html>\n<head><title>502 Bad Gateway</title></head>", "502 Bad Gateway"),
        ("<b>nothing\nhere</b>", "nothing here"),
        ("", "(empty answer)"),
        ('["x"]', '["x"]'),
        ('{"message":"said"}', "said"),
    ],
)
def test_an_answer_that_kong_did_not_write_is_told_in_one_line(text: str, told: str) -> None:
    assert str(said(502, text)).endswith(f"502 {told}")


def test_each_field_is_a_problem_of_the_tenant() -> None:
    fields = {
        "paths": [None, "should start with: /"],
        "config": {"redis": {"host": "required field missing"}, "minute": "expected a number"},
        "@entity": ["must set one of 'methods'"],
    }
    error = said(400, {"code": 2, "message": "3 schema violations", "fields": fields})
    assert isinstance(error, KongRefused)
    assert {(one.path, one.message) for one in error.problems} == {
        ("paths.2", "should start with: /"),
        ("config.redis.host", "required field missing"),
        ("config.minute", "expected a number"),
        ("", "must set one of 'methods'"),
    }
    assert {(one.code, one.kind, one.id, one.tenant) for one in error.problems} == {("GC902", "routes", "r", "acme")}


def test_a_reference_to_nothing_is_told_in_kongs_words() -> None:
    words = "the foreign key '{id=\"x\"}' does not reference an existing 'services' entity."
    error = said(400, {"code": 4, "message": words, "fields": {"service": {"id": "x"}}})
    assert isinstance(error, KongRefused)
    assert error.problems[0].message == f"{words} (answer 400 to PUT /routes/i)"


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.secrets])
def test_no_secret_is_told(kind: Kind) -> None:
    entity = {field: f"hush {field}" for field in kind.secrets} | {"id": "i"}
    words = " ".join(f"invalid value '{value}'" for value in entity.values())
    for body in (
        {"code": 5, "message": words},
        {"code": 2, "message": words, "fields": {"key": words}},
    ):
        assert "hush" not in str(said(409 if body["code"] == 5 else 400, body, entity, kind.name))
    assert "hush" not in label(kind, entity)


ROOT = {
    "version": "3.9.1",
    "edition": "community",
    "plugins": {"available_on_server": {"jwt": {"version": "3.9.1"}, "acl": True}},
    "configuration": {
        "database": "postgres",
        "router_flavor": "traditional_compatible",
        "role": "traditional",
        "worker_state_update_frequency": 1,
        "db_update_frequency": 2,
    },
}


def with_(**config: Any) -> About:
    return about(ROOT | {"configuration": ROOT["configuration"] | config})  # type: ignore[operator]


def test_kong_is_read_with_how_long_a_change_takes() -> None:
    kong = about(ROOT)
    assert (kong.version, kong.dbless, kong.plugins) == ("3.9.1", False, frozenset({"jwt", "acl"}))
    assert (kong.wait, kong.wait_everywhere) == (1.5, 3.5)
    assert with_(database="off").wait_everywhere == 0.0
    assert about({"configuration": {}}).wait == 5.5


@pytest.mark.parametrize("body", [{}, {"status": "ok"}, {"configuration": None}, []])
def test_another_server_is_no_kong(body: Any) -> None:
    with pytest.raises(Refused, match="no Admin API of Kong"):
        about(body)


@pytest.mark.parametrize(
    ("version", "doubtful"),
    [("3.4.0", False), ("3.9.1", False), ("3.9.1.0-enterprise", False), ("3.3.9", True), ("3.10.0", True), ("", True)],
)
def test_a_version_that_we_are_not_tested_with_is_told(version: str, doubtful: bool) -> None:
    assert bool(doubts(about(ROOT | {"version": version}))) is doubtful


@pytest.mark.parametrize("config", [{"router_flavor": "expressions"}, {"role": "data_plane"}])
def test_a_kong_that_we_cannot_serve_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(Refused):
        doubts(with_(**config))


def test_a_kind_stands_behind_all_it_refers_to() -> None:
    seen: set[str] = set()
    for kind in KINDS.values():
        assert set(kind.foreign.values()) <= seen, kind.name
        assert kind.cascades <= set(kind.foreign)
        seen.add(kind.name)
