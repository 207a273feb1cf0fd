"""The plugins that change requests and answers, and pre-function and post-function, which may do anything.

Functions for the access phase are `(passage, row) -> answer or None`, for answers `(passage, row, answer) -> answer`.
"""

import re
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from kong_double import lua
from kong_double.passage import Passage, exits, with_headers
from kong_double.refusals import Json
from kong_double.wire import Response

# -- cors ---------------------------------------------------------------------------------------------------------


def cors(passage: Passage, row: Json) -> Response | None:
    """Answers preflights: OPTIONS with an origin and a wanted method."""
    config, asked = row["config"], passage.original
    preflight = asked.method == "OPTIONS" and asked.header("origin") and asked.header("access-control-request-method")
    if not preflight or config["preflight_continue"]:
        return None
    told = _origin(passage, config)
    if told.get("Access-Control-Allow-Origin") is not None:
        wanted = asked.header("access-control-request-headers")
        told["Access-Control-Allow-Headers"] = ",".join(config["headers"] or ()) or wanted or None
        told["Access-Control-Allow-Methods"] = ",".join(config["methods"])
        told["Access-Control-Max-Age"] = str(int(config["max_age"])) if config["max_age"] is not None else None
    passage.notes["preflight"] = True
    return with_headers(exits(200, None), told)


def cors_header(passage: Passage, row: Json, response: Response) -> Response:
    if passage.notes.get("preflight"):
        return response
    told = _origin(passage, row["config"])
    if told.get("Access-Control-Allow-Origin") is not None:
        told["Access-Control-Expose-Headers"] = ",".join(row["config"]["exposed_headers"] or ()) or None
    return with_headers(response, told)


def _origin(passage: Passage, config: Json) -> dict[str, str | None]:
    """A single literal origin is told to everybody; of several, and of patterns, the one that asks if it matches."""
    origins, asked = config["origins"] or ["*"], passage.original.header("origin")
    secrets = {"Access-Control-Allow-Credentials": "true"} if config["credentials"] else {}
    if "*" in origins:
        if not config["credentials"] or not asked:
            return {"Access-Control-Allow-Origin": "*"}
        return {"vary": "Origin", "Access-Control-Allow-Origin": asked, **secrets}
    if len(origins) == 1 and re.fullmatch(r"[A-Za-z0-9.:/-]+", origins[0]):
        return {"vary": "Origin", "Access-Control-Allow-Origin": origins[0], **secrets}
    good = any(one == asked or re.fullmatch(one, asked) for one in origins)
    return {"vary": "Origin", "Access-Control-Allow-Origin": asked, **secrets} if good else {"vary": "Origin"}


# -- correlation-id, rate limit headers ---------------------------------------------------------------------------


def correlation_id(passage: Passage, row: Json) -> Response | None:
    config = row["config"]
    if not passage.request.header(config["header_name"]):
        passage.set(config["header_name"], _correlation(passage, row))
    return None


def correlation_header(passage: Passage, row: Json, response: Response) -> Response:
    config = row["config"]
    if not config["echo_downstream"]:
        return response
    told = passage.request.header(config["header_name"]) or _correlation(passage, row)
    return with_headers(response, {config["header_name"]: told})


def _correlation(passage: Passage, row: Json) -> str:
    """`uuid#counter` counts for each worker, whose uuid stays."""
    if row["config"]["generator"] != "uuid#counter":
        return str(uuid.uuid4())
    mark = ("correlation", row["id"])
    passage.counters[mark] = passage.counters.get(mark, 0) + 1
    return f"{uuid.uuid5(uuid.NAMESPACE_OID, row['id'])}#{passage.counters[mark]}"


def limit_header(passage: Passage, _row: Json, response: Response) -> Response:
    return with_headers(response, passage.notes.get("limits", {}))


# -- transformers -------------------------------------------------------------------------------------------------


