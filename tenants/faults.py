"""Builds a document from JSON and says, in our words, everything that is wrong with it. Called by `tenants.reading`.

Pydantic finds the faults; this file turns each into a code, a path as the user wrote it, a message and a hint.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tenants.documents import INCOMPLETE, KINDS, Document
from tenants.policies import POLICIES, Policies

Loc = tuple[str | int, ...]


class Fault(NamedTuple):
    """One thing wrong in one document; `loc` are the keys and indexes that lead to it."""

    code: str
    loc: Loc
    message: str
    hint: str = ""


def path_text(loc: Loc) -> str:
    """`("split", 1, "weight")` as `split[1].weight`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def close(word: str, known: Iterable[str], otherwise: str) -> str:
    """A hint: the known word the user most likely meant, else `otherwise`."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def check(kind: str, body: Mapping[str, Any]) -> Document | tuple[Fault, ...]:
    """The document of this kind, or all its faults. `body` has every field but `kind`."""
    try:
        return KINDS[kind].model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False)
    found = [_fault(KINDS[kind], body, item) for item in details if not _awaits_merge(item)]
    inner = {fault.loc[:depth] for fault in found for depth in range(len(fault.loc))}
    kept = {fault for fault in found if not (fault.code == "GC106" and fault.loc in inner)}
    return tuple(sorted(kept, key=lambda fault: (path_text(fault.loc), fault)))


def policy_faults(name: str, error: ValidationError) -> tuple[Fault, ...]:
    """What is wrong with one merged policy; paths begin at the policy's name."""
    found = (_fault(Policies, {}, item, (name, *item["loc"])) for item in error.errors(include_url=False))
    return tuple(sorted(found, key=lambda fault: (path_text(fault.loc), fault.code)))


def _awaits_merge(item: ErrorDetails) -> bool:
    return item["type"] in INCOMPLETE and "policies" in item["loc"][:-1]


def _fault(model: type[BaseModel], body: Mapping[str, Any], item: ErrorDetails, whole: Loc = ()) -> Fault:
    loc = whole or tuple(part for part in item["loc"] if part != "[key]")
    written = whole or _written(body, loc)
    context = item.get("ctx", {})
    if item["type"].startswith("GC"):
        return Fault(item["type"], written, context["message"], context["hint"])
    if item["type"] == "extra_forbidden" and loc[-2:-1] == ("policies",) and loc[-1] in POLICIES:
        places = ", ".join(sorted(POLICIES[str(loc[-1])].kinds))
        return Fault("GC120", written, f"this policy has no place in a {model.__name__}", f"it belongs in a {places}")
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        return Fault("GC101", written, "unknown field", close(str(loc[-1]), known, "known are " + ", ".join(known)))
    if item["type"] == "missing":
        return Fault("GC102", written, "is required", f"add `{loc[-1]}`")
    return _of_pydantic(item, written)


_WANTED = {
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
}


def _of_pydantic(item: ErrorDetails, loc: Loc) -> Fault:
    kind, shown = item["type"], _shown(item["input"])
    if kind == "literal_error":
        allowed = str(item["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
        return Fault("GC105", loc, f"{shown} is not allowed here", close(str(item["input"]), allowed, _one_of(allowed)))
    if wanted := _WANTED.get(kind):
        quote = kind == "string_type" and isinstance(item["input"], int | float | bool)
        return Fault("GC104", loc, f"{shown} is not {wanted}", "put it in quotes" if quote else wanted)
    message = item["msg"][:1].lower() + item["msg"][1:]
    return Fault("GC106", loc, f"{shown} is out of range" if "input" in message else message, _range(item))


def _one_of(allowed: list[str]) -> str:
    return "one of " + ", ".join(allowed) if len(allowed) > 1 else allowed[0]


def _range(item: ErrorDetails) -> str:
    context = item.get("ctx", {})
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    words |= {"min_length": "at least", "max_length": "at most"}
    said = [f"{words[name]} {value}" for name, value in context.items() if name in words]
    unit = " characters" if "string" in item["type"] else " items" if "too_" in item["type"] else ""
    return (", ".join(said) + unit) if said else item["msg"]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _written(body: Any, loc: Loc) -> Loc:
    """The part of `loc` the user wrote: shorthands end it, a missing field is its last step."""
    for depth, part in enumerate(loc):
        inside = isinstance(body, Mapping) or (isinstance(body, list | tuple) and isinstance(part, int))
        if not inside:
            return loc[:depth]
        if isinstance(body, Mapping) and part not in body:
            same = [key for key in body if isinstance(key, str) and key.lower() == part]
            if not same:
                return loc[: depth + 1]
            loc = (*loc[:depth], same[0], *loc[depth + 1 :])
            part = same[0]
        body = body[part]
    return loc


def _fields_at(model: type[BaseModel] | None, loc: Loc) -> list[str]:
    for part in loc:
        fields = _fields(model)
        if model is not None and part in fields:
            model = Policies if part == "policies" else _model_in(fields[str(part)])
    return sorted(_fields(model))


def _fields(model: type[BaseModel] | None) -> dict[str, Any]:
    found = model.model_fields.items() if model else ()
    return {field.alias or name: field.annotation for name, field in found}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
