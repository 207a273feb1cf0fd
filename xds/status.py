"""Client status discovery (CSDS): what every connected proxy holds of what it was sent, for tools that speak gRPC.

`xds.server` serves it beside ADS, to who may read ADS: with certificates a caller sees the clients of his gateways. It
tells versions and states, never contents, so no secret is in it. Each type is one entry without a name; a
resource that is refused has one of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from xds import messages
from xds.hub import Activity, Client, Hub
from xds.interest import Interest

SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"
REFUSED = 20
"""Refused resources that are named, a type and client."""

ClientStatusRequest = messages.message("envoy.service.status.v3.ClientStatusRequest")
ClientStatusResponse = messages.message("envoy.service.status.v3.ClientStatusResponse")
ClientConfig = messages.message("envoy.service.status.v3.ClientConfig")
Entry = messages.message("envoy.service.status.v3.ClientConfig.GenericXdsConfig")
Failure = messages.message("envoy.admin.v3.UpdateFailureState")
Node = messages.message("envoy.config.core.v3.Node")
Timestamp = messages.message("google.protobuf.Timestamp")

Sees = Callable[[Any], Callable[[str], bool]]
"""For a call's context, which gateways its caller may read."""
MATCHES: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda text, wanted: text == wanted,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": lambda text, wanted: wanted in text,
}


def service(hub: Hub, sees: Sees) -> grpc.GenericRpcHandler:
    """The gRPC service."""

    async def fetch(data: bytes, context: Any) -> bytes:
        return await _answer(data, context)

    async def stream(_requests: object, context: Any) -> None:
        while (data := await context.read()) is not grpc.aio.EOF:
            await context.write(await _answer(data, context))

    async def _answer(data: bytes, context: Any) -> bytes:
        seen = sees(context)
        try:
            request = ClientStatusRequest.FromString(data)  # type: ignore[attr-defined]
            clients = [one for one in wanted(hub.clients.values(), request) if seen(one.gateway)]
        except (DecodeError, ValueError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error)[:300] or "not a ClientStatusRequest")
        return ClientStatusResponse(config=[config(one) for one in clients]).SerializeToString()

    methods: dict[str, Any] = {
        "FetchClientStatus": grpc.unary_unary_rpc_method_handler(fetch),
        "StreamClientStatus": grpc.stream_stream_rpc_method_handler(stream),
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def wanted(clients: Iterable[Client], request: Any) -> Iterator[Client]:
    """Those that a matcher of the request takes; all if it has none. Raises `ValueError` for one we do not know."""
    matchers = [_matcher(one) for one in request.node_matchers]
    return (one for one in clients if not matchers or any(match(one.node.id) for match in matchers))


def _matcher(given: Any) -> Callable[[str], bool]:
    kind = given.node_id.WhichOneof("match_pattern") if given.HasField("node_id") else None
    if given.node_metadatas or kind not in MATCHES:
        raise ValueError(f"a node is matched by node_id: {', '.join(MATCHES)}")
    text, fold = getattr(given.node_id, kind), given.node_id.ignore_case
    compare = MATCHES[kind]
    return lambda name: compare(name.lower(), text.lower()) if fold else compare(name, text)


def config(client: Client) -> Any:
    """What one client holds."""
    entries = [
        entry
        for name, interest in client.machine.interests.items()
        if interest.started
        for entry in _entries(interest, client.activity.get(name) or Activity())
    ]
    node = Node(id=client.node.id, cluster=client.gateway)
    return ClientConfig(node=node, generic_xds_configs=entries, client_scope=str(client.number))


def _entries(interest: Interest, activity: Activity) -> Iterator[Any]:
    refused = sorted(interest.parked)[:REFUSED]
    state = _state(interest, activity)
    failure = _failure(activity) if state == "ERROR" else None
    yield Entry(
        type_url=interest.kind.type_url, version_info=activity.accepted_version, config_status=state,
        last_updated=_time(activity.pushed_at), error_state=failure,
    )  # fmt: skip
    for name in refused:
        yield Entry(
            type_url=interest.kind.type_url, name=name, config_status="ERROR", client_status="NACKED",
            error_state=_failure(activity),
        )  # fmt: skip


def _state(interest: Interest, activity: Activity) -> str:
    """Envoy's words: SYNCED, STALE (sent, and not acknowledged yet), ERROR (refused), NOT_SENT."""
    if interest.parked or interest.trials:
        return "ERROR"
    if interest.sent is not None or interest.pending:
        return "STALE"
    return "SYNCED" if activity.pushes else "NOT_SENT"


def _failure(activity: Activity) -> Any:
    return Failure(details=activity.error, last_update_attempt=_time(activity.rejected_at))


def _time(seconds: float) -> Any:
    return Timestamp(seconds=int(seconds)) if seconds else None
