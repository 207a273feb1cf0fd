"""What a delta client asked for and what it holds of it: the rules of `xds.client`, without its I/O.

    holdings.connected()          a new stream: everything is asked again, with the versions held
    holdings.requests()           drain what is to be sent now, as bytes
    holdings.receive(data)        a response arrived
    holdings.answer(update, why)  what the caller made of it: None accepts, a text rejects

Type URLs are free strings: the client of our own types is the same as that of Envoy's. Rules are cited as R.. of
shared/research/xds.md.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from google.protobuf.message import DecodeError

from protos import discovery_pb2
from tenants.errors import Refused
from xds.interest import WILDCARD
from xds.wire import Node

REJECTED = 3  # google.rpc.Code.INVALID_ARGUMENT; servers read the text


@dataclass(frozen=True, slots=True)
class Received:
    """A resource as the server sent it. `body` is the encoded message, without its Any."""

    name: str
    version: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """A response: what is new or changed and what is gone, but for names that were unsubscribed meanwhile.

    `removed` may name what the client never held: it asked for it and there is none (R36).
    """

    type_url: str
    resources: tuple[Received, ...]
    removed: tuple[str, ...]
    nonce: str


@dataclass(slots=True)
class Subscription:
    """One type: the names asked for, the versions held, and what this stream has not been told yet."""

    names: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)
    more: set[str] = field(default_factory=set)
    less: set[str] = field(default_factory=set)
    asked: bool = False

    def covers(self, name: str) -> bool:
        return WILDCARD in self.names or name in self.names


class Holdings:
    """The subscriptions of one client, across its streams. Owned by one `xds.client.Client`."""

    def __init__(self, node: Node) -> None:
        self._node = _node(node)
        self._introduced = False
        self._subscriptions: dict[str, Subscription] = {}
        self._replies: deque[discovery_pb2.DeltaDiscoveryRequest] = deque()

    # -- what is asked ------------------------------------------------------------------------------------------

    def subscribe(
        self, type_url: str, names: Iterable[str] = (WILDCARD,), held: Mapping[str, str] | None = None
    ) -> None:
        """Ask for these names, or for everything. A name asked for already is sent again by the server (R33).

        `held`: versions kept from an earlier run of the program; only what differs from them will come.
        """
        sub = self._subscriptions.setdefault(type_url, Subscription())
        found = set(names)
        sub.names |= found
        sub.more |= found
        sub.less -= found
        sub.held.update({name: version for name, version in (held or {}).items() if sub.covers(name)})

    def unsubscribe(self, type_url: str, names: Iterable[str] = (WILDCARD,)) -> None:
        """Ask no longer for these names. What only they covered is held no more; no update says so."""
        sub = self._subscriptions.setdefault(type_url, Subscription())
        found = set(names) & sub.names
        sub.names -= found
        sub.more -= found
        sub.less |= found
        sub.held = {name: version for name, version in sub.held.items() if sub.covers(name)}

    def names(self, type_url: str) -> frozenset[str]:
        """What is asked for."""
        return frozenset(self._of(type_url).names)

    def versions(self, type_url: str) -> Mapping[str, str]:
        """Name -> version of what was accepted last."""
        return MappingProxyType(self._of(type_url).held)

    # -- the stream ---------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """A new stream: nonces of the old one mean nothing, and it is told every name and version (R4, R41)."""
        self._introduced = False
        self._replies.clear()
        for sub in self._subscriptions.values():
            sub.asked, sub.more, sub.less = False, set(sub.names), set()

    def requests(self) -> list[bytes]:
        """What is to be sent now, in order; the caller sends all of it or ends the stream."""
        changes = (self._change(type_url, sub) for type_url, sub in self._subscriptions.items())
        found = [*self._replies, *(one for one in changes if one is not None)]
        self._replies.clear()
        if found and not self._introduced:
            found[0].node.CopyFrom(self._node)  # in the first message of a stream and in no other (R1)
            self._introduced = True
        return [one.SerializeToString() for one in found]

    def receive(self, data: bytes) -> Update | None:
        """Read a response. None if nobody asked for its type: it is rejected at once. `Refused` if it is garbage."""
        try:
            message = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            found = [discovery_pb2.Resource.FromString(one) for one in message.resources]
        except DecodeError as error:
            raise Refused(f"the server sent what is no DeltaDiscoveryResponse: {error}") from None
        if message.type_url not in self._subscriptions:
            self._reply(message.type_url, message.nonce, "this client did not ask for this type")
            return None
        sub = self._subscriptions[message.type_url]
        resources = (Received(one.name, one.version, one.resource.value) for one in found if sub.covers(one.name))
        removed = (name for name in message.removed_resources if sub.covers(name))
        return Update(message.type_url, tuple(resources), tuple(removed), message.nonce)

    def answer(self, update: Update, error: str | None) -> None:
        """Acknowledge (None) or reject. Versions advance with what is accepted; a rejection leaves them (R18)."""
        sub = self._subscriptions[update.type_url]
        if error is None:
            sub.held.update({one.name: one.version for one in update.resources if sub.covers(one.name)})
            for name in update.removed:
                sub.held.pop(name, None)
        self._reply(update.type_url, update.nonce, error)

    # -- messages -----------------------------------------------------------------------------------------------

    def _of(self, type_url: str) -> Subscription:
        return self._subscriptions.get(type_url) or Subscription()

    def _change(self, type_url: str, sub: Subscription) -> discovery_pb2.DeltaDiscoveryRequest | None:
        """The first request of a type on a stream, or what changed since; None if there is nothing to say.

        A type without names is not asked for at all: an empty first request would be a wildcard (R27).
        """
        first = not sub.asked
        if not (sub.more or (sub.less and not first)):
            return None
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=sorted(sub.more),
            resource_names_unsubscribe=() if first else sorted(sub.less),
            initial_resource_versions=sub.held if first else {},
        )
        sub.asked, sub.more, sub.less = True, set(), set()
        return request

    def _reply(self, type_url: str, nonce: str, error: str | None) -> None:
        reply = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, response_nonce=nonce)
        if error is not None:
            reply.error_detail.CopyFrom(discovery_pb2.Status(code=REJECTED, message=error))
        self._replies.append(reply)


def _node(node: Node) -> discovery_pb2.Node:
    program, _, version = node.build.rpartition(" ")
    return discovery_pb2.Node(
        id=node.id, cluster=node.cluster, user_agent_name=program or version, user_agent_version=version
    )
