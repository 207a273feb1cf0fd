"""What a set of writes comes to: expectations, who owns a document, pins. Pure."""

from dataclasses import replace

import pytest
from stores import DANA, FILE, REGISTRY, drop, key, put

from tenants.errors import Refused
from tenants.store import ABSENT, PRESENT, By, Change, Expected, Foreign, Stale, Stored, Write, owner
from tenants.store.planning import Held, Plan, decide, restored

ACME = Stored(key(), put(n=1).text or "", "api", 4)


def held(*stored: Stored, pinned: bool = False) -> Held:
    """What the store holds at revision 7."""
    names = frozenset({key()}) if pinned else frozenset()
    return Held(7, {one.key: one for one in stored}, names)


def of(source: str) -> Stored:
    return replace(ACME, source=source)


@pytest.mark.parametrize(
    ("source", "its"),
    [
        *((source, "operator") for source in ("api", "cli", "page", "", "files")),
        *(("registry", "registry"), ("file:a.yaml", "file"), ("file:b:c.yaml", "file")),
    ],
)
def test_a_source_has_an_owner(source: str, its: str) -> None:
    assert owner(source) == its


def test_a_write_creates_changes_or_deletes() -> None:
    plan = decide(held(ACME), [put(n=2), put("beta"), drop("gone")], DANA)
    assert [(str(change.key), change.what) for change in plan.changes] == [
        ("Tenant/acme", "changed"),
        ("Tenant/beta", "created"),
    ]
    assert plan.changes[0].after == Stored(key(), put(n=2).text or "", "api", 8)
    assert decide(held(ACME), [drop()], DANA).changes == (Change(key(), ACME, None),)


def test_writing_what_is_there_is_no_change_whatever_the_order_of_its_fields() -> None:
    same = Write.put({"n": 1, "id": "acme", "kind": "Tenant"})
    assert decide(held(ACME), [same], DANA) == Plan()
    assert decide(held(ACME), [same], By("dana", "cli")) == Plan()


def test_a_document_that_moves_to_another_file_is_a_change() -> None:
    plan = decide(held(of("file:a.yaml")), [put(n=1)], By("file:b.yaml", "file:b.yaml"))
    assert [change.after and change.after.source for change in plan.changes] == ["file:b.yaml"]


@pytest.mark.parametrize(
    ("expected", "there", "fine"),
    [
        (None, True, True),
        (None, False, True),
        (PRESENT, True, True),
        (PRESENT, False, False),
        (ABSENT, True, False),
        (ABSENT, False, True),
        (Expected((ACME.etag,)), True, True),
        (Expected(("else", ACME.etag)), True, True),
        (Expected(("else",)), True, False),
        (Expected((ACME.etag,)), False, False),
    ],
)
@pytest.mark.parametrize("write", [put(n=2), put(n=1), drop()], ids=["new", "same", "delete"])
def test_an_expectation_holds_or_refuses_everything(
    expected: Expected | None, there: bool, fine: bool, write: Write
) -> None:
    now = held(ACME) if there else held()
    writes = [put("beta"), replace(write, expected=expected)]
    if fine:
        assert decide(now, writes, DANA).changes
        return
    with pytest.raises(Stale) as caught:
        decide(now, writes, DANA)
    assert (caught.value.key, caught.value.current) == (key(), ACME.etag if there else "absent")
    wanted, found = (one.replace("absent", "none") for one in (caught.value.expected, caught.value.current))
    assert f"expected {wanted}, there is {found};" in str(caught.value)


def test_an_expected_revision_is_the_newest_one_or_refuses() -> None:
    assert decide(held(ACME), [put(n=2)], DANA, if_revision=7).changes
    with pytest.raises(Stale, match=r"the newest revision: expected 6, there is 7"):
        decide(held(ACME), [put(n=2)], DANA, if_revision=6)


def test_a_name_written_twice_is_refused() -> None:
    with pytest.raises(Refused, match="Tenant/acme is written twice"):
        decide(held(), [put(n=1), put(n=2)], DANA)


@pytest.mark.parametrize("source", ["file:a.yaml", "registry"])
@pytest.mark.parametrize("write", [put(n=2), drop()])
def test_an_operator_is_refused_what_another_source_gives_unless_it_is_taken_over(source: str, write: Write) -> None:
    with pytest.raises(Foreign, match=f"Tenant/acme comes from {source}, and api may not change it"):
        decide(held(of(source)), [put("beta"), write], DANA)
    assert len(decide(held(of(source)), [put("beta"), write], DANA, force=True).changes) == 2


@pytest.mark.parametrize(("by", "theirs"), [(FILE, "api"), (FILE, "registry"), (REGISTRY, "file:a.yaml")])
def test_an_automatic_source_is_kept_out_of_one_document_and_writes_the_others(by: By, theirs: str) -> None:
    plan = decide(held(of(theirs)), [put(n=2), put("beta")], by)
    assert [change.key.id for change in plan.changes] == ["beta"]
    assert [(one.key, one.why, one.owner) for one in plan.kept_out] == [(key(), "foreign", theirs)]
    assert len(decide(held(of(theirs)), [put(n=2), put("beta")], by, force=True).changes) == 2


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_a_pin_keeps_a_file_out_even_by_force_and_nobody_else(force: bool, there: bool) -> None:
    now = held(of("file:a.yaml"), pinned=True) if there else held(pinned=True)
    plan = decide(now, [put(n=2)], FILE, force=force)
    assert (plan.changes, [one.why for one in plan.kept_out]) == ((), ["pinned"])
    assert "until it is unpinned" in str(plan.kept_out[0])
    assert decide(now, [put(n=2)], DANA, force=True).changes


def test_a_file_that_says_what_is_there_is_not_kept_out() -> None:
    assert decide(held(of("file:a.yaml"), pinned=True), [put(n=1)], FILE) == Plan()


def test_an_operator_who_deletes_what_a_file_gives_pins_the_name() -> None:
    assert decide(held(of("file:a.yaml")), [drop()], DANA, force=True).pins == (key(),)
    assert decide(held(of("file:a.yaml")), [drop()], FILE).pins == ()
    assert decide(held(ACME), [drop()], DANA).pins == ()


@pytest.mark.parametrize(
    ("before", "after"), [("file:a", "api"), ("api", "registry"), ("file:a", None), (None, "file:a")]
)
def test_going_back_over_what_a_file_or_registry_gave_pins_it(before: str | None, after: str | None) -> None:
    way = Change(key(), of(before) if before else None, replace(of(after), text="x") if after else None)
    plan = restored(9, [way])
    assert plan.pins == (key(),)
    assert plan.changes[0].before == way.after
    assert plan.changes[0].after == (way.before and replace(way.before, revision=10))


def test_going_back_over_what_operators_wrote_pins_nothing() -> None:
    assert restored(9, [Change(key(), ACME, None)]).pins == ()


@pytest.mark.parametrize("body", [{}, {"kind": "Tenant"}, {"kind": "Cat", "id": "a"}, {"kind": "Tenant", "id": "A"}])
def test_a_body_without_a_name_is_refused(body: dict[str, str]) -> None:
    with pytest.raises(Refused, match="needs a kind"):
        Write.put(body)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="this is not JSON"):
        put(n=value)
