"""What is wrong, found in real streams, problems and key sets."""

from adsservers import GATEWAY, snapshot
from prometheus_client import CollectorRegistry

from gatecast.troubles import MOST, NAMED, WORDS, Trouble, plain, troubles
from tenants.errors import Problem
from tenants.keysets.keys import KeySet
from tenants.keysets.source import Source
from tenants.keysets.state import State
from xds.hub import Client, Hub
from xds.metrics import Metrics
from xds.snapshot import resource
from xds.stream import Adjust, Ask
from xds.wire import Node


def error(number: int = 1, severity: str = "error", code: str = "GC104") -> Problem:
    return Problem(code, "Tenant", f"t{number:04}", "hosts", "wrong", severity=severity)


async def hub(count: int = 1) -> Hub:
    made = Hub(Metrics(CollectorRegistry()), wall=lambda: 0.0)
    bodies = {f"c{number:03}": b"1" for number in range(count)}
    await made.publish({GATEWAY: snapshot(CDS=bodies)})
    return made


def refuse(hub: Hub, name: str, why: str) -> Client:
    """A proxy that says no to everything it is sent, until nothing is sent any more."""
    client = hub.join(Node(name, GATEWAY), "", "delta", delta=True, kinds=("CDS",))
    client.machine.receive(Ask("CDS", Adjust(("*",))), 0.0)
    while answers := list(client.machine.answers(0.0)):
        for answer in answers:
            hub.sent(client, "CDS", "v", 1)
            reply = client.machine.receive(Ask("CDS", Adjust(), answer.nonce, why), 0.0)
            assert reply is not None
            hub.answered(client, reply, 0.0)
    return client


async def test_a_resource_that_proxies_refuse_is_told_once_with_how_many_they_are() -> None:
    served = await hub()
    assert troubles(served.clients.values(), (), {}, {}) == ()
    for number in range(3):
        refuse(served, f"envoy-{number}", "no such\n thing")
    (found,) = troubles(served.clients.values(), (), {}, {})
    note = "3 proxies; the last good version goes on"
    text = "CDS c000, by envoy-0: no such thing"
    assert found == Trouble("gateway edge: proxies refuse what they are sent", {"CDS c000": text}, note)


async def test_a_resource_is_told_with_its_tenant() -> None:
    served = await hub()
    client = refuse(served, "envoy-1", "no")
    client.machine.interests["CDS"].parked["c000"] = resource("CDS", "c000", b"1", owner="acme")
    (found,) = troubles(served.clients.values(), (), {}, {})
    assert found.items["CDS c000"] == "CDS c000 of tenant acme, by envoy-1: no"


async def test_of_a_proxy_that_refuses_very_much_a_few_are_named() -> None:
    served = await hub(NAMED + 30)
    refuse(served, "envoy-1", "no")
    (found,) = troubles(served.clients.values(), (), {}, {})
    assert len(found.items) == NAMED


async def test_a_proxy_that_takes_what_it_is_sent_is_no_trouble() -> None:
    served = await hub()
    client = refuse(served, "envoy-1", "no")
    served.leave(client)
    assert troubles(served.clients.values(), (), {}, {}) == ()


def test_errors_of_documents_are_told_and_warnings_are_not() -> None:
    (found,) = troubles((), (error(1), error(2, severity="warning"), error(3)), {}, {})
    assert found.subject == "documents have errors"
    assert list(found.items.values()) == [str(error(1)), str(error(3))]
    assert found.note.startswith("2 errors;")


def test_of_very_many_errors_the_number_is_told() -> None:
    (found,) = troubles((), (error(number) for number in range(5000)), {}, {})
    assert len(found.items) == MOST
    assert found.note.startswith("5000 errors;")


def test_a_key_set_is_told_when_it_is_missing_and_not_when_an_older_one_serves() -> None:
    missing, kept, untried, stale = (Source(f"https://{name}.example.com/") for name in ("a", "b", "c", "d"))
    keys = KeySet((), "{}")
    states = {
        missing: State(problem="it answers 500"),
        kept: State(keys=keys, problem="it answers 500"),
        untried: State(),
        stale: State(keys=keys, problem="it answers 500", stale=True),
    }
    (found,) = troubles((), (error(code="GC401"),), states, {})
    assert found.subject == "key sets of issuers are missing"
    assert sorted(found.items.values()) == [f"https://{name}.example.com/: it answers 500" for name in "ad"]
    assert found.note.startswith("2 of 4;")


def test_a_source_that_fails_is_told_by_its_name() -> None:
    assert troubles((), (), {}, {"registry": "it answers\n503"}) == (
        Trouble("source registry fails", {"registry": "it answers 503"}, "settings stay as they were"),
    )


def test_words_from_outside_are_one_short_line() -> None:
    assert plain("a\r\nBcc: x@example.com\x1b[2J\u202e") == "a Bcc: x@example.com\\x1b[2J\\u202e"
    assert len(plain("x" * 5000)) == WORDS
