"""Envoy's access log service, for one purpose: proxies tell which tenant was shown a token of an unknown key.

`xds.server` serves it beside ADS where the process wants to know; `xds.translate.unknown_keys` makes proxies tell.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from xds import messages
from xds.translate.unknown_keys import NAME, TENANT
from xds.wire import Node

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
METHOD = "StreamAccessLogs"
PAUSE = 0.1
"""Seconds between two messages of a proxy. gRPC holds back the rest, and Envoy drops what it cannot get rid of: who
floods a proxy with tokens costs us ten small messages a second."""

StreamAccessLogsMessage = messages.message("envoy.service.accesslog.v3.StreamAccessLogsMessage")

Told = Callable[[Node, str], None]
"""Called with the proxy and the tenant ("" before one was chosen)."""

Stranger = Callable[[Any, Node], str]
"""Says of a call's context why its caller is not this node; "" if it may be."""


def service(told: Told, stranger: Stranger = lambda context, node: "") -> grpc.GenericRpcHandler:
    """The gRPC service; `told` is called for each tenant of each message."""

    async def stream(_requests: object, context: Any) -> bytes:
        node = Node("", "")
        while (data := await context.read()) is not grpc.aio.EOF:
            message = await _decoded(data, context)
            if message.HasField("identifier"):
                node = await _identified(message.identifier, context)
                if why := stranger(context, node):
                    await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
            for tenant in tenants(message):
                told(node, tenant)
            await asyncio.sleep(PAUSE)
        return b""

    handler: Any = grpc.stream_unary_rpc_method_handler(stream)
    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})


def tenants(message: Any) -> Iterator[str]:
    """The tenants of the entries, each once."""
    entries = message.http_logs.log_entry
    yield from sorted({entry.common_properties.custom_tags.get(TENANT, "") for entry in entries})


async def _decoded(data: bytes, context: Any) -> Any:
    try:
        return StreamAccessLogsMessage.FromString(data)  # type: ignore[attr-defined]
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is not a StreamAccessLogsMessage")


async def _identified(identifier: Any, context: Any) -> Node:
    if identifier.log_name != NAME:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"this server takes the log {NAME!r} alone")
    return Node(id=identifier.node.id, cluster=identifier.node.cluster)
