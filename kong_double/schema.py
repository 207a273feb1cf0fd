"""Kong's schemas as Kong shows them (`{"type": "string", "one_of": [...]}`), and what Kong does by them.

`complete` fills what was left out, `faults` finds what is wrong, `merged` is what PATCH does, `shown` is the schema
without our own keys. Used by `admin` and `dbless`. Our own keys in a field: `_check` (value -> what is wrong, or "")
and `_rewrite` (value -> value). Those of a record: `_flat` (old flat names -> path of the new field), `_checks`
(rules about the whole, see `rules`).
"""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kong_double.refusals import Errors, Json

Field = dict[str, Any]
ABSENT: Any = object()
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
PATTERNS = {
    "^%u+$": "^[A-Z]+$",
    "//": "//",
    "^/": "^/",
    "^~/": "^~/",
    "^%*%.": r"^\*\.",
    "%.%*$": r"\.\*$",
    "^[^*]*$": r"^[^*]*$",
    "^[^*]*%*?[^*]*$": r"^[^*]*\*?[^*]*$",
    "^[Hh][Oo][Ss][Tt]$": "^[Hh][Oo][Ss][Tt]$",
}
"""The Lua patterns that the schemas hold, as Python's."""


def string(**more: Any) -> Field:
    return {"type": "string", **more}


def integer(low: int | None = None, high: int | None = None, **more: Any) -> Field:
    return {"type": "integer", **({} if low is None else {"between": [low, high]}), **more}


def number(**more: Any) -> Field:
    return {"type": "number", **more}


def boolean(default: bool | None = None, **more: Any) -> Field:
    return {"type": "boolean", **({} if default is None else {"default": default, "required": True}), **more}


def array(elements: Field | None = None, **more: Any) -> Field:
    return {"type": "array", "elements": elements or string(), **more}


def a_set(elements: Field | None = None, **more: Any) -> Field:
    return {"type": "set", "elements": elements or string(), **more}


def record(fields: Mapping[str, Field], **more: Any) -> Field:
    return {"type": "record", "fields": [{name: one} for name, one in fields.items()], **more}


def fields(one: Field) -> Iterator[tuple[str, Field]]:
    """The fields of a record."""
    for row in one["fields"]:
        yield from row.items()


def shown(value: Any) -> Any:
    """The schema as `/schemas` answers it."""
    if isinstance(value, dict):
        return {name: shown(one) for name, one in value.items() if not name.startswith("_")}
    return [shown(one) for one in value] if isinstance(value, list) else value


# -- filling ------------------------------------------------------------------------------------------------------


def complete(one: Field, given: Any, invent: Callable[[str, Field], Any]) -> Any:
    """The value with defaults; `invent(name, field)` makes up what Kong makes up (`auto`). Nothing is checked here."""
    if one["type"] == "record":
        return _complete_record(one, {} if given is ABSENT or given == [] else given, invent)
    if given is ABSENT:
        return one.get("default")
    return _converted(one, given)


def _complete_record(one: Field, given: Any, invent: Callable[[str, Field], Any]) -> Any:
    if not isinstance(given, dict):
        return given
    known = {name: _filled(name, field, given.get(name, ABSENT), invent) for name, field in fields(one)}
    return known | {name: value for name, value in given.items() if name not in known}


def _filled(name: str, field: Field, given: Any, invent: Callable[[str, Field], Any]) -> Any:
    if given is ABSENT and field.get("auto"):
        return invent(name, field)
    if field["type"] == "record" and (given is None or (given is ABSENT and not field.get("required"))):
        return None
    return complete(field, given, invent)


