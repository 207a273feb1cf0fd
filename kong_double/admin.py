"""The Admin API of Kong 3.9.1: a request in, an answer out, the store changed. No sockets, no waiting.

Called by `double` for each request to the Admin port, and by tests that want no network. It covers the kinds of
`kong_sync.entities` and the information pages; what else a Kong has answers 404. Judged by the transcripts.
"""

import random
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from kong_double import bodies, paging, refusals, rules, schema, shapes
from kong_double.refusals import Errors, Json, Refusal
from kong_double.schema import UUID, Field
from kong_double.store import Store, reference
from kong_double.wire import Headers, Request, Response, as_json
from kong_sync.entities import KINDS, Kind

COLLECTIONS: Mapping[str, Kind] = {kind.path: kind for kind in KINDS.values() if not kind.nested}
BELOW: Mapping[tuple[str, str], tuple[Kind, str]] = {
    **{(kind.foreign[kind.parent], kind.under): (kind, kind.parent) for kind in KINDS.values() if kind.parent},
    **{(other, "plugins"): (KINDS["plugins"], name) for name, other in KINDS["plugins"].foreign.items()},
}
NAMED = ("services", "routes", "plugins")
HEADERS: Headers = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("X-Kong-Admin-Latency", "1"),
    ("Server", "kong/3.9.1"),
)


