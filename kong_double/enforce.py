"""The plugins that let a request pass or not: one function each, `(passage, plugin row) -> answer or None`.

Modelled on what a real Kong answered (`research/kong-mapping.md` A, transcripts 11). Used by `plane`.
"""

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import jwt as pyjwt

from kong_double.passage import Passage, exits
from kong_double.refusals import Json
from kong_double.rules import PERIODS
from kong_double.store import reference
from kong_double.wire import Response

ALGORITHMS = pyjwt.algorithms.get_default_algorithms()
UNITS = {"bytes": 1, "kilobytes": 1 << 10, "megabytes": 1 << 20}
INVALID = ("WWW-Authenticate", 'Bearer error="invalid_token"')


# -- who asks -----------------------------------------------------------------------------------------------------


def recognised(passage: Passage, consumer: Json, credential: Json | None) -> None:
    """The request is this consumer's from now on."""
    passage.consumer, passage.credential = consumer, credential
    passage.set("X-Consumer-ID", consumer["id"])
    for name, field in (("X-Consumer-Custom-ID", "custom_id"), ("X-Consumer-Username", "username")):
        passage.set(name, *([consumer[field]] if consumer[field] else []))
    passage.set("X-Credential-Identifier", *([credential["key"]] if credential else []))
    passage.set("X-Anonymous-Consumer", *([] if credential else ["true"]))


def _anonymous(passage: Passage, config: Json, refused: Response | None) -> Response | None:
    """What `anonymous` makes of a refusal: the request goes on as that consumer."""
    if refused is None or not config["anonymous"]:
        return refused
    named = config["anonymous"]
    found = passage.rows("consumers", "id", named) or passage.rows("consumers", "username", named)
    recognised(passage, found[0], None)
    return None


def jwt(passage: Passage, row: Json) -> Response | None:
    config = row["config"]
    if not config["run_on_preflight"] and passage.original.method == "OPTIONS":
        return None
    return _anonymous(passage, config, _jwt(passage, config))


def _jwt(passage: Passage, config: Json) -> Response | None:
    tokens = set(_tokens(passage, config))
    if not tokens:
        return exits(401, {"message": "Unauthorized"}, ("WWW-Authenticate", "Bearer"))
    if len(tokens) > 1:
        return exits(401, {"message": "Multiple tokens provided"}, INVALID)
    (token,) = tokens
    try:
        header, claims, signed, signature = _parts(token)
    except (ValueError, binascii.Error):
        return exits(401, {"message": "Bad token; invalid JSON"}, INVALID)
    name = config["key_claim_name"]
    key = claims.get(name) if claims.get(name) is not None else header.get(name)
    if key is None or key == "":
        return exits(401, {"message": f"No mandatory '{name}' in claims"}, INVALID)
    if not isinstance(key, str):
        return passage.error(500, "An unexpected error occurred")  # seen: before any signature is checked
    credential = next(iter(passage.rows("jwt_secrets", "key", key)), None)
    if credential is None:
        return exits(401, {"message": f"No credentials found for given '{name}'"}, INVALID)
    if header.get("alg") != credential["algorithm"]:
        return exits(401, {"message": "Invalid algorithm"}, INVALID)
    if not _signed(credential, config, signed, signature):
        return exits(401, {"message": "Invalid signature"}, INVALID)
    if wrong := _claim_faults(claims, config, passage.wall()):
        return exits(401, wrong, INVALID)
    recognised(passage, passage.tables["consumers"][reference(credential, "consumer")], credential)
    return None


def _tokens(passage: Passage, config: Json) -> Iterator[str]:
    for name in config["uri_param_names"]:
        yield from (value for one, value in passage.original.query if one == name and value)
    for value in (one for name in config["header_names"] for one in passage.original.values(name)[:1]):
        if found := re.match(r"\s*[Bb]earer\s+(.+)", value):
            yield found[1]


