"""What a route matches, as sets: what two matches share, cover, come to together; which route hides which. Pure.

Called by the plan, which only ever widens or only narrows a route in one write. A match is a product of attributes
(hosts x paths x methods x ...); an attribute that is not stated takes everything. Patterns are compared as texts, so
"covers" may be denied where it is true, never the other way round.
Order of routes in Kong: `research/kong-mapping.md` A1 (more kinds of attributes, longer paths, the larger id).
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from kong_sync.entities import Entity
from kong_sync.states import reference

PARKED = "parked.invalid"
"""The host of a route that takes nothing. It has no service either: who sends this host gets 503."""
_GROUP = re.compile(r"\((?:[^()\\]|\\.|\([^()]*\))*\)")
LISTS = ("hosts", "paths", "methods", "snis", "sources", "destinations", "protocols")
Match = Mapping[str, frozenset[Any]]
"""Attribute -> values; a header is the attribute `header <name>`. What is not there takes everything."""


def parked(route: Entity) -> bool:
    return list(route.get("hosts") or ()) == [PARKED]


def park(route: Entity) -> Entity:
    """The same route, reached by nobody."""
    return {name: one for name, one in route.items() if name != "service"} | {"hosts": [PARKED]}


def blocked(route: Entity) -> Entity:
    """The same match with nothing behind it: who asks gets 503."""
    return {name: one for name, one in route.items() if name != "service"}


def match(route: Entity) -> Match:
    found = {name: frozenset(map(_atom, route[name])) for name in LISTS if route.get(name)}
    for name, values in (route.get("headers") or {}).items():
        found[f"header {name.lower()}"] = frozenset(one.lower() for one in values)
    return found


def _atom(one: Any) -> Any:
    return tuple(sorted(one.items())) if isinstance(one, Mapping) else one


def covers(wide: Match, narrow: Match) -> bool:
    return all(name in narrow and narrow[name] <= values for name, values in wide.items())


def unites(one: Match, other: Match) -> bool:
    """The two differ in one attribute at most, so that all their values together match nothing else."""
    names = one.keys() | other.keys()
    return sum(one.get(name) != other.get(name) for name in names) <= 1


def both(one: Entity, other: Entity) -> Entity:
    """`one` with the match of either; they unite."""
    one, other = _lowered(one), _lowered(other)
    return _with(one, {name: _either(one, other, name) for name in _attributes(one, other)})


def shared(one: Entity, other: Entity) -> Entity:
    """`one` with the match that both have, parked if there is none."""
    one, other = _lowered(one), _lowered(other)
    common = {name: _common(one, other, name) for name in _attributes(one, other)}
    return park(one) if [] in common.values() else _with(one, common)


def _lowered(route: Entity) -> Entity:
    """Names of headers in small letters: in other letters they would pass for other headers."""
    headers = {name.lower(): values for name, values in (route.get("headers") or {}).items()}
    return {**route, "headers": headers} if headers else route


def _attributes(*routes: Entity) -> list[tuple[str, str]]:
    lists = {("", name) for route in routes for name in LISTS if route.get(name)}
    return sorted(lists | {("headers", name) for route in routes for name in route.get("headers") or {}})


def _values(route: Entity, name: tuple[str, str]) -> list[Any]:
    return list((route.get("headers") or {}).get(name[1]) or ()) if name[0] else list(route.get(name[1]) or ())


def _either(one: Entity, other: Entity, name: tuple[str, str]) -> list[Any] | None:
    """None: everything."""
    mine, theirs = _values(one, name), _values(other, name)
    return [*{repr(value): value for value in mine + theirs}.values()] if mine and theirs else None


def _common(one: Entity, other: Entity, name: tuple[str, str]) -> list[Any]:
    mine, theirs = _values(one, name), _values(other, name)
    known = {repr(value) for value in theirs}
    return [value for value in mine if repr(value) in known] if mine and theirs else mine or theirs


def _with(route: Entity, values: Mapping[tuple[str, str], list[Any] | None]) -> Entity:
    lists = {name: sorted(one, key=repr) for (table, name), one in values.items() if one and not table}
    headers = {name: sorted(one) for (table, name), one in values.items() if one and table}
    kept = {name: one for name, one in route.items() if name not in LISTS and name != "headers"}
    return kept | lists | ({"headers": headers} if headers else {})


def hull(one: Entity, other: Entity) -> Entity:
    """`one` with a match that covers both; it may take more."""
    return both(one, other)


def lost(before: Entity, after: Entity | None) -> list[Match]:
    """What a route gives away, in parts."""
    mine = match(before)
    if after is None or parked(after):
        return [mine]
    theirs = match(after)
    if theirs.keys() - mine.keys():  # it took everything there
        return [mine]
    less = {name: mine[name] - values for name, values in theirs.items()}
    return [{**mine, name: left} for name, left in less.items() if left]


# -- which hides which --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """Routes that differ in hosts and values of headers alone. `reaches`: there is something behind it."""

    rank: tuple[Any, ...]
    paths: tuple[str, ...]
    methods: frozenset[str]
    reaches: bool


def shape(route: Entity) -> Shape:
    hosts, headers = route.get("hosts") or (), route.get("headers") or {}
    kinds = sum(bool(route.get(name)) for name in ("methods", "hosts", "paths", "headers", "snis"))
    rank = (kinds, bool(hosts) and not any("*" in host for host in hosts), len(headers))
    paths = tuple(sorted(route.get("paths") or ("",)))
    return Shape(
        (*rank, route.get("regex_priority", 0)),
        paths,
        frozenset(route.get("methods") or ()),
        bool(reference(route, "service")),
    )


class Crowd:
    """Routes by their paths: which may take the same requests. Remembers what it worked out; owned by one plan."""

    def __init__(self, routes: Iterable[Entity]) -> None:
        self._places: dict[str, list[Entity]] = defaultdict(list)
        self._matches: dict[int, tuple[Entity, Match]] = {}
        for route in routes:
            for path in route.get("paths") or ("",):
                self._places[_literal(path)].append(route)
        self._literals = sorted(self._places)

    def near(self, route: Entity) -> Iterator[Entity]:
        """Others on a path that begins like one of this route's, or the other way round; some perhaps twice."""
        for literal in {_literal(path) for path in route.get("paths") or ("",)}:
            starts = [literal[:end] for end in range(len(literal))]
            first, last = (bisect_left(self._literals, one) for one in (literal, literal + chr(0x10FFFF)))
            for one in (*starts, *self._literals[first:last]):
                yield from (row for row in self._places.get(one, ()) if row["id"] != route["id"])

    def match(self, route: Entity) -> Match:
        held = self._matches.get(id(route))
        if held is None:
            held = self._matches[id(route)] = route, match(route)  # with the route, so that nobody else gets its id
        return held[1]

    def meet(self, one: Entity, other: Entity) -> bool:
        """Whether some request may be taken by either."""
        return not parked(one) and not parked(other) and any(_shared_paths(self.match(one), self.match(other)))

    def hides(self, one: Entity, other: Entity, part: Match | None = None) -> bool:
        """Whether requests (of this part of `one`'s match) go to `one` and would else reach something by `other`."""
        if not reference(other, "service") or parked(other):
            return False
        mine, first, second = self.match(one) if part is None else part, shape(one), shape(other)
        return any(_rank(first, a) > _rank(second, b) for a, b in _shared_paths(mine, self.match(other)))


