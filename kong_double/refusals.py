"""Kong's errors as it words them: `Refusal` carries one, the functions below make one of each code it has.

Used by all of the double. Codes and texts are those of the transcripts.
"""

import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
Errors = dict[str, Any]
"""Field -> what is wrong: a text, or the same again for what is in it (a list with None where nothing is wrong).
`@entity` holds the texts about the whole."""


class Refusal(Exception):
    """An answer that is not a success: status and JSON body."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(body.get("message", ""))
        self.status, self.body = status, body


def _coded(status: int, code: int, name: str, message: str, **more: Any) -> Refusal:
    return Refusal(status, {"code": code, "name": name, "message": message, **more})


def plain(status: int, message: str) -> Refusal:
    return Refusal(status, {"message": message})


def not_found() -> Refusal:
    return plain(404, "Not found")


def not_allowed() -> Refusal:
    return plain(405, "Method not allowed")


def unexpected() -> Refusal:
    return plain(500, "An unexpected error occurred")


def violation(errors: Errors) -> Refusal:
    told = reports(errors)
    count = "schema violation" if len(told) == 1 else f"{len(told)} schema violations"
    return _coded(400, 2, "schema violation", f"{count} ({'; '.join(told)})", fields=errors)


def taken_id(id_: str) -> Refusal:
    return _coded(
        400, 3, "primary key violation", f"primary key violation on key '{keyed({'id': id_})}'", fields={"id": id_}
    )


def dangling(field: str, kind: str, id_: str) -> Refusal:
    said = f"the foreign key '{keyed({'id': id_})}' does not reference an existing '{kind}' entity."
    return _coded(400, 4, "foreign key violation", said, fields={field: {"id": id_}})


def referenced(child: str, kind: str) -> Refusal:
    said = f"an existing '{child}' entity references this '{kind}' entity"
    return _coded(400, 4, "foreign key violation", said, fields={"@referenced_by": child})


def taken(values: Mapping[str, Any]) -> Refusal:
    said = f"UNIQUE violation detected on '{keyed(values)}'"
    return _coded(409, 5, "unique constraint violation", said, fields=dict(values))


def missing(values: Mapping[str, str]) -> Refusal:
    by_id = "the entity with primary key" if "id" in values else "the entity with"
    return _coded(404, 6, "not found", f"could not find {by_id} '{keyed(values)}'", fields=dict(values))


def bad_offset(offset: str) -> Refusal:
    return _coded(400, 7, "invalid offset", f"'{offset}' is not a valid offset: bad json encoding")


def bad_size(said: str) -> Refusal:
    return _coded(400, 9, "invalid size", said)


def bad_key(field: str, said: str) -> Refusal:
    return _coded(400, 10, f"invalid unique {field}", said)


def bad_option(option: str, said: str) -> Refusal:
    return _coded(400, 11, "invalid options", f"invalid option ({option}: {said})", options={option: said})


def read_only(what: str, kind: str, by: str = "") -> Refusal:
    named = f" by '{by}'" if by else ""
    said = f"cannot {what} '{kind}' entities{named} when not using a database"
    return _coded(405, 12, "operation unsupported", said)


def unresolved(field: str, key: str, value: str, kind: str) -> Refusal:
    why = f"the foreign key cannot be resolved with '{keyed({key: value})}' for an existing '{kind}' entity"
    said = f"foreign key unresolved ({field}.{key}: {why})"
    return _coded(400, 13, "foreign keys unresolved", said, fields={field: {key: why}})


def bad_config(errors: Errors) -> Refusal:
    said = f"declarative config is invalid: {compact(errors)}"
    return _coded(400, 14, "invalid declarative configuration", said, fields=errors)


def still_referenced(id_: str, user: str) -> Refusal:
    said = f"ca certificate {id_} is still referenced by services (id = {user})"
    return _coded(400, 19, "referenced by others", said)


def keyed(values: Mapping[str, Any]) -> str:
    """`{name="x",service={id="..."}}`, in the order of the names."""
    return "{" + ",".join(f"{name}={_lua(values[name])}" for name in sorted(values)) + "}"


def _lua(value: Any) -> str:
    if isinstance(value, Mapping):
        return keyed(value)
    return "null" if value is None else f'"{value}"'


def reports(errors: Errors) -> list[str]:
    """The parts of the message: those about the whole first, then by field; two levels deep, the rest as Lua text."""
    told = list(errors.get("@entity", ()))
    fields = {name: error for name, error in errors.items() if name != "@entity"}
    return told + sorted(line for name, error in fields.items() for line in _field_reports(name, error))


def _field_reports(name: str, error: Any) -> list[str]:
    if isinstance(error, str):
        return [f"{name}: {error}"]
    parts = error.items() if isinstance(error, dict) else ((n, one) for n, one in enumerate(error, 1) if one)
    return [f"{name}.{part}: {one if isinstance(one, str) else pretty(one)}" for part, one in parts]


def pretty(value: Any, indent: str = "") -> str:
    """A Lua table over several lines."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "  "
    lines = [f"{inner}{name}{pretty(one, inner)}" for name, one in _entries(value, " = ")]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def compact(value: Any) -> str:
    """A Lua table in one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "{" + ",".join(f"{name}{compact(one)}" for name, one in _entries(value, "=")) + "}"


def _entries(value: Any, equals: str) -> list[tuple[str, Any]]:
    """Names with their equals sign, empty for the positions of a list without holes."""
    if isinstance(value, dict):
        return [(_name(name) + equals, value[name]) for name in sorted(value)]
    holes = None in value
    return [(f"[{n}]{equals}" if holes else "", one) for n, one in enumerate(value, 1) if one is not None]


def _name(name: str) -> str:
    return name if name.replace("_", "a").isalnum() and not name[0].isdigit() else f'["{name}"]'
