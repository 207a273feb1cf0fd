"""The schemas of the entities of Kong 3.9.1, in the words of `/schemas/<entity>`, and of the plugins' common fields.

The transcripts hold the real ones of services, routes, plugins and jwt_secrets; the others are written from the
entities that were recorded. `SCHEMAS[kind]` is a record; that of a plugin is made by `plugin(name)`.
"""

from collections.abc import Mapping
from functools import lru_cache

from kong_double import plugin_schemas, rules
from kong_double.fields import (
    ALGORITHMS,
    ID,
    MILLISECONDS,
    PEM_ALGORITHMS,
    PROTOCOLS,
    SECURE,
    STAMP,
    STAMPS,
    TAGS,
    foreign,
)
from kong_double.schema import Field, a_set, array, boolean, integer, number, record, string
from kong_double.upstream_schema import UPSTREAMS


def _only(protocols: tuple[str, ...], then: str, *, unless: bool = False) -> rules.Rule:
    return rules.when("protocol", lambda v: (v in protocols) is not unless, then, rules.null)


SERVICES = record(
    {
        "id": ID,
        **STAMPS,
        "name": string(unique=True, _check=rules.name),
        "retries": integer(0, 32767, default=5),
        "protocol": string(required=True, one_of=PROTOCOLS, default="http"),
        "host": string(required=True, _check=rules.host),
        "port": integer(0, 65535, required=True, default=80),
        "path": string(
            starts_with="/", match_none=[{"pattern": "//", "err": "must not have empty segments"}], _check=rules.path
        ),
        "connect_timeout": MILLISECONDS,
        "write_timeout": MILLISECONDS,
        "read_timeout": MILLISECONDS,
        "tags": TAGS,
        "client_certificate": foreign("certificates"),
        "tls_verify": boolean(),
        "tls_verify_depth": integer(0, 64, default=None),
        "ca_certificates": array(string(uuid=True)),
        "enabled": boolean(True),
    },
    _checks=(
        _only(("tcp", "tls", "udp", "grpc", "grpcs"), "path"),
        *(
            _only(SECURE, field, unless=True)
            for field in ("client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates")
        ),
    ),
)

_ENDS = record(
    {"ip": string(), "port": integer(0, 65535)}, required=True, entity_checks=[{"at_least_one_of": ["ip", "port"]}]
)
_NO_EMPTY = [{"pattern": "//", "err": "must not have empty segments"}]
_HOST_PATTERNS = ["^%*%.", "%.%*$", "^[^*]*$"]
ROUTES = record(
    {
        "id": ID,
        **STAMPS,
        "name": string(unique=True, _check=rules.name),
        "protocols": a_set(
            string(required=True, one_of=PROTOCOLS),
            len_min=1,
            required=True,
            default=["http", "https"],
            mutually_exclusive_subsets=[
                ["http", "https"],
                ["tcp", "tls", "udp"],
                ["tls_passthrough"],
                ["grpc", "grpcs"],
            ],
        ),
        "https_redirect_status_code": integer(required=True, default=426, one_of=[426, 301, 302, 307, 308]),
        "strip_path": boolean(True),
        "preserve_host": boolean(False),
        "request_buffering": boolean(True),
        "response_buffering": boolean(True),
        "tags": TAGS,
        "service": foreign("services"),
        "snis": a_set(string(required=True, _check=rules.sni)),
        "sources": a_set(_ENDS),
        "destinations": a_set(_ENDS),
        "methods": a_set(string(required=True, match="^%u+$")),
        "hosts": array(
            string(
                required=True,
                match_any={
                    "patterns": _HOST_PATTERNS,
                    "err": "invalid wildcard: must be placed at leftmost or rightmost label",
                },
                match_all=[{"pattern": "^[^*]*%*?[^*]*$", "err": "invalid wildcard: must have at most one wildcard"}],
                _check=rules.route_host,
            )
        ),
        "paths": array(
            string(
                required=True,
                match_any={
                    "patterns": ["^/", "^~/"],
                    "err": "should start with: / (fixed path) or ~/ (regex path)",
                },
                match_none=_NO_EMPTY,
                _check=rules.route_path,
            )
        ),
        "headers": {
            "type": "map",
            "keys": string(
                required=True,
                match_none=[
                    {
                        "pattern": "^[Hh][Oo][Ss][Tt]$",
                        "err": "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
                    }
                ],
            ),
            "values": array(string(required=True), required=True),
        },
        "regex_priority": integer(default=0),
        "path_handling": string(one_of=["v0", "v1"], default="v0"),
    },
    _checks=(rules.sni_protocols, rules.matchable),
)

