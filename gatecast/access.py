"""Who may ask what of the HTTP API: the one place where that is decided. `gatecast.api` puts `Guard` around the app.

A path that `RULES` does not name wants an admin, so a route that somebody forgot is closed. Credentials are judged by
`gatecast.bearers`.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatecast.answers import failure
from gatecast.faults import Fail, of_error
from tenants.errors import Unavailable
from tenants.sources.webhook import SIGNATURES
from tenants.store import ROLES, By

OPEN: Final = ""
WEBHOOK: Final = "webhook"
"""The role of a registry that calls: nothing else is open to it. Editors have it too."""
API: Final = "/api/v1"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FAILURES: Final = 30  # of one address in `WINDOW`; more are not even looked at
WINDOW: Final = 60.0  # seconds
AUDITED: Final = 60  # failures in `WINDOW` that are written down: the audit is not to be filled from outside
ADDRESSES: Final = 10_000  # remembered
CALL: Final = 64 << 10  # bytes of a signed call

log = structlog.get_logger("gatecast.access")


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and what he may do: a role of `ROLES`."""

    actor: str
    role: str


LOCAL: Final = Who("local", "admin")
"""Whoever is on this machine, where nobody else can reach the server."""
REGISTRY: Final = Who("registry", WEBHOOK)
"""Who knows the secret of the registry's webhook."""
ANYBODY: Final = Who("anonymous", "viewer")
"""Whoever reaches a server that was told `--insecure`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A route's methods and path, as FastAPI writes it, and the least role (`OPEN`: nobody is asked who he is)."""

    methods: str
    path: str
    role: str

    def holds(self, method: str, path: str) -> bool:
        return method in self.methods.split() and _pattern(self.path).fullmatch(path) is not None


def _of(role: str, methods: str, *paths: str) -> tuple[Rule, ...]:
    return tuple(Rule(methods, API + path, role) for path in paths)


HEALTH: Final = ("/livez", "/readyz", "/startupz", "/healthz", "/health/live", "/health/ready")
RULES: Final[tuple[Rule, ...]] = (
    *(Rule("GET", path, OPEN) for path in (*HEALTH, "/metrics", "/openapi.json")),
    *_of("viewer", "GET", "/status", "/problems", "/documents", "/documents/{kind}/{id}", "/settings/effective"),
    *_of("viewer", "GET", "/tenants/{id}/effective", "/tenants/{id}/resources", "/tenants/{id}/parity"),
    *_of("viewer", "GET", "/snapshots", "/snapshots/{gateway}", "/snapshots/{gateway}/{type}"),
    *_of("viewer", "GET", "/snapshots/{gateway}/{type}/{name:path}", "/clients", "/clients/{id:path}"),
    *_of("viewer", "GET", "/revisions", "/revisions/{number}", "/revisions/{one}/diff/{other}"),
    *_of("viewer", "GET", "/revisions/{number}/rollout", "/events", "/sources", "/pins"),
    *_of("editor", "PUT PATCH DELETE", "/documents/{kind}/{id}"),
    *_of("editor", "POST", "/documents:apply", "/revisions/{number}:restore", "/sync"),
    *_of(WEBHOOK, "POST", "/webhooks/registry"),
    *_of("editor", "DELETE", "/pins/{kind}/{id}"),
    *_of("admin", "GET", "/audit", "/audit/verify", "/audit/export", "/tokens"),
    *_of("admin", "POST", "/tokens"),
    *_of("admin", "DELETE", "/tokens/{id}"),
)
ENDLESS: Final = frozenset({f"{API}/events"})
"""Paths whose answer does not end, so that HEAD has no meaning there."""
NUMBERS: Final = frozenset({"number", "one", "other"})
"""The parts of paths that are numbers of revisions."""
_PATTERNS: dict[str, re.Pattern[str]] = {}


