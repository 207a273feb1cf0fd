"""The stream machine, trap by trap: both variants. R.. are the rules of shared/research/xds.md §2; each a dialogue."""

import pytest
import talk
from talk import Talk, one, sotw
from traps import START, first, talking

from tenants.errors import Refused
from xds.interest import MAX_NAMES
from xds.order import PATIENCE
from xds.stream import Stream


def test_a_first_request_without_names_asks_for_all_clusters_and_listeners_r27(either: Talk) -> None:
    assert first(either, "CDS") == ["CDS: a b"]
    assert first(either, "LDS") == ["LDS: l"]


def test_a_first_request_without_names_asks_for_no_endpoints_r25(either: Talk) -> None:
    assert first(either, "EDS") == []


def test_an_explicit_star_subscribes_to_everything_of_any_type(either: Talk) -> None:
    assert first(either, "EDS", "*") == ["EDS: ea eb"]
    assert first(either, "SRDS", "*") == ["SRDS: s1"]


def test_a_type_without_resources_is_answered_too_r39_r52() -> None:
    for is_delta in (True, False):
        empty = Talk(Stream(talk.snapshot(), delta=is_delta))
        assert first(empty, "CDS") == ["CDS:"]
        assert empty.versions["CDS"] != ""


def test_at_most_one_answer_of_a_type_waits_for_its_ack(either: Talk) -> None:
    first(either, "LDS")
    second = talk.snapshot(START, LDS="l=2")
    assert either.publish(second) == []
    assert either.publish(talk.snapshot(second, LDS="l=3")) == []
    assert either.ack("LDS") == ["LDS: l"]
    assert either.last[0].batch.resources[0].version == one("LDS", "l=3").version
    assert either.ack("LDS") == []


def test_every_answer_has_a_fresh_nonce_r4(either: Talk) -> None:
    first(either, "LDS")
    nonce = either.nonces["LDS"]
    either.ack("LDS")
    either.publish(talk.snapshot(START, LDS="l=2"))
    assert either.nonces["LDS"] != nonce


def test_a_change_that_is_undone_before_it_is_sent_is_not_sent(either: Talk) -> None:
    first(either, "LDS")
    second = talk.snapshot(START, LDS="l=2")
    either.publish(second)
    either.publish(talk.snapshot(second, LDS="l"))
    assert either.ack("LDS") == []


def test_a_rejected_listener_is_not_sent_again_r11(either: Talk) -> None:
    first(either, "LDS")
    assert either.nack("LDS") == []
    assert either.wait(1000) == []


def test_newer_content_is_sent_at_once_after_a_nack_r12(either: Talk) -> None:
    first(either, "LDS")
    either.publish(talk.snapshot(START, LDS="l=2"))
    assert either.nack("LDS") == ["LDS: l"]


def test_content_that_returns_after_a_nack_is_sent_since_the_client_may_hold_either_r18(either: Talk) -> None:
    first(either, "LDS")
    either.ack("LDS")
    bad = talk.snapshot(START, LDS="l=bad")
    either.publish(bad)
    either.nack("LDS")
    assert either.publish(talk.snapshot(bad, LDS="l")) == ["LDS: l"]


def test_a_nack_is_known_by_its_error_alone_even_if_the_error_is_empty_r10(either: Talk) -> None:
    first(either, "LDS")
    assert either.nack("LDS", "") == []
    assert "l" in either.machine.interests["LDS"].parked


def test_names_in_a_nack_count_r13() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea")
    assert speaker.ask(sotw("EDS", "ea eb", nonce=speaker.nonces["EDS"], error="no")) == ["EDS: eb"]


def test_parts_of_a_rejected_answer_are_tried_apart_so_the_good_one_arrives() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "ea eb")
    assert speaker.nack("EDS") == ["EDS: ea"]
    assert speaker.ack("EDS") == ["EDS: eb"]
    assert speaker.nack("EDS") == []
    fixed = talk.snapshot(START, EDS="ea eb=fixed")
    assert speaker.publish(fixed) == ["EDS: eb"]


def test_all_three_come_again_when_one_of_three_was_bad_and_is_fixed_at_once_r18() -> None:
    speaker = Talk(Stream(talk.snapshot(EDS="x y z=bad"), delta=True))
    first(speaker, "EDS", "x y z")
    speaker.publish(talk.snapshot(speaker.machine.snapshot, EDS="x y z=good"))
    answers = speaker.nack("EDS")
    while speaker.machine.interests["EDS"].sent:
        answers += speaker.ack("EDS")
    assert sorted(" ".join(answers).replace("EDS:", "").split()) == ["x", "y", "z"]


def test_a_nack_of_many_finds_the_bad_one_in_logarithmic_steps() -> None:
    names = [f"e{i:03}" for i in range(256)]
    speaker = Talk(Stream(talk.snapshot(EDS=" ".join(names)), delta=True))
    first(speaker, "EDS", " ".join(names))
    sent, bad = 1, "e077"
    while speaker.machine.interests["EDS"].sent:
        rejected = any(row.name == bad for row in speaker.last[0].batch.resources)
        sent += len(speaker.nack("EDS") if rejected else speaker.ack("EDS"))
    assert speaker.machine.interests["EDS"].parked.keys() == {bad}
    assert sent <= 1 + 2 * 8


