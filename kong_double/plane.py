"""The data plane: what a request to the proxy port meets, by what this node sees at this moment.

`inbound` decides everything up to the upstream, `outbound` what its answer becomes; `answer` does both with an upstream
that is a function. The server around it is in `double`. Plugins act in the order of their priority; of several rows of
one plugin the most specific acts, chosen when its turn comes (a consumer may have been recognised by then).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from kong_double import edits, enforce
from kong_double.balancer import Balancer
from kong_double.pages import PRIORITIES
from kong_double.passage import Counters, Lookup, Passage, with_headers
from kong_double.refusals import Json
from kong_double.router import Match, Router
from kong_double.store import reference
from kong_double.timers import View
from kong_double.wire import Request, Response

Access = Callable[[Passage, Json], Response | None]
Header = Callable[[Passage, Json, Response], Response]
ORDER = (
    ("route", "service", "consumer"),
    ("route", "consumer"),
    ("service", "consumer"),
    ("route", "service"),
    ("consumer",),
    ("route",),
    ("service",),
    (),
)
"""Scopes of a plugin's rows, the most specific first."""


class Steps(NamedTuple):
    """What a plugin does in two phases."""

    access: Access | None = None
    header: Header | None = None


STEPS: Mapping[str, Steps] = {
    "pre-function": Steps(edits.functions("access"), edits.functions_header),
    "correlation-id": Steps(edits.correlation_id, edits.correlation_header),
    "cors": Steps(edits.cors, edits.cors_header),
    "jwt": Steps(enforce.jwt),
    "key-auth": Steps(enforce.key_auth),
    "ip-restriction": Steps(enforce.ip_restriction),
    "request-size-limiting": Steps(enforce.request_size_limiting),
    "acl": Steps(enforce.acl),
    "rate-limiting": Steps(enforce.rate_limiting, edits.limit_header),
    "request-transformer": Steps(edits.request_transformer),
    "response-transformer": Steps(None, edits.response_transformer),
    "request-termination": Steps(enforce.request_termination),
    "post-function": Steps(edits.functions("access"), edits.functions_header),
    "prometheus": Steps(),
    "file-log": Steps(),
}
"""By name. A plugin that the Admin API takes and that is not here answers 500: nothing is let through unseen."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A request for an upstream: where to, what, and how patient to be. `upstream` is the entity, or None."""

    passage: Passage
    request: Request
    address: str
    tls: bool
    service: Json
    upstream: Json | None
    acting: tuple[Json, ...]