def _parts(token: str) -> tuple[Json, Json, bytes, bytes]:
    pieces = token.split(".")
    if len(pieces) != 3:
        raise ValueError("three parts")
    header, claims = (json.loads(_decoded(one)) for one in pieces[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("objects")
    return header, claims, ".".join(pieces[:2]).encode(), _decoded(pieces[2])


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signed(credential: Json, config: Json, signed: bytes, signature: bytes) -> bool:
    algorithm = ALGORITHMS[credential["algorithm"]]
    secret = credential["secret"] if credential["algorithm"].startswith("HS") else credential["rsa_public_key"]
    key = base64.b64decode(secret) if config["secret_is_base64"] else secret
    return bool(algorithm.verify(signed, algorithm.prepare_key(key), signature))


def _claim_faults(claims: Json, config: Json, now: float) -> Json:
    wrong = {}
    for name in config["claims_to_verify"] or ():
        value = claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            wrong[name] = "must be a number"
        elif name == "exp" and value <= now:
            wrong[name] = "token expired"
        elif name == "nbf" and value > now:
            wrong[name] = "token not valid yet"
    most = config["maximum_expiration"]
    if not wrong and most and claims.get("exp", 0) - now > most:
        wrong["exp"] = "exceeds maximum allowed expiration"
    return wrong


def key_auth(passage: Passage, row: Json) -> Response | None:
    config = row["config"]
    if not config["run_on_preflight"] and passage.original.method == "OPTIONS":
        return None
    return _anonymous(passage, config, _key_auth(passage, config))


def _key_auth(passage: Passage, config: Json) -> Response | None:
    realm = ("WWW-Authenticate", "Key")
    for name in config["key_names"]:
        values = passage.request.values(name) if config["key_in_header"] else []
        if config["key_in_query"]:
            values += [value for one, value in passage.request.query if one == name]
        if len(values) > 1:
            return exits(401, {"message": "Duplicate API key found"}, realm)
        if values and values[0]:
            return _key_known(passage, config, name, values[0])
    return exits(401, {"message": "No API key found in request"}, realm)


def _key_known(passage: Passage, config: Json, name: str, key: str) -> Response | None:
    credential = next(iter(passage.rows("keyauth_credentials", "key", key)), None)
    if credential is None:
        return exits(401, {"message": "Unauthorized"}, ("WWW-Authenticate", "Key"))
    if config["hide_credentials"]:
        passage.set(name)
    recognised(passage, passage.tables["consumers"][reference(credential, "consumer")], credential)
    return None


def acl(passage: Passage, row: Json) -> Response | None:
    config = row["config"]
    if passage.credential is None and passage.consumer is None:
        return passage.error(401, "Unauthorized")
    assert passage.consumer is not None
    groups = {one["group"] for one in passage.rows("acls", "consumer", passage.consumer["id"])}
    allowed = not groups.isdisjoint(config["allow"]) if config["allow"] else groups.isdisjoint(config["deny"] or ())
    if not allowed:
        return passage.error(403, "You cannot consume this service")
    if not config["hide_groups_header"]:
        passage.set("X-Consumer-Groups", *([", ".join(sorted(groups))] if groups else []))
    return None


# -- how much, from where -----------------------------------------------------------------------------------------


def rate_limiting(passage: Passage, row: Json) -> Response | None:
    """Fixed windows. The counter hangs on the route and service of the row, not on the row."""
    config, now = row["config"], passage.wall()
    who = _identity(passage, config)
    marks = {
        period: (config["policy"], reference(row, "route"), reference(row, "service"), who, period, _start(now, period))
        for period in PERIODS
        if config[period] is not None
    }
    left = {period: int(config[period]) - passage.counters.get(mark, 0) for period, mark in marks.items()}
    stop = any(count <= 0 for count in left.values())
    if not stop:
        left = {period: count - 1 for period, count in left.items()}
        for mark in marks.values():
            passage.counters[mark] = passage.counters.get(mark, 0) + 1
    told = _limit_headers(config, left, now)
    passage.notes["limits"] = {} if config["hide_client_headers"] else told
    if not stop:
        return None
    again = () if config["hide_client_headers"] else (("Retry-After", told["RateLimit-Reset"]),)
    return passage.error(int(config["error_code"]), config["error_message"], *again)


def _limit_headers(config: Json, left: Mapping[str, int], now: float) -> dict[str, str]:
    tightest = min(left, key=lambda period: left[period])
    told = {
        "RateLimit-Limit": str(int(config[tightest])),
        "RateLimit-Remaining": str(max(0, left[tightest])),
        "RateLimit-Reset": str(max(1, int(_end(now, tightest) - int(now)))),
    }
    for period, count in left.items():
        told[f"X-RateLimit-Limit-{period.capitalize()}"] = str(int(config[period]))
        told[f"X-RateLimit-Remaining-{period.capitalize()}"] = str(max(0, count))
    return told


def _identity(passage: Passage, config: Json) -> str:
    """By whom a request is counted; what is not there is replaced by the address."""
    consumer, credential = passage.consumer or {}, passage.credential or {}
    service = (passage.match.service if passage.match else None) or {}
    found = {
        "consumer": consumer.get("id") or credential.get("id"),
        "credential": credential.get("id"),
        "service": service.get("id"),
        "header": passage.request.header(config["header_name"] or ""),
        "path": config["path"] if passage.request.path == config["path"] else "",
        "ip": "",
    }[config["limit_by"]]
    return str(found or passage.original.peer)


def _start(now: float, period: str) -> float:
    at = datetime.fromtimestamp(now, UTC).replace(microsecond=0)
    floors: dict[str, dict[str, int]] = {
        "second": {},
        "minute": {"second": 0},
        "hour": {"second": 0, "minute": 0},
        "day": {"second": 0, "minute": 0, "hour": 0},
        "month": {"second": 0, "minute": 0, "hour": 0, "day": 1},
        "year": {"second": 0, "minute": 0, "hour": 0, "day": 1, "month": 1},
    }
    return at.replace(**floors[period]).timestamp()  # type: ignore[arg-type]


def _end(now: float, period: str) -> float:
    start = datetime.fromtimestamp(_start(now, period), UTC)
    if period in ("month", "year"):
        later = start + timedelta(days=32 if period == "month" else 367)
        return _start(later.timestamp(), period)
    return (start + timedelta(**{f"{period}s": 1})).timestamp()


def ip_restriction(passage: Passage, row: Json) -> Response | None:
    config, peer = row["config"], ipaddress.ip_address(passage.original.peer)

    def within(ranges: list[str] | None) -> bool:
        return any(peer in ipaddress.ip_network(one, strict=False) for one in ranges or ())

    if within(config["deny"]) or (config["allow"] and not within(config["allow"])):
        said = config["message"] or f"IP address not allowed: {peer}"
        return passage.error(int(config["status"] or 403), said)
    return None


def request_size_limiting(passage: Passage, row: Json) -> Response | None:
    config, request = row["config"], passage.original
    chunked = request.header("transfer-encoding").lower() == "chunked"
    if config["require_content_length"] and not request.header("content-length") and not chunked:
        return passage.error(411, "A valid Content-Length header is required")
    if len(request.body) <= config["allowed_payload_size"] * UNITS[config["size_unit"]]:
        return None
    return passage.error(
        417 if request.header("expect").lower() == "100-continue" else 413, "Request size limit exceeded"
    )


def request_termination(passage: Passage, row: Json) -> Response | None:
    config = row["config"]
    if config["trigger"] and not passage.original.header(config["trigger"]):
        return None
    if config["body"] is not None:
        kind = config["content_type"] or "application/json; charset=utf-8"
        return exits(config["status_code"], config["body"], ("Content-Type", kind))
    defaults = {400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found"}
    said = config["message"] or defaults.get(config["status_code"], "Service unavailable")
    return exits(config["status_code"], {"message": said})
