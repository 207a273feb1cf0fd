"""The newest snapshot of every gateway and the open streams. The server joins clients here; the assembly publishes
here.

Everything runs in one event loop, so nothing is locked. A publish wakes streams; each reads the newest value,
nothing is queued.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xds.kinds import KINDS
from xds.metrics import Metrics
from xds.snapshot import Snapshot
from xds.stream import Reply, Stream
from xds.wire import Node

REMEMBERED = 1_000_000  # names in doubt, over all nodes that are away: some 50 MB
TURN = 200  # streams woken before the loop gets a turn
KEPT = 20  # rejected resources of one type of one client that are remembered


@dataclass(slots=True)
class Activity:
    """What went on for one type on one stream; times are wall-clock seconds since the epoch, 0 = never.

    `words`: why the client rejected a resource that was sent alone, of the newest ones, by its name.
    """

    pushes: int = 0
    pushed_at: float = 0.0
    pushed_version: str = ""
    answered_at: float = 0.0
    accepted_version: str = ""
    rejections: int = 0
    rejected_at: float = 0.0
    error: str = ""
    rejected: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    tenants: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    words: dict[str, str] = field(default_factory=dict)

    def said(self, name: str, why: str) -> None:
        """Note why a resource was rejected; the oldest goes when there are too many."""
        self.words.pop(name, None)
        self.words[name] = why
        if len(self.words) > KEPT:
            del self.words[next(iter(self.words))]


@dataclass(slots=True, eq=False)
class Client:
    """An open stream: who it is, its machine, and the bell that says there is something to do. Owned by its handler."""

    number: int
    node: Node
    gateway: str
    peer: str
    variant: str
    since: float
    machine: Stream
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: str = ""  # why the server ends this stream
    activity: dict[str, Activity] = field(default_factory=dict)

    def of(self, kind: str) -> Activity:
        return self.activity.setdefault(kind, Activity())


class Hub:
    """Owner of the clients and of what they are served. `ready` once a first set of snapshots was published (R57)."""

    def __init__(self, metrics: Metrics, wall: Callable[[], float]) -> None:
        self.ready = False
        self.draining = False
        self.snapshots: Mapping[str, Snapshot] = {}
        self.published_at: dict[str, float] = {}
        self.clients: dict[int, Client] = {}
        self._metrics = metrics
        self._wall = wall
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._moved: asyncio.Event | None = None  # of those who wait in `moved`
        self._nodes: dict[tuple[str, str], set[Client]] = {}
        self._doubts: OrderedDict[tuple[str, str, str], frozenset[str]] = OrderedDict()
        self._doubted = 0  # names in all of them

    def gateway(self, node: Node) -> str | None:
        """The gateway of a proxy by its node.cluster; with a single gateway every name is that one (settings.md).

        The rate limit service can say a node.id alone: `<gateway>`, or `<gateway>/` and a name of its own.
        """
        named = node.cluster or node.id.partition("/")[0]
        if named in self.snapshots:
            return named
        return next(iter(self.snapshots)) if len(self.snapshots) == 1 else None

    async def moved(self) -> None:
        """Wait until a client has answered, come or gone, or something was published."""
        self._moved = self._moved or asyncio.Event()
        await self._moved.wait()

    def move(self) -> None:
        """Wake those who wait in `moved`."""
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    async def publish(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Make these the newest snapshots and wake the streams they concern; others keep sleeping."""
        before, self.snapshots, self.ready = self.snapshots, dict(snapshots), True
        changed = {name for name, one in snapshots.items() if before.get(name) is not one}
        for name in changed:
            self._note(name, snapshots[name])
        concerned = [c for c in self.clients.values() if c.gateway in changed or c.gateway not in snapshots]
        done = 0
        for client in concerned:
            self._wake(client)
            done += 1 + sum(len(one.wanted) for one in client.machine.interests.values()) // 50
            if done >= TURN:
                done = 0
                await asyncio.sleep(0)

    def join(self, node: Node, peer: str, variant: str, *, delta: bool, kinds: tuple[str, ...]) -> Client:
        """Open a stream for `node`, whose gateway exists (`gateway`)."""
        gateway = self.gateway(node)
        assert gateway is not None, "the caller refuses nodes of unknown gateways"
        self._count += 1
        doubts = self._recall(gateway, node.id, kinds)
        machine = Stream(self.snapshots[gateway], delta=delta, kinds=kinds, doubts=doubts)
        client = Client(self._count, node, gateway, peer, variant, self._wall(), machine)
        self.clients[client.number] = client
        self._nodes.setdefault((gateway, node.id), set()).add(client)
        self._empty.clear()
        self.move()
        self._metrics.streams.labels(variant).inc()
        return client

    def leave(self, client: Client) -> None:
        """The stream is over; what its client may hold without our knowing is kept for its next one (R19), bounded.

        Leaving twice is leaving once: the server lets go of a client before its call has ended.
        """
        if self.clients.pop(client.number, None) is None:
            return
        self.move()
        if not self.clients:
            self._empty.set()
        self._metrics.streams.labels(client.variant).dec()
        self._part(client)
        if client.node.id:
            self._remember(client.gateway, client.node.id, client.machine.doubts())

    def companions(self, sender: Client, names: frozenset[str]) -> None:
        """Clusters were sent on a stream without EDS: their endpoints follow on the node's other streams (§0.1)."""
        others = self._nodes.get((sender.gateway, sender.node.id), ()) if sender.node.id else ()
        for other in others:
            if other is not sender and "EDS" in other.machine.interests:
                other.machine.companions(names)
                other.wake.set()

    def sent(self, client: Client, kind: str, version: str, size: int) -> None:
        """Note a response on its way."""
        activity = client.of(kind)
        activity.pushes += 1
        activity.pushed_at, activity.pushed_version = self._wall(), version
        traffic = self._metrics.traffic[kind]
        traffic.pushes.inc()
        traffic.bytes.inc(size)

    def answered(self, client: Client, reply: Reply, now: float) -> None:
        """Note an ACK or a NACK; `now` is on the clock of the machine."""
        self.move()
        activity = client.of(reply.kind)
        activity.answered_at = self._wall()
        traffic = self._metrics.traffic[reply.kind]
        traffic.latency.observe(max(0.0, now - reply.sent.at))
        if reply.accepted:
            activity.accepted_version = activity.pushed_version
            traffic.acks.inc()
            return
        activity.rejections += 1
        activity.rejected_at, activity.error = activity.answered_at, reply.error
        traffic.nacks.inc()
        if len(reply.sent.resources) == 1:
            activity.rejected.append(reply.sent.resources[0].name)
            activity.tenants.append(reply.sent.resources[0].owner)
            activity.said(reply.sent.resources[0].name, reply.error)

    async def drain(self) -> None:
        """End every stream: the process is going down, clients reconnect elsewhere."""
        self.draining = True
        self.move()
        for client in self.clients.values():
            client.ended = "this server is shutting down"
            client.wake.set()
        await self._empty.wait()

    def _part(self, client: Client) -> None:
        key = client.gateway, client.node.id
        self._nodes[key].discard(client)
        if not self._nodes[key]:
            del self._nodes[key]

    def _recall(self, gateway: str, node: str, kinds: tuple[str, ...]) -> dict[str, frozenset[str]]:
        """What an earlier stream of this node left in doubt, of the kinds its new stream serves."""
        found = {kind: self._doubts.pop((gateway, node, kind), frozenset()) for kind in kinds}
        self._doubted -= sum(map(len, found.values()))
        return {kind: names for kind, names in found.items() if names}

    def _remember(self, gateway: str, node: str, doubts: Mapping[str, frozenset[str]]) -> None:
        """Bounded by the number of names: a thousand proxies may go in the middle of their first push."""
        self._recall(gateway, node, tuple(doubts))
        for kind, names in doubts.items():
            self._doubts[gateway, node, kind] = names
            self._doubted += len(names)
        while self._doubted > REMEMBERED:
            _, oldest = self._doubts.popitem(last=False)
            self._doubted -= len(oldest)

    def _note(self, name: str, snapshot: Snapshot) -> None:
        self.published_at[name] = self._wall()
        self._metrics.published.labels(name).set(self._wall())
        for kind in KINDS:
            self._metrics.resources.labels(name, kind).set(len(snapshot.resources[kind]))

    def _wake(self, client: Client) -> None:
        if client.gateway in self.snapshots:
            client.machine.publish(self.snapshots[client.gateway])
        else:
            client.ended = f"gateway {client.gateway} is gone"
        client.wake.set()
