"""The kinds of entity that we keep in a Kong, one row each: where they live, what names them, what they refer to.

Called by all of `kong_sync`, and by the double of Kong in the tests. Source of the rows: the Admin API of 3.9.1 as
recorded (`tests/kong_sync/transcripts`). Pure. The order of `KINDS` is the order in which entities can be created: a
kind stands behind all it refers to. To delete, read it backwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Entity = Mapping[str, Any]
"""One entity as JSON of the Admin API. A reference to another is `{"id": ...}`."""

STAMPS = frozenset({"created_at", "updated_at"})
"""What Kong writes into an entity by itself, whatever it is given."""


def _of(**fields: str) -> Mapping[str, str]:
    return MappingProxyType(fields)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `name` is Kong's own, which decK and DB-less files use too; `path` is its collection.

    key       the field that may stand for the id in a path, "" if there is none
    unique    each tuple of fields is unique in a Kong; the first is the natural key, by which namesakes are adopted
    foreign   field -> kind it refers to
    cascades  the foreign fields whose entity takes this one with it when it is deleted; others forbid the deletion
    parent    the foreign field below whose entity it is reached; `under`: the name of the collection there
    nested    there is no collection of its own: it is listed below each parent
    fields    what may be stated, without `id`
    sets      fields whose order means nothing
    secrets   fields whose values are never shown
    invented  fields that Kong makes up at random when they are not stated: always state them
    """

    name: str
    path: str
    key: str
    unique: tuple[tuple[str, ...], ...]
    fields: tuple[str, ...]
    foreign: Mapping[str, str] = field(default_factory=_of)
    cascades: frozenset[str] = frozenset()
    parent: str = ""
    under: str = ""
    nested: bool = False
    sets: frozenset[str] = frozenset({"tags"})
    secrets: frozenset[str] = frozenset()
    invented: frozenset[str] = frozenset()


_HASHES = ("hash_on", "hash_fallback")
_HASH_SOURCES = ("header", "query_arg", "uri_capture")

_ROWS = (
    Kind("ca_certificates", "ca_certificates", "", (("cert_digest",),), ("cert", "cert_digest", "tags")),
    Kind(
        "certificates",
        "certificates",
        "",
        (),
        ("cert", "key", "cert_alt", "key_alt", "snis", "tags"),
        sets=frozenset({"tags", "snis"}),
        secrets=frozenset({"key", "key_alt"}),
    ),
    Kind(
        "snis",
        "snis",
        "name",
        (("name",),),
        ("name", "certificate", "tags"),
        foreign=_of(certificate="certificates"),
        cascades=frozenset({"certificate"}),
        parent="certificate",
        under="snis",
    ),
    Kind("consumers", "consumers", "username", (("username",), ("custom_id",)), ("username", "custom_id", "tags")),
    Kind(
        "jwt_secrets",
        "jwts",
        "key",
        (("key",),),
        ("key", "algorithm", "rsa_public_key", "secret", "consumer", "tags"),
        foreign=_of(consumer="consumers"),
        cascades=frozenset({"consumer"}),
        parent="consumer",
        under="jwt",
        secrets=frozenset({"secret"}),
        invented=frozenset({"key", "secret"}),
    ),
    Kind(
        "keyauth_credentials",
        "key-auths",
        "key",
        (("key",),),
        ("key", "ttl", "consumer", "tags"),
        foreign=_of(consumer="consumers"),
        cascades=frozenset({"consumer"}),
        parent="consumer",
        under="key-auth",
        secrets=frozenset({"key"}),
        invented=frozenset({"key"}),
    ),
    Kind(
        "acls",
        "acls",
        "",
        (("consumer", "group"),),
        ("group", "consumer", "tags"),
        foreign=_of(consumer="consumers"),
        cascades=frozenset({"consumer"}),
        parent="consumer",
        under="acls",
    ),
    Kind(
        "upstreams",
        "upstreams",
        "name",
        (("name",),),
        (
            "name",
            "algorithm",
            *_HASHES,
            *(f"{side}_{source}" for side in _HASHES for source in _HASH_SOURCES),
            "hash_on_cookie",
            "hash_on_cookie_path",
            "slots",
            "healthchecks",
            "host_header",
            "client_certificate",
            "use_srv_name",
            "tags",
        ),
        foreign=_of(client_certificate="certificates"),
    ),
    Kind(
        "targets",
        "targets",
        "target",
        (("upstream", "target"),),
        ("target", "weight", "upstream", "tags"),
        foreign=_of(upstream="upstreams"),
        cascades=frozenset({"upstream"}),
        parent="upstream",
        under="targets",
        nested=True,
    ),
    Kind(
        "services",
        "services",
        "name",
        (("name",),),
        (
            "name",
            "protocol",
            "host",
            "port",
            "path",
            "retries",
            "connect_timeout",
            "write_timeout",
            "read_timeout",
            "enabled",
            "client_certificate",
            "ca_certificates",
            "tls_verify",
            "tls_verify_depth",
            "tags",
        ),
        foreign=_of(client_certificate="certificates"),
        sets=frozenset({"tags", "ca_certificates"}),
    ),
    Kind(
        "routes",
        "routes",
        "name",
        (("name",),),
        (
            "name",
            "service",
            "protocols",
            "methods",
            "hosts",
            "paths",
            "headers",
            "snis",
            "sources",
            "destinations",
            "https_redirect_status_code",
            "regex_priority",
            "strip_path",
            "path_handling",
            "preserve_host",
            "request_buffering",
            "response_buffering",
            "tags",
        ),
        foreign=_of(service="services"),
        parent="service",
        under="routes",
        sets=frozenset({"tags", "protocols", "methods", "hosts", "paths", "snis", "sources", "destinations"}),
    ),
    Kind(
        "plugins",
        "plugins",
        "instance_name",
        (("name", "route", "service", "consumer"), ("instance_name",)),
        ("name", "instance_name", "route", "service", "consumer", "config", "protocols", "enabled", "tags"),
        foreign=_of(route="routes", service="services", consumer="consumers"),
        cascades=frozenset({"route", "service", "consumer"}),
        sets=frozenset({"tags", "protocols"}),
    ),
)

KINDS: Mapping[str, Kind] = MappingProxyType({row.name: row for row in _ROWS})
"""By name, in the order of creation."""


def tenant(entity: Entity) -> str:
    """The tenant an entity belongs to by its tag `tenant:<id>`; "" if it belongs to none or to many."""
    owners = [tag.removeprefix("tenant:") for tag in entity.get("tags") or () if tag.startswith("tenant:")]
    return owners[0] if len(owners) == 1 else ""


def label(kind: Kind, entity: Entity) -> str:
    """What a person calls it: its key, or its id. Never a secret."""
    shown = () if kind.key in kind.secrets else (kind.key,)
    names = [str(entity[field]) for field in (*shown, "name", "group", "id") if field and entity.get(field)]
    return names[0] if names else ""
