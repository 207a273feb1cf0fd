"""Our entities as a file of decK, and back: backups, `kong export`, `kong restore`. Pure, deterministic.

Nested where decK nests (credentials and groups below consumers, targets below upstreams, routes below services, plugins
below what they are for), so that a file reads as decK's own dumps do. Ids and tags are kept: what is restored is what
was there. It holds keys of tenants: whoever writes it, writes it for its owner alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kong_sync.entities import KINDS, Entity
from kong_sync.states import State, reference
from tenants.errors import Refused

FORMAT = "3.0"
BELOW: Mapping[str, tuple[tuple[str, str], ...]] = {
    "certificates": (("snis", "certificate"),),
    "consumers": (
        ("jwt_secrets", "consumer"),
        ("keyauth_credentials", "consumer"),
        ("acls", "consumer"),
        ("plugins", "consumer"),
    ),
    "upstreams": (("targets", "upstream"),),
    "services": (("routes", "service"), ("plugins", "service")),
    "routes": (("plugins", "route"),),
}
"""Kind -> kinds written below it, with the field that refers to it. A plugin goes below its route first."""
TOP = ("ca_certificates", "certificates", "upstreams", "services", "routes", "consumers", "plugins")
PLACES = ("route", "service", "consumer")


def document(state: State, tags: Iterable[str]) -> dict[str, Any]:
    """The file as plain data. `tags`: by which decK knows what is ours, so that it leaves others alone."""
    found: dict[str, Any] = {"_format_version": FORMAT, "_info": {"select_tags": list(tags)}}
    rows = sorted(state.rows.items())
    for kind in TOP:
        made = [_written(state, kind, row) for key, row in rows if key[0] == kind and not _above(kind, row)]
        if made:
            found[kind] = made
    return found


def _above(kind: str, row: Entity) -> str:
    """The field of what it is written below, "" if it stands at the top."""
    fields = (
        PLACES if kind == "plugins" else tuple(name for rows in BELOW.values() for one, name in rows if one == kind)
    )
    return next((name for name in fields if reference(row, name)), "")


def _written(state: State, kind: str, row: Entity, above: str = "") -> dict[str, Any]:
    """An entity with what stands below it. Other references are ids."""
    said = row if kind == "plugins" else _stated(row)
    fields: dict[str, Any] = {
        name: sorted(one) if name in KINDS[kind].sets else one  # as we write it to Kong: decK compares the order
        for name, one in said.items()
        if name != above and one is not None
    }
    made = {name: one["id"] if name in KINDS[kind].foreign else one for name, one in fields.items()}
    for other, field in BELOW.get(kind, ()):
        users = sorted(key for key in state.referring(kind, row["id"]) if key[0] == other)
        below = [
            _written(state, other, state.rows[key], field) for key in users if _above(other, state.rows[key]) == field
        ]
        if below:
            made[other] = below
    return made


def _stated(value: Any) -> Any:
    """Without what is null: decK refuses that beyond the `config` of plugins, where it takes a value away."""
    if isinstance(value, Mapping):
        return {name: _stated(one) for name, one in value.items() if one is not None}
    return [_stated(one) for one in value] if isinstance(value, list | tuple) else value


def read(data: Any) -> list[tuple[str, Entity]]:
    """The entities of such a file, (kind, entity). Raises Refused with what is wrong."""
    if not isinstance(data, Mapping) or str(data.get("_format_version")) != FORMAT:
        raise Refused(f"this is no file of decK with _format_version {FORMAT!r}")
    known = {"_format_version", "_info", "_transform", *TOP}
    if strange := sorted(set(data) - known):
        raise Refused(f"the file has {strange[0]!r}, which gatecast does not write: restore it with decK")
    return [one for kind in TOP for row in data.get(kind) or () for one in _read(kind, row, {})]


def _read(kind: str, row: Any, above: Mapping[str, Entity]) -> Iterator[tuple[str, Entity]]:
    if not isinstance(row, Mapping) or "id" not in row:
        raise Refused(f"{kind}: an entity without id: it was not written by gatecast")
    below = BELOW.get(kind, ())
    lists = {other for other, _field in below}
    foreign = KINDS[kind].foreign
    fields = {name: {"id": one} if name in foreign else one for name, one in row.items() if name not in lists}
    yield kind, {**fields, **above}
    for other, field in below:
        for one in row.get(other) or ():
            yield from _read(other, one, {field: {"id": row["id"]}})
