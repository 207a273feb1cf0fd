"""The query of a listing: size, offset, tags, and what is wrong with them. Used by `admin`."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from kong_double import refusals
from kong_double.schema import UUID
from kong_double.wire import Request


def asked(request: Request) -> dict[str, str]:
    """The query, of equal names the first."""
    return dict(reversed(request.query))


def size(request: Request) -> int:
    """Rows to a page."""
    given = [value for name, value in request.query if name == "size"]
    if len(given) > 1:
        raise refusals.unexpected()
    if not given:
        return 100
    try:
        wanted = float(given[0])
    except ValueError:
        raise refusals.bad_size("size must be a number") from None
    if not wanted.is_integer() or not 1 <= wanted <= 1000:
        raise refusals.bad_size("size must be an integer between 1 and 1000")
    return int(wanted)


def offset(value: list[Any]) -> str:
    """The mark of a place, as Kong writes it."""
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def start(given: Mapping[str, str]) -> str:
    """The id behind which the page begins."""
    if "offset" not in given:
        return ""
    text = given["offset"]
    try:
        value = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError):
        raise refusals.bad_offset(text) from None
    if not isinstance(value, list) or not UUID.fullmatch(str(value[0])):
        raise refusals.unexpected()
    return str(value[0])


def tags(query: Mapping[str, str]) -> Callable[[set[str]], bool]:
    """Whether an entity with these tags is wanted."""
    given = query.get("tags")
    if given is None:
        return lambda _own: True
    if not given:
        raise refusals.bad_option("tags", "cannot be null")
    either = "/" in given
    wanted = given.split("/" if either else ",")
    if either and ("," in given or "" in wanted):
        raise refusals.bad_option("tags", "invalid filter syntax")
    if len(wanted) > 5:
        raise refusals.bad_option("tags", "cannot query more than 5 tags")
    if either:
        return lambda own: not own.isdisjoint(wanted)
    return lambda own: own.issuperset(wanted)
