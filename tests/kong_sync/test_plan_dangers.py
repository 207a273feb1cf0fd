"""Changes where a plain order would let somebody in: each is walked in many orders, with all moments of the timers."""

from random import Random
from typing import Any

import plan_runs
import pytest
from plan_models import Model, World
from plan_worlds import CONFIGS, ISOLATE, TENANT, ident

from kong_sync.diff import plan
from kong_sync.entities import Entity
from kong_sync.phases import Plan
from kong_sync.states import State

Rows = list[tuple[str, Entity]]
PEOPLE: Rows = [
    ("consumers", {"id": ident("consumers", name), "username": name, "tags": []}) for name in ("t0", "t1")
] + [
    ("jwt_secrets", {"id": ident("k", n), "key": f"k{n}", "consumer": {"id": ident("consumers", f"t{n}")}, "tags": []})
    for n in (0, 1)
]
GROUPS: Rows = [
    ("acls", {"id": ident("g", n), "group": f"g{n}", "consumer": {"id": ident("consumers", f"t{n}")}, "tags": []})
    for n in (0, 1)
]


def service(name: str, host: str) -> tuple[str, Entity]:
    return "services", {"id": ident("services", name), "name": name, "host": host, "tags": []}


def route(name: str, to: str = "s0", **match: Any) -> tuple[str, Entity]:
    return "routes", {"id": ident("routes", name), "name": name, "service": {"id": ident("services", to)}, **match}


def gate(name: str, on: str = "", what: str = "", **config: Any) -> tuple[str, Entity]:
    place = {on: {"id": ident(f"{on}s", what)}} if on else {}
    return "plugins", {
        "id": ident(name, on, what),
        "name": name,
        "config": {**CONFIGS.get(name, {}), **config},
        **place,
    }


S0, S1, WIDE = service("s0", "u0"), service("s1", "u1"), service("wide", "u2")
JWT = [gate("jwt", "service", "s0"), gate("jwt", "service", "s1")]
BASE = [*PEOPLE, *GROUPS, S0, S1, *JWT]
CATCH = [WIDE, route("wide", "wide", paths=["/"])]  # open to everybody: whatever nobody else takes falls to it
ONE, TWO = {TENANT: ["t0"]}, {TENANT: ["t0", "t1"]}

