"""The gRPC shell of the ADS server: bytes in, the stream machine in the middle, bytes out. Assembled by
`gatecast.serve`.

Facts about grpc.aio that shaped this file are listed in shared/design/architecture.md: handlers clean up in
`finally` and let CancelledError rise; `stop(grace)` does not wake handlers, so they watch the hub; the ping option
has one name that works.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from tenants.errors import Refused
from xds import reports, status, wire
from xds.budget import BIG, Budget
from xds.doorkeeper import Doorkeeper
from xds.hub import Client, Hub
from xds.identity import Trust
from xds.kinds import KINDS, Kind
from xds.metrics import Metrics
from xds.stream import Answer

OPTIONS = (
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # or Envoys with keepalive are cut off in a loop
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 100_000),  # separate services open a stream a cluster (R55)
    ("grpc.max_connection_age_ms", 45 * 60_000),  # gRPC adds 10 % of jitter itself
    ("grpc.max_connection_age_grace_ms", 30_000),
    ("grpc.so_reuseport", 0),
)
SHOWN = 100  # characters of a client's own words in a status: gRPC cuts a call whose status exceeds 8 KB
UNREAD = 30.0  # seconds for the client to read a response; then it is let go (F20)

log = structlog.get_logger("gatecast.xds")


class Ended(Exception):
    """The server ends this stream with a status; `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Method:
    """One streaming method: which variant it speaks, which types it serves; `implied` is the type of a per-type
    service.
    """

    delta: bool
    kinds: tuple[str, ...]
    implied: str = ""

    @property
    def variant(self) -> str:
        return "delta" if self.delta else "sotw"


class AdsServer:
    """Serves the hub's snapshots on `address` (host:port). `start` returns the bound port; `stop` drains.

    `trust`: which gateways a certificate may read; None: nobody is asked, for only this machine, or whoever may, gets
    here.
    """

    def __init__(
        self,
        hub: Hub,
        metrics: Metrics,
        *,
        identifier: str,
        clock: Callable[[], float] = time.monotonic,
        unread: float = UNREAD,
        unknown_key: reports.Told | None = None,
        trust: Trust | None = None,
    ) -> None:
        self.hub = hub
        self.health = health.HealthServicer()
        self._metrics = metrics
        self._identifier = identifier
        self._clock = clock
        self._unread = unread
        self._door = Doorkeeper(hub, trust)
        self._budget = Budget()
        self._server = grpc.aio.server(options=OPTIONS)
        for service, methods in _services().items():
            handlers: dict[str, Any] = {
                name: grpc.stream_stream_rpc_method_handler(self._handler(m)) for name, m in methods.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        if unknown_key is not None:
            self._server.add_generic_rpc_handlers((reports.service(unknown_key, self._door.stranger),))
        self._server.add_generic_rpc_handlers((status.service(hub, self._door.sees),))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)

    async def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listen; `Refused` if the address cannot be bound. Streams are refused with UNAVAILABLE until the hub is
        ready. With `credentials` (`xds.credentials`) connections are TLS.
        """
        try:
            _bind(address)
            port = self._listen(address, credentials)
        except (OSError, RuntimeError) as error:
            raise Refused(f"cannot listen on {address}: {getattr(error, 'strerror', None) or error}") from None
        await self.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()
        return int(port)

    def _listen(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        if credentials is not None:
            return self._server.add_secure_port(address, credentials)
        return self._server.add_insecure_port(address)

    async def serving(self) -> None:
        """Tell health checks that there is something to serve."""
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float = 5.0) -> None:
        """Readiness off, streams end (none in the middle of a response), connections close; at most `grace` seconds
        each.
        """
        await self.health.enter_graceful_shutdown()
        try:
            async with asyncio.timeout(grace):
                await self.hub.drain()
        except TimeoutError:
            log.warning("streams did not end in time", streams=len(self.hub.clients))
        await self._server.stop(0.5)

    def _handler(self, method: Method) -> Callable[[Any, Any], Awaitable[None]]:
        async def handle(_requests: object, context: Any) -> None:
            session = Session(
                self.hub, self._metrics, self._budget, method, context, self._identifier, self._clock, self._unread,
                self._door,
            )  # fmt: skip
            try:
                await session.run()
            except Ended as error:
                self._metrics.refused.labels(error.code.name).inc()
                await context.abort(error.code, str(error))
            except grpc.aio.InternalError:  # the client went in the middle of a message; gRPC would log a stack trace
                raise asyncio.CancelledError from None

        return handle


class Session:
    """One stream from its first request to its end: a reader and a writer around the machine."""

    def __init__(
        self, hub: Hub, metrics: Metrics, budget: Budget, method: Method, context: Any, identifier: str,
        clock: Callable[[], float], unread: float, door: Doorkeeper,
    ) -> None:  # fmt: skip
        self._door = door
        self._hub, self._metrics, self._budget, self._method = hub, metrics, budget, method
        self._context, self._identifier, self._clock, self._unread = context, identifier, clock, unread
        self._decode = wire.delta_request if method.delta else wire.sotw_request
        self._encode = wire.delta_response if method.delta else wire.sotw_response
        self._ignored: set[str] = set()
        self._failure: Exception | None = None
        self._over = False

    async def run(self) -> None:
        request = await self._read()
        if request is None:
            return
        client = self._join(request)
        try:
            self._take(client, request)
            reader = asyncio.create_task(self._read_all(client))
            try:
                await self._write_all(client)
            finally:
                reader.cancel()
        finally:
            self._hub.leave(client)

    def _join(self, request: wire.Request) -> Client:
        """Bind the stream to the node of its first request (R1)."""
        node = request.node
        if self._hub.draining:
            raise Ended(grpc.StatusCode.UNAVAILABLE, "this server is shutting down")
        if not self._hub.ready:
            raise Ended(grpc.StatusCode.UNAVAILABLE, "not ready: settings are still being loaded")
        if node is None:
            raise Ended(grpc.StatusCode.INVALID_ARGUMENT, "the first request of a stream must carry its node")
        self._admit(node)
        delta, kinds = self._method.delta, self._method.kinds
        client = self._hub.join(node, self._context.peer(), self._method.variant, delta=delta, kinds=kinds)
        log.info("stream opened", node=node.id, gateway=client.gateway, variant=self._method.variant, build=node.build)
        return client

    def _admit(self, node: wire.Node) -> None:
        """Only to the gateways that there are and that its certificate may read."""
        gateway = self._hub.gateway(node)
        if gateway is None:
            names = ", ".join(filter(self._door.sees(self._context), sorted(self._hub.snapshots))) or "none"
            said = f"node.cluster {node.cluster[:SHOWN]!r}" if node.cluster else f"node.id {node.id[:SHOWN]!r}"
            raise Ended(grpc.StatusCode.NOT_FOUND, f"{said} names no gateway; gateways: {names[: 5 * SHOWN]}")
        if why := self._door.refusal(self._context, gateway):
            log.warning("stream refused", node=node.id[:SHOWN], gateway=gateway, peer=self._context.peer(), error=why)
            raise Ended(grpc.StatusCode.PERMISSION_DENIED, why)

    async def _read(self) -> wire.Request | None:
        data = await self._context.read()
        if data is grpc.aio.EOF:
            return None
        try:
            return self._decode(data, self._method.implied)
        except Refused as error:
            raise Ended(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None

    async def _read_all(self, client: Client) -> None:
        try:
            while (request := await self._read()) is not None:
                self._take(client, request)
                if client.machine.due:
                    client.wake.set()
        except Exception as error:  # whatever it is, it ends this stream and is reported by it
            self._failure = error
        finally:
            self._over = True
            client.wake.set()

    def _take(self, client: Client, request: wire.Request) -> None:
        if request.node is not None and request.node.id not in ("", client.node.id):
            why = f"node id changed from {client.node.id[:SHOWN]!r} to {request.node.id[:SHOWN]!r}"
            raise Ended(grpc.StatusCode.INVALID_ARGUMENT, why)
        if request.ask is None or request.ask.kind not in client.machine.interests:
            return self._ignore(client, request.type_url)
        now = self._clock()
        try:
            reply = client.machine.receive(request.ask, now)
        except Refused as error:
            raise Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        if reply is not None:
            self._hub.answered(client, reply, now)
        if reply is not None and not reply.accepted:
            names = [one.name for one in reply.sent.resources[:5]]
            owners = sorted({one.owner for one in reply.sent.resources[:5]} - {""})
            log.warning(
                "rejected", node=client.node.id, kind=reply.kind, resources=names, tenants=owners, error=reply.error
            )

    def _ignore(self, client: Client, type_url: str) -> None:
        """A type we do not serve costs one log line a stream and nothing else."""
        if type_url not in self._ignored and len(self._ignored) < 20:
            self._ignored.add(type_url)
            log.info("type ignored", node=client.node.id, type_url=type_url[:200])

    async def _write_all(self, client: Client) -> None:
        while not (self._over or client.ended):
            client.wake.clear()
            await self._answer(client)
            timer = self._timer(client)
            if not (self._over or client.ended):
                await client.wake.wait()
            if timer is not None:
                timer.cancel()
        if self._failure is not None:
            raise self._failure
        if client.ended:
            raise Ended(grpc.StatusCode.UNAVAILABLE, client.ended)

    async def _answer(self, client: Client) -> None:
        for answer in list(client.machine.answers(self._clock())):
            await self._send(client, answer)
            followers = (
                frozenset(one.companion for one in answer.batch.resources) if answer.kind == "CDS" else frozenset()
            )
            if followers and "EDS" not in client.machine.interests:
                self._hub.companions(client, followers)
        for late in client.machine.overdue():
            self._metrics.overdue.labels(late.kind).inc()
            log.warning("sent without the ACK it waited for", node=client.node.id, kind=late.kind, resource=late.name)

    async def _send(self, client: Client, answer: Answer) -> None:
        """Write one response. The bytes are made when there is room for them, not before."""
        size = wire.size(answer, delta=self._method.delta)
        if size < BIG:
            return await self._write(client, answer)
        async with self._budget.lend(size):
            await self._write(client, answer)

    async def _write(self, client: Client, answer: Answer) -> None:
        if self._over or client.ended:
            return
        data = self._encode(answer, self._identifier)
        self._hub.sent(client, answer.kind, answer.version, len(data))
        alarm = asyncio.get_running_loop().call_later(self._unread, self._let_go, client)
        try:
            await self._context.write(data)
        finally:
            alarm.cancel()

    def _let_go(self, client: Client) -> None:
        """The client does not read: nothing is done for it any more, and its stream ends with the response it has.

        gRPC can send no status while a response is half written: a handler that left now would leave the call open for
        good. So ours waits, holding that one response, until the client reads on or its connection is gone.
        """
        client.ended = f"the client did not read for {self._unread:g} s"
        log.warning("stream given up: the client does not read", node=client.node.id, seconds=self._unread)
        self._hub.leave(client)

    def _timer(self, client: Client) -> asyncio.TimerHandle | None:
        deadline = client.machine.deadline()
        if deadline is None:
            return None
        return asyncio.get_running_loop().call_later(max(0.0, deadline - self._clock()) + 0.001, client.wake.set)


def _bind(address: str) -> None:
    """Raise what the system says of this address: gRPC says it in many words, and on stderr by itself."""
    host, _, port = address.rpartition(":")
    family, kind, protocol, _name, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)


def _services() -> dict[str, dict[str, Method]]:
    """gRPC service -> method name -> what it serves: ADS, and one service a type (one row of `kinds` each)."""
    everything = tuple(KINDS)
    services = {wire.ADS: {
        "StreamAggregatedResources": Method(delta=False, kinds=everything),
        "DeltaAggregatedResources": Method(delta=True, kinds=everything),
    }}  # fmt: skip
    for kind in KINDS.values():
        if kind.service:
            services[kind.service] = _own(kind)
    return services


def _own(kind: Kind) -> dict[str, Method]:
    names = ((kind.sotw, False), (kind.delta, True))
    return {name: Method(delta, (kind.name,), kind.name) for name, delta in names if name}