def request_transformer(passage: Passage, row: Json) -> Response | None:
    config = row["config"]
    if any(config[verb]["body"] for verb in ("remove", "rename", "replace", "add", "append")) or config["http_method"]:
        return passage.error(500, "the double does not model this part of request-transformer")
    headers = _headers_edited(passage, config, list(passage.request.headers))
    query = _edited(passage, config, "querystring", passage.request.query)
    target = passage.request.target.partition("?")[0] + (f"?{urlencode(query)}" if query else "")
    passage.request = replace(passage.request, headers=tuple(headers), target=target)
    if config["replace"]["uri"]:
        passage.path = _template(passage, config["replace"]["uri"])
    return None


def _headers_edited(passage: Passage, config: Json, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return _edited(passage, config, "headers", headers)


def _edited(passage: Passage, config: Json, part: str, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """remove, rename, replace, add, append, in this order."""

    def has(name: str) -> bool:
        return any(one.lower() == name.lower() for one, _value in pairs)

    gone = {name.lower() for name in config["remove"][part]}
    pairs = [(name, value) for name, value in pairs if name.lower() not in gone]
    renamed = {old.lower(): new for old, new in _pairs(config["rename"][part])}
    pairs = [(renamed.get(name.lower(), name), value) for name, value in pairs]
    for name, text in _pairs(config["replace"][part]):
        if has(name):
            kept = [one for one in pairs if one[0].lower() != name.lower()]
            pairs = [*kept, (name, _template(passage, text))]
    for name, text in _pairs(config["add"][part]):
        if not has(name):
            pairs = [*pairs, (name, _template(passage, text))]
    for name, text in _pairs(config["append"][part]):
        pairs = [*pairs, (name, _template(passage, text))]
    return pairs


def _pairs(items: Iterable[str]) -> Iterable[tuple[str, str]]:
    return ((name, value.strip()) for name, _, value in (item.partition(":") for item in items))


def _template(passage: Passage, text: str) -> str:
    """`$(headers.x or "none")`: the expression is Lua."""
    headers = {name.lower().replace("_", "-"): value for name, value in passage.request.headers}
    known = {"headers": headers, "query_params": dict(passage.request.query)}
    return re.sub(r"\$\((.*?)\)", lambda found: lua.expression(found[1], known), text)


def response_transformer(passage: Passage, row: Json, response: Response) -> Response:
    config = row["config"]
    if any(config[verb]["json"] for verb in ("remove", "rename", "replace", "add", "append")):
        return passage.error(500, "the double does not model this part of response-transformer")
    config = {verb: config[verb] for verb in ("remove", "rename", "replace", "add", "append")}
    return Response(response.status, tuple(_plain_edits(config, list(response.headers))), response.body)


def _plain_edits(config: Json, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    gone = {item.partition(":")[0].lower() for item in config["remove"]["headers"]}
    pairs = [one for one in pairs if one[0].lower() not in gone]
    renamed = {old.lower(): new for old, new in _pairs(config["rename"]["headers"])}
    pairs = [(renamed.get(name.lower(), name), value) for name, value in pairs]
    verbs = (("replace", True), ("add", False))
    edits = ((one, wanted) for verb, wanted in verbs for one in _pairs(config[verb]["headers"]))
    for (name, value), wanted in edits:
        if any(one.lower() == name.lower() for one, _value in pairs) is wanted:
            pairs = [*(one for one in pairs if one[0].lower() != name.lower()), (name, value)]
    return [*pairs, *_pairs(config["append"]["headers"])]


# -- Lua ----------------------------------------------------------------------------------------------------------


def functions(phase: str) -> Any:
    """The access or rewrite phase of pre-function and post-function."""

    def act(passage: Passage, row: Json) -> Response | None:
        try:
            for text in row["config"][phase]:
                lua.run(text, _pdk(passage, {}))
        except lua.Stop as stop:
            passage.notes["source"] = "exit"
            return exits(stop.status, stop.body, *stop.headers.items())
        except lua.LuaError:
            passage.notes["source"] = "error"
            return passage.error(500, "An unexpected error occurred")
        return None

    return act


def functions_header(passage: Passage, row: Json, response: Response) -> Response:
    told: dict[str, str | None] = {}
    for text in row["config"]["header_filter"]:
        lua.run(text, _pdk(passage, told))
    return with_headers(response, told)


def _pdk(passage: Passage, told: dict[str, str | None]) -> dict[str, Any]:
    """What Lua may call. `told`: the headers it sets on the answer."""
    return {**_ngx(passage), **_asked(passage), **_changed(passage, told), **_known(passage)}


def _all_headers(passage: Passage) -> Any:
    found: dict[str, list[str]] = {}
    for name, value in passage.request.headers:
        found.setdefault(name.lower().replace("_", "-"), []).append(value)
    return lua.table({name: values[0] if len(values) == 1 else values for name, values in found.items()})


def _ngx(passage: Passage) -> dict[str, Any]:
    """What is nginx' own."""

    def raw() -> str:
        lines = "".join(f"{name}: {value}\r\n" for name, value in passage.original.headers)
        return f"{passage.original.method} {passage.original.target} HTTP/1.1\r\n{lines}\r\n"

    request = passage.request
    return {
        "ngx.req.get_headers": lambda *_: _all_headers(passage),
        "ngx.req.get_method": lambda: request.method,
        "ngx.req.raw_header": raw,
        "ngx.req.set_header": lambda name, value: passage.set(name, str(value)),
        "ngx.req.clear_header": lambda name: passage.set(name),
        "ngx.decode_base64": lua.decode_base64,
        "ngx.sha1_bin": lua.sha1_bin(),
        "ngx.time": lambda: int(passage.wall()),
        "ngx.now": passage.wall,
        "ngx.null": None,
        "ngx.re.find": lua.find,
        "ngx.re.gsub": lua.gsub,
        "ngx.var": lua.table({"host": request.header("host").partition(":")[0], "uri": request.path}),
    }


def _asked(passage: Passage) -> dict[str, Any]:
    """What the request says."""
    request = passage.request

    def one_header(name: str) -> str | None:
        values = passage.request.values(name) or passage.request.values(name.replace("-", "_"))
        return values[0] if values else None

    return {
        "kong.request.get_header": one_header,
        "kong.request.get_headers": lambda *_: _all_headers(passage),
        "kong.request.get_method": lambda: request.method,
        "kong.request.get_path": lambda: request.path,
        "kong.request.get_raw_path": lambda: request.path,
        "kong.request.get_host": lambda: request.header("host").rpartition(":")[0] or request.header("host"),
        "kong.request.get_query_arg": lambda name: dict(request.query).get(name),
    }


def _changed(passage: Passage, told: dict[str, str | None]) -> dict[str, Any]:
    """What Lua does to the request and the answer."""
    headers = passage.notes.setdefault("headers", {})

    def answer_header(name: str, value: Any) -> None:
        told[name] = headers[name] = str(value)

    def upstream(name: str) -> None:
        passage.upstream = name

    def authenticate(consumer: Any, credential: Any = None) -> None:
        passage.consumer, passage.credential = lua.plain(consumer), lua.plain(credential)

    def set_path(path: str) -> None:
        passage.path = path

    return {
        "kong.response.set_header": answer_header,
        "kong.response.exit": None,
        "kong.service.set_upstream": upstream,
        "kong.service.request.set_header": lambda name, value: passage.set(name, str(value)),
        "kong.service.request.clear_header": lambda name: passage.set(name),
        "kong.service.request.set_path": set_path,
        "kong.client.authenticate": authenticate,
    }


def _known(passage: Passage) -> dict[str, Any]:
    """What Kong has found out."""
    return {
        "kong.response.get_source": lambda: passage.notes.get("source", "service"),
        "kong.client.get_consumer": lambda: lua.table(passage.consumer) if passage.consumer else None,
        "kong.client.get_credential": lambda: lua.table(passage.credential) if passage.credential else None,
        "kong.client.get_forwarded_ip": lambda: passage.original.peer,
        "kong.client.get_ip": lambda: passage.original.peer,
        "kong.router.get_route": lambda: lua.table(passage.match.route) if passage.match else None,
    }
