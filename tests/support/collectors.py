"""A real OpenTelemetry collector as far as traces go: OTLP over gRPC, `TraceService/Export`. It writes down the spans.

    async with collectors.Collector() as collector:
        ...requests...
        await until(lambda: collector.spans, "a span")
        assert collector.spans[0].tags["gatecast.tenant"] == "acme"

The messages are read by field number: the schema is stable, and OpenTelemetry's own package is not needed for it.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio
from varints import varint

Fields = Mapping[int, list[Any]]
"""What a message holds, by field number: numbers, and bytes of texts and messages."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span; ids in hexadecimal, `parent` is "" for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    tags: Mapping[str, Any]


@dataclass(eq=False)
class Collector:
    """The server, on a port of its own."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)
    _server: Any = None

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        export = grpc.unary_unary_rpc_method_handler(self._export)
        name = "opentelemetry.proto.collector.trace.v1.TraceService"
        service = grpc.method_handlers_generic_handler(name, {"Export": export})
        self._server.add_generic_rpc_handlers((service,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def _export(self, request: bytes, _context: object) -> bytes:
        self.spans.extend(_spans(request))
        return b""


def _spans(request: bytes) -> Iterator[Span]:
    for resource_spans in map(fields, fields(request)[1]):
        resource = _tags(fields(resource_spans[1][0])[1])
        for scope_spans in map(fields, resource_spans[2]):
            for span in map(fields, scope_spans[2]):
                trace, one, parent = (b"".join(span[number]).hex() for number in (1, 2, 4))
                name, kind = b"".join(span[5]).decode(), sum(span[6])
                yield Span(resource["service.name"], name, trace, one, parent, kind, _tags(span[9]))


def _tags(pairs: list[bytes]) -> dict[str, Any]:
    found = {}
    for pair in map(fields, pairs):
        value = fields(pair[2][0])
        found[pair[1][0].decode()] = value[1][0].decode() if value[1] else next(iter(value.values()), [None])[0]
    return found


def fields(data: bytes) -> Fields:
    """A protobuf message, one level deep."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
            found[tag >> 3].append(value)
            continue
        size, at = varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
        piece, at = data[at : at + size], at + size
        found[tag >> 3].append(piece if tag & 7 == 2 else struct.unpack({8: "<q", 4: "<i"}[size], piece)[0])
    return found
