"""The two protocol variants on the wire: request bytes to an Ask, an Answer to response bytes. Called by `xds.server`.

Resources and their frames were encoded before (`xds.snapshot`); here only the envelope is written, and protobuf
lets its fields stand anywhere: concatenated messages merge. Our envelope is wire-compatible with
envoy.service.discovery.v3 (decision 6).
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TypeVar

from google.protobuf.message import DecodeError

from protos import discovery_pb2
from tenants.errors import Refused
from xds.interest import MAX_NAMES
from xds.kinds import BY_TYPE_URL, KINDS
from xds.stream import Adjust, Answer, Ask, Replace

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
LONGEST = 1024  # characters of a name or an id: what a stream may make us keep is bounded
ENOUGH = MAX_NAMES + 1  # names of a request that are read: with one too many the machine refuses it
REASON = 4000  # characters of a NACK's text that are kept
Message = discovery_pb2.DiscoveryRequest | discovery_pb2.DeltaDiscoveryRequest
Response = type[discovery_pb2.DiscoveryResponse] | type[discovery_pb2.DeltaDiscoveryResponse]
M = TypeVar("M", discovery_pb2.DiscoveryRequest, discovery_pb2.DeltaDiscoveryRequest)


@dataclass(frozen=True, slots=True)
class Node:
    """Who a client says it is: `id` names the proxy, `cluster` its gateway, `build` its program and version."""

    id: str
    cluster: str
    build: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A decoded request. `ask` is None for a type we do not serve; `node` is None where it was left out (R1)."""

    type_url: str
    node: Node | None
    ask: Ask | None


def sotw_request(data: bytes, implied: str = "") -> Request:
    """Decode a DiscoveryRequest. `implied`: the kind of a per-type service (R3). `Refused` if that cannot be done."""
    message = _decoded(discovery_pb2.DiscoveryRequest, data)
    type_url = _type_url(message.type_url, implied)
    change = Replace(_names(message.resource_names), message.version_info)
    return Request(type_url, _node(message), _ask(type_url, change, message))


def delta_request(data: bytes, implied: str = "") -> Request:
    """Decode a DeltaDiscoveryRequest, as `sotw_request`."""
    message = _decoded(discovery_pb2.DeltaDiscoveryRequest, data)
    type_url = _type_url(message.type_url, implied)
    known = dict(islice(message.initial_resource_versions.items(), ENOUGH))
    _short(known)
    _short(known.values())
    change = Adjust(_names(message.resource_names_subscribe), tuple(message.resource_names_unsubscribe), known)
    return Request(type_url, _node(message), _ask(type_url, change, message))


def sotw_response(answer: Answer, control_plane: str) -> bytes:
    """A DiscoveryResponse; `control_plane` tells the operator which replica answered (R54)."""
    changing = discovery_pb2.DiscoveryResponse(version_info=answer.version, nonce=answer.nonce)
    constant = _constant(discovery_pb2.DiscoveryResponse, answer.kind, control_plane)
    return answer.batch.whole("sotw", constant + changing.SerializeToString())


def delta_response(answer: Answer, control_plane: str) -> bytes:
    """A DeltaDiscoveryResponse."""
    changing = discovery_pb2.DeltaDiscoveryResponse(
        system_version_info=answer.version, nonce=answer.nonce, removed_resources=answer.removed
    )
    constant = _constant(discovery_pb2.DeltaDiscoveryResponse, answer.kind, control_plane)
    return answer.batch.whole("delta", constant + changing.SerializeToString())


@lru_cache(maxsize=64)
def _constant(cls: Response, kind: str, control_plane: str) -> bytes:
    """The part of a response's envelope that is the same for all streams."""
    plane = discovery_pb2.ControlPlane(identifier=control_plane)
    return cls(type_url=KINDS[kind].type_url, control_plane=plane).SerializeToString()


def size(answer: Answer, *, delta: bool) -> int:
    """Bytes of the response but for its envelope: what they cost before they are made."""
    return len(answer.batch.delta() if delta else answer.batch.sotw())


def _decoded(cls: type[M], data: bytes) -> M:
    try:
        return cls.FromString(data)
    except DecodeError as error:
        raise Refused(f"the request is not a {cls.DESCRIPTOR.name}: {error}") from None


def _type_url(given: str, implied: str) -> str:
    expected = KINDS[implied].type_url if implied else ""
    if not (given or expected):
        raise Refused("type_url is missing: an aggregated stream needs it in every request")
    if given and expected and given != expected:
        raise Refused(f"type_url is {given}, but this service serves {expected}")
    return given or expected


def _names(names: Sequence[str]) -> tuple[str, ...]:
    found = tuple(map(sys.intern, names[:ENOUGH]))  # a thousand proxies name the same ten thousand tables
    _short(found)
    return found


def _short(texts: Iterable[str]) -> None:
    if max(map(len, texts), default=0) > LONGEST:
        raise Refused(f"a resource name or version has more than {LONGEST} characters")


def _node(message: Message) -> Node | None:
    if not message.HasField("node"):
        return None
    node, build = message.node, message.node.user_agent_build_version.version
    if max(len(node.id), len(node.cluster)) > LONGEST:
        raise Refused(f"node.id or node.cluster has more than {LONGEST} characters")
    version = node.user_agent_version or f"{build.major_number}.{build.minor_number}.{build.patch}"
    return Node(node.id, node.cluster, f"{node.user_agent_name} {version}".strip()[:LONGEST])


def _ask(type_url: str, change: Replace | Adjust, message: Message) -> Ask | None:
    kind = BY_TYPE_URL.get(type_url)
    if kind is None:
        return None
    error = message.error_detail.message[:REASON] if message.HasField("error_detail") else None
    return Ask(kind.name, change, message.response_nonce, error)
