"""The stream machine, trap by trap: SotW. R.. are the rules of shared/research/xds.md §2; each test is a dialogue."""

import talk
from talk import sotw
from traps import START, first, talking


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