def _converted(one: Field, value: Any) -> Any:
    kind = one["type"]
    if kind in ("array", "set"):
        return _list(one, value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if one.get("uuid") and isinstance(value, str):
        return value.lower()
    if "_rewrite" in one and isinstance(value, str):
        return one["_rewrite"](value)
    return value


def _list(one: Field, value: Any) -> Any:
    if value == {}:
        return []
    if not isinstance(value, list):
        return value
    items = [complete(one["elements"], item, lambda *_: None) for item in value]
    return _unique(items) if one["type"] == "set" else items


def _unique(items: list[Any]) -> list[Any]:
    return [item for place, item in enumerate(items) if item not in items[:place]]


def merged(one: Field, old: Json, given: Json) -> Json:
    """PATCH: records merge field by field, anything else is replaced."""
    inner = {name: field for name, field in fields(one) if field["type"] == "record"}
    deep = {
        name: merged(inner[name], old[name], value)
        for name, value in given.items()
        if name in inner and "fields" in inner[name] and isinstance(value, dict) and isinstance(old.get(name), dict)
    }
    return old | given | deep


# -- checking -----------------------------------------------------------------------------------------------------


def faults(one: Field, value: Any) -> Errors | list[Any] | str:
    """What is wrong with a completed value: a text, or per field or position; empty if nothing is."""
    if value is None:
        return "required field missing" if one.get("required") and not one.get("auto") else ""
    return _wrong_type(one, value) or CHECKS[one["type"]](one, value) or _wrong_value(one, value)


TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a string", lambda value: isinstance(value, str)),
    "integer": ("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "number": ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "boolean": ("a boolean", lambda value: isinstance(value, bool)),
    "record": ("a record", lambda value: isinstance(value, dict)),
    "map": ("a map", lambda value: isinstance(value, dict)),
    "array": ("an array", lambda value: isinstance(value, list)),
    "set": ("a set", lambda value: isinstance(value, list)),
    "foreign": ("a record", lambda value: True),
}


def _wrong_type(one: Field, value: Any) -> str:
    name, fits = TYPES[one["type"]]
    return "" if fits(value) else f"expected {name}"


def _wrong_items(one: Field, value: list[Any]) -> Any:
    found = [faults(one["elements"], item) or None for item in value]
    while found and found[-1] is None:
        found.pop()
    return found


def _wrong_pairs(one: Field, value: Json) -> Any:
    for name, item in value.items():
        if found := faults(one["keys"], name) or faults(one["values"], item):
            return found
    return ""


def _wrong_fields(one: Field, value: Json) -> Errors:
    known = dict(fields(one))
    found: Errors = {name: "unknown field" for name in value if name not in known}
    for name, field in known.items():
        if error := faults(field, value.get(name)):
            found[name] = error
    for check in one.get("_checks", ()):
        check(value, found)
    return found


def _wrong_reference(one: Field, value: Any) -> Any:
    id_ = value.get("id") if isinstance(value, dict) else None
    return "" if isinstance(id_, str) else {"id": "missing primary key"}


def _nothing(_one: Field, _value: Any) -> Any:
    return ""


CHECKS: Mapping[str, Callable[[Field, Any], Any]] = {
    **dict.fromkeys(("string", "integer", "number", "boolean"), _nothing),
    "array": _wrong_items,
    "set": _wrong_items,
    "map": _wrong_pairs,
    "record": lambda one, value: _wrong_fields(one, value) if "fields" in one else "",
    "foreign": _wrong_reference,
}


def _wrong_value(one: Field, value: Any) -> str:
    """The first attribute of the field that the value breaks, in Kong's order."""
    for name, check in ATTRIBUTES.items():
        limit = one.get(name, 1 if name == "len_min" and one["type"] == "string" else None)
        if limit is not None and (error := check(limit, value)):
            return error
    return str(one["_check"](value)) if "_check" in one else ""


def _fits(pattern: str, value: str) -> bool:
    return re.search(PATTERNS[pattern], value) is not None


def _match_any(limit: Json, value: str) -> str:
    return "" if any(_fits(one, value) for one in limit["patterns"]) else limit["err"]


def _first(limit: list[Json], value: str, *, wanted: bool) -> str:
    return next((one["err"] for one in limit if _fits(one["pattern"], value) is not wanted), "")


def _exclusive(limit: list[list[str]], value: list[str]) -> str:
    used = [group for group in limit if set(group) & set(value)]
    named = ", ".join("(" + ", ".join(f"'{one}'" for one in group) + ")" for group in used)
    return f"these sets are mutually exclusive: {named}" if len(used) > 1 else ""


ATTRIBUTES: Mapping[str, Callable[[Any, Any], str]] = {
    "between": lambda at, v: "" if at[0] <= v <= at[1] else f"value should be between {at[0]} and {at[1]}",
    "gt": lambda at, v: "" if v > at else f"value must be greater than {at}",
    "one_of": lambda at, v: "" if v in at else f"expected one of: {', '.join(map(str, at))}",
    "not_one_of": lambda at, v: f"must not be one of: {', '.join(map(str, at))}" if v in at else "",
    "eq": lambda at, v: "" if v == at else f"value must be {at}",
    "null": lambda _at, _v: "value must be null",
    "len_min": lambda at, v: "" if len(v) >= at else f"length must be at least {at}",
    "len_eq": lambda at, v: "" if len(v) == at else f"length must be {at}",
    "uuid": lambda _at, v: "" if UUID.fullmatch(v) else "expected a valid UUID",
    "starts_with": lambda at, v: "" if v.startswith(at) else f"should start with: {at}",
    "match": lambda at, v: "" if _fits(at, v) else f"invalid value: {v}",
    "match_any": _match_any,
    "match_all": lambda at, v: _first(at, v, wanted=True),
    "match_none": lambda at, v: _first(at, v, wanted=False),
    "mutually_exclusive_subsets": _exclusive,
}


def new_id() -> str:
    return str(uuid.uuid4())
