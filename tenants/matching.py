"""Which route goes before which, and which requests two routes would both take. Called by `effective` and `checks`."""

import re
from functools import lru_cache

from immutables import Map

from tenants.documents import Route
from tenants.paths import Match

_META = re.compile(r"[\\.^$*+?{}\[\]|()]")
_GROUPS = re.compile(r"\\.|\[[^\]]*\]|\([^()]*\)")


def _literal(regex: str) -> str:
    """What every path that matches begins with, as far as it is easy to see."""
    if "|" in _GROUPS.sub("", regex):
        return ""
    text = regex.removeprefix("^")
    found = _META.search(text)
    if found is None:
        return text
    optional = found[0] in "*?{"
    return text[: max(found.start() - optional, 0)]


def _path(match: Match) -> tuple[str, str]:
    """The kind of path and its text; a regex that is but a prefix counts as one."""
    if match.path is not None:
        return "path", match.path
    if match.prefix is not None:
        return "prefix", match.prefix
    regex = match.regex or ""
    plain = regex.removeprefix("^").removesuffix("$")
    if not _META.search(plain):
        return "path", plain
    if plain.endswith(".*") and not _META.search(plain[:-2]):
        return "prefix", plain[:-2] or "/"
    return "regex", regex


def specificity(route: Route) -> tuple[bool, int, bool, int, int, str]:
    """A sort key: whole paths first, then by the length of the known beginning, then by further conditions, then id."""
    kind, text = _path(route.match)
    length = len(_literal(text)) if kind == "regex" else len(text)
    methods = len(route.match.methods) or 99
    return kind != "path", -max(length, 1), kind != "regex", -len(route.match.headers), methods, route.id


def takes(route: Route) -> tuple[str, ...]:
    """Names for the requests a route takes for itself: two routes with one in common shadow each other."""
    kind, text = _path(route.match)
    base = f"{kind} {text} {route.match.headers!r}" if route.match.headers else f"{kind} {text}"
    return tuple(f"{method} {base}" for method in route.match.methods or ("*",))


@lru_cache(maxsize=8)
def ordered(routes: Map[str, Route]) -> tuple[Route, ...]:
    """All routes, most specific first."""
    return tuple(sorted(routes.values(), key=specificity))
