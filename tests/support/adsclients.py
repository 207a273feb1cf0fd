"""Scripted xDS clients on a real channel, for both protocol variants: they send what the test says, also nonsense.

    async with adsclients.delta(served.target) as client:
        await client.ask(CDS, resource_names_subscribe=["*"])
        response = await client.next()

Used by the tests of `xds.server` and by whatever else needs a client that is not ours.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from protos import discovery_pb2
from xds.kinds import KINDS
from xds.wire import ADS

CDS, EDS, LDS, SRDS, RDS = (KINDS[name].type_url for name in ("CDS", "EDS", "LDS", "SRDS", "RDS"))
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
NODE = discovery_pb2.Node(id="n1", cluster="edge", user_agent_name="test")
PATIENCE = 10.0  # seconds until a test that waits for the server fails
Response = discovery_pb2.DiscoveryResponse | discovery_pb2.DeltaDiscoveryResponse


def said(nonce: str, *removed: str, type_url: str = CDS, **bodies: bytes) -> bytes:
    """A delta response for a client of ours to hear: name=body; the version of a body is the body."""
    found = [
        discovery_pb2.Resource(
            name=name, version=body.decode(), resource=discovery_pb2.Any(type_url=type_url, value=body)
        )
        for name, body in bodies.items()
    ]
    return discovery_pb2.DeltaDiscoveryResponse(
        type_url=type_url,
        nonce=nonce,
        resources=[one.SerializeToString() for one in found],
        removed_resources=removed,
    ).SerializeToString()


@dataclass
class Raw:
    """One stream. `ask` adds the node to its first request; `held` is what was received, by type and name."""

    delta: bool
    call: Any
    node: discovery_pb2.Node | None = field(default_factory=lambda: NODE)
    names: dict[str, list[str]] = field(default_factory=dict)
    held: dict[str, dict[str, bytes]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    async def ask(self, type_url: str, **fields: Any) -> None:
        """Send a request of this type."""
        if self.node is not None:
            fields.setdefault("node", self.node)
            self.node = None
        if "resource_names" in fields:
            self.names[type_url] = fields["resource_names"]
        cls = discovery_pb2.DeltaDiscoveryRequest if self.delta else discovery_pb2.DiscoveryRequest
        await self.send(cls(type_url=type_url, **fields).SerializeToString())

    async def send(self, data: bytes) -> None:
        """Send these bytes as one message."""
        async with asyncio.timeout(PATIENCE):
            await self.call.write(data)

    async def next(self) -> Any:
        """The next response, parsed and taken into `held`."""
        async with asyncio.timeout(PATIENCE):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, "the server ended the stream"
        cls = discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse
        response = cls.FromString(data)
        self._take(response)
        return response

    async def ack(self, response: Any, **fields: Any) -> None:
        """Accept it, the names of a SotW subscription repeated as Envoy repeats them."""
        if not self.delta:
            version, names = response.version_info, self.names.get(response.type_url, [])
            self.versions[response.type_url] = version
            fields = {"version_info": version, "resource_names": names, **fields}
        await self.ask(response.type_url, response_nonce=response.nonce, **fields)

    async def nack(self, response: Any, why: str = "no") -> None:
        """Reject it."""
        fields: dict[str, Any] = {"error_detail": discovery_pb2.Status(code=13, message=why)}
        if not self.delta:
            version = self.versions.get(response.type_url, "")
            fields |= {"version_info": version, "resource_names": self.names.get(response.type_url, [])}
        await self.ask(response.type_url, response_nonce=response.nonce, **fields)

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the stream and return its status; what still arrives must parse."""
        async with asyncio.timeout(PATIENCE):
            try:
                while (data := await self.call.read()) is not grpc.aio.EOF:
                    cls = discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse
                    self._take(cls.FromString(data))
            except grpc.aio.AioRpcError:
                pass
            return await self.call.code(), await self.call.details()

    def _take(self, response: Any) -> None:
        held = self.held.setdefault(response.type_url, {})
        if self.delta:
            found = (discovery_pb2.Resource.FromString(data) for data in response.resources)
            held.update({one.name: bytes(one.resource.value) for one in found})
            for name in response.removed_resources:
                held.pop(name, None)
        else:
            bodies = [bytes(discovery_pb2.Any.FromString(data).value) for data in response.resources]
            self.held[response.type_url] = {f"{place}": body for place, body in enumerate(bodies)}


@asynccontextmanager
async def stream(target: str, path: str, *, delta: bool, node: discovery_pb2.Node | None = NODE) -> AsyncIterator[Raw]:
    """A stream of the method `path` ("/service/method") on a connection of its own."""
    options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        call = channel.stream_stream(path)()
        try:
            yield Raw(delta, call, node)
        finally:
            call.cancel()


def delta(target: str, node: discovery_pb2.Node | None = NODE) -> Any:
    """A delta stream of ADS."""
    return stream(target, f"/{ADS}/DeltaAggregatedResources", delta=True, node=node)


def sotw(target: str, node: discovery_pb2.Node | None = NODE) -> Any:
    """A state-of-the-world stream of ADS."""
    return stream(target, f"/{ADS}/StreamAggregatedResources", delta=False, node=node)


def own(target: str, kind: str, *, delta: bool, node: discovery_pb2.Node | None = NODE) -> Any:
    """A stream of the service of its own that one type has."""
    row = KINDS[kind]
    return stream(target, f"/{row.service}/{row.delta if delta else row.sotw}", delta=delta, node=node)
