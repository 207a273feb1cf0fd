"""Plans between random states: they end where they should, and no moment on the way lets through what it should not."""

import asyncio
from random import Random

import plan_runs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from immutables import Map
from plan_models import Model, World
from plan_worlds import desired, ident

from kong_sync.admin import Access, connected
from kong_sync.diff import plan
from kong_sync.entities import KINDS
from kong_sync.forms import Schemas
from kong_sync.phases import BOTH
from kong_sync.states import EMPTY, State

SEEDS = st.integers(0, 2**32)
SLOW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def standing(rng: Random) -> Model:
    """A Kong that holds one random state."""
    return Model(plan_runs.finished(Map(), plan(desired(rng), EMPTY)))


@given(SEEDS)
@SLOW
def test_a_plan_ends_in_the_desired_state_and_opens_nothing_on_the_way(seed: int) -> None:
    rng = Random(seed)
    kong, wanted = standing(rng), desired(rng)
    made = plan(wanted, plan_runs.state(kong.rows))
    worlds = World(kong.rows), World(plan_runs.finished(kong.rows, made))
    assert next(plan_runs.walk(rng, kong, made, *worlds), None) is None
    assert {kind for kind, _id in kong.rows} == {kind for kind, _id in wanted.rows}
    assert len(kong.rows) == len(wanted)
    assert not plan(wanted, plan_runs.state(kong.rows))


@given(SEEDS)
@SLOW
def test_a_first_sync_opens_nothing_that_the_state_would_not(seed: int) -> None:
    rng = Random(seed)
    kong, wanted = Model(Map()), desired(rng)
    made = plan(wanted, EMPTY)
    assert next(plan_runs.walk(rng, kong, made, World(wanted.rows)), None) is None
    assert kong.rows == wanted.rows


@given(SEEDS)
@SLOW
def test_stopping_anywhere_and_planning_again_for_the_same_or_another_state_ends_right(seed: int) -> None:
    rng = Random(seed)
    kong, first = standing(rng), desired(rng)
    made = plan(first, plan_runs.state(kong.rows))
    worlds = [World(kong.rows), World(plan_runs.finished(kong.rows, made))]
    stop = rng.randint(0, sum(1 for _ in made.steps))
    assert next(plan_runs.walk(rng, kong, made, *worlds, stop=stop), None) is None
    wanted = first if rng.random() < 0.5 else desired(rng)
    again = plan(wanted, plan_runs.state(kong.rows), unsettled=BOTH)
    worlds.append(World(plan_runs.finished(kong.rows, again)))
    assert next(plan_runs.walk(rng, kong, again, *worlds), None) is None
    assert not plan(wanted, plan_runs.state(kong.rows))


@given(SEEDS)
@SLOW
def test_what_others_have_is_in_no_step_and_a_namesake_of_theirs_is_a_problem_that_names_both(seed: int) -> None:
    rng = Random(seed)
    wanted, theirs = desired(rng), _theirs(rng)
    kong = Model(theirs.rows)
    made = plan(wanted, EMPTY, others=theirs)
    assert next(plan_runs.walk(rng, kong, made, World(theirs.rows), World(kong.rows.update(wanted.rows))), None) is None
    assert all(kong.rows[key] == row for key, row in theirs.rows.items())
    names = {row["name"] for row in theirs.rows.values()}
    clashing = [row for key, row in wanted.rows.items() if key[0] == "services" and row["name"] in names]
    assert len(made.problems) == len(clashing)
    for problem in made.problems:
        assert problem.id in names
        assert "not ours" in problem.message
        assert ident("theirs", problem.id) in problem.message
    assert not plan(wanted, _ours(kong, theirs), others=theirs)


def _theirs(rng: Random) -> State:
    """Services of somebody else; the name of the first may be one of ours."""
    names = [rng.choice(("s0", "s1", "other")), "another"]
    return State.of(("services", {"id": ident("theirs", name), "name": name, "host": "theirs"}) for name in names)


def _ours(kong: Model, theirs: State) -> State:
    return State.of((key[0], row) for key, row in kong.rows.items() if key not in theirs.rows)


@given(SEEDS)
@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
def test_on_the_double_over_http_a_plan_ends_right_and_opens_nothing(seed: int) -> None:
    asyncio.run(_on_the_double(Random(seed)))


async def _on_the_double(rng: Random) -> None:
    kong = plan_runs.double(rng)
    async with kong.serving(), connected(Access(kong.admin_url)) as admin:
        known = await plan_runs.schemas(admin)
        first, second = (_short(desired(rng), known) for _ in range(2))
        begun = plan(first, EMPTY)
        assert await plan_runs.walk_double(rng, kong, admin, begun, World(first.rows)) == []
        mirror = await plan_runs.listed(admin, known)
        assert mirror.ours.rows == plan_runs.finished(Map(), begun)
        made = plan(second, mirror.ours, unsettled=BOTH)
        worlds = World(mirror.ours.rows), World(plan_runs.finished(mirror.ours.rows, made))
        assert await plan_runs.walk_double(rng, kong, admin, made, *worlds) == []
        for step in made.steps:
            mirror = mirror.after(step)
        found = await plan_runs.listed(admin, known)
        assert mirror.ours.rows == found.ours.rows
        assert not plan(second, found.ours)


def _short(state: State, known: Schemas) -> State:
    return State.of((key[0], known.wanted(KINDS[key[0]], row)) for key, row in state.rows.items())
