"""A rate limit service for tests, as the standard one behaves: it is told its limits by our ADS server (SotW, one type,
a node without a cluster), answers Envoy's ShouldRateLimit, and counts in fixed windows.

    async with rls_servers.Rls(served.port) as service:
        await service.told("edge/acme")
        service.asked                     # every question, newest last

Written from its source (`xds_grpc_sotw_provider.go`, `config_impl.go`), not from ours: an answer takes the place of all
that it knew. Its clock stands still unless a test moves `now`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import adsclients
import envoys
import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError, Message

from protos import discovery_pb2, ratelimit_pb2
from xds import descriptors
from xds.kinds import KINDS

_RLS = "envoy.service.ratelimit.v3."
_POOL = descriptors.pool((_RLS + "RateLimitRequest", _RLS + "RateLimitResponse"))
TYPE = KINDS["RLS"].type_url
SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


def _class(name: str) -> Callable[..., Any]:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


RateLimitRequest = _class(_RLS + "RateLimitRequest")
RateLimitResponse = _class(_RLS + "RateLimitResponse")

Entries = tuple[tuple[str, str], ...]
Tree = dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """A descriptor of the configuration: the limit at this depth, and what may follow."""

    limit: tuple[int, str] | None
    inner: Tree


@dataclass(frozen=True, slots=True)
class Question:
    """One ShouldRateLimit: the domain and its descriptors."""

    domain: str
    descriptors: tuple[Entries, ...]


def tree(given: Iterable[ratelimit_pb2.RateLimitDescriptor]) -> Tree:
    """The descriptors by `key` or `key_value`; ValueError for what the standard service refuses."""
    found: Tree = {}
    for one in given:
        name = f"{one.key}_{one.value}" if one.value else one.key
        if not one.key or name in found:
            raise ValueError(f"descriptor {name!r} is empty or given twice")
        unit = ratelimit_pb2.RateLimitUnit.Name(one.rate_limit.unit)
        if one.HasField("rate_limit") and unit == "UNKNOWN":
            raise ValueError(f"{name}: invalid rate limit unit")
        limit = (one.rate_limit.requests_per_unit, unit) if one.HasField("rate_limit") else None
        found[name] = Node(limit, tree(one.descriptors))
    return found


@dataclass(eq=False)
class Rls:
    """The service. `xds` is the port of our ADS server; `node` names the gateway; `delay`: seconds before an answer."""

    xds: int
    node: str = "edge"
    delay: float = 0.0
    now: int = 0
    port: int = field(default_factory=envoys.free_port)
    domains: dict[str, Tree] = field(default_factory=dict)
    loads: int = 0
    asked: list[Question] = field(default_factory=list)
    counts: Counter[tuple[str, Entries, int]] = field(default_factory=Counter)
    _server: Any = None
    _follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._follower = asyncio.create_task(self._follow())
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        assert self._follower is not None
        self._follower.cancel()
        await asyncio.wait((self._follower,))

    async def start(self) -> None:
        """Listen on `port`."""
        self._server = grpc.aio.server()
        ask = grpc.unary_unary_rpc_method_handler(
            self._answer, response_serializer=lambda answer: answer.SerializeToString()
        )
        handler = grpc.method_handlers_generic_handler(_RLS + "RateLimitService", {"ShouldRateLimit": ask})
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Refuse connections and cut those that are open. What was counted stays, as in its Redis."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def told(self, domain: str, *, gone: bool = False) -> None:
        """Wait until it knows the domain, or no more."""
        await envoys.until(lambda: (domain in self.domains) != gone, f"{domain} to be {'gone' if gone else 'known'}")

    async def told_number(self, domain: str, name: str, number: int) -> None:
        """Wait until so many requests are allowed by this entry of the domain."""

        def known() -> bool:
            limit = self.domains.get(domain, {}).get(name, Node(None, {})).limit
            return limit is not None and limit[0] == number

        await envoys.until(known, f"{domain} {name} to allow {number}")

    async def _follow(self) -> None:
        """Stay told. A node has an id alone; a request never names a resource; the newest answer is all there is."""
        node = discovery_pb2.Node(id=self.node)
        async with adsclients.sotw(f"127.0.0.1:{self.xds}", node) as stream:
            await stream.ask(TYPE)
            while (data := await stream.call.read()) is not grpc.aio.EOF:
                answer = discovery_pb2.DiscoveryResponse.FromString(data)
                await stream.ask(TYPE, **self._take(answer), node=node)

    def _take(self, answer: discovery_pb2.DiscoveryResponse) -> dict[str, Any]:
        bodies = (discovery_pb2.Any.FromString(one).value for one in answer.resources)
        configs = [ratelimit_pb2.RateLimitConfig.FromString(bytes(body)) for body in bodies]
        try:
            self.domains = {one.domain: tree(one.descriptors) for one in configs}
        except ValueError as error:
            return {"response_nonce": answer.nonce, "error_detail": discovery_pb2.Status(message=str(error))}
        self.loads += 1
        return {"response_nonce": answer.nonce, "version_info": answer.version_info}

    async def _answer(self, data: bytes, context: Any) -> Message:
        await asyncio.sleep(self.delay)
        try:
            request = RateLimitRequest.FromString(data)  # type: ignore[attr-defined]
        except DecodeError as error:
            return await context.abort(grpc.StatusCode.INTERNAL, str(error))  # type: ignore[no-any-return]
        found = tuple(tuple((one.key, one.value) for one in each.entries) for each in request.descriptors)
        self.asked.append(Question(request.domain, found))
        said = [self._count(request.domain, entries) for entries in found]
        over = any(one.get("code") == "OVER_LIMIT" for one in said)
        return RateLimitResponse(overall_code="OVER_LIMIT" if over else "OK", statuses=said)  # type: ignore[no-any-return]

    def _count(self, domain: str, entries: Entries) -> dict[str, Any]:
        limit = self._limit(domain, entries)
        if limit is None:
            return {"code": "OK"}
        allowed, unit = limit
        window = self.now // SECONDS[unit]
        self.counts[domain, entries, window] += 1
        left = allowed - self.counts[domain, entries, window]
        return {
            "code": "OK" if left >= 0 else "OVER_LIMIT",
            "current_limit": {"requests_per_unit": allowed, "unit": unit},
            "limit_remaining": max(left, 0),
            "duration_until_reset": {"seconds": SECONDS[unit] - self.now % SECONDS[unit]},
        }

    def _limit(self, domain: str, entries: Entries) -> tuple[int, str] | None:
        """The limit at the depth of the descriptor: of each entry by its value, else of any value."""
        level: Tree = self.domains.get(domain, {})
        node = None
        for key, value in entries:
            node = level.get(f"{key}_{value}") or level.get(key)
            if node is None:
                return None
            level = node.inner
        return node.limit if node else None