def _shared_paths(one: Match, other: Match) -> Iterator[tuple[str, str]]:
    plain = (name for name in one.keys() & other.keys() if not _patterned(name, one, other))
    if not any(one[name].isdisjoint(other[name]) for name in plain):
        pairs = ((a, b) for a in one.get("paths", ("",)) for b in other.get("paths", ("",)))
        yield from (pair for pair in pairs if _meet(*pair))


def _patterned(name: str, *matches: Match) -> bool:
    """Values that are not compared letter by letter: paths, hosts with a star, patterns of headers."""
    return name == "paths" or any("*" in str(value) for one in matches for value in one[name])


def _meet(one: str, other: str) -> bool:
    first, second = _literal(one), _literal(other)
    return first.startswith(second) or second.startswith(first)


def ranked_alike(one: Entity, other: Entity) -> bool:
    """Whether Kong puts the two in the same place among other routes, but for the length of their paths."""
    return shape(one).rank == shape(other).rank


def layers(routes: Iterable[tuple[str, Entity]]) -> dict[str, int]:
    """For each route (id, entity) how many others stand before it: one that reaches something is behind all that hide a
    part of it. Not in it are those that hide parts of each other, and what is between such ones.

    Hosts and values of headers are not looked at, so there may be more layers than needed.
    """
    shapes = {id_: shape(route) for id_, route in routes}
    left = set(shapes.values())
    hiders, depths = _hiders(left), dict[Shape, int]()
    while ready := {one for one in left if left.isdisjoint(hiders.get(one, ()))}:
        depth = max(depths.values(), default=-1) + 1
        depths |= dict.fromkeys(ready, depth)
        left -= ready
    return {id_: depths[one] for id_, one in shapes.items() if one in depths}


def _hiders(shapes: set[Shape]) -> dict[Shape, set[Shape]]:
    """Of each shape that reaches something: those that come before it on a path they share."""
    by_path: dict[str, list[tuple[Shape, str]]] = defaultdict(list)
    for one in shapes:
        for path in one.paths:
            by_path[_literal(path)].append((one, path))
    found: dict[Shape, set[Shape]] = defaultdict(set)
    for literal, here in by_path.items():
        prefixes = (by_path.get(literal[:start], ()) for start in range(len(literal) + 1))
        for long, short in product(here, chain.from_iterable(prefixes)):
            _compare(found, long, short)
    return found


def _compare(found: dict[Shape, set[Shape]], one: tuple[Shape, str], other: tuple[Shape, str]) -> None:
    if one[0] == other[0] or (one[0].methods and other[0].methods and not one[0].methods & other[0].methods):
        return
    first, last = sorted((one, other), key=lambda pair: _rank(*pair), reverse=True)
    if _rank(*first) != _rank(*last) and last[0].reaches:
        found[last[0]].add(first[0])


def _rank(one: Shape, path: str) -> tuple[Any, ...]:
    regex = path.startswith("~")
    return (*one.rank[:3], regex, one.rank[3] if regex else 0, len(path))


def _literal(path: str) -> str:
    """What all paths that match begin with."""
    if not path.startswith("~"):
        return path
    if "|" in _GROUP.sub("", path):
        return ""
    plain = re.match(r"[^.^$*+?{}\[\]\\()]*", path[1:])
    assert plain is not None
    rest = path[1 + plain.end() :]
    return plain.group()[:-1] if rest[:1] in ("*", "?", "{") else plain.group()