def test_endpoints_are_pushed_with_a_changed_cluster_without_being_asked_r47(either: Talk) -> None:
    first(either, "CDS")
    first(either, "EDS", "ea eb")
    either.ack("CDS")
    either.ack("EDS")
    changed = talk.snapshot(START, CDS=[one("CDS", "a=2", companion="ea"), one("CDS", "b", companion="eb")])
    shown = either.publish(changed)
    assert [line.split()[-1] for line in shown] == (["a", "ea"] if either.machine.delta else ["b", "ea"])
    assert [line.partition(":")[0] for line in shown] == ["CDS", "EDS"]


def test_the_endpoints_of_a_cluster_come_although_they_left_the_snapshot_meanwhile(either: Talk) -> None:
    first(either, "CDS")
    either.publish(talk.snapshot(START, CDS=[one("CDS", "b", companion="eb")], EDS="eb"))
    assert first(either, "EDS", "ea eb") == ["EDS: ea eb"]


def test_routes_wait_for_the_cluster_they_name_r46(either: Talk) -> None:
    for kind, names in (("CDS", ""), ("EDS", "ea eb"), ("SRDS", ""), ("RDS", "r1")):
        first(either, kind, names)
        if kind in either.nonces:
            either.ack(kind)
    either.ack("RDS") if either.machine.interests["RDS"].sent else None
    clusters = [one("CDS", name, companion=f"e{name}") for name in "abc"]
    newer = talk.snapshot(START, CDS=clusters, EDS="ea eb ec", RDS=[one("RDS", "r1=2", uses=["c"])])
    assert [line.partition(":")[0] for line in either.publish(newer)] == ["CDS"]
    assert either.ack("CDS") == ["RDS: r1"]


def test_a_cluster_goes_only_after_the_routes_that_used_it_are_acknowledged_r46(either: Talk) -> None:
    for kind, names in (("CDS", ""), ("SRDS", ""), ("RDS", "r1")):
        first(either, kind, names)
        either.ack(kind)
    assert either.machine.interests["RDS"].settled(START)
    newer = talk.snapshot(START, CDS=[one("CDS", "b", companion="eb")], RDS=[one("RDS", "r1=2", uses=["b"])])
    assert either.publish(newer) == ["RDS: r1"]
    gone = either.ack("RDS")
    assert gone == (["CDS: -a"] if either.machine.delta else ["CDS: b -a"])


def test_a_cluster_stays_for_as_long_as_a_proxy_refuses_the_routes_that_leave_it(either: Talk) -> None:
    for kind, names in (("CDS", ""), ("SRDS", ""), ("RDS", "r1")):
        first(either, kind, names)
        either.ack(kind)
    newer = talk.snapshot(START, CDS=[one("CDS", "b", companion="eb")], RDS=[one("RDS", "r1=bad", uses=["b"])])
    either.publish(newer)
    assert either.nack("RDS") == []
    assert either.wait(10 * PATIENCE) == []
    fixed = talk.snapshot(newer, RDS=[one("RDS", "r1=good", uses=["b"])])
    assert either.publish(fixed) == ["RDS: r1"]
    assert either.ack("RDS") != []


def test_what_waits_too_long_goes_anyway_and_is_reported(either: Talk) -> None:
    for kind, names in (("CDS", ""), ("SRDS", ""), ("RDS", "r1")):
        first(either, kind, names)
        either.ack(kind)
    newer = talk.snapshot(START, CDS=[one("CDS", "b", companion="eb")], RDS=[one("RDS", "r1=2", uses=["b"])])
    either.publish(newer)
    assert either.wait(PATIENCE - 1) == []
    assert either.machine.deadline() == PATIENCE
    assert either.wait(2) != []
    assert [(late.kind, late.name) for late in either.machine.overdue()] == [("CDS", "a")]


def test_more_names_than_a_stream_may_hold_are_refused(either: Talk) -> None:
    names = " ".join(f"n{i}" for i in range(MAX_NAMES + 1))
    with pytest.raises(Refused, match="more than 200000 resource names"):
        first(either, "EDS", names)


def test_a_change_sends_what_changed_and_nothing_of_other_types(either: Talk) -> None:
    for kind, names in (("CDS", ""), ("LDS", ""), ("SRDS", ""), ("RDS", "r1")):
        first(either, kind, names)
        either.ack(kind)
    assert either.publish(talk.snapshot(START, RDS=[one("RDS", "r1=2", uses=["a"])])) == ["RDS: r1"]


def test_the_state_of_a_wildcard_does_not_grow_with_the_resources() -> None:
    many = talk.snapshot(RDS=" ".join(f"r{i}" for i in range(2000)))
    speaker = Talk(Stream(many, delta=True))
    first(speaker, "RDS", "*")
    speaker.ack("RDS")
    interest = speaker.machine.interests["RDS"]
    held = (interest.names, interest.changes, interest.wanted, interest.doubt, interest.parked, interest.forced)
    assert sum(map(len, held)) == 0
    assert interest.base is many.resources["RDS"]


def test_streams_in_the_same_position_share_one_body() -> None:
    speakers = [Talk(Stream(START, delta=True)) for _ in range(3)]
    for speaker in speakers:
        first(speaker, "CDS")
        speaker.ack("CDS")
    newer = talk.snapshot(START, CDS="a=2 b")
    for speaker in speakers:
        speaker.publish(newer)
    bodies = {id(speaker.last[0].batch.delta()) for speaker in speakers}
    assert len(bodies) == 1
