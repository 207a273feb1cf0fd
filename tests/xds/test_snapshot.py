"""Snapshots: bytes as protobuf would write them, versions that depend on content alone, a log of changes with an end.

The oracle for bytes is envoy-data-plane, which shares no code with us.
"""

import oracles
import pytest
import talk
from hypothesis import given
from hypothesis import strategies as st

from xds.kinds import KINDS
from xds.snapshot import MEMO, Batch, ChangeLog, Resource, Snapshot, resource, total, varint, version_of
from xds.stream import Answer
from xds.wire import delta_response, sotw_response

NAMES = st.text(min_size=1, max_size=40)
BODIES = st.binary(max_size=400)
ROWS = st.dictionaries(NAMES, BODIES, max_size=8)


def made(rows: dict[str, bytes], kind: str = "RDS") -> tuple[Resource, ...]:
    return tuple(resource(kind, name, body) for name, body in sorted(rows.items()))


# -- bytes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (16_383, "ff7f"), (2**32, "8080808010")],
)
def test_numbers_are_written_as_the_protobuf_guide_says(number: int, encoded: str) -> None:
    assert varint(number).hex() == encoded


@given(NAMES, BODIES)
def test_a_resource_reads_as_name_version_and_any(name: str, body: bytes) -> None:
    one = resource("CDS", name, body)
    read = oracles.Resource.parse(one.block)
    assert (read.name, read.version) == (name, one.version)
    assert read.resource is not None
    assert (read.resource.type_url, read.resource.value) == (KINDS["CDS"].type_url, body)
    assert one.body == body


@given(ROWS, st.lists(NAMES, max_size=3))
def test_a_delta_response_reads_as_what_went_in(rows: dict[str, bytes], removed: list[str]) -> None:
    answer = Answer("RDS", "7", "v", Batch(made(rows)), tuple(removed))
    read = oracles.DeltaDiscoveryResponse.parse(delta_response(answer, "replica-1"))
    assert (read.nonce, read.type_url, read.removed_resources) == ("7", KINDS["RDS"].type_url, removed)
    assert read.control_plane is not None
    assert read.control_plane.identifier == "replica-1"
    assert {one.name: one.resource.value for one in read.resources if one.resource} == rows
    assert [one.version for one in read.resources] == [one.version for one in answer.batch.resources]


@given(ROWS)
def test_a_sotw_response_reads_as_what_went_in(rows: dict[str, bytes]) -> None:
    answer = Answer("RDS", "7", "v", Batch(made(rows)))
    read = oracles.DiscoveryResponse.parse(sotw_response(answer, "replica-1"))
    assert (read.nonce, read.version_info, read.type_url) == ("7", "v", KINDS["RDS"].type_url)
    assert [one.value for one in read.resources] == [body for _, body in sorted(rows.items())]
    assert {one.type_url for one in read.resources} <= {KINDS["RDS"].type_url}


def test_a_resource_longer_than_a_one_byte_length_is_framed_right() -> None:
    for length in (0, 1, 60, 127, 128, 129, 16_383, 16_384, 70_000):
        answer = Answer("RDS", "1", "v", Batch(made({"n": b"x" * length})))
        (read,) = oracles.DeltaDiscoveryResponse.parse(delta_response(answer, "")).resources
        assert read.resource is not None
        assert read.resource.value == b"x" * length


# -- versions -----------------------------------------------------------------------------------------------------


def test_a_version_is_of_the_content_alone() -> None:
    assert resource("RDS", "a", b"x").version == resource("CDS", "b", b"x", owner="t", companion="e").version
    assert resource("RDS", "a", b"x").version != resource("RDS", "a", b"y").version


