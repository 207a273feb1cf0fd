"""What the plan of a typical change consists of: phases, waits, calls. The entities are as translation makes them."""

from collections.abc import Iterable
from typing import Any

import pytest
from plan_worlds import ident

from kong_sync.diff import plan
from kong_sync.digest import digest
from kong_sync.entities import Entity
from kong_sync.limits import TooMuch, check
from kong_sync.phases import BOTH, Plan
from kong_sync.routing import PARKED
from kong_sync.states import EMPTY, State
from kong_sync.summary import HIDDEN, counts, fields, name, totals

TENANT = "x-tenant-id"
Rows = list[tuple[str, Entity]]


def row(kind: str, what: str, /, *, tag: str = "shared", **more: Any) -> tuple[str, Entity]:
    return kind, {"id": ident(kind, what), "tags": ["gatecast", tag], **more}


def ref(kind: str, name: str) -> Entity:
    return {"id": ident(kind, name)}


def tenant(name: str, *, minute: int = 0, kids: tuple[str, ...] = ("k",)) -> Rows:
    mine = {"consumer": ref("consumers", name), "tag": f"tenant:{name}"}
    made = [row("consumers", name, tag=f"tenant:{name}", username=name), row("acls", name, group=f"t:{name}", **mine)]
    made += [row("jwt_secrets", f"{name}{kid}", key=f"{name}{kid}", **mine) for kid in kids]
    if minute:
        made.append(row("plugins", f"limit {name}", name="rate-limiting", config={"minute": minute}, **mine))
    return made


def route_of(label: str, tenants: Iterable[str], *, service: str = "s", **more: Any) -> tuple[str, Entity]:
    match = {"paths": ["~/o(?:/|$)"], "methods": ["GET"], "headers": {TENANT: sorted(tenants)}}
    return row("routes", label, tag=f"class:{label}", name=label, service=ref("services", service), **match, **more)


def gate(label: str, name: str, place: str, on: str, /, **config: Any) -> tuple[str, Entity]:
    return row("plugins", label, name=name, config=config, **{place: ref(f"{place}s", on)})


SERVICE = [row("services", "s", name="s", host="u"), gate("jwt", "jwt", "service", "s", key_claim_name="kid")]
CORS = [gate(f"cors {one}", "cors", "route", one, origins=[one]) for one in ("x", "y")]
CLASSES = [*SERVICE, *CORS, route_of("x", ["a", "b"]), route_of("y", ["c"])]
FLEET = [*CLASSES, *(one for name in "abc" for one in tenant(name))]


def state(*rows: tuple[str, Entity]) -> State:
    """Later rows replace earlier ones."""
    return State.of({(kind, entity["id"]): (kind, entity) for kind, entity in rows}.values())


def written(made: Plan) -> list[tuple[str, bool, list[str]]]:
    """Phase, wait, and what is written: `put routes`."""
    return [
        (phase.name, phase.wait, sorted(f"{step.verb} {step.kind}" for step in phase.steps)) for phase in made.phases
    ]


def test_a_limit_is_one_call_without_a_wait() -> None:
    there = state(*FLEET, *tenant("a", minute=5))
    made = plan(state(*FLEET, *tenant("a", minute=9)), there, owners=("tenant:a",))
    assert written(made) == [("prepare", False, ["put plugins"])]
    assert made.pending == {"plugins"}


def test_a_plan_of_one_tenant_looks_at_its_entities_and_what_these_refer_to() -> None:
    many = [one for n in range(200) for one in tenant(f"t{n}")]
    there = state(*FLEET, *many)
    made = plan(there.changed(put=tenant("t7", minute=3)), there, owners=("tenant:t7",))
    assert [step.kind for step in made.steps] == ["plugins"]
    assert made.looked <= 2 * len(tenant("t7", minute=3))


def test_a_new_tenant_is_known_before_its_class_takes_it() -> None:
    wanted = state(*FLEET, *tenant("d", minute=3), route_of("x", "abd"))
    assert written(plan(wanted, state(*FLEET))) == [
        ("prepare", False, ["put consumers"]),
        ("prepare", False, ["put acls", "put jwt_secrets"]),
        ("prepare", False, ["put plugins"]),
        ("open", True, ["put routes"]),
    ]


def test_without_a_limit_of_its_own_there_is_nothing_to_wait_for() -> None:
    made = plan(state(*FLEET, *tenant("d"), route_of("x", "abd")), state(*FLEET))
    assert made.waits == 0
    assert [phase.name for phase in made.phases] == ["prepare", "prepare", "open"]


def test_a_new_class_is_parked_until_its_plugins_act() -> None:
    made = plan(state(*FLEET), state(*(one for one in FLEET if one[1].get("name") != "y" and one[1] != CORS[1][1])))
    parked, plugin, opened = made.phases
    assert written(made) == [
        ("prepare", False, ["put routes"]),
        ("prepare", False, ["put plugins"]),
        ("open", True, ["put routes"]),
    ]
    assert parked.steps[0].body["hosts"] == [PARKED]
    assert "service" not in parked.steps[0].body
    assert parked.steps[0].part
    assert not opened.steps[0].part
    assert plugin.steps[0].body["route"] == ref("routes", "y")


