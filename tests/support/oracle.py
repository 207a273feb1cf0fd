"""envoy-data-plane as the second opinion on our encodings: what we build must parse with it and encode to the same.

It writes fields in the order of the `.proto` file where protobuf writes them by number, so its bytes are read and
written once more before they are compared. `pieces` keeps it affordable: betterproto2 needs milliseconds for what costs
us one microsecond, so a route table is looked at route by route, and each combination of fields once.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from envoy_data_plane.message_pool import default_message_pool
from google.protobuf.message import Message

from xds import messages


def again(message: Message) -> bytes:
    """Our message through envoy-data-plane and back."""
    theirs = default_message_pool.url_to_type[messages.type_url(message)].parse(messages.encode(message))
    return messages.encode(type(message).FromString(bytes(theirs)))


def unknown(message: Message) -> bytes:
    """The bytes of our message that envoy-data-plane has no field for, at its top level."""
    theirs: Any = default_message_pool.url_to_type[messages.type_url(message)].parse(messages.encode(message))
    return bytes(theirs._unknown_fields)


def pieces(built: Iterable[Message]) -> Iterator[Message]:
    """Every message in these, also inside `Any`, once for each combination of fields; route tables in parts."""
    seen: set[tuple[str, frozenset[str]]] = set()
    for message in built:
        for piece in _parts(message):
            key = (piece.DESCRIPTOR.full_name, frozenset(_paths(piece)))
            if key not in seen:
                seen.add(key)
                yield piece


def _parts(message: Message) -> Iterator[Message]:
    for child in _children(message):
        yield from _parts(_opened(child) if child.DESCRIPTOR.full_name == "google.protobuf.Any" else child)
    if message.DESCRIPTOR.name in ("RouteConfiguration", "VirtualHost"):
        message = type(message).FromString(messages.encode(message))
        message.ClearField("virtual_hosts" if message.DESCRIPTOR.name == "RouteConfiguration" else "routes")
    if not message.DESCRIPTOR.full_name.startswith("google.protobuf."):
        yield message


def _opened(packed: Any) -> Message:
    return messages.message(packed.type_url.removeprefix("type.googleapis.com/")).FromString(packed.value)


def _children(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from (item for item in value.values() if isinstance(item, Message))
        elif field.is_repeated:
            yield from value
        else:
            yield value


def _paths(message: Message) -> Iterator[str]:
    for field, _value in message.ListFields():
        yield field.name
    for child in _children(message):
        yield from (f"{child.DESCRIPTOR.name}.{path}" for path in _paths(child))