DANGERS: dict[str, tuple[Rows, Rows]] = {
    "a gate changes under a tenant that leaves": (
        [*BASE, route("r", paths=["/a"], headers=TWO), gate("acl", "route", "r", allow=["g0"])],
        [*BASE, route("r", paths=["/a"], headers=ONE), gate("acl", "route", "r", allow=["g1"])],
    ),
    "the same, and what it leaves would fall to an open route": (
        [*BASE, *CATCH, route("r", hosts=["h0"], paths=["/a"]), gate("acl", "route", "r", allow=["g0"])],
        [
            *BASE,
            *CATCH,
            route("r", hosts=["h1"], paths=["/a"]),
            gate("acl", "route", "r", allow=["g1"]),
            route("n", "s1", hosts=["h0"], paths=["/a"]),
        ],
    ),
    "a gate that hides another goes while a tenant comes": (
        [*BASE, route("r", paths=["/a"], headers=ONE), gate("acl", "route", "r", allow=["g0", "g1"])],
        [*BASE, route("r", paths=["/a"], headers=TWO), gate("acl", "service", "s0", allow=["g1"])],
    ),
    "a service moves while a tenant leaves": (
        [*BASE, route("r", paths=["/a"], headers=TWO)],
        [*PEOPLE, *GROUPS, service("s0", "u3"), S1, *JWT, route("r", paths=["/a"], headers=ONE)],
    ),
    "a service moves while a route goes to another": (
        [*BASE, route("r", paths=["/a"])],
        [*PEOPLE, *GROUPS, service("s0", "u3"), S1, *JWT, route("r", "s1", paths=["/a"])],
    ),
    "a service moves while a tenant comes": (
        [*BASE, route("r", paths=["/a"], headers=ONE)],
        [*PEOPLE, *GROUPS, service("s0", "u3"), S1, *JWT, route("r", paths=["/a"], headers=TWO)],
    ),
    "an open route and the guarded one within it come together": (
        BASE,
        [*BASE, *CATCH, route("r", paths=["/a"]), gate("post-function", "route", "r", access=[ISOLATE])],
    ),
    "and go together": (
        [*BASE, *CATCH, route("r", paths=["/a"]), gate("post-function", "route", "r", access=[ISOLATE])],
        BASE,
    ),
    "a guarded route comes to be matched in another way": (
        [*BASE, *CATCH, route("r", hosts=["h0"], paths=["/a"])],
        [*BASE, *CATCH, route("r", paths=["/a"], headers=TWO), route("n", "s1", hosts=["h0"], paths=["/a"])],
    ),
    "a gate lets more in while a guarded route within comes": (
        [*BASE, route("r", paths=["/"]), gate("acl", "route", "r", allow=["g0"])],
        [
            *[*BASE, route("r", paths=["/"]), gate("acl", "route", "r", allow=["g0", "g1"])],
            *[route("n", "s0", paths=["/a"]), gate("acl", "route", "n", allow=["g0"])],
        ],
    ),
    "a service moves while a route within comes": (
        [*BASE, route("r", paths=["/"])],
        [*PEOPLE, *GROUPS, service("s0", "u3"), S1, *JWT, route("r", paths=["/"]), route("n", "s1", paths=["/a"])],
    ),
    "a gate lets more in while a route within comes whose gate changes too": (
        [
            *[*BASE, route("r", paths=["/"]), gate("acl", "route", "r", allow=["g0"])],
            gate("acl", "service", "s1", allow=["g0", "g1"]),
        ],
        [
            *[*BASE, route("r", paths=["/"]), gate("acl", "route", "r", allow=["g0", "g1"])],
            *[route("n", "s1", paths=["/a"]), gate("acl", "service", "s1", allow=["g0"])],
        ],
    ),
    "a route changes host and path at once": (
        [*BASE, route("r", hosts=["h0"], paths=["/a"])],
        [*BASE, route("r", hosts=["h1"], paths=["/c"])],
    ),
    "a route with another gate would come before others while it is closed": (
        [
            *[*BASE, route("r", paths=["/"]), gate("acl", "route", "r", allow=["g0"])],
            *[route("n", "s1", paths=["/a"], headers=TWO), gate("post-function", "route", "n", access=[ISOLATE])],
        ],
        [
            *[*BASE, route("r", hosts=["h0"], paths=["/"]), gate("acl", "route", "r", allow=["g1"])],
            *[route("n", "s1", paths=["/a"], headers=TWO), gate("post-function", "route", "n", access=[ISOLATE])],
        ],
    ),
    "two routes that hide parts of each other": (
        BASE,
        [
            *[*BASE, route("r", "s0", paths=["/", "/a/b"]), route("n", "s1", paths=["/a"])],
            *[gate("acl", "route", "r", allow=["g0"]), gate("acl", "route", "n", allow=["g1"])],
        ],
    ),
    "two tenants swap hosts": (
        [*BASE, route("r0", "s0", hosts=["h0"]), route("r1", "s1", hosts=["h1"])],
        [*BASE, route("r0", "s0", hosts=["h1"]), route("r1", "s1", hosts=["h0"])],
    ),
    "a route moves to another service with a gate of its own": (
        [*BASE, route("r", "s0", paths=["/a"])],
        [*BASE, route("r", "s1", paths=["/a"]), gate("acl", "route", "r", allow=["g1"])],
    ),
    "a gate is switched off and a tenant leaves": (
        [*BASE, route("r", paths=["/a"], headers=TWO), gate("acl", "route", "r", allow=["g0"])],
        [
            *BASE,
            route("r", paths=["/a"], headers=ONE),
            ("plugins", {**gate("acl", "route", "r", allow=["g0"])[1], "enabled": False}),
        ],
    ),
}


def state(rows: Rows) -> State:
    return State.of(rows)


def leaks(before: Rows, after: Rows, seed: int) -> tuple[Plan, list[plan_runs.Leak]]:
    kong = Model(state(before).rows)
    made = plan(state(after), state(before))
    found = list(plan_runs.walk(Random(seed), kong, made, World(kong.rows), World(state(after).rows)))
    assert kong.rows == state(after).rows
    return made, found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", DANGERS)
