"""How the HTTP API answers: one body for every error, an id and a time on every answer. Put around the app by
`gatecast.api`; `gatecast.access` and the routes refuse with it.
"""

import ipaddress
import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatecast.faults import CODES, Fail, of_error
from gatecast.views import Failure, Fault
from tenants.errors import GatecastError

HOST = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::[0-9]*)?")
ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
PROBLEM = "application/problem+json"

log = structlog.get_logger("gatecast.api")


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The model, or dataclass, as JSON; pydantic writes it, nothing validates it again."""
    kind: Any = type(body)
    return Response(_adapter(kind).dump_json(body), status, headers, media_type="application/json")


@lru_cache(maxsize=128)
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def failure(
    status: int, message: str, code: str = "", details: Sequence[Mapping[str, Any]] = (), accept: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """An error in the one form there is, or as RFC 9457 has it for who asks for that (`accept`)."""
    fault = Fault(code=code or CODES.get(status, "error"), message=message, details=tuple(map(dict, details)))
    if PROBLEM not in accept.lower():
        return answer(Failure(error=fault), status, headers)
    body = ProblemDetails(title=HTTPStatus(status).phrase, status=status, detail=message, **fault.model_dump())
    return Response(body.model_dump_json(exclude={"message"}), status, headers, media_type=PROBLEM)


class ProblemDetails(Fault):
    """An error as RFC 9457 has it; `code` and `details` as everywhere."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def told(request: Request, fail: Fail) -> Response:
    """The answer that says this."""
    accept = request.headers.get("accept", "")
    return failure(fail.status, fail.message, fail.code, fail.details, accept, fail.headers)


async def refused(request: Request, error: Exception) -> Response:
    """Answer for what a handler, or the router, refused."""
    assert isinstance(error, HTTPException)
    plain = error.detail == HTTPStatus(error.status_code).phrase
    message = {404: "there is no such path", 405: "this path does not take this method"}.get(error.status_code)
    said = message if plain and message else error.detail
    return told(request, Fail(error.status_code, "", said, headers=dict(error.headers or {})))


async def failed(request: Request, error: Exception) -> Response:
    """Answer for what we refuse, or cannot do, by type (`gatecast.faults`)."""
    assert isinstance(error, GatecastError)
    fail = of_error(error)
    if fail.status == 500:
        log.error("request failed", error=str(error), path=request.url.path)
    return told(request, fail)


async def invalid(request: Request, error: Exception) -> Response:
    """Answer for parameters that do not fit."""
    assert isinstance(error, RequestValidationError)
    details = tuple({"path": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors())
    return told(request, Fail(422, "", f"{details[0]['path']}: {details[0]['message']}", details))


async def defect(request: Request, _error: Exception) -> Response:
    """Answer for what should not have happened. Starlette raises the error again, and `Envelope` logs it."""
    return told(request, Fail(500, "internal", "this is a defect of gatecast; its log has more"))


def install(app: FastAPI) -> None:
    """Give every error of the app its body."""
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(GatecastError, failed)
    app.add_exception_handler(Exception, defect)


class Envelope:
    """Around the app: `X-Request-ID` (the caller's, else made) and `X-Process-Time` (seconds) on every answer.

    The id is in `scope["state"]["request_id"]`. A defect in a handler is logged here and goes no further; it has been
    answered with 500.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.perf_counter) -> None:
        self.app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = self._clock()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-process-time"] = f"{self._clock() - began:.6f}"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, marked)
        except Exception:
            log.exception("request failed", request_id=request_id, path=scope["path"])


class Heads:
    """Around an app: HEAD is GET without the body. Not under the paths of `endless` streams, which GET never leaves."""

    def __init__(self, app: ASGIApp, endless: Collection[str] = ()) -> None:
        self.app = app
        self._endless = endless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"] in self._endless:
            return await self.app(scope, receive, send)

        async def bare(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, bare)


class LocalHosts:
    """Around an app on loopback: answers only who asked for this machine, by a loopback name or by address.

    A page in a browser on this machine can give its own name our address (DNS rebinding) and would then read what we
    answer; it cannot change the `Host` that the browser sends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).getlist("host") if scope["type"] == "http" else []
        wrong = next((host for host in given if not local(host)), None)
        if wrong is None:
            return await self.app(scope, receive, send)
        message = f"this server listens on loopback and is not {wrong[:255]!r}: ask for localhost or an IP address"
        await failure(421, message, "wrong_host")(scope, receive, send)


def local(host: str) -> bool:
    """Whether a `Host` header is a loopback name or an IP address, with or without a port."""
    found = HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["name"] or "").lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return bool(ipaddress.IPv6Address(found["v6"]) if found["v6"] else ipaddress.IPv4Address(name))
    except ValueError:
        return False
