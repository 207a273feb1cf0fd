"""The schemas of the bundled plugins' `config` that a tenant's policies can come to, and some that others may use.

Written from what a real Kong filled in (transcripts, `research/kong.md`); rate-limiting and cors were recorded whole.
A plugin that is not in this table "is not enabled", whatever `GET /` lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kong_double import lua, rules
from kong_double.schema import Field, a_set, array, boolean, fields, integer, number, record, string

HTTP = ("grpc", "grpcs", "http", "https")
ALL = ("http", "https", "tcp", "tls", "grpc", "grpcs")
METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
PHASES = ("certificate", "rewrite", "access", "header_filter", "body_filter", "log")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin: its `config`, rules about the whole row, the protocols it may name."""

    config: Field
    checks: tuple[rules.Rule, ...] = ()
    no_consumer: bool = False
    protocols: tuple[str, ...] = HTTP


def _config(named: Mapping[str, Field], **more: Any) -> Field:
    return record(named, required=True, **more)


def _list(element: Field | None = None) -> Field:
    return array(element, default=[])


_REDIS_FIELDS: dict[str, Field] = {
    "host": string(),
    "port": integer(0, 65535, default=6379),
    "timeout": integer(0, 2147483646, default=2000),
    "username": string(referenceable=True),
    "password": string(referenceable=True, encrypted=True, len_min=0),
    "database": integer(default=0),
    "ssl": boolean(required=False, default=False),
    "ssl_verify": boolean(required=False, default=False),
    "server_name": string(required=False),
}
_TWINS = ("host", "port", "password", "username", "ssl", "ssl_verify", "server_name", "timeout", "database")


def _flat(plugin: str) -> list[dict[str, Field]]:
    """The old flat names of the fields in `redis`, which Kong still takes and shows."""
    return [{f"redis_{one}": {"type": _REDIS_FIELDS[one]["type"], **_gone(plugin, one)}} for one in _TWINS]


def _gone(plugin: str, name: str) -> Field:
    said = f"{plugin}: config.redis_{name} is deprecated, please use config.redis.{name} instead"
    return {
        "deprecation": {
            "replaced_with": [{"path": ["redis", name]}],
            "message": said,
            "removal_in_version": "4.0",
        },
        **({"len_min": 0} if name == "password" else {}),
    }


def _limits() -> dict[str, Field]:
    return {period: number(gt=0) for period in rules.PERIODS}


_LIMITED = tuple(f"config.{period}" for period in rules.PERIODS)
_RATE_LIMITING = _config(
    {
        **_limits(),
        "limit_by": string(default="consumer", one_of=["consumer", "credential", "ip", "service", "header", "path"]),
        "header_name": string(),
        "path": string(starts_with="/", match_none=[{"pattern": "//", "err": "must not have empty segments"}]),
        "policy": string(default="local", one_of=["local", "cluster", "redis"], len_min=0),
        "fault_tolerant": boolean(True),
        "redis": record(_REDIS_FIELDS, required=True),
        "hide_client_headers": boolean(False),
        "error_code": number(gt=0, default=429),
        "error_message": string(default="API rate limit exceeded"),
        "sync_rate": number(required=True, default=-1),
    },
    shorthand_fields=_flat("rate-limiting"),
)
_RATE_RULES = (
    rules.some_of(*_LIMITED),
    rules.rising,
    rules.when("config.policy", lambda v: v == "redis", "config.redis.host", rules.needs),
    rules.when("config.limit_by", lambda v: v == "header", "config.header_name", rules.needs),
    rules.when("config.limit_by", lambda v: v == "path", "config.path", rules.needs),
)

_CORS = _config(
    {
        "origins": array(string(_check=rules.origin)),
        "headers": array(),
        "exposed_headers": array(),
        "methods": array(string(one_of=METHODS), default=METHODS),
        "max_age": number(),
        "credentials": boolean(False),
        "private_network": boolean(False),
        "preflight_continue": boolean(False),
    }
)

_JWT = _config(
    {
        "uri_param_names": a_set(default=["jwt"]),
        "cookie_names": a_set(default=[]),
        "key_claim_name": string(default="iss"),
        "secret_is_base64": boolean(False),
        "claims_to_verify": a_set(string(one_of=["exp", "nbf"])),
        "anonymous": string(),
        "run_on_preflight": boolean(True),
        "maximum_expiration": number(between=[0, 31536000], default=0),
        "header_names": a_set(default=["authorization"]),
        "realm": string(required=False),
    }
)

_KEY_AUTH = _config(
    {
        "key_names": array(required=True, default=["apikey"]),
        "hide_credentials": boolean(False),
        "anonymous": string(),
        "key_in_header": boolean(True),
        "key_in_query": boolean(True),
        "key_in_body": boolean(False),
        "run_on_preflight": boolean(True),
        "realm": string(required=False),
    }
)

