"""The memory of a Kong: read once, kept up by our own writes. The schemas are those of the double."""

from collections.abc import Mapping
from typing import Any

import kongs
from plan_worlds import ident

from kong_double.double import Double
from kong_sync.entities import KINDS, Entity
from kong_sync.forms import Schemas
from kong_sync.mirror import Mirror, drift
from kong_sync.phases import Step, put
from kong_sync.states import State

TAGS = ("gatecast", "gateway:edge")


def read(kong: Double) -> Mirror:
    def page(path: str) -> dict[str, Any]:
        return dict(kongs.call(kong, "GET", path).json())

    known = Schemas.read(
        {name: page(f"/schemas/{name}") for name in KINDS},
        {name: page(f"/schemas/plugins/{name}") for name in ("jwt", "rate-limiting")},
    )
    listings: Mapping[str, list[Entity]] = {
        name: page(f"/{kind.path}?size=1000")["data"] for name, kind in KINDS.items() if not kind.nested
    }
    return Mirror.read(listings, known, TAGS)


def filled() -> Double:
    """A service with a route and a plugin, a consumer with a key; and a service of somebody else with a plugin."""
    kong = kongs.standing()
    mine = {"tags": list(TAGS)}
    for name, more in (("s", mine), ("theirs", {"tags": ["gatecast", "gateway:other"]})):
        kongs.make(kong, "/services", id=ident("services", name), name=name, host="h", **more)
    kongs.make(kong, "/services/s/routes", id=ident("routes", "r"), name="r", paths=["/"], **mine)
    kongs.make(kong, "/routes/r/plugins", id=ident("plugins", "p"), name="jwt", **mine)
    kongs.make(kong, "/services/theirs/plugins", name="bot-detection")
    kongs.make(kong, "/consumers", id=ident("consumers", "c"), username="c", **mine)
    kongs.make(kong, "/consumers/c/jwt", id=ident("jwt_secrets", "k"), key="k", secret="s", **mine)
    return kong


def test_only_what_carries_all_our_tags_is_ours() -> None:
    mirror = read(filled())
    named = (("services", "s"), ("routes", "r"), ("plugins", "p"), ("consumers", "c"), ("jwt_secrets", "k"))
    assert sorted(mirror.ours.rows) == sorted((kind, ident(kind, name)) for kind, name in named)
    assert {kind for kind, _id in mirror.others.rows} == {"services", "plugins"}


def test_after_each_of_our_writes_it_is_as_if_it_were_read_anew() -> None:
    kong = filled()
    before = mirror = read(kong)
    route = {**mirror.ours.rows["routes", ident("routes", "r")], "paths": ["/b"]}
    steps = [
        put("routes", route),
        Step("patch", "consumers", ident("consumers", "c"), {"custom_id": "c1"}),
        Step("patch", "consumers", ident("consumers", "c"), {"custom_id": None}),
        Step("delete", "consumers", ident("consumers", "c")),
        Step("delete", "routes", ident("routes", "r")),
    ]
    verbs = {"put": "PUT", "patch": "PATCH", "delete": "DELETE"}
    for step in steps:
        kongs.call(kong, verbs[step.verb], f"/{step.kind}/{step.id}", step.body or None)
        mirror = mirror.after(step)
        assert mirror == read(kong), step
    assert {kind for kind, _id in mirror.ours.rows} == {"services"}
    assert len(before.ours) == 5


def test_what_somebody_changed_deleted_or_made_with_our_tags_is_drift() -> None:
    kong = filled()
    mirror = read(kong)
    kongs.change(kong, "/services/s", retries=1)
    kongs.drop(kong, "/plugins/" + ident("plugins", "p"))
    made = kongs.make(kong, "/consumers", username="new", tags=list(TAGS))
    kongs.change(kong, "/services/theirs", retries=1)
    assert drift(mirror, read(kong)) == (
        ("consumers", made["id"]),
        ("plugins", ident("plugins", "p")),
        ("services", ident("services", "s")),
    )


def test_what_was_written_is_not_held_a_second_time() -> None:
    wanted = {"id": ident("services", "new"), "name": "new", "tags": list(TAGS)}
    mirror = read(filled()).after(put("services", wanted))
    assert mirror.ours.rows["services", wanted["id"]] is wanted


def test_a_step_that_states_a_null_leaves_the_field_out() -> None:
    row = {"id": ident("services", "new"), "name": "new", "path": None, "tags": list(TAGS)}
    mirror = read(filled()).after(put("services", row))
    assert "path" not in mirror.ours.rows["services", row["id"]]


def test_a_kong_that_holds_what_is_wanted_is_the_very_same_value() -> None:
    mirror = read(filled())
    wanted = State.of((kind, dict(row)) for (kind, _id), row in mirror.ours.rows.items())
    assert mirror.shared(wanted).ours is wanted
    more = wanted.changed(put=[("services", {"id": ident("services", "new"), "name": "new"})])
    assert mirror.shared(more).ours is mirror.ours