@dataclass(eq=False)
class Plane:
    """One node. `wall` is the time in seconds."""

    view: View
    wall: Callable[[], float]
    port: int = 8000
    counters: Counters = field(default_factory=dict)
    balancer: Balancer = field(default_factory=Balancer)
    lookup: Lookup = field(default_factory=Lookup)
    _router: tuple[Any, Any, Router] | None = None
    _rows: tuple[Any, dict[str, dict[tuple[str, str, str], Json]]] | None = None

    def answer(self, request: Request, upstream: Callable[[Forward], Response]) -> Response:
        """The whole way, with this upstream in place of a network."""
        found = self.inbound(request)
        return found if isinstance(found, Response) else self.outbound(found, upstream(found))

    def inbound(self, request: Request) -> Response | Forward:
        self.view.advance()
        passage = Passage(request, request, self.view.tables, self.wall, self.counters, self.lookup)
        early = self._rewrite(passage)
        if early is None:
            passage.match = self.router().match(passage.request)
            early = self._unmatched(passage)
        acting, answer = self._access(passage, early)
        if answer is not None:
            return self._finished(passage, acting, answer, own=True)
        return self._forward(passage, acting)

    def outbound(self, forward: Forward, response: Response) -> Response:
        told: dict[str, str | None] = {
            "X-Kong-Upstream-Latency": "0",
            "X-Kong-Proxy-Latency": "0",
            "Via": "1.1 kong/3.9.1",
        }
        return self._finished(forward.passage, forward.acting, with_headers(response, told), own=False)

    # -- phases -----------------------------------------------------------------------------------------------------

    def _rewrite(self, passage: Passage) -> Response | None:
        """Before routing, of global plugins alone."""
        for name in ("pre-function", "post-function"):
            row = self.rows().get(name, {}).get(("", "", ""))
            answer: Response | None = edits.functions("rewrite")(passage, row) if row else None
            if answer is not None:
                return answer
        return None

    def _unmatched(self, passage: Passage) -> Response | None:
        if passage.match is None:
            return passage.error(404, "no Route matched with those values")
        route = passage.match.route
        if "http" in route["protocols"]:
            return None
        status = route["https_redirect_status_code"]
        if status == 426:
            return passage.error(426, "Please use HTTPS protocol", ("Upgrade", "TLS/1.2, HTTP/1.1"))
        host = passage.request.header("host").partition(":")[0]
        where = ("Location", f"https://{host}{passage.request.target}")
        return Response(status, (("Content-Type", "text/html"), where), b"<html>301 Moved Permanently</html>")

    def _access(self, passage: Passage, early: Response | None) -> tuple[tuple[Json, ...], Response | None]:
        """Let the plugins act. After an answer the rest is collected, not run: their headers are still put on."""
        acting, answer, rows = [], early, self.rows()
        for name in PRIORITIES:
            row = _specific(rows.get(name, {}), passage) if name in rows else None
            if row is None:
                continue
            acting.append(row)
            if answer is None:
                answer = self._act(passage, row)
        return tuple(acting), answer

    def _act(self, passage: Passage, row: Json) -> Response | None:
        steps = STEPS.get(row["name"])
        if steps is None:
            return passage.error(500, f"the double does not model the plugin {row['name']}")
        return steps.access(passage, row) if steps.access else None

    def _finished(self, passage: Passage, acting: tuple[Json, ...], answer: Response, *, own: bool) -> Response:
        for row in acting:
            steps = STEPS.get(row["name"], Steps())
            answer = steps.header(passage, row, answer) if steps.header else answer
        told: dict[str, str | None] = {"X-Kong-Request-Id": passage.request_id}
        if own:
            told |= {"X-Kong-Response-Latency": "0", "Server": "kong/3.9.1"}
        return with_headers(answer, told)

    # -- towards the upstream ---------------------------------------------------------------------------------------

    def _forward(self, passage: Passage, acting: tuple[Json, ...]) -> Response | Forward:
        assert passage.match is not None
        service = passage.match.service
        finish = partial(self._finished, passage, acting, own=True)
        if service is None:
            return finish(passage.error(503, "no Service found with those values"))
        named = passage.upstream or service["host"]
        upstream = next(iter(passage.rows("upstreams", "name", named)), None)
        if passage.upstream and upstream is None:
            return finish(passage.error(500, "An unexpected error occurred"))
        forward = Forward(passage, passage.request, "", service["protocol"] == "https", service, upstream, acting)
        address = self.address(forward, set())
        if address is None:
            return finish(passage.error(503, "failure to get a peer from the ring-balancer"))
        return replace(forward, address=address, request=self._outgoing(passage, passage.match, address))

    def address(self, forward: Forward, tried: set[str]) -> str | None:
        """Where to go, apart from where it was tried; None if there is no target."""
        service = forward.service
        if forward.upstream is None:
            return f"{service['host']}:{service['port']}"
        targets = forward.passage.rows("targets", "upstream", forward.upstream["id"])
        header = forward.upstream["hash_on_header"] if forward.upstream["hash_on"] == "header" else None
        key = forward.passage.request.header(header) if header else None
        return self.balancer.pick(forward.upstream, targets, key, tried)

    def _outgoing(self, passage: Passage, match: Match, address: str) -> Request:
        """The request as the upstream gets it."""
        request, host = passage.request, passage.request.header("host")
        name, _, port = host.partition(":")
        out = replace(request, target=_target(passage, match))
        added = {
            "Via": "1.1 kong/3.9.1",
            "Host": host if match.route["preserve_host"] else address.removesuffix(":80"),
            "Connection": "keep-alive",
            "X-Forwarded-For": ", ".join([*request.values("x-forwarded-for"), request.peer]),
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Host": name,
            "X-Forwarded-Port": port or str(self.port),
            "X-Forwarded-Path": passage.original.path,
            "X-Real-IP": request.peer,
            "X-Kong-Request-Id": passage.request_id,
        }
        if match.route["strip_path"] and match.prefix:
            added["X-Forwarded-Prefix"] = match.prefix.removesuffix("/")
        for header, value in added.items():
            out = out.with_header(header, value)
        return out

    # -- what this node sees ----------------------------------------------------------------------------------------

    def router(self) -> Router:
        tables = self.view.router
        routes, services = tables["routes"], tables["services"]
        if self._router is None or self._router[0] is not routes or self._router[1] is not services:
            self._router = routes, services, Router(routes, services)
        return self._router[2]

    def rows(self) -> dict[str, dict[tuple[str, str, str], Json]]:
        """The enabled plugins: name -> (route, service, consumer) -> row."""
        table = self.view.plugins["plugins"]
        if self._rows is None or self._rows[0] is not table:
            made: dict[str, dict[tuple[str, str, str], Json]] = defaultdict(dict)
            for row in (one for one in table.values() if one["enabled"]):
                made[row["name"]][_scope(row)] = row
            self._rows = table, dict(made)
        return self._rows[1]


def _scope(row: Json) -> tuple[str, str, str]:
    return reference(row, "route"), reference(row, "service"), reference(row, "consumer")


def _specific(rows: Mapping[tuple[str, str, str], Json], passage: Passage) -> Json | None:
    ids = {
        "route": passage.match.route["id"] if passage.match else "",
        "service": passage.match.service["id"] if passage.match and passage.match.service else "",
        "consumer": passage.consumer["id"] if passage.consumer else "",
    }
    for scope in ORDER:
        route, service, consumer = (ids[name] if name in scope else "" for name in ("route", "service", "consumer"))
        if all(ids[name] for name in scope) and (found := rows.get((route, service, consumer))):
            return dict(found)
    return None


def _target(passage: Passage, match: Match) -> str:
    """The path for the upstream: that of the service, then what is left of the request's."""
    assert match.service is not None
    path, query = passage.request.path, passage.request.target.partition("?")[2]
    base = match.service["path"] or "/"
    rest = path[len(match.prefix) :] if match.route["strip_path"] else path
    joined = base.rstrip("/") + "/" + rest.lstrip("/") if rest.strip("/") or base == "/" else base
    full = passage.path or joined
    return full + (f"?{query}" if query else "")