def test_nobody_gets_in_on_the_way(name: str, seed: int) -> None:
    assert leaks(*DANGERS[name], seed)[1] == []


@pytest.mark.parametrize("name", DANGERS)
def test_nobody_gets_in_on_the_way_back(name: str) -> None:
    assert leaks(*reversed(DANGERS[name]), 1)[1] == []


def test_the_walk_finds_the_window_when_a_route_is_opened_at_once() -> None:
    before, after = DANGERS["a route moves to another service with a gate of its own"]
    made = plan(state(after), state(before))
    opened = [phase for phase in made.phases if phase.name == "open"]
    rest = [phase for phase in made.phases if phase.name != "open"]
    wrong = Plan(phases=(*opened, *rest))
    kong = Model(state(before).rows)
    worlds = World(kong.rows), World(state(after).rows)
    assert list(plan_runs.walk(Random(1), kong, wrong, *worlds))


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("a gate changes under a tenant that leaves", ["close", "prepare"]),
        (
            "the same, and what it leaves would fall to an open route",
            ["close", "prepare", "cover", "open", "settle", "reopen"],
        ),
        ("a service moves while a tenant leaves", ["close", "retarget"]),
        ("two tenants swap hosts", ["open", "narrow"]),
        (
            "a gate lets more in while a guarded route within comes",
            ["prepare", "prepare", "early", "replace"],
        ),
        (
            "a gate lets more in while a route within comes whose gate changes too",
            ["close", "prepare", "open", "reopen"],
        ),
    ],
)
def test_only_what_is_in_danger_pays_for_it(name: str, phases: list[str]) -> None:
    assert [phase.name for phase in leaks(*DANGERS[name], 1)[0].phases] == phases


def consumers(*custom: str) -> State:
    rows = (("c0", custom[0]), ("c1", custom[1]))
    return State.of(("consumers", {"id": ident(one), "username": one, "custom_id": given}) for one, given in rows)


def test_second_keys_that_change_hands_are_given_free_first() -> None:
    before, after = consumers("a", "b"), consumers("b", "a")
    made = plan(after, before)
    assert [(phase.name, [step.verb for step in phase.steps]) for phase in made.phases] == [
        ("revoke", ["patch", "patch"]),
        ("prepare", ["put", "put"]),
    ]
    for seed in range(4):
        kong = Model(before.rows)
        assert not list(plan_runs.walk(Random(seed), kong, made, World(before.rows)))
        assert kong.rows == after.rows


def names(*given: str) -> State:
    return State.of(("services", {"id": ident(n), "name": name, "host": "h"}) for n, name in enumerate(given))


def ids(one: State) -> dict[str, str]:
    return {row["name"]: key[1] for key, row in one.rows.items()}


@pytest.mark.parametrize("after", [names("b", "a"), names("b"), names("c", "a", "b"), names("a", "c")])
def test_names_that_wander_between_ids_stay_with_the_entity_that_has_them(after: State) -> None:
    before: State = names("a", "b")
    kong = Model(before.rows)
    made = plan(after, before)
    assert not list(plan_runs.walk(Random(1), kong, made, World(before.rows)))
    then, now, wanted = (ids(one) for one in (before, plan_runs.state(kong.rows), after))
    assert now.keys() == wanted.keys()
    assert all(now[name] == then[name] for name in now.keys() & then.keys())
    assert not plan(after, plan_runs.state(kong.rows))


@pytest.mark.parametrize("there", [BASE, [*BASE, *CATCH, route("r", hosts=["h0"], paths=["/a"])]])
def test_a_route_does_not_take_what_a_held_one_before_it_was_to_guard(there: Rows) -> None:
    refused = gate("acl", "route", "r", allow=["g0"])
    wanted = state([*BASE, *CATCH, route("r", paths=["/a"]), refused, route("n", "s1", hosts=["h1"], paths=["/c"])])
    made = plan(wanted, state(there), held=[("plugins", refused[1]["id"])])
    kong = Model(state(there).rows)
    assert not list(plan_runs.walk(Random(1), kong, made, World(kong.rows), World(wanted.rows)))
    held = {key for key in made.held if key[0] == "routes"}
    assert held == {("routes", ident("routes", name)) for name in (("r", "wide") if there is BASE else ("r",))}
    assert ("routes", ident("routes", "n")) in kong.rows
