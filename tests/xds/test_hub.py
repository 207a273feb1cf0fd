"""The hub: what a node left in doubt reaches its next stream, and only what it needs is kept."""

import pytest
from prometheus_client import CollectorRegistry

from xds import hub as hubs
from xds.hub import Client, Hub
from xds.metrics import Metrics
from xds.snapshot import Snapshot, resource
from xds.stream import Adjust, Ask
from xds.wire import Node


async def hub_with(*names: str) -> Hub:
    hub = Hub(Metrics(CollectorRegistry()), wall=lambda: 1.0)
    found = {name: resource("CDS", name, b"1") for name in names}
    await hub.publish({"edge": Snapshot.empty("edge").next({"CDS": found})})
    return hub


def join(hub: Hub, node: str, *kinds: str, delta: bool = True) -> Client:
    return hub.join(Node(node, "edge"), "peer", "delta" if delta else "sotw", delta=delta, kinds=kinds)


def sent_all(client: Client) -> None:
    """The client asks for every cluster and is sent them; it never answers."""
    client.machine.receive(Ask("CDS", Adjust()), 0.0)
    assert list(client.machine.answers(0.0))


def removed_for(client: Client) -> list[str]:
    """What a client that comes back holding nothing is told to remove."""
    client.machine.receive(Ask("CDS", Adjust(subscribe=("*",))), 0.0)
    return [name for answer in client.machine.answers(0.0) for name in answer.removed]


async def gone(hub: Hub) -> None:
    """The clusters leave while the clients are away. RDS is not asked for on these streams, so nothing waits for it."""
    await hub.publish({"edge": Snapshot.empty("edge")})


async def test_a_node_is_told_to_remove_what_it_may_hold_without_knowing() -> None:
    hub = await hub_with("a")
    client = join(hub, "n1", "CDS")
    sent_all(client)
    hub.leave(client)
    await gone(hub)
    assert removed_for(join(hub, "n2", "CDS")) == []
    assert removed_for(join(hub, "n1", "CDS")) == ["a"]


async def test_a_stream_of_another_type_does_not_take_what_is_in_doubt() -> None:
    hub = await hub_with("a")
    client = join(hub, "n1", "CDS")
    sent_all(client)
    hub.leave(client)
    other = join(hub, "n1", "EDS")
    hub.leave(other)
    await gone(hub)
    assert removed_for(join(hub, "n1", "CDS")) == ["a"]


async def test_what_is_in_doubt_is_bounded_by_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "REMEMBERED", 5)
    hub = await hub_with("a", "b")
    for node in ("n1", "n2", "n3"):
        client = join(hub, node, "CDS")
        sent_all(client)
        hub.leave(client)
    await gone(hub)
    assert [removed_for(join(hub, node, "CDS")) for node in ("n1", "n2", "n3")] == [[], ["a", "b"], ["a", "b"]]


async def test_a_client_that_leaves_twice_has_left_once() -> None:
    registry = CollectorRegistry()
    hub = Hub(Metrics(registry), wall=lambda: 1.0)
    await hub.publish({"edge": Snapshot.empty("edge")})
    first, second = join(hub, "n1", "CDS"), join(hub, "n1", "EDS")
    hub.leave(first)
    hub.leave(first)
    assert list(hub.clients.values()) == [second]
    assert registry.get_sample_value("gatecast_xds_streams", {"variant": "delta"}) == 1


async def test_streams_without_a_node_id_are_no_companions() -> None:
    hub = await hub_with("a")
    sender, other = join(hub, "", "CDS"), join(hub, "", "EDS")
    other.machine.receive(Ask("EDS", Adjust(subscribe=("a",))), 0.0)
    list(other.machine.answers(0.0))
    other.wake.clear()
    hub.companions(sender, frozenset({"a"}))
    assert not other.wake.is_set()
    named, companion = join(hub, "n1", "CDS"), join(hub, "n1", "EDS")
    hub.companions(named, frozenset({"a"}))
    assert companion.wake.is_set()


@pytest.mark.parametrize(
    ("node", "gateways", "expected"),
    [
        (Node("limits-1", "edge"), ("edge", "inner"), "edge"),
        (Node("edge", ""), ("edge", "inner"), "edge"),
        (Node("edge/limits-1", ""), ("edge", "inner"), "edge"),
        (Node("inner", "edge"), ("edge", "inner"), "edge"),
        (Node("edge", "other"), ("edge", "inner"), None),
        (Node("limits-1", ""), ("edge", "inner"), None),
        (Node("limits-1", ""), ("edge",), "edge"),
        (Node("", ""), (), None),
    ],
)
async def test_a_node_names_its_gateway_by_its_cluster_and_without_one_by_its_id(
    node: Node, gateways: tuple[str, ...], expected: str | None
) -> None:
    """The standard rate limit service can say an id and no cluster."""
    hub = Hub(Metrics(CollectorRegistry()), wall=lambda: 1.0)
    await hub.publish({name: Snapshot.empty(name) for name in gateways})
    assert hub.gateway(node) == expected
