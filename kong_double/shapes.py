"""What Kong makes of an entity before it checks it, beside it, and when it shows it. Used by `admin` and `dbless`.

Given: the shorthands (`url`, flat `redis_*`), references by name. Kept: `algorithm` that follows `hash_on`, the digest
of a certificate. Shown: the flat twins, the names of a certificate.
"""

import hashlib
import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kong_double import refusals, schemas
from kong_double.refusals import Errors, Json
from kong_double.schema import Field, fields
from kong_double.store import Store, reference
from kong_sync.entities import KINDS, Kind

URL = re.compile(
    r"(?P<protocol>[a-z_]+)://(?:[^@/]*@)?(?P<host>\[[^\]]*\]|[^:/?#]*)(?::(?P<port>\d+))?(?P<path>/[^?#]*)?"
)


def schema_of(kind: Kind, given: Json, *, dbless: bool = False) -> Field:
    """The schema for these fields. Raises Refusal for a plugin that is not there."""
    if kind.name != "plugins":
        return schemas.SCHEMAS[kind.name]
    name = given.get("name")
    if name is None:
        raise refusals.violation({"name": "required field missing"})
    found = schemas.plugin(str(name), dbless=dbless)
    if found is None:
        said = f"plugin '{name}' not enabled; add it to the 'plugins' configuration property"
        raise refusals.violation({"name": said})
    return found


def resolved(kind: Kind, given: Json, store: Store) -> Json:
    """References by name as references by id. Raises Refusal for a name that nobody has."""
    found = dict(given)
    for field, other in kind.foreign.items():
        value, key = given.get(field), KINDS[other].key
        if isinstance(value, dict) and not value.get("id") and key and isinstance(value.get(key), str):
            entity = store.find(KINDS[other], {key: value[key]})
            if entity is None:
                raise refusals.unresolved(field, key, value[key], other)
            found[field] = {"id": entity["id"]}
        elif isinstance(value, dict) and isinstance(value.get("id"), str):
            found[field] = {"id": value["id"].lower()}
    return found


def expanded(kind: Kind, schema: Field, given: Json) -> Json:
    """The shorthands written out. Raises Refusal where they contradict the long form."""
    if kind.name == "services" and "url" in given:
        return _from_url(given)
    if kind.name == "plugins" and isinstance(given.get("config"), dict):
        return given | {"config": _nested(dict(fields(schema))["config"], given["config"])}
    return given


def _from_url(given: Json) -> Json:
    rest, url = {name: value for name, value in given.items() if name != "url"}, given["url"]
    if url is None:
        return rest | {"host": None, "path": "\0", "protocol": "\0"}
    if not isinstance(url, str):
        raise refusals.violation({"url": "expected a string"})
    found = URL.match(url)
    if not found:
        return rest | {"host": None, "path": url}
    port = found["port"] or (443 if found["protocol"] in ("https", "tls", "grpcs") else 80)
    return rest | {"protocol": found["protocol"], "host": found["host"], "port": int(port), "path": found["path"]}


def _nested(schema: Field, config: Json) -> Json:
    flat = [name for row in schema.get("shorthand_fields", ()) for name in row if name in config]
    made = {name: value for name, value in config.items() if name not in flat}
    for name in flat:
        record, _, field = name.partition("_")
        inner = dict(made.get(record) or {})
        if inner.get(field, config[name]) != config[name]:
            said = f"{name} = {config[name]} vs {record}.{field} = {inner[field]}"
            why = f"both deprecated and new field are used but their values mismatch: {said}"
            raise refusals.violation({name: why})
        made[record] = inner | {field: config[name]}
    return made


def settled(kind: Kind, entity: Json) -> Json:
    """What the server changes or adds once the entity is known to be good."""
    if kind.name == "upstreams" and entity["hash_on"] != "none" and entity["algorithm"] == "round-robin":
        return entity | {"algorithm": "consistent-hashing"}
    if kind.name == "ca_certificates":
        der = x509.load_pem_x509_certificate(entity["cert"].encode()).public_bytes(Encoding.DER)
        return entity | {"cert_digest": hashlib.sha256(der).hexdigest()}
    return entity


def protocol_faults(entity: Json, store: Store) -> Errors:
    """A plugin's protocols must have one in common with those of what it is for."""
    route = store.get("routes", reference(entity, "route"))
    if route and not set(route["protocols"]) & set(entity["protocols"]):
        return {"protocols": "must match the associated route's protocols"}
    return {}


def shown(kind: Kind, entity: Json, store: Store) -> Json:
    """The entity as an answer."""
    if kind.name == "plugins":
        return entity | {"config": _with_twins(entity["name"], entity["config"])}
    if kind.name == "certificates":
        return entity | {
            "snis": sorted(one["name"] for one in store.children(kind.name, entity["id"], "snis", "certificate"))
        }
    return entity


def _with_twins(name: str, config: Json) -> Json:
    schema = schemas.plugin(name)
    assert schema is not None
    rows = dict(fields(schema))["config"].get("shorthand_fields", ())
    twins: dict[str, Any] = {}
    for twin in (twin for row in rows for twin in row):
        record, _, field = twin.partition("_")
        twins[twin] = (config.get(record) or {}).get(field)
    return config | twins
