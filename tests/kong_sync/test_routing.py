"""Matches as sets: what two routes share and come to together, and which hides which."""

import pytest
from plan_worlds import ident

from kong_sync.entities import Entity
from kong_sync.routing import PARKED, Crowd, both, covers, layers, lost, match, park, parked, shared, unites

SERVICE = {"id": ident("services", "s")}


def route(paths: tuple[str, ...] = ("/a",), tenants: tuple[str, ...] = (), **more: object) -> Entity:
    headers = {"headers": {"x-tenant-id": list(tenants)}} if tenants else {}
    return {"id": ident(paths, tenants, sorted(more)), "service": SERVICE, "paths": list(paths), **headers, **more}


def hides(one: Entity, other: Entity) -> bool:
    """And it is found where it is looked for."""
    crowd = Crowd([one, other])
    found = crowd.hides(one, other)
    assert not found or other in list(crowd.near(one))
    return found


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        (route(tenants=("a", "b")), route(tenants=("a",)), True),
        (route(tenants=("a",)), route(tenants=("a", "b")), False),
        (route(), route(tenants=("a",)), True),
        (route(tenants=("a",)), route(), False),
        (route(tenants=("A",)), route(tenants=("a",)), True),
        (route(("/a", "/b"), ("a",)), route(("/b",), ("b",)), False),
    ],
)
def test_a_match_covers_another(wide: Entity, narrow: Entity, expected: bool) -> None:
    assert covers(match(wide), match(narrow)) is expected


def test_two_that_differ_in_one_attribute_unite_and_take_nothing_else() -> None:
    one, other = route(tenants=("a", "b")), route(tenants=("b", "c"))
    assert unites(match(one), match(other))
    assert both(one, other)["headers"] == {"x-tenant-id": ["a", "b", "c"]}
    assert shared(one, other)["headers"] == {"x-tenant-id": ["b"]}
    assert not unites(match(one), match(route(("/b",), ("c",))))


def test_names_of_headers_are_compared_in_small_letters() -> None:
    one, other = route(headers={"X-Tenant-Id": ["a"]}), route(tenants=("b",))
    assert both(one, other)["headers"] == {"x-tenant-id": ["a", "b"]}
    assert shared(one, other)["hosts"] == [PARKED]


def test_what_is_not_stated_takes_everything() -> None:
    assert "headers" not in both(route(), route(tenants=("a",)))
    assert shared(route(), route(tenants=("a",)))["headers"] == {"x-tenant-id": ["a"]}


def test_a_parked_route_has_nothing_behind_it() -> None:
    assert parked(park(route()))
    assert "service" not in park(route())
    assert not hides(route(("/a/b",)), park(route()))


def test_a_longer_path_hides_a_part_of_a_shorter_one_where_both_take_a_tenant() -> None:
    long, short = route(("/a/b",), ("t",)), route(("/a",), ("t", "u"))
    assert hides(long, short)
    assert not hides(short, long)
    assert not hides(long, route(("/a",), ("u",)))
    assert not hides(route(("/b",), ("t",)), short)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("~/a(?:/|$)", "/a/b", True),
        ("~/a(?:/|$)", "/b", False),
        ("~/ab?$", "/a", True),
        ("~/a|/b", "/b", True),
        (r"~/a\.b$", "/a", True),
    ],
)
def test_a_pattern_may_meet_what_begins_like_it(pattern: str, path: str, expected: bool) -> None:
    assert hides(route((pattern,)), route((path,))) is expected


def test_what_is_lost_is_told_in_parts() -> None:
    before, after = route(("/a", "/b"), ("t", "u")), route(("/a",), ("t",))
    assert lost(before, after) == [
        {**match(before), "paths": frozenset({"/b"})},
        {**match(before), "header x-tenant-id": frozenset({"u"})},
    ]
    assert lost(before, None) == [match(before)]


def test_routes_stand_behind_all_that_hide_a_part_of_them() -> None:
    rows = {"deep": route(("/a/b",)), "mid": route(("/a",)), "all": route(("/",)), "other": route(("/c",), ("t",))}
    assert layers(rows.items()) == {"deep": 0, "mid": 1, "all": 2, "other": 0}
    crossed = {"one": route(("/", "/a/b")), "two": route(("/a",))}
    assert layers(crossed.items()) == {}


def test_a_route_that_reaches_nothing_waits_for_nobody() -> None:
    everything = {name: one for name, one in route(("/",)).items() if name != "service"}
    assert layers([("deep", route(("/a",))), ("all", everything)]) == {"deep": 0, "all": 0}
