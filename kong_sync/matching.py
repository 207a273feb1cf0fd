"""Which requests a route takes, in Kong's words: one pattern, a priority, conditions on headers. Called by `translate`.

Kong's own order (how many kinds of conditions, then patterns before prefixes, ...) is not ours. So every path is a
pattern with a number that puts it where our order has it, and every route names methods: then the number decides.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote

from immutables import Map

from tenants.documents import Route
from tenants.matching import ordered, specificity
from tenants.paths import HeaderMatch, Match
from tenants.values import METHODS

ALL_METHODS = METHODS
EVERYWHERE = "/"
_SPECIAL = str.maketrans({one: "\\" + one for one in r"\.+*?()|[]{}^$"})
_RESERVED = frozenset("!#$&'()*+,/:;=?@[]%")


@dataclass(frozen=True, slots=True)
class Taken:
    """`refused`: why Kong cannot be told; then nobody takes these requests. `headers`: beside the tenant's own."""

    path: str
    priority: int
    methods: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = ()
    refused: str = ""


@lru_cache(maxsize=4096)
def taken(route: Route, tenant_header: str) -> Taken:
    """What a route takes. `tenant_header`: the header that names the tenant, "" where none does."""
    match, refused, headers = route.match, "", []
    for name, condition in match.headers:
        if name in ("host", tenant_header):
            refused = f"Kong cannot ask for the header {name!r} once more"
        elif condition.present is False:
            refused = f"Kong cannot ask that the header {name!r} is absent"
        else:
            headers.append((name, _condition(condition)))
    return Taken(pattern(match), priority(route), match.methods or ALL_METHODS, tuple(headers), refused)


@dataclass(frozen=True, slots=True)
class Rival:
    """A route that goes before another in our order, which Kong does not know: it would let the larger id answer what
    both take. `same`: they take the same requests, but for methods; else some of them.
    """

    route: str
    same: bool


@lru_cache(maxsize=64)
def rivals(routes: Map[str, Route], tenant_header: str) -> Mapping[str, tuple[Rival, ...]]:
    """By route, those before it from which Kong cannot tell it."""
    alike: dict[tuple[str, int], list[tuple[Route, Taken]]] = defaultdict(list)
    for route in ordered(routes):
        found = taken(route, tenant_header)
        if not found.refused:
            alike[found.path, found.priority].append((route, found))
    told: dict[str, tuple[Rival, ...]] = {}
    for group in alike.values():
        for n, (route, mine) in enumerate(group):
            before = ((one.id, its) for one, its in group[:n] if _meet(mine, its))
            told[route.id] = tuple(Rival(name, _named(its) == _named(mine)) for name, its in before)
    return MappingProxyType(told)


def _meet(one: Taken, other: Taken) -> bool:
    """Whether some request may have the method and the headers that both ask for."""
    mine, its = _named(one), _named(other)
    plain = (name for name in mine.keys() & its.keys() if not f"{mine[name]}{its[name]}".count("~*"))
    return not set(one.methods).isdisjoint(other.methods) and all(mine[name] == its[name] for name in plain)


def _named(found: Taken) -> Mapping[str, str]:
    """The conditions as Kong compares them: their values know no case."""
    return {name: value if value.startswith("~*") else value.lower() for name, value in found.headers}


def pattern(match: Match) -> str:
    """The path as one of Kong's: `~` and a regular expression that is anchored at the beginning."""
    if match.regex is not None:
        return f"~/{{0}}(?:{match.regex})$"  # Kong wants a slash at the beginning: there is none of it
    if match.path is not None:
        return f"~{_escaped(match.path)}$"
    prefix = match.prefix or "/"
    return f"~{_escaped(prefix)}" if prefix.endswith("/") else f"~{_escaped(prefix)}(?:/|$)"


def begins(match: Match) -> str:
    """What every path begins with, as far as it is known; "/" where it is not."""
    return match.path or match.prefix or "/"


def priority(route: Route) -> int:
    """Our order as one number: the larger goes first. It says nothing of other routes, so none moves another."""
    not_whole, length, not_regex, headers, methods, _id = specificity(route)
    number = (not not_whole) << 12 | min(-length, 4095)
    number = number << 1 | (not not_regex)
    number = number << 5 | min(-headers, 31)
    return number << 4 | (10 - min(methods, 10))


def bare(number: int) -> int:
    """The priority whatever the conditions on headers, of which a preflight has none: before what has some."""
    return number | 31 << 4


def conditions(found: Taken) -> Mapping[str, list[str]]:
    return {name: [value] for name, value in found.headers}


def _condition(match: HeaderMatch) -> str:
    if match.exact is not None:
        return match.exact
    if match.present is not None:
        return "~*.*"
    if match.prefix is not None:
        return f"~*(?i)^{match.prefix.translate(_SPECIAL)}"
    return f"~*(?i)^(?:{match.regex})$"


def _escaped(path: str) -> str:
    """The path as Kong compares it, with nothing special in it: escapes are decoded, but for reserved characters."""
    plain = re.sub("(?:%[0-9A-Fa-f]{2})+", _decoded, path).translate(_SPECIAL)
    return re.sub("/{2,}", lambda found: f"/{{{len(found[0])}}}", plain)  # Kong takes no pattern with an empty segment


def _decoded(escapes: re.Match[str]) -> str:
    """One by one: `%C3%A9` is one character, `%2F` stays."""
    parts = (f"%25{one[1:].upper()}" if unquote(one) in _RESERVED else one for one in re.findall("%..", escapes[0]))
    return unquote("".join(parts))
