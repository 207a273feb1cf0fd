"""The stream machine, trap by trap: delta. R.. are the rules of shared/research/xds.md §2; each test is a dialogue."""

import talk
from talk import Talk, delta, one, sotw
from traps import START, first, talking

from xds.order import PATIENCE
from xds.snapshot import Resource, Snapshot
from xds.stream import STORM, Stream


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
