"""The stream machine, trap by trap. R.. are the rules of shared/research/xds.md §2; each test is a dialogue."""

import pytest
import talk
from talk import Talk, delta, one, sotw

from tenants.errors import Refused
from xds.interest import MAX_NAMES
from xds.order import PATIENCE
from xds.snapshot import Resource, Snapshot
from xds.stream import STORM, Stream

START = talk.snapshot(
    CDS=[one("CDS", "a", companion="ea"), one("CDS", "b", companion="eb")],
    EDS="ea eb",
    LDS="l",
    SRDS=[one("SRDS", "s1", uses=["r1"])],
    RDS=[one("RDS", "r1", uses=["a"])],
)


def talking(*, is_delta: bool) -> Talk:
    return Talk(Stream(START, delta=is_delta))


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
def either(request: pytest.FixtureRequest) -> Talk:
    return talking(is_delta=request.param)


def first(talk_: Talk, kind: str, names: str = "") -> list[str]:
    return talk_.ask(delta(kind, names) if talk_.machine.delta else sotw(kind, names))


# -- both variants ------------------------------------------------------------------------------------------------


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


# -- SotW ---------------------------------------------------------------------------------------------------------


def test_a_stale_nonce_acknowledges_nothing_but_its_names_are_news_r5() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea")
    assert speaker.ask(sotw("EDS", "ea eb", nonce="stale")) == []
    assert speaker.machine.interests["EDS"].sent is not None
    assert speaker.ack("EDS") == ["EDS: eb"]


def test_an_empty_nonce_in_mid_stream_neither_acknowledges_nor_repeats_r7() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea")
    assert speaker.ask(sotw("EDS", "ea")) == []
    assert speaker.ack("EDS") == []


def test_a_name_dropped_and_added_back_to_back_is_answered_r8() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea eb")
    speaker.ack("EDS")
    nonce = speaker.nonces["EDS"]
    assert speaker.ask(sotw("EDS", "ea", nonce=nonce)) == []
    assert speaker.ask(sotw("EDS", "ea eb", nonce=nonce)) == ["EDS: eb"]


def test_the_same_request_with_the_acknowledged_nonce_asks_again_r47() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea")
    speaker.ack("EDS")
    assert speaker.ask(sotw("EDS", "ea", nonce=speaker.nonces["EDS"])) == ["EDS: ea"]


def test_clusters_and_listeners_are_full_state_r23() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "LDS")
    speaker.ack("LDS")
    assert speaker.publish(talk.snapshot(START, LDS="l m")) == ["LDS: l m"]
    speaker.ack("LDS")
    assert speaker.publish(talk.snapshot(speaker.machine.snapshot, LDS="")) == ["LDS: -l -m"]
    assert speaker.last[0].batch.resources == ()


def test_endpoints_may_be_answered_in_part_r24() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea eb")
    speaker.ack("EDS")
    assert speaker.publish(talk.snapshot(START, EDS="ea=2 eb")) == ["EDS: ea"]


def test_no_names_after_names_is_no_wildcard_r25() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "LDS", "l")
    speaker.ack("LDS")
    assert speaker.ask(sotw("LDS", "", nonce=speaker.nonces["LDS"])) == []
    assert speaker.publish(talk.snapshot(START, LDS="l=2 m")) == []


def test_the_legacy_wildcard_never_comes_back_r26() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "CDS")
    speaker.ack("CDS")
    nonce = speaker.nonces["CDS"]
    speaker.ask(sotw("CDS", "a", nonce=nonce))
    speaker.ack("CDS")
    speaker.ask(sotw("CDS", "", nonce=speaker.nonces["CDS"]))
    assert speaker.publish(talk.snapshot(START, CDS="a=2 b=2")) == []


def test_star_and_names_may_coexist_and_the_names_outlive_the_star_r28() -> None:
    speaker = talking(is_delta=False)
    assert first(speaker, "EDS", "* ea") == ["EDS: ea eb"]
    speaker.ack("EDS")
    speaker.ask(sotw("EDS", "ea", nonce=speaker.nonces["EDS"]))
    assert speaker.publish(talk.snapshot(START, EDS="ea=2 eb=2")) == ["EDS: ea"]


def test_a_wildcard_that_resumes_with_our_version_receives_nothing_r29() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "CDS")
    again = talking(is_delta=False)
    assert again.ask(sotw("CDS", version=speaker.versions["CDS"])) == []
    assert again.publish(talk.snapshot(START, CDS="a=2 b")) == ["CDS: a b"]