def _pattern(path: str) -> re.Pattern[str]:
    if path not in _PATTERNS:
        parts = re.split(r"\{(\w+(?::path)?)\}", path)  # text and names in turn
        said = (_part(part) if index % 2 else re.escape(part) for index, part in enumerate(parts))
        _PATTERNS[path] = re.compile("".join(said))
    return _PATTERNS[path]


def _part(name: str) -> str:
    return ".*" if name.endswith(":path") else "[0-9]+" if name in NUMBERS else "[^/]+"


def least(method: str, path: str) -> str:
    """The least role for a request; `OPEN` for none. What no rule names wants an admin."""
    asked = "GET" if method == "HEAD" else method
    return next((rule.role for rule in RULES if rule.holds(asked, path)), ROLES[-1])


def methods(path: str) -> str:
    """The methods a path takes, as an `Allow` header has them."""
    known = [method for rule in RULES if _pattern(rule.path).fullmatch(path) for method in rule.methods.split()]
    return ", ".join([*known, *(["HEAD"] if "GET" in known and path not in ENDLESS else [])])


def may(who: Who, role: str) -> bool:
    """Whether the role is his, or a lesser one."""
    if role == WEBHOOK:
        return who.role == WEBHOOK or may(who, "editor")
    return who.role in ROLES and ROLES.index(who.role) >= ROLES.index(role)


def foreign(method: str, headers: Mapping[str, str]) -> str:
    """The origin of a page elsewhere that has a browser ask for a change, "" if it is none (CSRF)."""
    if method in SAFE:
        return ""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return headers.get("origin", "another site")
    origin = headers.get("origin", "")
    return origin if origin and urlsplit(origin).netloc != headers.get("host", "") else ""


def bearer(given: str) -> str | None:
    """The credentials of an `Authorization` header; None if they are none of ours."""
    scheme, _, text = given.partition(" ")
    text = text.strip()
    return text if scheme.lower() == "bearer" and text and text.isascii() and len(text) <= 16_384 else None


@dataclass(slots=True)
class Counted:
    """Failures by address in the present window."""

    clock: Callable[[], float]
    began: float = -WINDOW
    failures: OrderedDict[str, int] = field(default_factory=OrderedDict)
    total: int = 0

    def add(self, address: str, bad: bool = True) -> int:
        """One more; how many there were of all addresses. `bad`: the credentials were, not only the role."""
        self._turn()
        self.failures[address] = self.failures.pop(address, 0) + bad
        if len(self.failures) > ADDRESSES:
            self.failures.popitem(last=False)
        self.total += 1
        return self.total

    def too_many(self, address: str) -> bool:
        self._turn()
        return self.failures.get(address, 0) >= FAILURES

    def _turn(self) -> None:
        if self.clock() - self.began >= WINDOW:
            self.began, self.total = self.clock(), 0
            self.failures.clear()


