"""The state of a client for a type, walked through on a real stream machine."""

import pytest
from adsservers import snapshot

from gatecast.states import LATE, State, state, worst
from xds.stream import Adjust, Ask, Stream

EVERYTHING = Ask("CDS", Adjust(("*",)))


@pytest.fixture
def stream() -> Stream:
    return Stream(snapshot(CDS={"a": b"1", "b": b"2"}), delta=True)


def now(stream: Stream, at: float = 0.0) -> State:
    return state(stream.interests["CDS"], at)


def reply(stream: Stream, nonce: str, error: str | None = None) -> None:
    stream.receive(Ask("CDS", Adjust(), nonce, error), 0.0)


def test_a_client_that_asked_for_nothing_is_not_subscribed(stream: Stream) -> None:
    assert now(stream) is State.NOT_SUBSCRIBED
    stream.receive(Ask("EDS", Adjust(("a",))), 0.0)
    assert now(stream) is State.NOT_SUBSCRIBED
    stream.receive(Ask("EDS", Adjust((), ("a",))), 0.0)
    assert state(stream.interests["EDS"], 0.0) is State.NOT_SUBSCRIBED


def test_a_client_is_pending_until_it_answers_and_synced_after(stream: Stream) -> None:
    stream.receive(EVERYTHING, 0.0)
    assert now(stream) is State.PENDING
    (answer,) = stream.answers(0.0)
    assert now(stream, LATE) is State.PENDING
    reply(stream, answer.nonce)
    assert list(stream.answers(0.0)) == []
    assert now(stream) is State.SYNCED


def test_a_client_that_does_not_answer_for_long_is_stale(stream: Stream) -> None:
    stream.receive(EVERYTHING, 0.0)
    list(stream.answers(5.0))
    assert now(stream, 5.0 + LATE + 0.1) is State.STALE


def test_a_client_is_rejected_until_something_newer_is_sent(stream: Stream) -> None:
    stream.receive(EVERYTHING, 0.0)
    (answer,) = stream.answers(0.0)
    reply(stream, answer.nonce, "no")
    assert now(stream) is State.REJECTED  # its parts are tried again
    for error in ("no", None):
        (part,) = stream.answers(0.0)
        reply(stream, part.nonce, error)
    assert list(stream.answers(0.0)) == []
    assert now(stream) is State.REJECTED
    assert list(stream.interests["CDS"].parked) == ["a"]
    made = snapshot(CDS={"a": b"3"}).resources["CDS"]["a"]
    stream.publish(stream.snapshot.next({"CDS": {"a": made}}))
    (answer,) = stream.answers(0.0)
    assert now(stream) is State.PENDING
    reply(stream, answer.nonce)
    list(stream.answers(0.0))
    assert now(stream) is State.SYNCED


def test_the_worst_state_stands_for_all() -> None:
    assert worst(frozenset({State.SYNCED, State.REJECTED, State.STALE})) is State.REJECTED
    assert worst(frozenset({State.SYNCED, State.NOT_SUBSCRIBED})) is State.SYNCED
    assert worst(frozenset()) is State.NOT_SUBSCRIBED
