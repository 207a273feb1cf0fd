"""Rotation with overlap, the last good set, staleness: pure, on a clock of numbers."""

import json
from collections.abc import Sequence

import idps
from hypothesis import given, settings
from hypothesis import strategies as st

from tenants.keysets import holding
from tenants.keysets.holding import Holding, Moment
from tenants.keysets.keys import MAX_KEYS, Key, KeySet, key_set, parse
from tenants.keysets.limits import Limits

LIMITS = Limits()
PAIRS = [idps.key(f"k{number}", "ES256") for number in range(5)]
KEYS = [parse(json.dumps({"keys": [pair.public()]}).encode()).keys[0] for pair in PAIRS]


def of(*numbers: int) -> KeySet:
    return key_set(KEYS[number] for number in numbers)


def good(held: Holding, keys: KeySet, now: float, limits: Limits = LIMITS) -> Holding:
    return holding.renewed(held, keys, 600.0, Moment(now, now + 1e9), limits, lambda: 0.0)


def bad(held: Holding, now: float) -> Holding:
    return holding.failed(held, "it is down", now, LIMITS, lambda: 0.0)


def kids(held: Holding, now: float, limits: Limits = LIMITS) -> tuple[str, ...]:
    found = holding.state(held, now, limits).usable
    return found.kids if found else ()


def test_a_key_that_is_no_longer_listed_is_served_for_the_overlap_and_not_longer() -> None:
    held = good(good(Holding(), of(0, 1), 0.0), of(1, 2), 100.0)
    assert kids(held, 100.0) == kids(held, 3699.9) == ("k0", "k1", "k2")
    assert holding.lapse(held, 100.0, LIMITS) == 3700.0
    assert kids(held, 3700.0) == ("k1", "k2")


def test_the_overlap_counts_from_the_fetch_that_missed_the_key_not_from_later_ones() -> None:
    held = good(good(good(Holding(), of(0), 0.0), of(1), 100.0), of(1), 2000.0)
    assert kids(held, 3699.9) == ("k0", "k1")
    assert kids(held, 3700.0) == ("k1",)


def test_a_key_that_comes_back_is_listed_again_and_its_overlap_begins_anew() -> None:
    held = good(good(good(Holding(), of(0), 0.0), of(1), 100.0), of(0, 1), 200.0)
    assert held.old == ()
    held = good(held, of(1), 5000.0)
    assert kids(held, 8599.0) == ("k0", "k1")


def test_a_key_replaced_under_its_own_name_is_served_beside_the_new_one() -> None:
    """Tokens of both name the same `kid`; a proxy tries each."""
    other = Key(KEYS[0].kid, "EC", "ES256", KEYS[1].material)
    held = good(good(Holding(), of(0), 0.0), key_set([other]), 100.0)
    found = holding.state(held, 100.0, LIMITS).usable
    assert found is not None
    assert set(found.keys) == {KEYS[0], other}


def test_a_provider_that_says_more_about_a_key_has_not_replaced_it() -> None:
    terse = Key("k0", "EC", "", KEYS[0].material)
    held = good(good(Holding(), key_set([terse]), 0.0), of(0), 100.0)
    assert held.old == ()
    assert holding.state(held, 100.0, LIMITS).keys == of(0)


def test_without_overlap_a_key_goes_with_the_fetch_that_misses_it() -> None:
    limits = Limits(overlap=0.0)
    assert kids(good(good(Holding(), of(0), 0.0, limits), of(1), 100.0, limits), 100.0, limits) == ("k1",)


def test_a_provider_that_changes_all_keys_all_the_time_makes_us_keep_no_more_than_a_set() -> None:
    held = Holding()
    for number in range(3 * MAX_KEYS):
        held = good(held, key_set([Key(f"n{number}", "EC", "", KEYS[0].material)]), float(number))
    assert len(held.old) == MAX_KEYS
    newest = {f"n{number}" for number in range(2 * MAX_KEYS - 1, 3 * MAX_KEYS)}
    assert set(kids(held, 3.0 * MAX_KEYS)) == newest


def test_the_last_good_set_serves_while_the_provider_is_down_until_it_is_stale() -> None:
    held = bad(good(Holding(), of(0), 50.0), 500.0)
    state = holding.state(held, 86449.0, LIMITS)
    assert (state.usable, state.problem, state.fetched, state.stale) == (of(0), "it is down", 1e9 + 50, False)
    assert holding.lapse(held, 500.0, LIMITS) == 86450.0
    state = holding.state(held, 86450.0, LIMITS)
    assert (state.usable, state.keys, state.stale) == (None, of(0), True)
    assert holding.lapse(held, 86450.0, LIMITS) is None


def test_a_good_fetch_ends_staleness_the_problem_and_the_waiting() -> None:
    held = good(bad(bad(good(Holding(), of(0), 0.0), 450.0), 451.0), of(0), 90_000.0)
    assert holding.state(held, 90_000.0, LIMITS) == holding.State(of(0), "", 1e9 + 90_000)
    assert (held.failures, held.due) == (0, 90_450.0)


def test_failures_wait_longer_and_longer_and_without_keys_there_is_only_a_problem() -> None:
    first = bad(Holding(), 0.0)
    second = bad(first, first.due)
    assert (first.due, second.due) == (1.0, 3.0)
    assert holding.state(second, 1e9, LIMITS) == holding.State(problem="it is down")
    assert holding.lapse(second, 0.0, LIMITS) is None


ROTATIONS = st.lists(
    st.tuples(st.floats(1, 4000), st.none() | st.sets(st.integers(0, 4), min_size=1).map(sorted)), max_size=12
)


@settings(deadline=None)
@given(ROTATIONS)
def test_no_key_is_refused_within_the_overlap_and_none_is_served_after_it(
    story: Sequence[tuple[float, Sequence[int] | None]],
) -> None:
    """The model: when was each key last known to be listed. None is a failed fetch."""
    held, now, missed, listed = Holding(), 0.0, dict[int, float](), frozenset[int]()
    for passed, answer in story:
        now += passed
        if answer is None:
            held = bad(held, now)
        else:
            missed |= dict.fromkeys(listed - set(answer), now)
            listed = frozenset(answer)
            held = good(held, of(*answer), now)
        expected = listed | {one for one, at in missed.items() if now < at + LIMITS.overlap}
        state = holding.state(held, now, LIMITS)
        assert state.keys == (of(*expected) if expected else None)
        lapse = holding.lapse(held, now, LIMITS)
        assert lapse is None or not holding.state(held, lapse, LIMITS).like(state)
