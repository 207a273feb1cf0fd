"""A step of a plan that Kong refuses, whichever it is: nothing is opened by going on without it, and the next run ends
where it should."""

from dataclasses import replace
from random import Random

import plan_runs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from immutables import Map
from plan_models import Model, World
from plan_worlds import desired, ident

from kong_sync import setbacks
from kong_sync.diff import plan
from kong_sync.entities import Entity
from kong_sync.phases import BOTH, Plan, Step
from kong_sync.states import EMPTY, Key, State

SEEDS = st.integers(0, 2**32)
SLOW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def test_a_route_is_not_widened_while_an_old_gate_before_it_does_not_go() -> None:
    """What it is to take would meet that gate. All else is done."""

    def state(tenants: list[str], *more: tuple[str, Entity]) -> State:
        service = {"id": ident("s"), "name": "s", "host": "u"}
        gate = {"id": ident("g"), "name": "jwt", "service": {"id": ident("s")}, "config": {"key_claim_name": "kid"}}
        route = {"id": ident("r"), "name": "r", "service": {"id": ident("s")}, "headers": {"x-tenant-id": tenants}}
        return State.of([("services", service), ("plugins", gate), ("routes", route), *more])

    old = ("plugins", {"id": ident("o"), "name": "jwt", "route": {"id": ident("r")}, "config": {"key_claim_name": "t"}})
    there = state(["a"], old)
    wanted = state(["a", "b"], ("consumers", {"id": ident("b"), "username": "b"}))
    made = plan(wanted, there)
    (gone,) = [step for step in made.steps if step.verb == "delete"]
    assert [step.kind for step in made.steps] == ["consumers", "plugins", "routes"]
    held = setbacks.held(wanted, there, gone)
    assert held == {("routes", ident("r"))}
    assert [step.kind for step in plan(wanted, there, held=held, kept=[gone.key]).steps] == ["consumers"]


def test_what_stays_has_what_it_needs_and_the_gates_before_it() -> None:
    service = ("services", {"id": ident("s"), "name": "s", "host": "u"})
    gate = ("plugins", {"id": ident("g"), "name": "jwt", "service": {"id": ident("s")}})
    route = ("routes", {"id": ident("r"), "name": "r", "service": {"id": ident("s")}, "hosts": ["h"]})
    user = ("consumers", {"id": ident("b"), "username": "b"})
    there = State.of([service, gate, route, user])
    gone = [step.kind for step in plan(EMPTY, there, kept=[("routes", ident("r"))]).steps]
    assert gone == ["consumers"]
    assert {step.kind for step in plan(EMPTY, there, kept=[("consumers", ident("b"))]).steps} == {"routes", "services"}


def test_without_a_gate_that_is_to_stand_before_all_routes_no_route_is_opened() -> None:
    """The guard, say: without it a header given twice is anybody's."""
    service = ("services", {"id": ident("s"), "name": "s", "host": "u"})
    match = {"service": {"id": ident("s")}, "headers": {"x-tenant-id": ["a"]}}
    route = ("routes", {"id": ident("r"), "name": "r", **match})
    guard = ("plugins", {"id": ident("e"), "name": "pre-function", "config": {"rewrite": ["guard"]}})
    made = plan(State.of([service, route, guard]), EMPTY, held=[("plugins", ident("e"))])
    assert [step.kind for step in made.steps] == ["services"]


def test_while_a_route_stays_as_it_is_a_gate_before_all_routes_does_not_go() -> None:
    service = ("services", {"id": ident("s"), "name": "s", "host": "u"})
    route = {"id": ident("r"), "name": "r", "service": {"id": ident("s")}}
    everywhere = ("plugins", {"id": ident("e"), "name": "pre-function", "config": {"rewrite": ["guard"]}})
    there = State.of([service, ("routes", {**route, "headers": {"x-tenant-id": ["a"]}}), everywhere])
    wanted = State.of([service, ("routes", {**route, "hosts": ["a.test"]})])
    assert ("delete", "plugins") in [(step.verb, step.kind) for step in plan(wanted, there).steps]
    assert not plan(wanted, there, held=[("routes", ident("r"))])