@dataclass(eq=False)
class Admin:
    """One Admin API over one store. `wall` is the time in seconds; `ids` makes new ids.

    `read_only`: there is no database. `pages` answers paths that are no entities, by their first part.
    """

    store: Store
    wall: Callable[[], float]
    ids: Callable[[], str] = schema.new_id
    read_only: bool = False
    pages: dict[str, Callable[[Request, list[str]], Any]] = field(default_factory=dict)

    def handle(self, request: Request) -> Response:
        """Answer; never raises."""
        try:
            return self._answer(self._do(request, self._way(request)))
        except Refusal as refusal:
            return as_json(refusal.status, refusal.body, *HEADERS)
        except bodies.Unsupported:
            return bodies.UNSUPPORTED

    def _answer(self, result: Any) -> Response:
        status, value = result
        return Response(status, HEADERS) if value is None else as_json(status, value, *HEADERS)

    def _way(self, request: Request) -> list[str]:
        path = request.path.removesuffix("/") if request.path != "/" else ""
        parts = path.split("/")[1:]
        if "" in parts or path.startswith("//"):
            raise refusals.not_found()
        return [unquote(part) for part in parts]

    def _do(self, request: Request, way: list[str]) -> Any:
        page = self.pages.get(way[0] if way else "")
        answered = page(request, way) if page else None
        if answered is not None:
            return answered
        kind = COLLECTIONS.get(way[0]) if way else None
        if kind is None:
            raise refusals.not_found()
        if request.method == "OPTIONS":
            return 204, None
        method = "GET" if request.method == "HEAD" else request.method
        if len(way) <= 2:
            return self._top(method, request, kind, way[1:])
        return self._deeper(method, request, kind, way[1:])

    def _top(self, method: str, request: Request, kind: Kind, rest: list[str]) -> Any:
        if not rest:
            return _pick({"GET": self._list, "POST": self._create}, method)(request, kind, {})
        return self._one(method, request, kind, rest[0], {})

    def _one(self, method: str, request: Request, kind: Kind, key: str, owner: Json) -> Any:
        work = {"GET": self._get, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        return _pick(work, method)(request, kind, key, owner)

    def _deeper(self, method: str, request: Request, kind: Kind, rest: list[str]) -> Any:
        """Below an entity: its children, or the one it refers to."""
        below = BELOW.get((kind.name, rest[1]))
        if below is None and rest[1] in kind.foreign and len(rest) == 2:
            return self._referred(method, request, kind, rest)
        if below is None or len(rest) > 3:
            raise refusals.not_found()
        parent = self.found(kind, rest[0], {})
        child, name = below
        owner = {name: {"id": parent["id"]}}
        if child.nested:
            return self._target(method, request, owner, rest[2:])
        if len(rest) == 2:
            return _pick({"GET": self._list, "POST": self._create}, method)(request, child, owner)
        return self._one(method, request, child, rest[2], owner)

    def _referred(self, method: str, request: Request, kind: Kind, rest: list[str]) -> Any:
        child, name = self.found(kind, rest[0], {}), rest[1]
        other, id_ = KINDS[kind.foreign[name]], reference(child, name)
        if method == "DELETE":
            raise refusals.not_allowed() if id_ else refusals.not_found()
        if method == "PUT":
            made = self._put(request, other, id_ or self.ids(), {})
            self.store.put(kind, child | {name: {"id": made[1]["id"]}})
            return made
        if not id_:
            raise refusals.not_found()
        return _pick({"GET": self._get, "PATCH": self._patch}, method)(request, other, id_, {})

    # -- finding ----------------------------------------------------------------------------------------------------

    def locate(self, kind: Kind, key: str, owner: Json) -> Json | None:
        """The entity of this id or key below this owner."""
        found = self._by_key(kind, key, owner)
        mine = found and all(reference(found, name) == one["id"] for name, one in owner.items())
        return found if mine else None

    def _by_key(self, kind: Kind, key: str, owner: Json) -> Json | None:
        if UUID.fullmatch(key):
            return self.store.get(kind.name, key.lower())
        if kind.name == "acls" and owner:
            return self.store.find(kind, {**owner, "group": key})
        if kind.name == "certificates":
            sni = self.store.find(KINDS["snis"], {"name": key})
            return sni and self.store.get(kind.name, reference(sni, "certificate"))
        if kind.name in NAMED and (why := rules.name(key)):
            raise refusals.bad_key(kind.key, why)
        return self.store.find(kind, {kind.key: key}) if kind.key else None

    def found(self, kind: Kind, key: str, owner: Json) -> Json:
        entity = self.locate(kind, key, owner)
        if entity is None:
            raise refusals.not_found()
        return entity

    def _get(self, _request: Request, kind: Kind, key: str, owner: Json) -> Any:
        return 200, shapes.shown(kind, self.found(kind, key, owner), self.store)

    # -- listing ----------------------------------------------------------------------------------------------------

    def _list(self, request: Request, kind: Kind, owner: Json) -> Any:
        asked = paging.asked(request)
        if kind.name == "consumers" and "custom_id" in asked:
            one = self.store.find(kind, {"custom_id": asked["custom_id"]})
            return 200, {"data": [shapes.shown(kind, one, self.store)] if one else [], "next": None}
        size, start = paging.size(request), paging.start(asked)
        if owner:
            ((name, parent),) = owner.items()
            rows: Iterable[Json] = self.store.children(kind.foreign[name], parent["id"], kind.name, name)
            rows = (one for one in rows if one["id"] > start)
        else:
            wanted = paging.tags(asked)
            rows = (one for one in self.store.after(kind.name, start) if wanted(set(one["tags"] or ())))
        return 200, self._page(request, kind, rows, size, {} if owner else asked)

    def _page(self, request: Request, kind: Kind, rows: Iterable[Json], size: int, asked: Mapping[str, str]) -> Json:
        page: list[Json] = []
        for row in rows:
            if len(page) == size:
                offset = paging.offset([page[-1]["id"]])
                kept = "".join(f"&{name}={asked[name]}" for name in ("tags", "size") if name in asked)
                return {"data": page, "next": f"{request.path}?offset={offset}{kept}", "offset": offset}
            page.append(shapes.shown(kind, row, self.store))
        return {"data": page, "next": None}

    # -- writing ----------------------------------------------------------------------------------------------------

    def _create(self, request: Request, kind: Kind, owner: Json) -> Any:
        given = self._given(request, kind, owner)
        made = self.checked(kind, given)
        if self.read_only:
            raise refusals.read_only("create", kind.name)
        if self.store.get(kind.name, made["id"]):
            raise refusals.taken_id(made["id"])
        return 201, self._keep(kind, made, given)

    def _put(self, request: Request, kind: Kind, key: str, owner: Json) -> Any:
        given, old = self._given(request, kind, owner), self.locate(kind, key, {}) or self.locate(kind, key, owner)
        if UUID.fullmatch(key):
            given["id"] = key.lower()
        elif kind.name == "certificates":
            given = {"snis": [key]} | given
        else:
            given[kind.key or "group"] = key
        if old:
            given["id"] = old["id"]
        made = self.checked(kind, given)
        if self.read_only:
            raise refusals.read_only("create or update", kind.name, "" if UUID.fullmatch(key) else kind.key)
        return 200, self._keep(kind, made, {"snis": []} | given)

    def _patch(self, request: Request, kind: Kind, key: str, owner: Json) -> Any:
        given, old = self._given(request, kind, {}, whole=False), self.locate(kind, key, owner)
        if old is None:
            raise self._missing(kind, key, given)
        given = {name: value for name, value in given.items() if name != "id"}
        made = self._merged(kind, old, given)
        if self.read_only:
            raise refusals.read_only("update", kind.name, "" if UUID.fullmatch(key) else kind.key)
        return 200, self._keep(kind, made, given)

    def _delete(self, _request: Request, kind: Kind, key: str, owner: Json) -> Any:
        old = self.locate(kind, key, owner)
        if old is None:
            if owner:
                raise refusals.not_found()
            return 204, None
        if self.read_only:
            raise refusals.read_only("remove", kind.name, "" if UUID.fullmatch(key) else kind.key)
        if kind.name == "ca_certificates":
            self._check_unused(old["id"])
        self.store.drop(kind, old["id"])
        return 204, None

    def _missing(self, kind: Kind, key: str, given: Json) -> Refusal:
        if kind.name == "plugins" and "name" not in given:
            return refusals.not_found()
        by_id = UUID.fullmatch(key) is not None
        return refusals.missing({"id" if by_id else kind.key: key})

    def _check_unused(self, id_: str) -> None:
        for service in self.store.all("services"):
            if id_ in (service["ca_certificates"] or ()):
                raise refusals.still_referenced(id_, service["id"])

    def _given(self, request: Request, kind: Kind, owner: Json, *, whole: bool = True) -> Json:
        """The fields of the body, references resolved, the owner in place."""
        raw = bodies.parsed(request)
        form = bodies.typed(_form_schema(kind, raw), raw)
        given = shapes.resolved(kind, form | owner, self.store)
        if not whole:
            return given
        return shapes.expanded(kind, shapes.schema_of(kind, given, dbless=self.read_only), given)

    def _merged(self, kind: Kind, old: Json, given: Json) -> Json:
        its = shapes.schema_of(kind, old | given, dbless=self.read_only)
        given = shapes.expanded(kind, its, given)
        new = schema.merged(its, old, given) | {"id": old["id"]}
        try:
            return self.checked(kind, new)
        except Refusal as refusal:
            raise _when_updating(refusal) from None

    def checked(self, kind: Kind, given: Json) -> Json:
        """The entity with all its fields. Raises Refusal with everything that is wrong with it."""
        its = shapes.schema_of(kind, given, dbless=self.read_only)
        made = self.completed(kind, its, given)
        errors = schema.faults(its, made)
        if errors:
            assert isinstance(errors, dict)
            raise refusals.violation(errors)
        if kind.name == "plugins" and (wrong := shapes.protocol_faults(made, self.store)):
            raise refusals.violation(wrong)
        return shapes.settled(kind, made)

    def completed(self, kind: Kind, its: Field, given: Json) -> Json:
        plain = {name: value for name, value in given.items() if not (kind.name == "certificates" and name == "snis")}
        made: Json = schema.complete(its, plain, self._invent)
        if "updated_at" in made:
            made["updated_at"] = self._invent("updated_at", dict(schema.fields(its))["updated_at"])
        return made

    def _invent(self, name: str, one: Field) -> Any:
        if one.get("uuid"):
            return self.ids()
        if one.get("timestamp"):
            return int(self.wall()) if one["type"] == "integer" else round(self.wall(), 3)
        return "".join(random.choices(string.ascii_letters + string.digits, k=32))

    def _keep(self, kind: Kind, entity: Json, given: Json) -> Json:
        if kind.name == "certificates":
            self._check_names(entity["id"], given.get("snis") or [])
        self.store.put(kind, entity)
        if kind.name == "certificates" and "snis" in given:
            self._name(entity["id"], given["snis"] or [])
        return shapes.shown(kind, entity, self.store)

    def _check_names(self, id_: str, names: list[str]) -> None:
        for name in names:
            sni = self.store.find(KINDS["snis"], {"name": name})
            owner = reference(sni, "certificate") if sni else id_
            if owner != id_:
                said = f"{name} already associated with existing certificate '{owner}'"
                raise refusals.violation({"snis": said})

    def _name(self, id_: str, names: list[str]) -> None:
        """Make these the names of a certificate."""
        kind = KINDS["snis"]
        old = {one["name"]: one["id"] for one in self.store.children("certificates", id_, "snis", "certificate")}
        for name in old.keys() - set(names):
            self.store.drop(kind, old[name])
        for name in names:
            if name not in old:
                self.store.put(kind, self.checked(kind, {"name": name, "certificate": {"id": id_}}))

    # -- targets ----------------------------------------------------------------------------------------------------

    def _target(self, method: str, request: Request, owner: Json, rest: list[str]) -> Any:
        kind = KINDS["targets"]
        if not rest or rest == ["all"]:
            works = {"GET": self._list_targets if not rest else self._list, "POST": self._create}
            return _pick(works, method)(request, kind, owner)
        key = rest[0]
        old = self.found(kind, key, owner) if UUID.fullmatch(key) else self.store.find(kind, owner | {"target": key})
        if old is None:
            raise refusals.not_found()
        work = {"GET": self._get, "PUT": self._patch, "PATCH": self._patch, "DELETE": self._delete}
        return _pick(work, method)(request, kind, old["id"], owner)

    def _list_targets(self, request: Request, kind: Kind, owner: Json) -> Any:
        """Newest first, by position: the offset is a number."""
        size, asked = paging.size(request), paging.asked(request)
        rows = self.store.children("upstreams", owner["upstream"]["id"], kind.name, "upstream")
        rows.sort(key=lambda one: one["created_at"], reverse=True)
        start = int(asked.get("offset") or 0)
        page: Json = {"data": rows[start : start + size], "next": None}
        if len(rows) > start + size:
            page |= {"next": f"{request.path}?offset={start + size}", "offset": str(start + size)}
        return 200, page


def _pick(work: Mapping[str, Callable[..., Any]], method: str) -> Callable[..., Any]:
    if method not in work:
        raise refusals.not_allowed()
    return work[method]


def _form_schema(kind: Kind, raw: Json) -> Field:
    """By which the texts of a form are read."""
    name = dict(raw.get("", ())).get("name", "")
    return shapes.schema_of(kind, {"name": name}) if "" in raw else {}


def _when_updating(refusal: Refusal) -> Refusal:
    errors: Errors = refusal.body.get("fields", {})
    if "@entity" not in errors:
        return refusal
    said = [f"when updating, {one}" if one.startswith("at least one of") else one for one in errors["@entity"]]
    return refusals.violation(errors | {"@entity": said})
