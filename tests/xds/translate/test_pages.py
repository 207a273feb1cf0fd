"""Answers that routes give themselves, as pages of other origins may read them."""

import pytest
import tables
from worlds import Json, document, tenant

from tenants.values import MAX_PROGRAM, compiled
from xds.translate.pages import PAGES

RULES = [{"name": "x-key", "pattern": "a+"}]


def origins(found: list[Json]) -> list[str]:
    """What each answering route says of the origin, "" if nothing."""
    said = [one["match"].get("headers", [{}])[0] for one in found if "direct_response" in one]
    return [one["string_match"]["safe_regex"]["regex"] if one.get("name") == "origin" else "" for one in said]


def test_each_answer_stands_behind_those_that_pages_may_read() -> None:
    cors = {"origins": ["https://a.example", "regex:https://.*[.]b", "https://c.example"]}
    documents = tables.small(policies={"cors": cors, "required_headers": RULES})
    exact, pattern = r"https://a\.example|https://c\.example", "https://.*[.]b"
    _wrong_tenant, *said = origins(tables.routes(documents))
    assert said == [exact, pattern, ""] * 3  # missing, malformed, no such path
    told = [PAGES in one.get("typed_per_filter_config", {}) for one in tables.routes(documents)[1:]]
    assert told == [False, *[True, True, False] * 2, False, True, True, False]  # a preflight, and the real route


def test_without_cors_there_is_one_of_each() -> None:
    documents = tables.small(policies={"required_headers": RULES})
    assert origins(tables.routes(documents)) == [""] * 4


@pytest.mark.parametrize("long", [1, 60, 1000])
def test_no_expression_is_larger_than_a_proxy_takes(long: int) -> None:
    listed = [f"https://{number}.{'a.é-' * (long // 4)}x" for number in range(200)]
    found = tables.routes(tables.small(policies={"cors": {"origins": listed}}))
    regexes = [one for one in origins(found) if one]
    assert sum(one.count("|") + 1 for one in regexes) == len(listed)
    assert max(compiled(one).programsize for one in regexes) <= MAX_PROGRAM


def test_an_origin_has_its_limit() -> None:
    with pytest.raises(AssertionError, match="GC121"):
        document(**tenant(policies={"cors": {"origins": [f"https://{'a' * 1024}"]}}))
