"""The rules of the delta client, by talk: what it says, and what it holds."""

import pytest
from adsclients import CDS, said

from protos import discovery_pb2
from tenants.errors import Refused
from xds.holdings import Holdings, Received, Update
from xds.wire import Node

NODE = Node("kong-1", "edge", "gatecast 0.1")
OURS = "type.googleapis.com/gatecast.v1.Tenant"


def talk(holdings: Holdings) -> list[discovery_pb2.DeltaDiscoveryRequest]:
    """What the client says now."""
    return [discovery_pb2.DeltaDiscoveryRequest.FromString(data) for data in holdings.requests()]


def ours(nonce: str, *removed: str, type_url: str = OURS, **bodies: bytes) -> bytes:
    """A response of our own type."""
    return said(nonce, *removed, type_url=type_url, **bodies)


def hear(holdings: Holdings, data: bytes, error: str | None = None) -> Update:
    """Receive and answer at once."""
    update = holdings.receive(data)
    assert update is not None
    holdings.answer(update, error)
    return update


def connected(*names: str) -> Holdings:
    """A client that asked for these names of OURS and said so."""
    holdings = Holdings(NODE)
    holdings.subscribe(OURS, names or ("*",))
    holdings.connected()
    holdings.requests()
    return holdings


def test_only_the_first_message_of_a_stream_carries_the_node() -> None:
    holdings = Holdings(NODE)
    holdings.subscribe(OURS)
    holdings.subscribe(CDS, ["a"])
    for _ in range(2):
        holdings.connected()
        first, second = talk(holdings)
        assert (first.node.id, first.node.cluster) == ("kong-1", "edge")
        assert (first.node.user_agent_name, first.node.user_agent_version) == ("gatecast", "0.1")
        assert not second.HasField("node")


def test_a_first_request_names_everything_asked_for_and_held() -> None:
    holdings = Holdings(NODE)
    holdings.subscribe(OURS, ["b", "a"], held={"a": "v1", "stranger": "v1"})
    holdings.connected()
    (first,) = talk(holdings)
    assert (first.type_url, list(first.resource_names_subscribe)) == (OURS, ["a", "b"])
    assert dict(first.initial_resource_versions) == {"a": "v1"}
    assert not first.HasField("error_detail")
    assert first.response_nonce == ""


def test_nothing_is_said_twice() -> None:
    holdings = connected("a")
    assert talk(holdings) == []
    hear(holdings, ours("1", a=b"x"))
    assert len(talk(holdings)) == 1
    assert talk(holdings) == []


def test_an_accepted_update_is_acknowledged_and_held() -> None:
    holdings = connected()
    update = hear(holdings, ours("1", "gone", a=b"x", b=b"y"))
    assert update == Update(OURS, (Received("a", "x", b"x"), Received("b", "y", b"y")), ("gone",), "1")
    (ack,) = talk(holdings)
    assert (ack.type_url, ack.response_nonce, ack.HasField("error_detail")) == (OURS, "1", False)
    assert not ack.resource_names_subscribe
    assert not ack.initial_resource_versions
    assert holdings.versions(OURS) == {"a": "x", "b": "y"}
    hear(holdings, ours("2", "a", b=b"z"))
    assert holdings.versions(OURS) == {"b": "z"}


@pytest.mark.parametrize("text", ["Kong said no", ""])
def test_a_rejected_update_leaves_what_was_held(text: str) -> None:
    holdings = connected()
    hear(holdings, ours("1", a=b"x"))
    holdings.requests()
    hear(holdings, ours("2", "a", b=b"y"), text)
    (nack,) = talk(holdings)
    assert (nack.response_nonce, nack.HasField("error_detail"), nack.error_detail.message) == ("2", True, text)
    assert holdings.versions(OURS) == {"a": "x"}


def test_a_new_stream_resumes_with_what_was_accepted_and_forgets_old_nonces() -> None:
    holdings = connected()
    hear(holdings, ours("1", a=b"x"))
    hear(holdings, ours("2", b=b"y"), "no")
    holdings.connected()
    (first,) = talk(holdings)
    assert list(first.resource_names_subscribe) == ["*"]
    assert dict(first.initial_resource_versions) == {"a": "x"}
    assert first.response_nonce == ""


def test_changes_of_a_subscription_say_only_what_changed() -> None:
    holdings = connected("a", "b")
    holdings.subscribe(OURS, ["c"])
    holdings.unsubscribe(OURS, ["a", "never asked for"])
    (change,) = talk(holdings)
    assert list(change.resource_names_subscribe) == ["c"]
    assert list(change.resource_names_unsubscribe) == ["a"]
    assert not change.initial_resource_versions
    assert holdings.names(OURS) == {"b", "c"}


def test_a_name_dropped_and_taken_again_is_asked_for_again() -> None:
    holdings = connected("a")
    hear(holdings, ours("1", a=b"x"))
    holdings.requests()
    holdings.unsubscribe(OURS, ["a"])
    assert holdings.versions(OURS) == {}
    holdings.subscribe(OURS, ["a"])
    (change,) = talk(holdings)
    assert list(change.resource_names_subscribe) == ["a"]
    assert not change.resource_names_unsubscribe


def test_without_the_wildcard_only_the_names_are_held() -> None:
    holdings = connected("*", "a")
    hear(holdings, ours("1", a=b"x", b=b"y"))
    holdings.unsubscribe(OURS)
    assert holdings.versions(OURS) == {"a": "x"}


def test_a_name_under_a_wildcard_is_still_held_when_it_is_dropped() -> None:
    holdings = connected("*", "a")
    hear(holdings, ours("1", a=b"x"))
    holdings.unsubscribe(OURS, ["a"])
    assert holdings.versions(OURS) == {"a": "x"}


def test_what_was_unsubscribed_meanwhile_is_neither_delivered_nor_held() -> None:
    holdings = connected("a", "b")
    holdings.unsubscribe(OURS, ["a"])
    update = holdings.receive(ours("1", "a", a=b"x", b=b"y"))
    assert update == Update(OURS, (Received("b", "y", b"y"),), (), "1")
    holdings.unsubscribe(OURS, ["b"])
    holdings.answer(update, None)
    assert holdings.versions(OURS) == {}


def test_a_type_without_names_is_not_asked_for_on_a_new_stream() -> None:
    holdings = connected("a")
    holdings.unsubscribe(OURS, ["a"])
    assert [list(one.resource_names_unsubscribe) for one in talk(holdings)] == [["a"]]
    holdings.connected()
    assert talk(holdings) == []  # an empty first request would be a wildcard
    holdings.subscribe(OURS, ["b"])
    (first,) = talk(holdings)
    assert list(first.resource_names_subscribe) == ["b"]
    assert first.HasField("node")


def test_a_type_nobody_asked_for_is_rejected_and_not_delivered() -> None:
    holdings = connected()
    assert holdings.receive(ours("1", type_url=CDS, a=b"x")) is None
    (nack,) = talk(holdings)
    assert (nack.type_url, nack.response_nonce) == (CDS, "1")
    assert "did not ask" in nack.error_detail.message


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff garbage", discovery_pb2.DeltaDiscoveryResponse(resources=[b"\xff\xff garbage"]).SerializeToString()],
    ids=["envelope", "resource"],
)
def test_garbage_from_a_server_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="no DeltaDiscoveryResponse"):
        connected().receive(data)