def test_names_are_answered_on_a_new_stream_since_one_may_have_been_dropped_and_added_on_the_way_r29() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea eb")
    again = talking(is_delta=False)
    assert again.ask(sotw("EDS", "ea eb", version=speaker.versions["EDS"])) == ["EDS: ea eb"]


def test_a_new_name_is_sent_though_the_version_is_unchanged_r30() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "EDS", "ea")
    speaker.ack("EDS")
    assert speaker.ask(sotw("EDS", "ea eb", nonce=speaker.nonces["EDS"])) == ["EDS: eb"]


def test_a_missing_name_is_remembered_and_sent_when_it_appears_r31() -> None:
    speaker = talking(is_delta=False)
    assert first(speaker, "EDS", "later") == []
    assert speaker.publish(talk.snapshot(START, EDS="ea eb later")) == ["EDS: later"]


def test_good_listeners_reach_a_sotw_client_that_rejects_another() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "LDS")
    speaker.ack("LDS")
    speaker.publish(talk.snapshot(START, LDS="l good bad"))
    shown = []
    while speaker.machine.interests["LDS"].sent:
        rejected = any(row.name == "bad" for row in speaker.last[0].batch.resources)
        shown += speaker.nack("LDS") if rejected else speaker.ack("LDS")
    assert shown[-1] == "LDS: good l"
    assert speaker.publish(talk.snapshot(speaker.machine.snapshot, LDS="l=2 good bad")) == ["LDS: good l"]


# -- delta --------------------------------------------------------------------------------------------------------


def test_a_stale_nonce_rejects_no_subscription_r6() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "ea")
    speaker.ask(delta("EDS", "eb", nonce="stale"))
    assert speaker.ack("EDS") == ["EDS: eb"]


def test_a_name_subscribed_again_is_answered_although_unchanged_r33() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "ea")
    speaker.ack("EDS")
    assert speaker.ask(delta("EDS", "ea")) == ["EDS: ea"]


def test_a_phantom_unsubscribe_is_ignored_r34() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "ea")
    speaker.ack("EDS")
    assert speaker.ask(delta("EDS", less="never")) == []


def test_a_name_unsubscribed_under_a_wildcard_is_answered_r34() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "* ea missing")
    speaker.ack("EDS")
    assert speaker.ask(delta("EDS", less="ea missing")) == ["EDS: ea -missing"]


def test_without_the_star_the_names_stay_r35() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "* ea")
    speaker.ack("EDS")
    speaker.ask(delta("EDS", less="*"))
    assert speaker.publish(talk.snapshot(START, EDS="ea=2 eb=2")) == ["EDS: ea"]
    speaker.ack("EDS")
    speaker.ask(delta("EDS", less="ea"))
    assert speaker.publish(talk.snapshot(speaker.machine.snapshot, EDS="ea=3 eb=3")) == []


def test_a_missing_name_is_answered_as_removed_and_stays_subscribed_r36() -> None:
    speaker = talking(is_delta=True)
    assert first(speaker, "EDS", "later") == ["EDS: -later"]
    speaker.ack("EDS")
    assert speaker.publish(talk.snapshot(START, EDS="ea eb later")) == ["EDS: later"]


def test_nobody_is_sent_what_he_did_not_ask_for_r38() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "ea")
    speaker.ack("EDS")
    assert speaker.publish(talk.snapshot(START, EDS="ea eb=2")) == []


def test_endpoints_are_not_removed_while_their_cluster_is_held_r37() -> None:
    speaker = talking(is_delta=True)
    for kind, names in (("CDS", ""), ("EDS", "ea eb"), ("SRDS", ""), ("RDS", "r1")):
        first(speaker, kind, names)
        speaker.ack(kind)
    speaker.ack("RDS") if speaker.machine.interests["RDS"].sent else None
    left = [one("CDS", "b", companion="eb")]
    shown = speaker.publish(talk.snapshot(START, CDS=left, EDS="eb", RDS=[one("RDS", "r1=2", uses=["b"])]))
    assert shown == ["RDS: r1"], "the cluster is in use, and so are its endpoints"
    assert speaker.ack("RDS") == ["CDS: -a"]
    assert speaker.ack("CDS") == ["EDS: -ea"]


def test_a_proxy_that_waits_for_clusters_and_endpoints_gets_them_without_an_ack_between_r51() -> None:
    speaker = talking(is_delta=True)
    assert first(speaker, "CDS") == ["CDS: a b"]
    assert first(speaker, "EDS", "ea eb") == ["EDS: ea eb"], "the cluster answer is acknowledged after these (R22)"


