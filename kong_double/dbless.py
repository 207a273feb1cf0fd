"""`/config` of a Kong without a database: the whole configuration in one request, all or nothing.

`Config.page` is a page of `admin.Admin`. As in Kong: 304 only for texts, ids from names, errors by position, and a
plugin that refers to nothing is answered with 500.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from kong_double import admin, bodies, refusals, schema, shapes
from kong_double.pages import ZEROS
from kong_double.refusals import Errors, Json, Refusal
from kong_double.schema import UUID
from kong_double.store import reference
from kong_double.wire import Request
from kong_sync.entities import KINDS, Kind

SPACE = uuid.UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")
VERSIONS = ("1.1", "2.1", "3.0")
META = ("_format_version", "_transform", "_comment", "_ignore")
PASSED_OVER = ("basicauth_credentials", "hmacauth_credentials", "oauth2_credentials", "consumer_groups", "vaults")
"""Kinds that a Kong has and that are not ours: taken, and not kept."""
INSIDE = {
    "services": {"routes": "service", "plugins": "service"},
    "routes": {"plugins": "route"},
    "consumers": {
        "jwt_secrets": "consumer",
        "keyauth_credentials": "consumer",
        "acls": "consumer",
        "plugins": "consumer",
    },
    "upstreams": {"targets": "upstream"},
    "certificates": {"snis": "certificate"},
}
"""Kind -> the kinds that may be written inside it, and the field by which they refer to it."""
RANDOM = ("jwt_secrets", "keyauth_credentials", "certificates", "ca_certificates")


@dataclass(frozen=True, slots=True)
class Read:
    """An entity as it was read: where it stood, what was given, what it came to, what is wrong."""

    kind: Kind
    place: tuple[str | int, ...]
    given: Json
    entity: Json
    errors: Any


@dataclass(eq=False)
class Config:
    """`limit`: the size in bytes above which nginx answers 413."""

    api: "admin.Admin"
    digest: str = ZEROS
    limit: int = 10 << 20
    _text: str = field(default="_transform: false\n_format_version: '3.0'\n", repr=False)

    def page(self, request: Request, way: list[str]) -> Any:
        if len(way) > 1:
            raise refusals.not_found()
        if not self.api.read_only:
            said = "this endpoint is only available when Kong is configured to not use a database"
            raise refusals.plain(400, said)
        if request.method in ("GET", "HEAD"):
            return 200, {"config": self._text}
        if request.method != "POST":
            raise refusals.not_allowed()
        if len(request.body) > self.limit:
            raise refusals.plain(413, "Request Entity Too Large")
        return self._post(request)

    def _post(self, request: Request) -> Any:
        text, table, flags = _content(request)
        content = text if text is not None else f"table {json.dumps(table)}"
        digest = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
        if text is not None and str(flags.get("check_hash")) == "1" and digest == self.digest:
            return 304, None
        rows = self._checked(_parsed(text) if text is not None else table, flags)
        self.api.store.load((one.kind, one.entity) for one in rows)
        self.digest = digest if rows else ZEROS
        self._text = _exported(rows)
        return 201, self._shown(rows)

    def _shown(self, rows: list[Read]) -> Json:
        told: Json = {}
        for one in rows:
            shown = {name: value for name, value in one.entity.items() if (name, value) != ("ttl", None)}
            told.setdefault(one.kind.name, {})[one.entity["id"]] = shown
        return told

    def _checked(self, given: Any, flags: Json) -> list[Read]:
        """All entities. Raises Refusal with everything that is wrong."""
        errors = _root_errors(given, flags)
        rows = list(self._rows(given)) if _readable(given) else []
        bad = [one for one in rows if one.errors] or list(_duplicates(rows))
        if not errors and not bad:
            self._check_references(rows, flags)
            return rows
        if flags.get("flatten_errors") in ("1", "true", 1):
            kinds = list(given)
            bad.sort(key=lambda one: (kinds.index(one.place[0]), one.place[1], -len(one.place)))
            raise _flattened(errors, bad)
        for one in bad:
            _nest(errors, one.place, one.errors)
        raise refusals.bad_config(_dense(errors))

    def _rows(self, given: Json) -> Iterator[Read]:
        for name, kind in KINDS.items():
            for n, row in enumerate(given.get(name) or ()):
                yield from self._row(kind, row, (name, n), {})

    def _row(self, kind: Kind, given: Json, place: tuple[str | int, ...], owner: Json) -> Iterator[Read]:
        inside = INSIDE.get(kind.name, {})
        skipped = (*inside, *PASSED_OVER)
        own = {name: value for name, value in given.items() if name not in skipped and not name.startswith("_")}
        entity, errors = self._entity(kind, own, owner)
        yield Read(kind, place, own, entity, errors)
        for name, field_ in inside.items():
            for n, row in enumerate(given.get(name) or ()):
                below = {field_: {"id": entity["id"]}}
                yield from self._row(KINDS[name], row, (*place, name, n), below)

    def _entity(self, kind: Kind, given: Json, owner: Json) -> tuple[Json, Any]:
        checked = {name: one for name, one in owner.items() if (kind.name, name) != ("plugins", "consumer")}
        try:
            named = {name: _reference(kind, name, value) for name, value in given.items()} | checked
            named = {"id": _id(kind, given, owner)} | named
            made = self.api.checked(kind, shapes.expanded(kind, shapes.schema_of(kind, named, dbless=True), named))
            return made | owner, None
        except Refusal as refusal:
            return {"id": _id(kind, given, owner), **given}, refusal.body["fields"]

    def _check_references(self, rows: list[Read], flags: Json) -> None:
        there = {(one.kind.name, one.entity["id"]) for one in rows}
        named = ((one, name, other) for one in rows for name, other in one.kind.foreign.items())
        for one, name, other in named:
            id_ = reference(one.entity, name)
            if id_ and (other, id_) not in there:
                raise _dangling(one, name, other, flags)


def _content(request: Request) -> tuple[str | None, Any, Json]:
    """The text, or the table where there is none, and the flags."""
    kind, query = request.header("content-type"), dict(request.query)
    if kind.startswith(("text/yaml", "application/yaml")):
        return request.body.decode(), None, query
    if not request.body and not kind:
        raise refusals.plain(400, "expected a declarative configuration")
    body = bodies.parsed(request)
    body = dict(body[""]) if "" in body else body
    flags = query | {name: body.pop(name) for name in ("check_hash", "flatten_errors") if name in body}
    if "config" not in body:
        return None, body, flags
    if not isinstance(body["config"], str):
        raise _unparsable("bad argument #1 to 'parser' (must provide a string argument)")
    return body["config"], None, flags


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line, column = (error.problem_mark.line + 1, error.problem_mark.column) if error.problem_mark else (0, 0)
        raise _unparsable(f"{line}:{column}: did not find expected node content") from None


def _unparsable(why: str) -> Refusal:
    return refusals.bad_config({"error": f"failed parsing declarative configuration: {why}"})


def _readable(given: Any) -> bool:
    return isinstance(given, dict) and all(isinstance(given.get(name) or [], list) for name in KINDS)


def _root_errors(given: Any, flags: Json) -> Errors:
    if not isinstance(given, dict):
        return {"error": "failed parsing declarative configuration: expected an object"}
    known = {*META, *KINDS, *PASSED_OVER}
    strange = [name for name in flags if name not in ("check_hash", "flatten_errors")]
    errors: Errors = {name: "unknown field" for name in (*given, *strange) if name not in known}
    errors |= {name: "expected an array" for name in KINDS if not isinstance(given.get(name) or [], list)}
    version = given.get("_format_version")
    if version is None:
        errors["_format_version"] = "required field missing"
    elif not isinstance(version, str):
        errors["_format_version"] = "expected a string"
    elif version not in VERSIONS:
        errors["_format_version"] = f"expected one of: {', '.join(VERSIONS)}"
    return errors


def _reference(kind: Kind, name: str, value: Any) -> Any:
    """A reference may be a plain id or name here."""
    if name not in kind.foreign or not isinstance(value, str):
        return value
    return {"id": value.lower() if UUID.fullmatch(value) else named(kind.foreign[name], value)}


def named(kind: str, key: str) -> str:
    """The id that Kong gives to what has this key."""
    return str(uuid.uuid5(uuid.uuid5(SPACE, kind), key))


def _id(kind: Kind, given: Json, owner: Json) -> str:
    if isinstance(given.get("id"), str):
        return str(given["id"]).lower()
    key = given.get(kind.key) if kind.key not in ("instance_name", "target") else None
    if kind.name in RANDOM or (not key and kind.name in ("services", "routes", "consumers")):
        return schema.new_id()
    if key:
        return named(kind.name, str(key))
    parts = [_key_part(given.get(name) or owner.get(name)) for name in kind.unique[0]]
    return named(kind.name, ":".join((kind.name, *parts)))


def _key_part(value: Any) -> str:
    """A field of a natural key, as Kong writes it into the name that an id is made of."""
    return str(value.get("id", "")) if isinstance(value, dict) else str(value or "")


def _duplicates(rows: list[Read]) -> Iterator[Read]:
    seen: set[tuple[str, ...]] = set()
    for one in rows:
        keys = [fields[0] for fields in one.kind.unique if len(fields) == 1 and one.entity.get(fields[0])]
        for name, shown in (*((key, key) for key in keys), ("id", "primary key")):
            mark = (one.kind.name, name, str(one.entity[name]))
            if mark in seen:
                said = f"'{one.kind.name}' entity with {shown} set to '{one.entity[name]}' already declared"
                place = one.place if name == "id" or len(one.place) == 2 else (one.kind.name, 0)
                yield Read(one.kind, place, one.given, one.entity, f"uniqueness violation: {said}")
                break
            seen.add(mark)


def _dangling(one: Read, name: str, other: str, flags: Json) -> Refusal:
    if one.kind.name == "plugins":
        return refusals.unexpected()
    if flags.get("flatten_errors") in ("1", "true", 1):
        return Refusal(400, refusals.bad_config({}).body | {"flattened_errors": {}})
    value = one.given.get(name)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    said = f"invalid reference '{name}: {text}' (no such entry in '{other}')"
    return refusals.bad_config({one.kind.name: {one.entity.get("name") or one.entity["id"]: [said]}})


def _nest(errors: dict[Any, Any], place: tuple[str | int, ...], found: Any) -> None:
    """Put errors at their place; positions become lists in `_dense`."""
    for part in place[:-1]:
        errors = errors.setdefault(part, {})
    if isinstance(found, str):
        errors[place[-1]] = found
    else:
        errors.setdefault(place[-1], {}).update(found)


def _dense(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(name, int) for name in value):
        return [_dense(value.get(n)) for n in range(max(value) + 1)]
    return {name: _dense(one) for name, one in value.items()}


def _flattened(errors: Errors, bad: list[Read]) -> Refusal:
    body = refusals.bad_config(errors).body
    return Refusal(400, body | {"flattened_errors": [_flat(one) for one in bad]})


def _flat(one: Read) -> Json:
    told: Json = {
        "entity_type": one.kind.name.removesuffix("s"),
        "errors": list(_told(one.errors)),
        "entity_name": one.given.get("name"),
        "entity_tags": one.given.get("tags"),
        "entity_id": one.given.get("id") or (one.entity["id"] if isinstance(one.errors, str) else None),
        "entity": one.given | ({"id": one.entity["id"]} if isinstance(one.errors, str) else {}),
    }
    return {name: value for name, value in told.items() if value is not None}


def _told(errors: Any, way: str = "") -> Iterator[Json]:
    if isinstance(errors, str):
        yield {"type": "field", "field": way, "message": errors} if way else {"type": "entity", "message": errors}
        return
    entries = errors.items() if isinstance(errors, dict) else enumerate(errors, 1)
    for name, one in entries:
        if name == "@entity":
            yield from ({"type": "entity", "message": said} for said in one)
        elif one:
            yield from _told(one, f"{way}.{name}".lstrip("."))


def _exported(rows: list[Read]) -> str:
    told: Json = {"_format_version": "3.0", "_transform": False}
    for one in rows:
        ids = {name: reference(one.entity, name) or None for name in one.kind.foreign}
        told.setdefault(one.kind.name, []).append(one.entity | ids)
    return re.sub(r"\bnull\b", "~", yaml.safe_dump(told))