def test_a_tenant_is_in_its_new_class_before_it_leaves_the_old_one() -> None:
    made = plan(state(*FLEET, route_of("x", "a"), route_of("y", "bc")), state(*FLEET))
    assert written(made) == [("open", False, ["put routes"]), ("narrow", True, ["put routes"])]
    opened, narrowed = (phase.steps[0].body for phase in made.phases)
    assert (opened["name"], opened["headers"][TENANT]) == ("y", ["b", "c"])
    assert (narrowed["name"], narrowed["headers"][TENANT]) == ("x", ["a"])


def test_two_tenants_that_swap_hosts_are_never_without_a_route() -> None:
    def hosts(first: str, second: str) -> State:
        routes = [
            row("routes", one, name=one, service=ref("services", "s"), hosts=[host])
            for one, host in (("r1", first), ("r2", second))
        ]
        return state(*SERVICE, *routes)

    made = plan(hosts("b", "a"), hosts("a", "b"))
    assert written(made) == [
        ("open", False, ["put routes"] * 2),
        ("narrow", True, ["put routes"] * 2),
    ]
    opened, narrowed = ({step.body["name"]: step.body["hosts"] for step in phase.steps} for phase in made.phases)
    assert opened == {"r1": ["a", "b"], "r2": ["a", "b"]}
    assert narrowed == {"r1": ["b"], "r2": ["a"]}


def test_a_deleted_tenant_is_refused_at_once_and_gone_at_last() -> None:
    made = plan(state(*CLASSES, *tenant("b"), *tenant("c"), route_of("x", "b")), state(*FLEET, *tenant("a", minute=3)))
    assert written(made) == [
        ("revoke", False, ["delete acls", "delete jwt_secrets"]),
        ("narrow", False, ["put routes"]),
        ("remove", True, ["delete consumers"]),
    ]
    assert totals(made) == {"created": 0, "updated": 1, "deleted": 4}


def test_a_deleted_class_is_parked_and_takes_its_plugins_along() -> None:
    made = plan(state(*SERVICE, CORS[0], route_of("x", "abc")), state(*CLASSES))
    assert written(made) == [
        ("open", False, ["put routes"]),
        ("narrow", True, ["put routes"]),
        ("remove", True, ["delete routes"]),
    ]
    assert counts(made)["deleted"] == {"routes": 1, "plugins": 1}


def test_suspending_takes_the_group_first_and_resuming_ends_the_refusal_last() -> None:
    refusal = row("plugins", "stop", tag="tenant:a", name="request-termination", consumer=ref("consumers", "a"))
    suspended = state(*[one for one in FLEET if one[1]["id"] != ident("acls", "a")], refusal)
    away = plan(suspended, state(*FLEET))
    assert written(away) == [("revoke", False, ["delete acls"]), ("prepare", False, ["put plugins"])]
    back = plan(state(*FLEET), suspended)
    assert written(back) == [("prepare", False, ["put acls"]), ("remove", False, ["delete plugins"])]


def test_a_key_that_moves_to_another_tenant_stays_one_entity() -> None:
    mine = [one for one in FLEET if one[1].get("key") != "ak"]
    taken = row("jwt_secrets", "other id", tag="tenant:b", key="ak", consumer=ref("consumers", "b"))
    made = plan(state(*mine, taken), state(*FLEET))
    (step,) = made.steps
    assert (step.verb, step.id) == ("put", ident("jwt_secrets", "ak"))
    assert step.body["consumer"] == ref("consumers", "b")


def test_targets_are_added_before_they_are_deleted_and_nothing_waits() -> None:
    def pool(*targets: str) -> State:
        named = [row("targets", one, target=one, weight=100, upstream=ref("upstreams", "u")) for one in targets]
        return state(row("upstreams", "u", name="u"), *named)

    made = plan(pool("b:80", "c:80"), pool("a:80", "b:80"))
    assert written(made) == [("prepare", False, ["put targets"]), ("remove", False, ["delete targets"])]
    assert [step.parent for step in made.steps] == [ident("upstreams", "u"), ident("upstreams", "u")]


def test_a_service_that_moves_does_so_when_its_gates_act() -> None:
    acl = gate("acl", "acl", "service", "s", allow=["g"])
    made = plan(state(*FLEET, row("services", "s", name="s", host="v"), acl), state(*FLEET))
    assert written(made) == [("prepare", False, ["put plugins"]), ("retarget", True, ["put services"])]


def test_a_gate_that_changes_under_a_tenant_that_leaves_lets_the_tenant_go_first() -> None:
    before = state(*FLEET, gate("acl x", "acl", "route", "x", allow=["old"]))
    after = state(*FLEET, gate("acl x", "acl", "route", "x", allow=["new"]), route_of("x", "a"))
    assert written(plan(after, before)) == [
        ("close", False, ["put routes"]),
        ("prepare", True, ["put plugins"]),
    ]


