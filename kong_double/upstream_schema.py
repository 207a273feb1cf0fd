"""The schema of upstreams with their health checks. Used by `schemas`."""

from functools import partial
from operator import eq

from kong_double import rules
from kong_double.fields import ID, SOURCES, STAMPS, TAGS, foreign
from kong_double.schema import Field, array, boolean, integer, number, record, string

_COUNT = integer(0, 255, default=0)
_EVERY = number(between=[0, 65535], default=0)
_STATUSES = integer(100, 999)


def _statuses(*default: int) -> Field:
    return array(_STATUSES, default=list(default))


_FAILED = (429, 404, 500, 501, 502, 503, 504, 505)
_WELL = (*range(200, 209), 226, *range(300, 309))
_FAILURES = {"http_failures": _COUNT, "tcp_failures": _COUNT, "timeouts": _COUNT}
HEALTHCHECKS = record(
    {
        "active": record(
            {
                "type": string(one_of=["tcp", "http", "https", "grpc", "grpcs"], default="http"),
                "timeout": number(between=[0, 65535], default=1),
                "concurrency": integer(1, 2147483648, default=10),
                "http_path": string(starts_with="/", default="/"),
                "https_sni": string(_check=rules.sni),
                "https_verify_certificate": boolean(True),
                "headers": {"type": "map", "keys": string(), "values": array()},
                "healthy": record(
                    {"interval": _EVERY, "successes": _COUNT, "http_statuses": _statuses(200, 302)}, required=True
                ),
                "unhealthy": record(
                    {"interval": _EVERY, **_FAILURES, "http_statuses": _statuses(*_FAILED)}, required=True
                ),
            },
            required=True,
        ),
        "passive": record(
            {
                "type": string(one_of=["tcp", "http", "https", "grpc", "grpcs"], default="http"),
                "healthy": record({"successes": _COUNT, "http_statuses": _statuses(*_WELL)}, required=True),
                "unhealthy": record({**_FAILURES, "http_statuses": _statuses(429, 500, 503)}, required=True),
            },
            required=True,
        ),
        "threshold": number(between=[0, 100], default=0),
    },
    required=True,
)


def _hash(then: str, *sources: str) -> tuple[rules.Rule, ...]:
    return tuple(rules.when(then, partial(eq, source), f"{then}_{source}", rules.needs) for source in sources)


def _another(source: str) -> rules.Rule:
    rest = tuple(one for one in SOURCES if one not in (source, *(("cookie",) if source == "cookie" else ())))
    return rules.when("hash_on", lambda v: v == source, "hash_fallback", rules.one_of(*rest))


UPSTREAMS = record(
    {
        "id": ID,
        **STAMPS,
        "name": string(required=True, unique=True, _check=rules.upstream_name),
        "algorithm": string(
            default="round-robin", one_of=["consistent-hashing", "least-connections", "round-robin", "latency"]
        ),
        "hash_on": string(default="none", one_of=SOURCES),
        "hash_fallback": string(default="none", one_of=SOURCES),
        "hash_on_header": string(),
        "hash_fallback_header": string(),
        "hash_on_cookie": string(),
        "hash_on_cookie_path": string(default="/", starts_with="/"),
        "hash_on_query_arg": string(),
        "hash_fallback_query_arg": string(),
        "hash_on_uri_capture": string(),
        "hash_fallback_uri_capture": string(),
        "slots": integer(10, 65536, default=10000),
        "healthchecks": HEALTHCHECKS,
        "tags": TAGS,
        "host_header": string(),
        "client_certificate": foreign("certificates"),
        "use_srv_name": boolean(default=False),
    },
    _checks=(
        *_hash("hash_on", "header", "query_arg", "uri_capture"),
        *_hash("hash_fallback", "header", "query_arg", "uri_capture"),
        rules.when("hash_on", lambda v: v == "none", "hash_fallback", rules.one_of("none")),
        *(_another(source) for source in SOURCES[1:] if source not in ("header", "query_arg", "uri_capture")),
    ),
)
