"""The whole desired state as one text, taken by a Kong without a database, with the answers of the database mode."""

from random import Random

import kongs
import plan_runs
import pytest
from plan_models import World, answer
from plan_worlds import ASKED, desired, ident

from kong_sync.declarative import MANY, document, problems, text
from kong_sync.entities import KINDS
from kong_sync.states import EMPTY, State


@pytest.mark.parametrize("seed", range(12))
def test_a_kong_without_a_database_answers_as_one_with_the_same_entities(seed: int) -> None:
    wanted = desired(Random(seed))
    assert list(problems(wanted)) == []
    kong = kongs.without_database()
    taken = kongs.call(kong, "POST", "/config?check_hash=1&flatten_errors=1", {"config": text(wanted)})
    assert taken.status == 201, taken.body
    ids = {(kind, id_) for kind, rows in taken.json().items() for id_ in rows}
    assert ids == set(wanted.rows)
    world = World(wanted.rows)
    for asked in ASKED:
        assert plan_runs.ask(kong, asked) == answer(asked, world, world, world), asked


def test_the_same_state_is_the_same_text_so_kong_need_not_load_it_again() -> None:
    wanted = desired(Random(1))
    again = State.of((key[0], dict(reversed(row.items()))) for key, row in sorted(wanted.rows.items(), reverse=True))
    assert text(wanted) == text(again)
    kong = kongs.without_database()
    answers = (kongs.call(kong, "POST", "/config?check_hash=1", {"config": text(one)}) for one in (wanted, again))
    assert [one.status for one in answers] == [201, 304]


def test_a_reference_to_nothing_is_a_problem_before_kong_answers_500() -> None:
    plugin = {"id": ident("p"), "name": "jwt", "route": {"id": ident("r")}, "tags": ["tenant:acme"]}
    (problem,) = problems(State.of([("plugins", plugin)]))
    assert (problem.kind, problem.tenant, problem.severity) == ("plugins", "acme", "error")
    assert ident("r") in problem.message


def test_a_limit_that_counts_in_the_database_is_a_problem() -> None:
    plugin = {"id": ident("p"), "name": "rate-limiting", "config": {"minute": 1, "policy": "cluster"}}
    (problem,) = problems(State.of([("plugins", plugin)]))
    assert (problem.path, problem.severity) == ("config.policy", "error")


def test_too_many_entities_and_too_large_a_text_are_warnings() -> None:
    many = State.of(("consumers", {"id": ident(n), "username": f"c{n}"}) for n in range(MANY + 1))
    assert [one.severity for one in problems(many, 11 << 20)] == ["warning", "warning"]
    assert list(problems(EMPTY)) == []


def test_the_document_says_its_format_and_has_kinds_in_the_order_of_creation() -> None:
    made = document(desired(Random(3)))
    assert made["_format_version"] == "3.0"
    assert list(made)[2:] == [kind for kind in KINDS if kind in made]