def test_a_reconnecting_client_receives_only_what_differs_r40() -> None:
    speaker = talking(is_delta=True)
    known = {"a": START.resources["CDS"]["a"].version, "b": "old", "gone": "x"}
    assert speaker.ask(delta("CDS", known=known)) == ["CDS: b"]
    speaker.ack("CDS")
    assert speaker.wait(PATIENCE + 1) == ["CDS: -gone"], "it waits for routes that may use it, but not for ever"


def test_a_reconnecting_client_that_has_everything_receives_nothing_r40() -> None:
    speaker = talking(is_delta=True)
    known = {name: row.version for name, row in START.resources["CDS"].items()}
    assert speaker.ask(delta("CDS", known=known)) == []
    assert speaker.machine.interests["CDS"].settled(START)


def test_names_in_doubt_are_removed_for_a_reconnecting_node_r19() -> None:
    speaker = Talk(Stream(talk.snapshot(LDS="good bad"), delta=True))
    first(speaker, "LDS")
    speaker.nack("LDS")
    doubts = speaker.machine.doubts()
    assert doubts == {"LDS": frozenset({"good", "bad"})}
    again = Talk(Stream(talk.snapshot(LDS=""), delta=True, doubts=doubts))
    assert again.ask(delta("LDS")) == ["LDS: -bad -good"]


def test_doubts_outlive_a_stream_that_ends_before_it_asks_r19() -> None:
    doubts = {"CDS": frozenset({"orphan"})}
    assert Stream(START, delta=True, doubts=doubts).doubts() == doubts


def test_a_reconnect_with_star_and_names_is_understood_r41() -> None:
    speaker = talking(is_delta=True)
    known = {"ea": START.resources["EDS"]["ea"].version}
    assert speaker.ask(delta("EDS", "* ea", known=known)) == ["EDS: eb"]


def test_adding_a_star_to_names_brings_the_rest() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "ea")
    speaker.ask(delta("EDS", "*"))
    assert speaker.ack("EDS") == ["EDS: eb"]


def test_a_name_given_up_for_a_star_in_one_request_is_answered_r34() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "EDS", "ea")
    speaker.ack("EDS")
    speaker.publish(talk.snapshot(START, EDS="eb"))
    speaker.ack("EDS")
    assert speaker.ask(delta("EDS", "*", "ea")) == ["EDS: eb -ea"]


def test_no_answer_names_a_resource_twice_r20() -> None:
    speaker = talking(is_delta=True)
    assert first(speaker, "EDS", "ea ea eb") == ["EDS: ea eb"]


# -- what is built on what was refused -----------------------------------------------------------------------------


def table(content: str, *uses: str) -> Resource:
    return one("RDS", f"r1={content}", uses=uses)


def refusing_b(either: Talk, before: Snapshot) -> Snapshot:
    """The client takes all of `before`, and refuses the cluster b that then comes."""
    either.machine.publish(before)
    for kind, names in (("CDS", ""), ("SRDS", ""), ("RDS", "r1")):
        first(either, kind, names)
        if either.machine.interests[kind].sent:
            either.ack(kind)
    with_b = talk.snapshot(before, CDS="a b")
    assert either.publish(with_b) == ["CDS: b" if either.machine.delta else "CDS: a b"]
    either.nack("CDS")
    return with_b


def test_a_table_does_not_move_to_a_cluster_that_was_refused(either: Talk) -> None:
    now = refusing_b(either, talk.snapshot(CDS="a", SRDS="s1", RDS=[table("1", "a")]))
    moved = talk.snapshot(now, RDS=[table("2", "b")])
    assert either.publish(moved) == []
    assert either.machine.deadline() is None
    assert either.publish(talk.snapshot(moved, CDS="a b=good")) != []
    assert either.ack("CDS") == ["RDS: r1"]


def test_a_table_the_client_never_had_goes_without_the_cluster_that_was_refused(either: Talk) -> None:
    """Else a proxy that starts would wait 15 s for it, and every other tenant with it."""
    now = refusing_b(either, talk.snapshot(CDS="a", SRDS="s1"))
    assert either.publish(talk.snapshot(now, RDS=[table("1", "b")])) == ["RDS: r1"]


def test_a_table_that_went_without_a_refused_cluster_still_changes(either: Talk) -> None:
    now = refusing_b(either, talk.snapshot(CDS="a", SRDS="s1"))
    now = talk.snapshot(now, RDS=[table("1", "a", "b")])
    either.publish(now)
    either.ack("RDS")
    assert either.publish(talk.snapshot(now, RDS=[table("2", "a", "b")])) == ["RDS: r1"]


