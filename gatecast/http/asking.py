"""What a request says: its body within limits, its conditions, who asks, its idempotency key. The routes call these."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar

from fastapi import Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError

from gatecast.access import LOCAL, Who
from gatecast.faults import Error
from tenants.documents import KINDS, Key
from tenants.parsing import MAX_DEPTH, MAX_DOCUMENT
from tenants.reading import MAX_FILE
from tenants.store import ABSENT, PRESENT, Answer, By, Commit, Expected, Once
from tenants.values import ID

JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
LARGEST: Final = MAX_FILE
"""Bytes of a body with many documents."""
SMALL: Final = 64 << 10
"""Bytes of a body that holds no documents."""
ONE: Final = 4 * MAX_DOCUMENT
"""Bytes of a body with one document, whose characters may be four bytes each."""
LOOP: Final = 256 << 10
"""Bytes that are parsed in the event loop; more are parsed beside it."""
INNER: Final = 2
"""Levels of a body around its documents."""
LONGEST: Final = timedelta(seconds=60)
"""What a caller may wait for."""

Limit = Annotated[int, Query(ge=1, le=1000, description="items a page")]
Cursor = Annotated[str, Query(max_length=512, description="`next_cursor` of the page before")]
DryRun = Annotated[bool, Query(description="change nothing; answer with what it would come to")]
Force = Annotated[bool, Query(description="take over what a file or registry gives")]
Reason = Annotated[str, Query(max_length=1000, description="why; it is kept with the revision and in the audit")]

MOST: Final = (1 << 31) - 1
Number = Annotated[int, Path(ge=0, le=MOST, description="number of a revision")]

_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')
_WAIT = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """The base of what a caller sends: unknown fields are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


async def body(request: Request, most: int, media: str = JSON) -> Any:
    """The JSON of the body. Raises 400, 413, 415."""
    _media(request, media)
    data = await _read(request, most)
    if len(data) > LOOP:
        return await asyncio.to_thread(parsed, data)
    return parsed(data)


async def modelled(request: Request, model: type[M], most: int = SMALL, *, optional: bool = False) -> M:
    """The body as this model. Raises as `body`, and 422. `optional`: no body is a body without fields."""
    if optional and "content-type" not in request.headers and not await request.body():
        return fitted({}, model)
    return fitted(await body(request, most), model)


def fitted(value: Any, model: type[M]) -> M:
    """A value as this model. Raises 422."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        details = [{"path": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in found[:100]]
        first = details[0]
        said = f"{first['path'] or 'the body'}: {first['message']}"
        raise Error(422, "invalid_body", said, details) from None


def _media(request: Request, media: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media:
        raise Error(415, "unsupported_media_type", f"the body is {given or 'of no type'}; send {media}", accept=media)
    coding = request.headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        raise Error(415, "unsupported_media_type", f"a body in {coding!r} is not taken: send it as it is", accept=media)


async def _read(request: Request, most: int) -> bytes:
    large = Error(413, "too_large", f"the body has more than {most >> 10} KiB")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 15 or int(length) > most):
        raise large
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise large
        parts.append(part)
    return b"".join(parts)


def parsed(data: bytes) -> Any:
    """JSON, strictly: UTF-8, each key once, no NaN, whole characters, not too deep. Raises 400."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_no_number)
        deep = _deep(value, MAX_DEPTH + INNER)
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Error(400, "not_json", f"the body is not JSON: {said[:300]}") from None
    if deep:
        raise Error(400, "too_deep", f"the body is nested more than {MAX_DEPTH + INNER} deep: no setting needs that")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _deep(value: Any, left: int) -> bool:
    """Whether it is deeper than that. Raises `ValueError` for half a character, which nobody could be shown."""
    if isinstance(value, str):
        value.encode()
        return False
    if not isinstance(value, dict | list):
        return False
    if left == 0:
        return True
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return any(_deep(one, left - 1) for one in inner)


def key_of(kind: str, name: str) -> Key:
    """The document of a path. Raises 404: what is no name has no document."""
    known = next((one for one in KINDS if one.lower() == kind.lower()), None)
    if known is None:
        raise Error(404, "not_found", f"no kind {kind[:100]!r}; there are: {', '.join(KINDS)}")
    if not ID.fullmatch(name):
        raise Error(404, "not_found", f"{name[:100]!r} is not an id: a to z, 0 to 9 and inner hyphens")
    return Key(known, name)


