"""A Kong in a hundred lines, for properties of plans: a database that refuses what Kong refuses, and what a request
meets when the two timers show different moments. Matching is the double's; of plugins there are those that refuse.

    kong = Model(rows); kong.apply(step); kong.settle()
    world = World(kong.rows); world.answer(request) -> the host behind, "" if refused
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from immutables import Map

from kong_double.router import Router
from kong_double.wire import Request
from kong_sync.entities import KINDS, Entity
from kong_sync.phases import Step
from kong_sync.states import Key, reference, references, unique

Rows = Map[Key, Entity]
TENANT = "x-tenant-id"
GATES = ("jwt", "key-auth", "acl", "post-function", "request-termination")
_ROUTE: Mapping[str, Any] = {
    **dict.fromkeys(("service", "methods", "hosts", "paths", "headers", "snis")),
    "protocols": ["http", "https"],
    "regex_priority": 0,
}


@dataclass
class Model:
    """The database, and every moment of it since the timers last showed the newest."""

    rows: Rows
    moments: list[Rows] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        self.moments = [self.rows]

    def apply(self, step: Step) -> None:
        """Fails the test on what Kong would refuse."""
        old = self.rows.get(step.key)
        if step.verb == "delete":
            self._delete(step.key)
        else:
            body = dict(step.body) if step.verb == "put" else {**(old or {}), **step.body}
            self._store(step.kind, {**body, "id": step.id})
        self.moments.append(self.rows)

    def _store(self, name: str, body: Entity) -> None:
        kind, row = KINDS[name], {key: one for key, one in body.items() if one is not None}
        for other in references(kind, row):
            assert other in self.rows, f"{name} refers to {other}, which is not there"
        for fields in kind.unique:
            key = unique(kind, row, fields)
            for (other_kind, id_), there in self.rows.items():
                taken = other_kind == name and id_ != row["id"] and unique(kind, there, fields) == key
                assert key is None or not taken, f"{name}: {key} is taken"
        self.rows = self.rows.set((name, row["id"]), row)

    def _delete(self, key: Key) -> None:
        if key not in self.rows:
            return
        for other, row in list(self.rows.items()):
            for name, kind in KINDS[other[0]].foreign.items():
                if (kind, reference(row, name)) == key:
                    assert name in KINDS[other[0]].cascades, f"{key} is deleted while {other} refers to it"
                    self._delete(other)
        self.rows = self.rows.delete(key) if key in self.rows else self.rows


@dataclass(frozen=True)
class Asked:
    """A request: where to, as whom, with which token (`jwt`) or key (`key-auth`)."""

    host: str
    path: str
    tenant: str = ""
    token: str = ""
    key: str = ""

    @property
    def request(self) -> Request:
        headers = (("Host", self.host), *(((TENANT, self.tenant),) if self.tenant else ()))
        return Request("GET", self.path, headers)


@dataclass(frozen=True)
class Met:
    """The host behind, and the gates on the way to it, by the name of the plugin."""

    host: str
    gates: Mapping[str, Entity]


class World:
    """What requests meet if both timers show these rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._met: dict[tuple[str, str, str], Met | None] = {}

    @cached_property
    def router(self) -> Router:
        routes = {key[1]: {**_ROUTE, **row} for key, row in self.rows.items() if key[0] == "routes"}
        services = {key[1]: {"enabled": True, **row} for key, row in self.rows.items() if key[0] == "services"}
        return Router(routes, services)

    @cached_property
    def plugins(self) -> dict[tuple[str, str, str], Entity]:
        rows = (row for key, row in self.rows.items() if key[0] == "plugins" and row.get("enabled", True))
        return {(row["name"], reference(row, "route"), reference(row, "service")): row for row in rows}

    @cached_property
    def credentials(self) -> dict[str, str]:
        """Token or key -> the consumer's id."""
        kinds = ("jwt_secrets", "keyauth_credentials")
        return {row["key"]: reference(row, "consumer") for key, row in self.rows.items() if key[0] in kinds}

    @cached_property
    def groups(self) -> frozenset[tuple[str, str]]:
        """Consumer's id, group."""
        rows = (row for key, row in self.rows.items() if key[0] == "acls")
        return frozenset((reference(row, "consumer"), row["group"]) for row in rows)

    @cached_property
    def names(self) -> frozenset[tuple[str, str]]:
        """Consumer's id, name."""
        return frozenset((key[1], row["username"]) for key, row in self.rows.items() if key[0] == "consumers")

    def met(self, asked: Asked, plugins: "World | None" = None) -> Met | None:
        """None if no service is reached. `plugins`: the world that the other timer shows."""
        place = asked.host, asked.path, asked.tenant
        if plugins is None and place in self._met:
            return self._met[place]
        match = self.router.match(asked.request)
        found = None
        if match is not None and match.service is not None:
            acting = dict((plugins or self)._acting(match.route["id"], match.service["id"]))
            found = Met(match.service["host"], acting)
        if plugins is None:
            self._met[place] = found
        return found

    def _acting(self, route: str, service: str) -> Iterator[tuple[str, Entity]]:
        for name in GATES:
            for scope in ((route, service), (route, ""), ("", service), ("", "")):
                if (name, *scope) in self.plugins:
                    yield name, self.plugins[name, *scope]
                    break


def passes(name: str, row: Entity, asked: Asked, known: Iterable[str], *worlds: World) -> bool:
    """Whether a gate lets a request through, by the credentials and groups of any of these worlds. `known`: the gates
    on the way, for who asks is what jwt and key-auth found out."""
    shown = {"jwt": asked.token, "key-auth": asked.key}
    if name == "request-termination":
        return False
    if name in shown:
        return any(shown[name] in world.credentials for world in worlds)
    given = [shown[one] for one in known if one in shown]
    people = {world.credentials[one] for world in worlds for one in given if one in world.credentials}
    if name == "acl":
        wanted = {(one, group) for one in people for group in row["config"]["allow"]}
        return any(not wanted.isdisjoint(world.groups) for world in worlds)
    return any((one, asked.tenant) in world.names for one in people for world in worlds)


def answer(asked: Asked, router: World, plugins: World, now: World) -> str:
    """The host that answers, "" if the request is refused, as the timers show it."""
    met = router.met(asked, plugins)
    if met is None or not all(passes(name, row, asked, met.gates, now) for name, row in met.gates.items()):
        return ""
    return met.host


def allowed(asked: Asked, host: str, *worlds: World) -> bool:
    """Whether this host may answer: it does so in one of these worlds, and each gate that stands before it there is
    passed as it is there or as it is in another of them. Who asks may be known from a gate that only another has."""
    met = [found for found in (one.met(asked) for one in worlds) if found]
    known = ("jwt", "key-auth")
    return any(
        mine.host == host
        and all(
            any(passes(name, one.gates[name], asked, known, *worlds) for one in met if name in one.gates)
            for name in mine.gates
        )
        for mine in met
    )