def test_a_star_taken_up_and_dropped_forgets_no_change() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "LDS", "l")
    speaker.ack("LDS")
    speaker.machine.receive(delta("LDS", "*"), 0.0)
    speaker.machine.publish(talk.snapshot(START, LDS="l=2"))
    speaker.machine.receive(delta("LDS", less="*"), 0.0)
    assert speaker.answers() == ["LDS: l"]


def test_an_ack_says_nothing_of_names_asked_for_since_the_answer_was_sent() -> None:
    speaker = Talk(Stream(talk.snapshot(LDS="a b=bad d"), delta=False))
    first(speaker, "LDS", "a")
    speaker.ask(sotw("LDS", "a b", nonce="stale"))
    assert speaker.ack("LDS") == ["LDS: a b"]
    assert speaker.nack("LDS") == []
    assert speaker.ask(sotw("LDS", "a b d", nonce=speaker.nonces["LDS"])) == ["LDS: a d"]


def test_what_was_refused_under_a_wildcard_pins_nothing_once_it_is_given_up() -> None:
    speaker = talking(is_delta=False)
    for kind, names in (("CDS", ""), ("RDS", "*")):
        first(speaker, kind, names)
        speaker.ack(kind)
    newer = talk.snapshot(START, CDS=[one("CDS", "b", companion="eb")], RDS=[one("RDS", "r1=bad", uses=["b"])])
    speaker.publish(newer)
    speaker.nack("RDS")
    assert speaker.ask(sotw("RDS", "other", nonce=speaker.nonces["RDS"])) == ["CDS: b -a"]


def test_endpoints_that_left_while_their_cluster_was_on_its_way_are_removed_after_it() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "CDS")
    first(speaker, "EDS", "ea eb")
    left = talk.snapshot(START, CDS=[one("CDS", "b", companion="eb")], EDS="eb")
    speaker.publish(left)
    speaker.ack("EDS")
    speaker.ack("CDS")
    speaker.wait(PATIENCE + 1)
    speaker.ack("CDS")
    assert speaker.machine.interests["EDS"].sent is not None
    assert speaker.machine.interests["EDS"].sent.removed == ("ea",)


def test_parts_of_a_rejected_state_leave_out_again_what_it_left_out() -> None:
    speaker = talking(is_delta=False)
    first(speaker, "LDS")
    speaker.ack("LDS")
    speaker.publish(talk.snapshot(START, LDS="m n=bad"))
    assert speaker.nack("LDS") == ["LDS: m -l"]


def test_a_proxy_that_does_not_answer_gives_no_cause_to_look_again_and_again() -> None:
    speaker = talking(is_delta=True)
    rows = [one("RDS", "r1", uses=["a"]), one("RDS", "r2", uses=["a"])]
    start = talk.snapshot(START, RDS=rows)
    speaker.machine.publish(start)
    for kind, names in (("CDS", ""), ("RDS", "r1 r2")):
        first(speaker, kind, names)
        speaker.ack(kind)
    more = [one("CDS", name, companion=f"e{name}") for name in "abc"]
    rows = [one("RDS", "r1=2", uses=["a"]), one("RDS", "r2=2", uses=["c"])]
    assert speaker.publish(talk.snapshot(start, CDS=more, RDS=rows)) == ["CDS: c", "RDS: r1"]
    assert speaker.machine.deadline() is None, "r2 waits for the ACK of r1 now, not for a clock"


def test_a_proxy_that_refuses_everything_is_not_asked_about_every_part() -> None:
    names = [f"r{n:04}" for n in range(2000)]
    speaker = Talk(Stream(talk.snapshot(RDS=" ".join(names)), delta=True))
    first(speaker, "RDS", "*")
    rejections = 0
    while speaker.machine.interests["RDS"].sent:
        speaker.nack("RDS")
        rejections += 1
    assert rejections == STORM + 1
    assert speaker.publish(talk.snapshot(speaker.machine.snapshot, RDS=" ".join(f"{n}=2" for n in names))) != []


def test_endpoints_follow_a_cluster_that_an_earlier_stream_sent_without_them_f10() -> None:
    speaker = talking(is_delta=True)
    first(speaker, "CDS")
    again = Talk(Stream(START, delta=True, doubts=speaker.machine.doubts()))
    clusters, endpoints = ({name: row.version for name, row in START.resources[k].items()} for k in ("CDS", "EDS"))
    assert again.ask(delta("CDS", known=clusters)) == []
    assert again.ask(delta("EDS", "ea eb", known=endpoints)) == ["EDS: ea eb"]


# -- what it costs ------------------------------------------------------------------------------------------------


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