Judge = Callable[[str, bool], Awaitable[Who | None]]
"""Says whose credentials these are, if they are good; told whether the request only reads. Raises `Unavailable`."""
Signed = Callable[[Mapping[str, str], bytes], bool]
"""Says whether headers sign a body with the secret of the registry's webhook."""
Record = Callable[[By, str, str, str], Awaitable[object]]
"""Writes down an attempt: by whom, action, target, outcome. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class Access:
    """How requests are judged. `unnamed`: who asks without credentials; None: nobody may."""

    unnamed: Who | None = LOCAL
    judge: Judge | None = None
    known: Callable[[str], bool] = lambda credentials: False  # good a moment ago: needs no judge
    record: Record | None = None
    signed: Signed | None = None


class Guard:
    """Around the app: lets through who may ask, with `scope["state"]["who"]`."""

    def __init__(self, app: ASGIApp, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._access = access
        self._counted = Counted(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers, body = Headers(scope=scope), None
        if self._access.signed is not None and _called(scope, headers):
            body, receive = await _read(receive)
        judged = await self._judged(scope, headers, body)
        if isinstance(judged, Who):
            scope.setdefault("state", {})["who"] = judged
            return await self.app(scope, receive, send)
        accept = headers.get("accept", "")
        response = failure(judged.status, judged.message, judged.code, (), accept, judged.headers)
        await response(scope, receive, send)

    async def _judged(self, scope: Scope, headers: Headers, body: bytes | None) -> Who | Fail:
        role = least(scope["method"], scope["path"])
        if role == OPEN:
            return Who("", "")
        if page := foreign(scope["method"], headers):
            return await self._failure(
                scope, _fail(403, "cross_origin", f"a page of {page[:255]} may not ask for this")
            )
        try:
            who = await self._who(scope, headers) if body is None else await self._signer(scope, headers, body)
        except Unavailable as error:
            return of_error(error)
        if isinstance(who, Fail):
            return who
        if not may(who, role):
            why = f"{who.actor} is {who.role}, and this needs {role}"
            return await self._failure(scope, _fail(403, "forbidden", why), who.actor)
        return who

    async def _who(self, scope: Scope, headers: Headers) -> Who | Fail:
        given = headers.getlist("authorization")
        if not given:
            if self._access.unnamed is not None:
                return self._access.unnamed
            return await self._failure(scope, _unknown("show who you are: Authorization: Bearer <token>"))
        token = bearer(given[0]) if len(given) == 1 else None
        address = _address(scope)
        if token is not None and self._counted.too_many(address) and not self._access.known(token):
            return _FLOOD
        judge = self._access.judge
        who = await judge(token, scope["method"] in SAFE) if judge and token is not None else None
        return who or await self._failure(scope, _unknown("these credentials are not good, or not any more"))

    async def _signer(self, scope: Scope, headers: Headers, body: bytes) -> Who | Fail:
        """A registry that signs its call instead of showing the secret."""
        if self._counted.too_many(_address(scope)):
            return _FLOOD
        if len(body) > CALL:
            return _fail(413, "too_large", f"the body has more than {CALL >> 10} KiB")
        if self._access.signed is not None and self._access.signed(headers, body):
            return REGISTRY
        return await self._failure(scope, _unknown("the signature is not that of this body and our secret"))

    async def _failure(self, scope: Scope, fail: Fail, actor: str = "unknown") -> Fail:
        """Counted, and written down unless there are too many."""
        total = self._counted.add(_address(scope), bad=fail.status == 401)
        target, address = f"{scope['method']} {scope['path']}"[:300], _address(scope)
        log.warning("access refused", code=fail.code, actor=actor, target=target, address=address)
        if self._access.record is not None and total <= AUDITED:
            request_id = scope.get("state", {}).get("request_id", "")
            by = By(actor, "api", request_id=request_id, origin=address)
            try:
                await self._access.record(by, f"access {fail.code}", target, "refused")
            except Unavailable as error:
                log.warning("access refused, and the audit could not be written", error=str(error))
        return fail


def _called(scope: Scope, headers: Headers) -> bool:
    """Whether this is a signed call of the webhook: what is signed is read before anybody is believed."""
    return least(scope["method"], scope["path"]) == WEBHOOK and any(name in headers for name in SIGNATURES)


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The body, or a little more than `CALL` of it, and a way to receive it once more."""
    read: list[Message] = []
    while sum(len(one.get("body", b"")) for one in read) <= CALL:
        read.append(await receive())
        if not read[-1].get("more_body"):
            break
    left = iter(read)

    async def again() -> Message:
        return next(left, None) or await receive()

    return b"".join(one.get("body", b"") for one in read), again


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _fail(status: int, code: str, message: str, **headers: str) -> Fail:
    return Fail(status, code, message, headers=headers)


_FLOOD: Final = _fail(
    429, "too_many_failures", "too many failures from your address: wait a minute", **{"retry-after": f"{WINDOW:.0f}"}
)


def _unknown(message: str) -> Fail:
    return _fail(401, "unauthenticated", message, **{"www-authenticate": 'Bearer realm="gatecast"'})
