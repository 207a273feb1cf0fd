"""The state of a client for a type, walked through on a real stream machine."""

import pytest
from adsservers import snapshot

from gatecast.states import LATE, State, oldest, sort, standing, state, worst
from xds.hub import Client
from xds.stream import Adjust, Ask, Stream
from xds.wire import Node

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


def client(number: int, stream: Stream, gateway: str = "edge") -> Client:
    return Client(number, Node(f"envoy-{number}", gateway), gateway, "", "delta", 0.0, stream)


def test_clients_are_counted_by_gateway_and_worst_state(stream: Stream) -> None:
    stream.receive(EVERYTHING, 0.0)
    idle = Stream(snapshot(), delta=True)
    clients = [client(1, stream), client(2, stream), client(3, idle), client(4, stream, "other")]
    assert standing(clients, 0.0) == {
        ("edge", State.PENDING): 2,
        ("edge", State.NOT_SUBSCRIBED): 1,
        ("other", State.PENDING): 1,
    }


def test_the_oldest_response_without_an_answer_is_found(stream: Stream) -> None:
    other = Stream(stream.snapshot, delta=True)
    assert oldest([client(1, stream), client(2, other)], 0.0) == {}
    for one, at in ((stream, 5.0), (other, 3.0)):
        one.receive(EVERYTHING, at)
        (answer,) = one.answers(at)
    assert oldest([client(1, stream), client(2, other)], 10.0) == {("edge", "CDS"): 7.0}
    other.receive(Ask("CDS", Adjust(), answer.nonce, None), 10.0)
    assert oldest([client(1, stream), client(2, other)], 10.0) == {("edge", "CDS"): 5.0}


@pytest.mark.parametrize(
    ("build", "asked", "found"),
    [
        ("envoy 1.40.0", "CDS", "envoy"),
        ("envoy 1.40.0", "RLS", "envoy"),
        ("gatecast 0.1 kong 3.9.1", "TENANTS", "kong"),
        ("gatecast 0.1", "TENANTS", "other"),
        ("0.0.0", "RLS", "ratelimit"),
        ("gRPC Python 1.80", "CDS", "other"),
        ("", "CDS", "other"),
    ],
)
def test_what_a_client_is_says_its_program_or_what_it_asks_for(
    stream: Stream, build: str, asked: str, found: str
) -> None:
    stream.receive(Ask(asked, Adjust(("*",))), 0.0)
    assert sort(Client(1, Node("n", "edge", build), "edge", "", "delta", 0.0, stream)) == found