@pytest.mark.parametrize("goes", [False, True])
def test_a_route_that_stays_gets_nothing_from_the_one_before_it(goes: bool) -> None:
    """What that one takes would meet the gates of another route. It stays too, wanted or not."""
    service = ("services", {"id": ident("s"), "name": "s", "host": "u"})
    wide = {"id": ident("w"), "name": "w", "service": {"id": ident("s")}}
    first = {"id": ident("f"), "name": "f", "service": {"id": ident("s")}, "headers": {"x-tenant-id": ["a"]}}
    there = State.of([service, ("routes", {**wide, "paths": ["/"]}), ("routes", first)])
    other = ("routes", {**first, "headers": {"x-tenant-id": ["b"]}})
    wanted = State.of([service, ("routes", {**wide, "paths": ["/c"]}), *([] if goes else [other])])
    assert plan(wanted, there)
    assert not plan(wanted, there, held=[("routes", ident("w"))])


def test_while_a_route_stays_its_service_points_where_it_did() -> None:
    """Else what the route still takes would be answered by a host that has it neither before nor after."""

    def state(host: str, path: str) -> State:
        route = {"id": ident("r"), "name": "r", "service": {"id": ident("s")}, "paths": [path]}
        return State.of([("services", {"id": ident("s"), "name": "s", "host": host}), ("routes", route)])

    there, wanted = state("old", "/a"), state("new", "/c")
    assert plan(wanted, there)
    assert not plan(wanted, there, held=[("routes", ident("r"))])


def test_while_a_gate_is_refused_the_service_of_its_route_points_where_it_did() -> None:
    """Nobody asked for a token at the old place; at the new one nobody may get in without."""

    def state(host: str, *gates: tuple[str, Entity]) -> State:
        route = {"id": ident("r"), "name": "r", "service": {"id": ident("s")}, "paths": ["/a"]}
        return State.of([("services", {"id": ident("s"), "name": "s", "host": host}), ("routes", route), *gates])

    gate = ("plugins", {"id": ident("g"), "name": "jwt", "route": {"id": ident("r")}, "config": {}})
    assert not plan(state("new", gate), state("old"), held=[("plugins", ident("g"))])


@given(SEEDS, st.booleans())
@example(912, False)  # a gate that is to stand before all routes
@example(144, False)  # a route that stays has but a gate that stands before all, and that is to go
@example(1006, False)  # a route that stays would get what a changed one before it gives away
@example(1135, False)  # the same from one that goes
@example(1174, False)  # the service of a route that stays is to point elsewhere
@example(1413, False)  # a route that goes, before one that could not be covered
@SLOW
def test_whichever_step_is_refused_the_rest_opens_nothing_and_the_next_run_ends_right(seed: int, goes: bool) -> None:
    rng = Random(seed)
    kong, wanted = Model(plan_runs.finished(Map(), plan(desired(rng), EMPTY))), desired(rng)
    made = plan(wanted, plan_runs.state(kong.rows))
    steps = [step for step in made.steps if (step.verb == "delete") is goes]
    if not steps:
        return
    worlds = World(kong.rows), World(plan_runs.finished(kong.rows, made))
    refused = rng.choice(steps)
    _carry_on(rng, kong, wanted, refused, *worlds)
    again = plan(wanted, plan_runs.state(kong.rows), unsettled=BOTH)
    worlds = *worlds, World(kong.rows)
    assert next(plan_runs.walk(rng, kong, again, *worlds), None) is None
    assert not plan(wanted, plan_runs.state(kong.rows))


def _carry_on(rng: Random, kong: Model, wanted: State, refused: Step, *worlds: World) -> None:
    """As `database` does it: after the phase of a refusal all is planned again."""
    held, kept = set[Key](), set[Key]()
    while True:
        made = plan(wanted, plan_runs.state(kong.rows), held=held, kept=kept, unsettled=BOTH)
        failed = _walked(rng, kong, made, refused, *worlds)
        before = len(held) + len(kept)
        for step in failed:
            held |= setbacks.held(wanted, plan_runs.state(kong.rows), step)
            kept.add(step.key)
        if len(held) + len(kept) == before:
            assert not failed or refused.verb != "delete", "what does not go is not tried again in the same run"
            return


def _walked(rng: Random, kong: Model, made: Plan, refused: Step, *worlds: World) -> list[Step]:
    """Carry out a plan up to the phase in which steps are refused: this one, and what the database cannot take."""
    failed: list[Step] = []
    for phase in made.phases:
        if phase.wait:
            kong.settle()
        for step in rng.sample(phase.steps, len(phase.steps)):
            one = Plan((replace(phase, steps=(step,), wait=False),))
            try:
                assert (step.verb, step.key) != (refused.verb, refused.key), "Kong refuses it"
                leak = next(plan_runs.walk(rng, kong, one, *worlds), None)
            except AssertionError:
                failed.append(step)
            else:
                assert leak is None, leak
        if failed:
            return failed
    return []
