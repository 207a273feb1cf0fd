"""A real ext_authz server (gRPC, `envoy.service.auth.v3.Authorization/Check`) that writes down what it was asked.

    async with authz_servers.Authz() as authz:
        authz.decide = lambda check: authz_servers.ok() if check.headers.get("x-key") else authz_servers.denied()
        ...requests...
        assert authz.checks[-1].context["tenant"] == "acme"

It stands where an Open Policy Agent would. Without a `decide` it lets pass who carries `x-key: good`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message

from xds import descriptors

_AUTH = "envoy.service.auth.v3."
_POOL = descriptors.pool((_AUTH + "CheckRequest", _AUTH + "CheckResponse"))
VERIFIED = "envoy.filters.http.jwt_authn"
PERMISSION_DENIED, INTERNAL = 7, 13
"""Codes of google.rpc.Status."""


def _class(name: str) -> Callable[..., Any]:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


CheckRequest = _class(_AUTH + "CheckRequest")
CheckResponse = _class(_AUTH + "CheckResponse")
OkHttpResponse = _class(_AUTH + "OkHttpResponse")
DeniedHttpResponse = _class(_AUTH + "DeniedHttpResponse")
Status = _class("google.rpc.Status")
HttpStatus = _class("envoy.type.v3.HttpStatus")
HeaderValueOption = _class("envoy.config.core.v3.HeaderValueOption")
HeaderValue = _class("envoy.config.core.v3.HeaderValue")


@dataclass(frozen=True, slots=True)
class Check:
    """One question: what the proxy tells of the request, the `context` it adds, the `claims` it has verified."""

    context: Mapping[str, str]
    method: str
    path: str
    host: str
    headers: Mapping[str, str]
    body: str
    claims: Mapping[str, Any]


def ok(set: Mapping[str, str] | None = None, remove: Sequence[str] = ()) -> Message:
    """Let the request pass, with these headers set and removed on its way to the service."""
    changes = OkHttpResponse(headers=_options(set or {}), headers_to_remove=remove)
    return CheckResponse(status=Status(code=0), ok_response=changes)  # type: ignore[no-any-return]


def denied(status: int = 0, text: str = "", headers: Mapping[str, str] | None = None) -> Message:
    """Refuse; what is not given is left to the proxy."""
    code = Status(code=PERMISSION_DENIED)
    if not status and not text and not headers:
        return CheckResponse(status=code)  # type: ignore[no-any-return]
    said = DeniedHttpResponse(status=HttpStatus(code=status or 403), body=text, headers=_options(headers or {}))
    return CheckResponse(status=code, denied_response=said)  # type: ignore[no-any-return]


def broken(status: int, text: str) -> Message:
    """Say that no decision can be made."""
    said = DeniedHttpResponse(status=HttpStatus(code=status), body=text)
    return CheckResponse(status=Status(code=INTERNAL), error_response=said)  # type: ignore[no-any-return]


def _options(headers: Mapping[str, str]) -> list[Any]:
    return [HeaderValueOption(header=HeaderValue(key=key, value=value)) for key, value in headers.items()]


def by_key(check: Check) -> Message:
    """Who carries `x-key: good` passes."""
    return ok() if check.headers.get("x-key") == "good" else denied()


@dataclass(eq=False)
class Authz:
    """The server, on a port of its own that it keeps over a restart. `delay`: seconds before each answer."""

    decide: Callable[[Check], Message] = by_key
    delay: float = 0.0
    port: int = 0
    checks: list[Check] = field(default_factory=list)
    _server: Any = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on `port`; 0 takes a free one."""
        self._server = grpc.aio.server()
        check = grpc.unary_unary_rpc_method_handler(
            self._check, request_deserializer=_read, response_serializer=lambda answer: answer.SerializeToString()
        )
        service = grpc.method_handlers_generic_handler(_AUTH + "Authorization", {"Check": check})
        self._server.add_generic_rpc_handlers((service,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _check(self, check: Check, _context: object) -> Message:
        self.checks.append(check)
        await asyncio.sleep(self.delay)
        return self.decide(check)


def _read(data: bytes) -> Check:
    said = CheckRequest.FromString(data).attributes  # type: ignore[attr-defined]
    http = said.request.http
    known = json_format.MessageToDict(said.metadata_context.filter_metadata[VERIFIED]).get("payload", {})
    return Check(dict(said.context_extensions), http.method, http.path, http.host, dict(http.headers), http.body, known)
