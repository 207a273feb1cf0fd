"""What answers of a registry come to. Retiring needs several of them over some time, and never happens in a mass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.catalog import Changes
from tenants.sources.listing import Caution, Listing, heard, remembered, same
from tenants.sources.registry import Limits, pause

PATIENT = Caution(answers=3, seconds=60.0, most=0.5, few=2)


def tenant(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "Tenant", "id": name, **more}


def names(changes: Changes) -> list[str]:
    return [one.key.id for one in changes.put]


def gone(changes: Changes) -> set[str]:
    return {key.id for _place, key in changes.withdrawn}


def listing(*some: str) -> Listing:
    return heard(Listing(), [tenant(name) for name in some], 0.0, PATIENT)[0]


def test_what_is_new_or_changed_is_said_and_nothing_twice() -> None:
    last, first = heard(Listing(), [tenant("a"), tenant("b")], 0.0, PATIENT)
    assert names(first) == ["a", "b"]
    _, again = heard(last, [tenant("b"), tenant("a")], 1.0, PATIENT)
    assert again == Changes()
    _, later = heard(last, [tenant("a", status="suspended"), tenant("b"), tenant("c")], 2.0, PATIENT)
    assert names(later) == ["a", "c"]


def test_what_is_missing_goes_after_enough_answers_and_enough_time_not_before() -> None:
    last, told = listing("a", "b", "c"), []
    for now in (10.0, 20.0, 30.0, 69.9, 70.0):
        last, changes = heard(last, [tenant("a"), tenant("b")], now, PATIENT)
        told.append(gone(changes))
    assert told == [set(), set(), set(), set(), {"c"}]
    assert same(last, 80.0, PATIENT)[1] == Changes()


def test_an_unchanged_answer_counts_and_few_answers_over_a_long_time_do_not_do() -> None:
    last, _ = heard(listing("a", "b", "c"), [tenant("a"), tenant("b")], 0.0, PATIENT)
    last, second = same(last, 1000.0, PATIENT)
    last, third = same(last, 2000.0, PATIENT)
    assert (gone(second), gone(third)) == (set(), {"c"})


def test_what_is_listed_again_is_not_missing_and_begins_anew() -> None:
    last = listing("a", "b", "c")
    for now in (0.0, 100.0):
        last, _ = heard(last, [tenant("a"), tenant("b")], now, PATIENT)
    last, back = heard(last, [tenant("a"), tenant("b"), tenant("c")], 200.0, PATIENT)
    assert (back, dict(last.missing)) == (Changes(), {})
    last, changes = heard(last, [tenant("a"), tenant("b")], 300.0, PATIENT)
    assert gone(changes) == set()


def test_when_much_is_missing_nothing_goes_until_it_is_meant() -> None:
    last, told = listing(*"abcdef"), []
    for now in (0.0, 100.0, 200.0, 300.0):
        last, changes = heard(last, [tenant("a")], now, PATIENT)
        told += [problem.code for problem in changes.broken]
        assert gone(changes) == set()
        last, changes = same(last, now + 50, PATIENT)
        assert gone(changes) == set()
    assert told == ["GC012"]
    _, meant = heard(last, [tenant("a")], 400.0, PATIENT, trusting=True)
    assert gone(meant) == set("bcdef")
    _, mended = heard(last, [tenant(name) for name in "abcdef"], 500.0, PATIENT)
    assert (gone(mended), mended.read) == (set(), frozenset({"registry"}))


def test_an_answer_with_something_that_has_no_name_retires_nothing() -> None:
    last = listing("a", "b", "c")
    for now in (0.0, 100.0, 200.0):
        last, changes = heard(last, [tenant("a"), tenant("b"), {"kind": "Tenant"}], now, PATIENT)
        assert gone(changes) == set()
    assert [problem.code for problem in last.loose] == ["GC004"]


def test_a_broken_document_is_told_and_is_not_missing() -> None:
    _, changes = heard(listing("a", "b", "c"), [tenant("a"), tenant("b"), tenant("c", colour=1)], 0.0, PATIENT)
    assert [(problem.code, problem.id, problem.file) for problem in changes.broken] == [("GC101", "c", "registry")]


def test_what_was_listed_before_the_start_is_retired_with_the_same_care() -> None:
    known = [one[0] for one in listing("a", "b", "c").words.values()]
    last = remembered(known)  # type: ignore[arg-type]
    last, first = heard(last, [tenant("a"), tenant("b")], 0.0, PATIENT)
    assert gone(first) == set()
    last, _ = same(last, 60.0, PATIENT)
    assert gone(same(last, 120.0, PATIENT)[1]) == {"c"}


@given(st.lists(st.sets(st.sampled_from("abcdefgh")), max_size=12))
def test_nothing_is_ever_withdrawn_that_was_listed_in_one_of_the_last_answers(answers: list[set[str]]) -> None:
    last, recent = Listing(), list[set[str]]()
    for turn, listed in enumerate(answers):
        last, changes = heard(last, [tenant(name) for name in sorted(listed)], turn * 60.0, PATIENT)
        recent = [*recent, listed][-PATIENT.answers :]
        assert not gone(changes) & set().union(*recent)
        assert {key.id for key in last.words} >= listed


@pytest.mark.parametrize(
    ("failures", "drawn", "seconds"),
    [(0, 0.0, 270.0), (0, 1.0, 330.0), (1, 0.0, 1.0), (1, 1.0, 2.0), (4, 1.0, 16.0), (99, 0.0, 150.0)],
)
def test_a_look_after_failures_comes_sooner_and_later_each_time(failures: int, drawn: float, seconds: float) -> None:
    assert pause(failures, Limits(), lambda: drawn) == seconds
