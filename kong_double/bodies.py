"""What came in as JSON or as a form, as the values that it means. Used by `admin` and `dbless`."""

import json
import re
from collections.abc import Mapping
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

from kong_double import refusals
from kong_double.refusals import Json
from kong_double.schema import Field, fields
from kong_double.wire import Request, Response

UNSUPPORTED = Response(
    415, (("Content-Type", "text/html"),), b"<html>\n<head><title>415 Unsupported Media Type</title>"
)


class Unsupported(Exception):
    """A body in a type that Kong does not read: answered by nginx."""


def parsed(request: Request) -> Json:
    """The body as an object; forms as texts by their names. Raises Refusal or Unsupported."""
    kind = request.header("content-type")
    if kind.startswith("application/json"):
        return _object(request.body)
    if kind.startswith("application/x-www-form-urlencoded"):
        return {"": parse_qsl(request.body.decode(), keep_blank_values=True)}
    if kind.startswith("multipart/form-data"):
        return {"": _parts(kind, request.body)}
    if request.body:
        raise Unsupported
    return {}


def _object(body: bytes) -> Json:
    try:
        value = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise refusals.plain(400, "Cannot parse JSON body") from None
    if not isinstance(value, dict):
        raise refusals.unexpected()
    return value


def _parts(kind: str, body: bytes) -> list[tuple[str, str]]:
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [
        (str(one.get_param("name", "", "content-disposition")), str(one.get_payload()).rstrip("\r\n"))
        for one in parts
        if not isinstance(one, str)
    ]


def typed(schema: Field, given: Json) -> Json:
    """The object itself; of a form, the values that its texts mean in this schema."""
    if "" not in given:
        return given
    value: Json = {}
    for name, text in given[""]:
        way = [part for part in re.split(r"[.\[\]]+", name) if part]
        _place(schema, value, way, text, many="[]" in name)
    return value


def _place(schema: Field, value: Json, way: list[str], text: str, *, many: bool) -> None:
    name, *rest = way
    field: Mapping[str, Any] = dict(fields(schema)).get(name, {}) if "fields" in schema else {}
    kind = field.get("type")
    if kind in ("array", "set"):
        value[name] = _listed(value.get(name), field, text, many=many)
    elif kind == "map" and rest:
        inner = value.setdefault(name, {})
        inner[rest[0]] = [*inner.get(rest[0], []), text]
    elif rest:
        _place(dict(field), value.setdefault(name, {}), rest, text, many=many)
    else:
        value[name] = None if text == "" else _meant(str(kind), text)


def _listed(old: Any, field: Mapping[str, Any], text: str, *, many: bool) -> Any:
    if text == "" and not many:
        return None
    return [*(old or []), None if text == "" else _meant(field["elements"]["type"], text)]


def _meant(kind: str, text: str) -> Any:
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind in ("integer", "number") and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text) if "." in text else int(text)
    return text
