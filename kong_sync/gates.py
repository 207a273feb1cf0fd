"""Which row of a plugin acts on a route, and what a plan changes in that. Pure; called by `diff`.

Of several rows of one plugin the most specific acts alone, so adding or deleting a row may be a change in place: a row
that comes hides another, a row that goes uncovers one. Rows of consumers are left out: plugins that ask who you are
cannot have a consumer (`research/kong-mapping.md` A10).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kong_sync.entities import KINDS, Entity
from kong_sync.states import State, reference, unique

GATES = (
    "acl",
    "basic-auth",
    "bot-detection",
    "hmac-auth",
    "ip-restriction",
    "jwt",
    "key-auth",
    "ldap-auth",
    "mtls-auth",
    "oauth2",
    "openid-connect",
    "post-function",
    "pre-function",
    "request-termination",
)
"""Plugins that decide whether a request gets through."""
PLUGINS = KINDS["plugins"]
Find = Callable[[tuple[Any, ...]], Entity | None]
"""From a row's natural key (see `unique`) to the row."""


@dataclass(frozen=True, slots=True)
class Finds:
    """Plugins before the plan, once all is added, and while routes change.

    `placed`: ids of gates that are changed in place or hide another; `changed`: also those that uncover one.
    """

    now: Find
    early: Find
    mid: Find
    placed: frozenset[str]
    changed: frozenset[str]


def natural(row: Entity) -> tuple[Any, ...]:
    key = unique(PLUGINS, row, PLUGINS.unique[0])
    assert key is not None
    return key


def acts(row: Entity | None) -> bool:
    return row is not None and row.get("enabled", True) is not False


def finder(state: State, over: Mapping[tuple[Any, ...], Entity | None]) -> Find:
    """Looks in `over` first (None: there is none), then in the state."""

    def find(key: tuple[Any, ...]) -> Entity | None:
        return over[key] if key in over else state.rows.get(("plugins", state.find(key)))

    return find


def acting(find: Find, name: str, route: str, service: str) -> Entity | None:
    """The row that acts on the requests of this route."""
    for scope in _scopes(route, service):
        row = find(natural({"name": name, **scope}))
        if acts(row):
            return row
    return None


def _scopes(route: str, service: str) -> Iterator[Mapping[str, Any]]:
    """The most specific first."""
    ways = (("route", route), ("service", service))
    if route and service:
        yield {name: {"id": id_} for name, id_ in ways}
    yield from ({name: {"id": id_}} for name, id_ in ways if id_)
    yield {}


def replaced(before: Find, after: Find, route: Entity, *, everywhere: bool) -> Iterator[Entity]:
    """The gates that act on this route in place of others, as it is. One that is added only adds.

    `everywhere`: also a row without a scope; it is the same for all routes, wherever a request goes.
    """
    place = str(route["id"]), reference(route, "service")
    for name in GATES:
        old = acting(before, name, *place)
        new = acting(after, name, *place) if old else None
        if old and new and _content(old) != _content(new) and (everywhere or scoped(old) or scoped(new)):
            yield new


def scoped(row: Entity) -> bool:
    return bool(reference(row, "route") or reference(row, "service"))


def alike(before: Find, after: Find, route: Entity) -> bool:
    """Whether just the same gates act on this route."""
    place = str(route["id"]), reference(route, "service")
    pairs = ((acting(before, name, *place), acting(after, name, *place)) for name in GATES)
    return all((old and _content(old)) == (new and _content(new)) for old, new in pairs)


def _content(row: Entity) -> Mapping[str, Any]:
    return {name: row.get(name) for name in ("config", "protocols", "enabled")}


def uncovers(row: Entity, after: Find, service_of: Callable[[str], str]) -> bool:
    """Whether another row acts in the place of this gate when it goes, while its route and service stay."""
    if row["name"] not in GATES or reference(row, "consumer"):
        return False
    route, service = reference(row, "route"), reference(row, "service")
    mine = natural(row)
    others: Find = lambda key: None if key == mine else after(key)  # noqa: E731
    return acting(others, row["name"], route, service or (service_of(route) if route else "")) is not None