TARGETS = record(
    {
        "id": ID,
        "created_at": number(timestamp=True, auto=True),
        "updated_at": number(timestamp=True, auto=True),
        "upstream": foreign("upstreams", required=True, on_delete="cascade"),
        "target": string(required=True, _check=rules.target, _rewrite=rules.full_target),
        "weight": integer(0, 65535, default=100),
        "tags": TAGS,
    }
)

CONSUMERS = record(
    {"id": ID, **STAMPS, "username": string(unique=True), "custom_id": string(unique=True), "tags": TAGS},
    _checks=(rules.some_of("custom_id", "username"),),
)

_OWNER = foreign("consumers", required=True, on_delete="cascade")
JWT_SECRETS = record(
    {
        "id": ID,
        "created_at": STAMP,
        "consumer": _OWNER,
        "key": string(required=False, unique=True, auto=True),
        "secret": string(auto=True),
        "rsa_public_key": string(),
        "algorithm": string(default="HS256", one_of=ALGORITHMS),
        "tags": TAGS,
    },
    _checks=(rules.when("algorithm", lambda v: v in PEM_ALGORITHMS, "rsa_public_key", rules.public_key),),
)
KEYAUTH_CREDENTIALS = record(
    {
        "id": ID,
        "created_at": STAMP,
        "consumer": _OWNER,
        "key": string(required=False, unique=True, auto=True),
        "ttl": integer(),
        "tags": TAGS,
    }
)
ACLS = record({"id": ID, "created_at": STAMP, "consumer": _OWNER, "group": string(required=True), "tags": TAGS})

_PEM = string(required=True, _check=rules.certificate)
CERTIFICATES = record(
    {
        "id": ID,
        **STAMPS,
        "cert": _PEM,
        "key": string(required=True),
        "cert_alt": string(_check=rules.certificate),
        "key_alt": string(),
        "tags": TAGS,
    }
)
SNIS = record(
    {
        "id": ID,
        **STAMPS,
        "name": string(required=True, unique=True, _check=rules.sni),
        "tags": TAGS,
        "certificate": foreign("certificates", required=True),
    }
)
CA_CERTIFICATES = record({"id": ID, **STAMPS, "cert": _PEM, "cert_digest": string(unique=True), "tags": TAGS})


def _scope(kind: str, *, closed: bool = False) -> Field:
    return foreign(kind, default=None, on_delete="cascade", **({"null": True} if closed else {}))


def plugins(
    protocols: Field, config: Field, checks: tuple[rules.Rule, ...] = (), *, no_consumer: bool = False
) -> Field:
    """The schema of the rows of one plugin."""
    return record(
        {
            "id": ID,
            "name": string(required=True),
            "instance_name": string(unique=True, _check=rules.name),
            **STAMPS,
            "route": _scope("routes"),
            "service": _scope("services"),
            "consumer": _scope("consumers", closed=no_consumer),
            "config": config,
            "protocols": protocols,
            "enabled": boolean(True),
            "tags": TAGS,
        },
        _checks=checks,
    )


PLUGINS = plugins(
    a_set(string(one_of=PROTOCOLS), required=True, default=["grpc", "grpcs", "http", "https"]),
    {"type": "record", "abstract": True},
)

SCHEMAS: Mapping[str, Field] = {
    "services": SERVICES,
    "routes": ROUTES,
    "upstreams": UPSTREAMS,
    "targets": TARGETS,
    "consumers": CONSUMERS,
    "jwt_secrets": JWT_SECRETS,
    "keyauth_credentials": KEYAUTH_CREDENTIALS,
    "acls": ACLS,
    "certificates": CERTIFICATES,
    "snis": SNIS,
    "ca_certificates": CA_CERTIFICATES,
    "plugins": PLUGINS,
}


@lru_cache
def plugin(name: str, *, dbless: bool = False) -> Field | None:
    """The schema of one plugin's rows, None if the plugin is not there. Without a database limits are not shared
    through it."""
    found = plugin_schemas.PLUGINS.get(name)
    if found is None:
        return None
    config = plugin_schemas.without_cluster(found.config) if dbless else found.config
    names = list(found.protocols)
    protocols = a_set(string(required=True, one_of=names), required=True, default=names)
    return plugins(protocols, config, found.checks, no_consumer=found.no_consumer)
