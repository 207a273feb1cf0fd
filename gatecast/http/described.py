"""What OpenAPI says of requests and answers that FastAPI cannot see by itself. Read by the routes."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from gatecast.http.asking import JSON, MERGE
from gatecast.views import Failure
from tenants.documents import KINDS
from tenants.store.once import LONGEST

Responses = dict[int | str, dict[str, Any]]

_SAID: Mapping[int, str] = {
    400: "the request cannot be read",
    401: "nobody is named, or the credentials are not good",
    403: "the role is not enough",
    404: "there is no such thing",
    409: "it does not go with what is there",
    412: "another version is there",
    413: "the body is too large",
    415: "the body is of another type",
    421: "the server is not the host that was asked for",
    422: "what is said is not right",
    428: "a condition is missing",
    429: "too many failures",
    503: "the store, or something else it needs, is away",
    507: "the store's disk is full",
}


def fails(*statuses: int) -> Responses:
    """Errors, each with the one body there is."""
    return {status: {"model": Failure, "description": _SAID[status]} for status in statuses}


def sent(status: int, text: str, model: type[BaseModel] | None = None) -> Responses:
    """One more answer."""
    return {status: {"description": text, **({"model": model} if model else {})}}


ASKED = fails(401, 403, 421, 422, 429, 503)
"""What every route that asks who it is may answer."""
READ = fails(400, 404)
WRITE = fails(400, 404, 409, 413, 415, 507)
PRECONDITIONS = fails(412, 428)


def _header(name: str, text: str, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {
        "name": name, "in": "header", "required": required, "description": text, "schema": {"type": "string", **schema}
    }  # fmt: skip


_IF_MATCH = _header("If-Match", 'the version that is changed, as in "a1b2"; * for any')
_IF_NONE = _header("If-None-Match", "* creates, and never changes", enum=["*"])
_DOCUMENT = {
    "type": "object",
    "description": "A document of docs/settings.md.",
    "properties": {"kind": {"type": "string", "enum": list(KINDS)}, "id": {"type": "string"}},
}
PRECONDITION: dict[str, Any] = {"parameters": [_IF_MATCH]}
PUT_BODY: dict[str, Any] = {
    "parameters": [_IF_MATCH, _IF_NONE],
    "requestBody": {"required": True, "content": {JSON: {"schema": _DOCUMENT}}},
}
MERGE_BODY: dict[str, Any] = {
    "parameters": [_IF_MATCH],
    "requestBody": {"required": True, "content": {MERGE: {"schema": {"type": "object"}}}},
}


def takes(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """A route whose body is this model."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": required, "content": {JSON: {"schema": schema}}}}


def keyed(model: type[BaseModel] | None = None, *, required: bool = True) -> dict[str, Any]:
    """A route that honours an Idempotency-Key, with this body."""
    key = _header("Idempotency-Key", "the same key and request again: the first answer", minLength=1, maxLength=LONGEST)
    return {"parameters": [key], **(takes(model, required=required) if model else {})}