@given(ROWS, st.randoms())
def test_the_version_of_a_kind_does_not_depend_on_the_way_to_it(rows: dict[str, bytes], random: object) -> None:
    at_once = talk.snapshot(RDS=list(made(rows)))
    by_one = talk.snapshot(RDS="other=1")
    order = list(made(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    for one in order:
        by_one = by_one.next({"RDS": {one.name: resource("RDS", one.name, b"before")}})
        by_one = by_one.next({"RDS": {one.name: one}})
    if "other" not in rows:
        by_one = by_one.next({"RDS": {"other": None}})
    assert by_one.version("RDS") == at_once.version("RDS") == version_of(total(made(rows)))


def test_the_version_of_a_kind_knows_names_contents_and_what_is_swapped() -> None:
    bodies = [{"a": b"1", "b": b"2"}, {"a": b"2", "b": b"1"}, {"a": b"1"}, {"a": b"1", "c": b"2"}, {}]
    versions = [talk.snapshot(RDS=list(made(rows))).version("RDS") for rows in bodies]
    assert len(set(versions)) == len(bodies)


def test_an_empty_kind_has_a_version_that_is_not_empty_r52() -> None:
    assert Snapshot.empty().version("CDS") == "0" * 32


def test_a_change_of_one_kind_leaves_the_version_and_the_map_of_the_others() -> None:
    before = talk.snapshot(CDS="a", RDS="r")
    after = talk.snapshot(before, RDS="r=2")
    assert after.version("CDS") == before.version("CDS")
    assert after.resources["CDS"] is before.resources["CDS"]
    assert after.version("RDS") != before.version("RDS")


def test_changes_that_change_nothing_give_the_same_snapshot() -> None:
    before = talk.snapshot(CDS="a")
    assert before.next({}) is before
    assert before.next({"CDS": {"a": talk.one("CDS", "a"), "ghost": None}, "RDS": {}}) is before
    assert before.next({"CDS": {"b": talk.one("CDS", "b")}}) is not before


def test_a_snapshot_does_not_change_when_the_next_one_is_made() -> None:
    before = talk.snapshot(CDS="a")
    after = talk.snapshot(before, CDS="b")
    assert (set(before.resources["CDS"]), set(after.resources["CDS"])) == ({"a"}, {"b"})


# -- what changed since -------------------------------------------------------------------------------------------


def test_what_changed_since_is_what_changed_since() -> None:
    first = talk.snapshot(CDS="a b", RDS="r")
    second = talk.snapshot(first, CDS="a=2 b")
    third = talk.snapshot(second, CDS="a=2 c")
    assert third.changed("CDS", second.serial) == {"b", "c"}
    assert third.changed("CDS", first.serial) == {"a", "b", "c"}
    assert third.changed("CDS", third.serial) == set()
    assert third.changed("RDS", first.serial) == set()


def test_an_older_snapshot_is_not_told_of_what_came_later() -> None:
    first = talk.snapshot(CDS="a")
    second = talk.snapshot(first, CDS="a=2")
    talk.snapshot(second, CDS="a=3 b")
    assert second.changed("CDS", first.serial) == {"a"}


def test_the_log_ends_and_says_so() -> None:
    log = ChangeLog()
    for n in range(3 * ChangeLog.LIMIT):
        log.append({"CDS": frozenset({f"c{n}"})})
    newest = 3 * ChangeLog.LIMIT
    assert log.between("CDS", newest - 1, newest) == {f"c{newest - 1}"}
    assert len(log.between("CDS", newest - ChangeLog.LIMIT, newest) or ()) == ChangeLog.LIMIT
    assert log.between("CDS", 0, newest) is None
    assert len(log._entries) <= 2 * ChangeLog.LIMIT


@pytest.mark.parametrize("is_delta", [True, False], ids=["delta", "sotw"])
def test_a_client_that_slept_through_the_whole_log_is_told_what_differs(is_delta: bool) -> None:
    start = talk.snapshot(LDS="a b c")
    speaker = talk.Talk(talk.stream(start, delta=is_delta))
    speaker.ask(talk.delta("LDS") if is_delta else talk.sotw("LDS"))
    speaker.ack("LDS")
    now = talk.snapshot(start, LDS="a c=2 d")
    for n in range(3 * ChangeLog.LIMIT):
        now = talk.snapshot(now, RDS=f"r={n}")
    assert now.changed("LDS", start.serial) is None
    speaker.publish(now)
    (answer,) = speaker.last
    assert [one.name for one in answer.batch.resources] == (["c", "d"] if is_delta else ["a", "c", "d"])
    assert answer.removed == ("b",)
    speaker.ack("LDS")
    assert speaker.machine.interests["LDS"].settled(now)


# -- shared batches -----------------------------------------------------------------------------------------------


def test_those_who_ask_for_the_same_share_one_batch() -> None:
    snapshot = talk.snapshot(EDS="a b c")
    names = frozenset({"a", "b"})
    assert snapshot.batch("EDS", names) is snapshot.batch("EDS", frozenset(["b", "a"]))
    assert snapshot.full("EDS") is snapshot.full("EDS")
    assert snapshot.full("EDS").delta() is snapshot.full("EDS").delta()
    assert snapshot.full("EDS").sotw() is snapshot.full("EDS").sotw()
    assert [one.name for one in snapshot.batch("EDS", names).resources] == ["a", "b"]


def test_odd_askers_do_not_fill_the_memory() -> None:
    snapshot = talk.snapshot(EDS=" ".join(f"e{n}" for n in range(3 * MEMO)))
    for n in range(3 * MEMO):
        (one,) = snapshot.batch("EDS", frozenset({f"e{n}"})).resources
        assert one.name == f"e{n}"
    assert len(snapshot.memo) <= MEMO
    assert len(snapshot.full("EDS").resources) == 3 * MEMO
