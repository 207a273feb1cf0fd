"""Which route a request meets: Kong's `traditional_compatible` flavour, as it was seen to behave.

Order: how many kinds of attributes are matched, then hosts without wildcards, number of headers, regex paths,
`regex_priority`, length of the path, and at last the larger id. Source: `research/kong-mapping.md` A1 and A2.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kong_double import rules
from kong_double.refusals import Json
from kong_double.store import reference
from kong_double.wire import Request

KINDS = ("methods", "hosts", "paths", "headers", "snis")


@dataclass(frozen=True, slots=True)
class Match:
    """The route, its service if it has one, and the prefix of the path that `strip_path` takes away."""

    route: Json
    service: Json | None
    prefix: str


Wanted = tuple[tuple[str, frozenset[str] | re.Pattern[str]], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A route by one of its paths (None: any path), ready to be compared."""

    rank: tuple[Any, ...]
    route: Json
    service: Json | None
    path: re.Pattern[str] | None
    methods: frozenset[str]
    hosts: tuple[str, ...]
    headers: Wanted

    def takes(self, method: str, host: str, headers: Mapping[str, set[str]]) -> bool:
        """All but the path."""
        if self.methods and method not in self.methods:
            return False
        if self.hosts and not any(_host(wanted, host) for wanted in self.hosts):
            return False
        return all(_header(wanted, headers.get(name, ())) for name, wanted in self.headers)


class Router:
    """Built of the routes and services of one moment. Routes of a service that is disabled are not in it."""

    def __init__(self, routes: Mapping[str, Json], services: Mapping[str, Json]) -> None:
        rows = [row for route in routes.values() for row in _rows(route, services)]
        self._rows = sorted(rows, key=lambda row: row.rank, reverse=True)

    def match(self, request: Request) -> Match | None:
        raw, host, headers = request.path, request.header("host"), _headers(request)
        path = raw if raw.startswith("//") else rules.normalized(raw)
        for row in self._rows:
            found = row.path.match(path) if row.path else None
            if (found or not row.path) and row.takes(request.method, host, headers):
                return Match(row.route, row.service, found.group() if found else "")
        return None


def _rows(route: Json, services: Mapping[str, Json]) -> Iterable[Row]:
    service = services.get(reference(route, "service"))
    if (reference(route, "service") and service is None) or (service and not service["enabled"]):
        return
    methods, hosts = frozenset(route["methods"] or ()), tuple(route["hosts"] or ())
    headers = tuple((_name(name), _values(values)) for name, values in (route["headers"] or {}).items())
    for path in route["paths"] or (None,):
        yield Row(_rank(route, path), route, service, _pattern(path), methods, hosts, headers)


def _rank(route: Json, path: str | None) -> tuple[Any, ...]:
    hosts, regex = route["hosts"] or (), path is not None and path.startswith("~")
    return (
        sum(bool(route[kind]) for kind in KINDS),
        bool(hosts) and not any("*" in host for host in hosts),
        len(route["headers"] or ()),
        regex,
        route["regex_priority"] if regex else 0,
        len(path or ""),
        route["id"],
    )


def _pattern(path: str | None) -> re.Pattern[str] | None:
    if path is None:
        return None
    if not path.startswith("~"):
        return re.compile(re.escape(path))
    return re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", path[1:]))


def _name(name: str) -> str:
    """`_` and `-` are the same, letters are small."""
    return name.lower().replace("_", "-")


def _values(values: list[str]) -> frozenset[str] | re.Pattern[str]:
    """Small letters. A single value that begins with `~*` is a pattern."""
    if len(values) == 1 and values[0].startswith("~*"):
        return re.compile(values[0][2:])
    return frozenset(value.lower() for value in values)


def _headers(request: Request) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, value in request.headers:
        found.setdefault(_name(name), set()).add(value.lower())
    return found


def _host(wanted: str, host: str) -> bool:
    tried = host if re.search(r":\d+$", wanted) else re.sub(r":\d+$", "", host)
    if wanted.startswith("*."):
        return tried.endswith(wanted[1:])
    return tried.startswith(wanted[:-1]) if wanted.endswith(".*") else tried == wanted


def _header(wanted: frozenset[str] | re.Pattern[str], given: Iterable[str]) -> bool:
    """Any value of a repeated header will do."""
    if isinstance(wanted, frozenset):
        return not wanted.isdisjoint(given)
    return any(wanted.search(one) for one in given)