def expected(request: Request, *, create: bool) -> Expected:
    """What a write says must be there. Raises 428 without; `create`: `If-None-Match: *` says that nothing is."""
    given, none = (", ".join(request.headers.getlist(name)) for name in ("if-match", "if-none-match"))
    if given and none:
        raise Error(400, "invalid_header", "If-Match and If-None-Match are both given: one of them")
    if none and (none.strip() != "*" or not create):
        hint = "If-None-Match: * creates" if create else "only If-Match has a meaning here"
        raise Error(400, "invalid_header", f"If-None-Match is {none[:100]!r}: {hint}")
    if none:
        return ABSENT
    if not given:
        hint = "If-Match: <its etag>" + (", or If-None-Match: * to create it" if create else "")
        raise Error(428, "precondition_required", f"say what you change: {hint}")
    return PRESENT if given.strip() == "*" else Expected(tuple(etags(given)))


def strict(request: Request) -> None:
    """Raises 422 for a parameter that the route does not know, or that is given twice.

    A misspelt `dry_run` would change something, and so would one that is true and then false.
    """
    route = request.scope.get("route")
    known = _parameters(route.dependant) if isinstance(route, APIRoute) else set()
    seen = set[str]()
    for name, value in request.query_params.multi_items():
        if name in seen:
            raise Error(422, "invalid_parameter", f"query.{name}: it is given twice")
        seen.add(name)
        if name not in known:
            hint = f"there are: {', '.join(sorted(known))}" if known else "there are none"
            raise Error(422, "invalid_parameter", f"query.{name[:100]}: unknown parameter; {hint}")
        if "\0" in value:
            raise Error(422, "invalid_parameter", f"query.{name}: it holds the character NUL")


def _parameters(dependant: Dependant) -> set[str]:
    inner = (_parameters(one) for one in dependant.dependencies)
    return {one.alias for one in dependant.query_params}.union(*inner)


def etags(text: str) -> list[str]:
    """The strong etags of a header, without quotes. Raises 400; a weak one says too little to write by."""
    found = [one.strip() for one in text.split(",")]
    if not all(_ETAG.fullmatch(one) for one in found):
        raise Error(400, "invalid_header", f'If-Match is {text[:100]!r}: strong etags as in "a1b2", or *')
    return [one.strip('"') for one in found]


def same(request: Request, etag: str) -> bool:
    """Whether the caller has this version (`If-None-Match` of a read)."""
    given = ", ".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or f'"{etag}"' in [one.strip().removeprefix("W/") for one in given.split(",")]


def who(request: Request) -> Who:
    """Who asks, as `gatecast.access` found."""
    found: Who = getattr(request.state, "who", LOCAL)
    return found


def by(request: Request, reason: str = "") -> By:
    """Who writes, and why."""
    source = "cli" if request.headers.get("user-agent", "").startswith("gatecast-cli") else "api"
    origin = request.client.host if request.client else ""
    return By(who(request).actor, source, reason, getattr(request.state, "request_id", ""), origin)


def once(request: Request, said: Any, answer: Callable[[Commit], Answer] | None = None) -> Once | None:
    """The request's Idempotency-Key with a hash of what it says; None without. Raises `Refused` for a bad one."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    text = json.dumps([request.url.path, sorted(request.query_params.multi_items()), said], sort_keys=True)
    scope = f"{who(request).actor} {request.method} {request.url.path}"
    hashed = hashlib.sha256(text.encode()).hexdigest()
    return Once(scope, given, hashed, answer) if answer else Once(scope, given, hashed)


def seconds(text: str) -> float:
    """How long a caller wants to wait: `30s`, `500ms`, `1m`; at most `LONGEST`. Raises 422."""
    match = _WAIT.fullmatch(text)
    if match is None:
        raise Error(422, "invalid_parameter", f"wait: {text[:50]!r} is not a duration, as in 500ms, 30s or 1m")
    return min(float(match[1]) * _UNITS[match[2]], LONGEST.total_seconds())


def cursor(*parts: str | int) -> str:
    """An opaque place in a list."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def place(text: str, *kinds: type) -> tuple[Any, ...] | None:
    """What `cursor` was given; None for "". Raises 400."""
    if not text:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        found = None
    known = isinstance(found, list) and [type(one) for one in found] == list(kinds)
    if not known or any(isinstance(one, int) and not 0 <= one <= MOST for one in found):
        raise Error(400, "invalid_cursor", "this is no cursor of this list: give `next_cursor` of the page before")
    return tuple(found)


def quoted(etag: str) -> dict[str, str]:
    """The header for a version."""
    return {"etag": f'"{etag}"'}


def merged(value: Any, patch: Any) -> Any:
    """RFC 7396: a JSON value with a merge patch laid over it."""
    if not isinstance(patch, Mapping):
        return patch
    base = dict(value) if isinstance(value, Mapping) else {}
    for name, item in patch.items():
        if item is None:
            base.pop(name, None)
        else:
            base[name] = merged(base.get(name), item)
    return base
