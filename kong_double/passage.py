"""One request on its way through the proxy, and the answers that Kong itself gives. Used by `plane` and the plugins."""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kong_double.refusals import Json
from kong_double.router import Match
from kong_double.store import Table, Tables, reference
from kong_double.wire import Request, Response

Counters: TypeAlias = dict[tuple[Any, ...], int]
NAMES = {400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 503: "Service unavailable"}


class Lookup:
    """Entities by the value of a field, made anew when the table is another."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[Table, dict[Any, list[Json]]]] = {}

    def rows(self, tables: Tables, kind: str, name: str, value: Any) -> list[Json]:
        """Those whose field has this value; a reference is compared by its id."""
        table, held = tables[kind], self._made.get((kind, name))
        if held is None or held[0] is not table:
            found: dict[Any, list[Json]] = defaultdict(list)
            for row in table.values():
                found[reference(row, name) if isinstance(row[name], dict) else row[name]].append(row)
            held = self._made[kind, name] = table, dict(found)
        return held[1].get(value, [])


@dataclass(eq=False)
class Passage:
    """`request` is what the upstream would get by now; `original` is what the client sent."""

    original: Request
    request: Request
    tables: Tables
    wall: Callable[[], float]
    counters: Counters
    lookup: Lookup
    match: Match | None = None
    consumer: Json | None = None
    credential: Json | None = None
    upstream: str = ""
    path: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    request_id: str = field(default_factory=lambda: f"{random.getrandbits(128):032x}")

    def rows(self, kind: str, name: str, value: Any) -> list[Json]:
        """The entities of a kind, as this node sees them, whose field has this value."""
        return self.lookup.rows(self.tables, kind, name, value)

    def set(self, name: str, *values: str) -> None:
        """Put these values in place of a header of the request; none: take it away."""
        self.request = self.request.with_header(name, *values)

    def error(self, status: int, message: str, *headers: tuple[str, str]) -> Response:
        """`kong.response.error`: the body names the request."""
        body = f'{{\n  "message":{json.dumps(message)},\n  "request_id":"{self.request_id}"\n}}'
        return Response(status, (_JSON, *headers), body.encode())


_JSON = ("Content-Type", "application/json; charset=utf-8")


def exits(status: int, body: Any, *headers: tuple[str, str]) -> Response:
    """`kong.response.exit`: a table becomes JSON, a text stays."""
    if body is None:
        return Response(status, headers)
    if isinstance(body, str):
        return Response(status, headers, body.encode())
    return Response(status, (_JSON, *headers), json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())


def with_headers(response: Response, new: Mapping[str, str | None]) -> Response:
    """The answer with these headers in place of those of the same names; None takes one away."""
    names = {name.lower() for name in new}
    kept = tuple(one for one in response.headers if one[0].lower() not in names)
    added = tuple((name, value) for name, value in new.items() if value is not None)
    return Response(response.status, kept + added, response.body)
