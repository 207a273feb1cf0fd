"""The schema inside a real Envoy: the `.proto` descriptors that its binary carries. The last word on field numbers."""

import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError
from varints import varint

_START = re.compile(rb"\x0a(.)((?:envoy|xds|udpa|google)/[a-z0-9_/]+\.proto)", re.DOTALL)
_NUMBERS = frozenset(field.number for field in descriptor_pb2.FileDescriptorProto.DESCRIPTOR.fields)

Schema = dict[str, descriptor_pb2.DescriptorProto]
"""Messages by full name."""


def schema(binary: Path) -> Schema:
    """Every message of every `.proto` file whose descriptor stands in the binary."""
    data = binary.read_bytes()
    found: Schema = {}
    for start in _START.finditer(data):
        if start[1][0] == len(start[2]):
            found.update(_messages(data[start.start() : _end(data, start.start())]))
    return found


def _end(data: bytes, at: int) -> int:
    """Where the descriptor stops: at the first tag that a FileDescriptorProto does not have, or its next name."""
    first = at
    while True:
        tag, after = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number not in _NUMBERS or wire not in (0, 2) or (number == 1 and at != first):
            return at
        size, after = varint(data, after)
        at = after + size if wire == 2 else after


def _messages(block: bytes) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    try:
        file = descriptor_pb2.FileDescriptorProto.FromString(block)
    except DecodeError:
        return  # a file name that stands somewhere else
    for message in file.message_type:
        yield from _nested(f"{file.package}.{message.name}", message)


def _nested(name: str, message: descriptor_pb2.DescriptorProto) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    yield name, message
    for child in message.nested_type:
        yield from _nested(f"{name}.{child.name}", child)
