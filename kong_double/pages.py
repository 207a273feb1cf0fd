"""The pages of the Admin API that are no entities: `/`, `/status`, `/schemas`, `/tags`, lists of plugins, health.

`pages(...)` makes the table that `admin.Admin.pages` takes. Only what a client of ours may read is told.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kong_double import admin, bodies, plugin_schemas, refusals, rules, schema, schemas, shapes
from kong_double.refusals import Json
from kong_double.schema import UUID
from kong_double.wire import Request
from kong_sync.entities import KINDS

VERSION = "3.9.1"
ZEROS = "0" * 32
PRIORITIES: Mapping[str, int] = {
    "pre-function": 1000000,
    "correlation-id": 100001,
    "bot-detection": 2500,
    "cors": 2000,
    "jwt": 1450,
    "key-auth": 1250,
    "ip-restriction": 990,
    "request-size-limiting": 951,
    "acl": 950,
    "rate-limiting": 910,
    "request-transformer": 801,
    "response-transformer": 800,
    "redirect": 779,
    "prometheus": 13,
    "file-log": 9,
    "request-termination": 2,
    "post-function": -1000,
}
"""The plugins that the double has, highest first: the order in which they act on a request."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a node says about itself. `state` and `database` are its two frequencies in seconds."""

    node_id: str = "85fb6b0c-2381-409a-8106-1b04291fe511"
    version: str = VERSION
    edition: str = "community"
    state: float = 5
    database: float = 5
    dbless: bool = False


@dataclass(eq=False)
class Pages:
    """The pages of one node. `digest` tells the hash of what a node without a database was given last."""

    node: Node
    api: "admin.Admin"
    digest: Callable[[], str]
    health: Callable[[Json, Json], str]

    def table(self) -> dict[str, Callable[[Request, list[str]], Any]]:
        return {
            "": self._root,
            "status": self._status,
            "schemas": self._schemas,
            "tags": self._tags,
            "plugins": self._plugins,
            "upstreams": self._upstreams,
        }

    def _root(self, request: Request, _way: list[str]) -> Any:
        _only(request, "GET", "HEAD")
        used = sorted({one["name"] for one in self.api.store.all("plugins")})
        there = {name: {"version": self.node.version, "priority": rank} for name, rank in PRIORITIES.items()}
        return 200, {
            "version": self.node.version,
            "tagline": "Welcome to kong",
            "edition": self.node.edition,
            "node_id": self.node.node_id,
            "plugins": {"available_on_server": there, "enabled_in_cluster": used},
            "configuration": {
                "database": "off" if self.node.dbless else "postgres",
                "router_flavor": "traditional_compatible",
                "role": "traditional",
                "worker_state_update_frequency": self.node.state,
                "worker_consistency": "eventual",
                "db_update_frequency": self.node.database,
                "db_update_propagation": 0,
            },
        }

    def _status(self, request: Request, way: list[str]) -> Any:
        _only(request, "GET", "HEAD")
        if way == ["status", "ready"]:
            if self.node.dbless and self.digest() == ZEROS:
                raise refusals.plain(503, "no configuration available (empty configuration present)")
            return 200, {"message": "ready"}
        told = {"configuration_hash": self.digest()} if self.node.dbless else {"database": {"reachable": True}}
        return 200, {"server": {}, "memory": {}, **told}

    def _schemas(self, request: Request, way: list[str]) -> Any:
        if len(way) == 3 and way[1] == "plugins" and way[2] != "validate":
            _only(request, "GET", "HEAD")
            return 200, _plugin_schema(way[2])
        if len(way) not in (2, 3) or way[1] not in KINDS:
            raise refusals.plain(404, f"No entity named '{way[1] if len(way) > 1 else ''}'")
        if len(way) == 2:
            _only(request, "GET", "HEAD")
            return 200, {"fields": schema.shown(schemas.SCHEMAS[way[1]])["fields"], "entity_checks": []}
        _only(request, "POST")
        kind, given = KINDS[way[1]], bodies.parsed(request)
        its = shapes.schema_of(kind, given, dbless=self.node.dbless)
        made = self.api.completed(kind, its, shapes.expanded(kind, its, given))
        if errors := schema.faults(its, made):
            assert isinstance(errors, dict)
            raise refusals.violation(errors)
        return 200, {"message": "schema validation successful"}

    def _plugins(self, request: Request, way: list[str]) -> Any:
        if way[1:] == ["enabled"]:
            return 200, {"enabled_plugins": list(PRIORITIES)}
        if len(way) == 3 and way[1] == "schema":
            return 200, {"fields": schema.shown(dict(schema.fields(schemas.plugin(way[2]) or {}))["config"])["fields"]}
        return None

    def _tags(self, request: Request, way: list[str]) -> Any:
        wanted = way[1] if len(way) == 2 else ""
        if wanted and (why := rules.tag(wanted)):
            raise refusals.bad_key("tag", why)
        size = int(dict(request.query).get("size", 100))
        rows = [row for row in self._tagged() if not wanted or row["tag"] == wanted]
        return 200, {"data": rows[:size], "next": None if len(rows) <= size else f"/tags?size={size}"}

    def _tagged(self) -> Iterator[Json]:
        every = sorted((one["id"], kind, one["tags"] or ()) for kind in KINDS for one in self.api.store.all(kind))
        for id_, kind, tags in every:
            yield from ({"tag": tag, "entity_name": kind, "entity_id": id_} for tag in tags)

    def _upstreams(self, request: Request, way: list[str]) -> Any:
        if len(way) != 3 or way[2] != "health" or request.method != "GET":
            return None
        upstream = self.api.found(KINDS["upstreams"], way[1], {})
        rows = self.api.store.children("upstreams", upstream["id"], "targets", "upstream")
        rows.sort(key=lambda one: one["created_at"], reverse=True)
        data = [one | {"health": self.health(upstream, one)} for one in rows]
        return 200, {"data": data, "next": None, "node_id": self.node.node_id}


def _plugin_schema(name: str) -> Json:
    found = schemas.plugin(name)
    if found is None or UUID.fullmatch(name):
        raise refusals.plain(404, f"No plugin named '{name}'")
    shown = schema.shown(found)
    common = (
        ("protocols", "config", "consumer") if plugin_schemas.PLUGINS[name].no_consumer else ("protocols", "config")
    )
    return {"fields": [row for row in shown["fields"] if set(row) <= set(common)], "entity_checks": []}


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise refusals.not_allowed()
