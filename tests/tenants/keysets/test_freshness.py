"""From headers to times, and from failures to times: pure, so every bound is tried."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.keysets.freshness import lifetime, refresh_in, retry_in
from tenants.keysets.limits import Limits

WALL = 1_795_172_400.0  # 2026-11-20 11:00:00 UTC
LIMITS = Limits()
DRAWN = st.floats(0.0, 1.0, exclude_max=True)

HEADERS = [
    ({}, None),
    ({"cache-control": "public"}, None),
    ({"cache-control": "public, max-age=600"}, 600),
    ({"cache-control": "MAX-AGE=600, must-revalidate"}, 600),
    ({"cache-control": 'max-age="600"'}, 600),
    ({"cache-control": "s-maxage=10, max-age=600"}, 600),
    ({"cache-control": "max-age=600", "age": "100"}, 500),
    ({"cache-control": "max-age=600", "age": "900"}, 0),
    ({"cache-control": "max-age=600", "age": "soon"}, 600),
    ({"cache-control": "max-age=600", "expires": "Fri, 20 Nov 2026 11:00:05 GMT"}, 600),
    ({"cache-control": "max-age=0"}, 0),
    ({"cache-control": "no-store"}, 0),
    ({"cache-control": "no-cache, max-age=600"}, 0),
    ({"cache-control": "max-age=soon"}, None),
    ({"cache-control": "max-age=" + "9" * 5000}, 9_999_999_999),
    ({"expires": "Fri, 20 Nov 2026 11:10:00 GMT"}, 600),
    ({"expires": "Fri, 20 Nov 2026 11:10:00 GMT", "date": "Fri, 20 Nov 2026 11:05:00 GMT"}, 300),
    ({"expires": "Fri, 20 Nov 2026 11:10:00 GMT", "date": "today"}, 600),
    ({"expires": "Fri, 20 Nov 2026 11:10:00 GMT", "age": "60"}, 540),
    ({"expires": "Fri, 20 Nov 2026 10:00:00 GMT"}, 0),
    ({"expires": "0"}, 0),
    ({"expires": "-1"}, 0),
]


@pytest.mark.parametrize(("headers", "seconds"), HEADERS, ids=[str(headers)[:80] for headers, _ in HEADERS])
def test_headers_say_how_long_an_answer_is_fresh(headers: dict[str, str], seconds: float | None) -> None:
    assert lifetime(headers, WALL) == seconds


@given(st.dictionaries(st.sampled_from(["cache-control", "expires", "date", "age"]), st.text(max_size=40)))
def test_no_header_does_harm(headers: dict[str, str]) -> None:
    found = lifetime(headers, WALL)
    assert found is None or found >= 0


@given(st.floats(LIMITS.floor * 2, LIMITS.ceiling), DRAWN)
def test_a_set_is_fetched_anew_before_it_expires(fresh_for: float, drawn: float) -> None:
    assert 0.75 * fresh_for <= refresh_in(fresh_for, LIMITS, lambda: drawn) < 0.91 * fresh_for


@given(st.none() | st.floats(0, 1e12), DRAWN)
def test_a_refresh_is_never_sooner_than_the_floor_nor_later_than_the_ceiling(
    fresh_for: float | None, drawn: float
) -> None:
    assert LIMITS.floor <= refresh_in(fresh_for, LIMITS, lambda: drawn) < LIMITS.ceiling


@pytest.mark.parametrize(("fresh_for", "first", "last"), [(None, 225, 270), (0, 60, 75), (86400, 2700, 3240)])
def test_the_times_of_many_sources_spread(fresh_for: float | None, first: float, last: float) -> None:
    assert refresh_in(fresh_for, LIMITS, lambda: 0.0) == pytest.approx(first)
    assert refresh_in(fresh_for, LIMITS, lambda: 1.0) == pytest.approx(last)


@given(st.integers(1, 1000), DRAWN)
def test_retries_grow_to_their_bound_and_half_of_each_is_drawn(failures: int, drawn: float) -> None:
    whole = min(LIMITS.last_retry, LIMITS.first_retry * 2 ** (failures - 1))
    assert whole / 2 <= retry_in(failures, LIMITS, lambda: drawn) <= whole


def test_limits_are_those_that_are_passed() -> None:
    limits = replace(LIMITS, floor=1.0, default=10.0, ceiling=20.0, first_retry=1.0, last_retry=4.0)
    assert refresh_in(None, limits, lambda: 0.0) == 7.5
    assert refresh_in(1e9, limits, lambda: 0.0) == 15
    assert [retry_in(number, limits, lambda: 1.0) for number in (1, 2, 3, 4)] == [1, 2, 4, 4]
    assert retry_in(10**9, limits, lambda: 1.0) == 4