_ACL = _config(
    {
        "allow": array(),
        "deny": array(),
        "hide_groups_header": boolean(False),
        "always_use_authenticated_groups": boolean(False),
    }
)


def _edits(*kinds: str, check: Any = None, **more: Field) -> Field:
    element = string(_check=check) if check else string()
    return record({**{kind: _list(element) for kind in kinds}, **more}, required=True)


_REQUEST = ("body", "headers", "querystring")
_REQUEST_TRANSFORMER = _config(
    {
        "http_method": string(_check=rules.method),
        "remove": _edits(*_REQUEST),
        "rename": _edits(*_REQUEST, check=rules.pair),
        "replace": _edits(*_REQUEST, check=rules.pair, uri=string()),
        "add": _edits(*_REQUEST, check=rules.pair),
        "append": _edits(*_REQUEST, check=rules.pair),
    }
)
_TYPES = string(one_of=["boolean", "number", "string"])
_RESPONSE_TRANSFORMER = _config(
    {
        "remove": _edits("json", "headers"),
        "rename": _edits("json", "headers", check=rules.pair),
        **{
            verb: _edits("json", "headers", check=rules.pair, json_types=_list(_TYPES))
            for verb in ("replace", "add", "append")
        },
    }
)

_FUNCTIONS = _config({phase: array(string(_check=lua.syntax), required=True, default=[]) for phase in PHASES})
_SOME_FUNCTION = (rules.some_of(*(f"config.{phase}" for phase in PHASES)),)

PLUGINS: Mapping[str, Plugin] = {
    "rate-limiting": Plugin(_RATE_LIMITING, _RATE_RULES),
    "cors": Plugin(_CORS, no_consumer=True),
    "jwt": Plugin(_JWT, no_consumer=True),
    "key-auth": Plugin(_KEY_AUTH, no_consumer=True),
    "acl": Plugin(_ACL, (rules.some_of("config.allow", "config.deny"),), no_consumer=True),
    "correlation-id": Plugin(
        _config(
            {
                "header_name": string(default="Kong-Request-ID"),
                "generator": string(required=True, default="uuid#counter", one_of=["uuid", "uuid#counter", "tracker"]),
                "echo_downstream": boolean(False),
            }
        )
    ),
    "request-termination": Plugin(
        _config(
            {
                "status_code": integer(100, 599, required=True, default=503),
                "message": string(),
                "content_type": string(),
                "body": string(),
                "echo": boolean(False),
                "trigger": string(),
            }
        ),
        (rules.termination,),
    ),
    "pre-function": Plugin(_FUNCTIONS, _SOME_FUNCTION, no_consumer=True),
    "post-function": Plugin(_FUNCTIONS, _SOME_FUNCTION, no_consumer=True),
    "ip-restriction": Plugin(
        _config(
            {
                "allow": array(string(_check=rules.cidr)),
                "deny": array(string(_check=rules.cidr)),
                "status": number(),
                "message": string(),
            }
        ),
        (rules.some_of("config.allow", "config.deny"),),
        protocols=ALL,
    ),
    "request-size-limiting": Plugin(
        _config(
            {
                "allowed_payload_size": integer(default=128),
                "size_unit": string(required=True, default="megabytes", one_of=["megabytes", "kilobytes", "bytes"]),
                "require_content_length": boolean(False),
            }
        )
    ),
    "request-transformer": Plugin(_REQUEST_TRANSFORMER),
    "response-transformer": Plugin(_RESPONSE_TRANSFORMER),
    "prometheus": Plugin(
        _config(
            {
                name: boolean(False)
                for name in (
                    "per_consumer",
                    "status_code_metrics",
                    "ai_metrics",
                    "latency_metrics",
                    "bandwidth_metrics",
                    "upstream_health_metrics",
                )
            }
        )
    ),
    "file-log": Plugin(
        _config(
            {
                "path": string(required=True),
                "reopen": boolean(False),
                "custom_fields_by_lua": {"type": "map", "keys": string(), "values": string()},
            }
        )
    ),
    "bot-detection": Plugin(_config({"allow": _list(), "deny": _list()})),
    "redirect": Plugin(
        _config(
            {
                "status_code": integer(100, 599, required=True, default=301),
                "location": string(required=True),
                "keep_incoming_path": boolean(False),
            }
        )
    ),
}


def without_cluster(config: Field) -> Field:
    """The `config` as a Kong without a database has it."""
    if "policy" not in dict(fields(config)):
        return config
    kept = [
        {name: one | {"one_of": ["local", "redis"]} if name == "policy" else one}
        for row in config["fields"]
        for name, one in row.items()
    ]
    return config | {"fields": kept}