def test_a_gate_that_hides_the_one_that_is_to_act_goes_before_the_route_opens() -> None:
    hiding = gate("acl x", "acl", "route", "x", allow=["old"])
    before = state(*FLEET, hiding)
    after = state(*FLEET, gate("acl s", "acl", "service", "s", allow=["new"]), route_of("x", "abd"))
    assert written(plan(after, before)) == [
        ("prepare", False, ["put plugins"]),
        ("uncover", True, ["delete plugins"]),
        ("open", True, ["put routes"]),
    ]


def test_a_route_that_hides_a_part_of_another_opens_before_it() -> None:
    admin = row("routes", "admin", name="admin", paths=["/admin"], service=ref("services", "s"))
    everything = row("routes", "all", name="all", paths=["/"], service=ref("services", "s"))
    there, both = state(*SERVICE), state(*SERVICE, admin, everything)
    opened, closed = plan(both, there), plan(there, both)
    assert [phase.steps[0].body["name"] for phase in opened.phases] == ["admin", "all"]
    assert [phase.wait for phase in opened.phases] == [False, True]
    assert [phase.steps[0].body["name"] for phase in closed.phases if phase.name == "narrow"] == ["all", "admin"]


def test_after_a_start_the_first_gate_waits_for_what_was_written_before() -> None:
    there, wanted = state(*FLEET), state(*FLEET, gate("jwt", "jwt", "service", "s", key_claim_name="iss"))
    assert plan(wanted, there, unsettled=BOTH).waits == 1
    assert plan(wanted, there).waits == 0


# -- what cannot be -----------------------------------------------------------------------------------------------


def test_a_namesake_of_others_holds_all_that_needs_it_and_nothing_else() -> None:
    theirs = state(("services", {"id": ident("their", "s"), "name": "s", "host": "theirs", "tags": ["billing"]}))
    extra = [row("services", "z", name="z", host="z"), route_of("z", "abc", service="z")]
    made = plan(state(*FLEET, *extra), EMPTY, others=theirs)
    (problem,) = made.problems
    assert (problem.kind, problem.id) == ("services", "s")
    assert ident("their", "s") in problem.message
    assert "billing" in problem.message
    assert {step.body["name"] for step in made.steps if step.kind in ("routes", "services")} == {"z"}
    assert ("routes", ident("routes", "x")) in made.held


def test_a_gate_that_kong_refused_keeps_its_routes_as_they_are() -> None:
    refused = gate("acl", "acl", "service", "s", allow=["g"])
    wanted = state(*FLEET, refused, route_of("x", "abd"), *tenant("d"))
    made = plan(wanted, state(*FLEET), held=[("plugins", refused[1]["id"])])
    assert {step.kind for step in made.steps} == {"consumers", "acls", "jwt_secrets"}


def test_two_that_want_one_key_are_a_problem_and_the_others_go_on() -> None:
    twin = row("jwt_secrets", "twin", tag="tenant:b", key="ak", consumer=ref("consumers", "b"))
    made = plan(state(*FLEET, twin), EMPTY)
    assert [one.kind for one in made.problems] == ["jwt_secrets"]
    assert "ak" in made.problems[0].message or ident("jwt_secrets", "twin") in made.problems[0].message
    assert len(list(made.changes)) == len(state(*FLEET))


# -- limits, digest, summary --------------------------------------------------------------------------------------


def test_a_plan_that_deletes_everything_refuses_itself_unless_forced_with_its_digest() -> None:
    there = state(*FLEET)
    made = plan(EMPTY, there)
    with pytest.raises(TooMuch, match="15 of our 15") as refused:
        check(made)
    with pytest.raises(TooMuch, match="not the one that was shown"):
        check(made, force="0123456789abcdef")
    check(made, force=refused.value.digest)


@pytest.mark.parametrize(("gone", "refused"), [(2, False), (3, True)])
def test_a_fifth_may_be_deleted_and_no_more(gone: int, refused: bool) -> None:
    rows = [row("upstreams", f"u{n}", name=f"u{n}") for n in range(10)]
    made = plan(state(*rows[gone:]), state(*rows))
    if not refused:
        check(made, few=1)
        return
    with pytest.raises(TooMuch):
        check(made, few=1)
    check(made)  # ten are always allowed


def test_the_digest_is_that_of_the_steps_and_of_nothing_else() -> None:
    there = state(*FLEET)
    one, same = (plan(state(*rows, *tenant("d")), there) for rows in (FLEET, FLEET[::-1]))
    other = plan(state(*FLEET, *tenant("d", minute=1)), there)
    assert digest(one) == digest(same) != digest(other)


def test_a_changed_field_is_shown_and_a_secret_is_not() -> None:
    def key(secret: str, algorithm: str) -> State:
        mine = {"consumer": ref("consumers", "a"), "tag": "tenant:a"}
        return state(
            *tenant("a", kids=()), row("jwt_secrets", "k", key="k", secret=secret, algorithm=algorithm, **mine)
        )

    (change,) = plan(key("new words", "HS512"), key("old words", "HS384")).changes
    assert name(change) == "jwt_secrets/k (tenant a)"
    assert [(one.path, one.before, one.after) for one in fields(change)] == [
        ("algorithm", "HS384", "HS512"),
        ("secret", HIDDEN, HIDDEN),
    ]
