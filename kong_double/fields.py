"""Fields that several schemas share. Used by `schemas` and `upstream_schema`."""

from typing import Any

from kong_double import rules
from kong_double.schema import Field, a_set, integer, string

PROTOCOLS = ["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"]
ALGORITHMS = [f"{family}{size}" for family in ("HS", "RS", "ES", "PS") for size in (256, 384, 512)] + ["EdDSA"]
PEM_ALGORITHMS = tuple(one for one in ALGORITHMS if one.startswith(("RS", "PS", "Ed")))
SOURCES = ["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"]
TAGS = a_set(string(required=True, _check=rules.tag))
ID = string(uuid=True, auto=True)
STAMP = integer(timestamp=True, auto=True)
STAMPS = {"created_at": STAMP, "updated_at": STAMP}
MILLISECONDS = integer(1, 2147483646, default=60000)
SECURE = ("https", "tls")


def foreign(reference: str, **more: Any) -> Field:
    return {"type": "foreign", "reference": reference, **more}
