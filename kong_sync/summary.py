"""What a plan does, for people and for JSON: counts of Created, Updated, Deleted, and each field that changes. Pure.

Called by `kong diff`, `kong sync`, the log and the report of a run. Secrets are never shown, only that they change.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kong_sync.entities import KINDS, Entity, Kind, label, tenant
from kong_sync.phases import Change, Plan

VERBS = ("created", "updated", "deleted")
HIDDEN = "***"
SECRET_WORDS = ("password", "secret", "token")
"""Fields of plugins whose names contain one of these are not shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One changed field; `path` with dots. None: not there, so as Kong would have it."""

    path: str
    before: Any
    after: Any


def counts(plan: Plan) -> dict[str, dict[str, int]]:
    """Verb -> kind -> how many, without zeros; kinds in the order of creation."""
    found = Counter((change.verb, change.kind) for change in plan.changes)
    return {verb: {kind: found[verb, kind] for kind in KINDS if found[verb, kind]} for verb in VERBS}


def totals(plan: Plan) -> dict[str, int]:
    """Verb -> how many."""
    return {verb: sum(kinds.values()) for verb, kinds in counts(plan).items()}


def name(change: Change) -> str:
    """`routes/gatecast.edge.orders`, with the tenant if it is one's own."""
    kind, entity = KINDS[change.kind], change.after or change.before or {}
    whose = f" (tenant {tenant(entity)})" if tenant(entity) else ""
    return f"{change.kind}/{label(kind, entity)}{whose}"


def fields(change: Change) -> list[Shown]:
    """Each field that changes, by path."""
    kind = KINDS[change.kind]
    before, after = (dict(_flat(kind, one or {})) for one in (change.before, change.after))
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [Shown(path, _shown(kind, path, before.get(path)), _shown(kind, path, after.get(path))) for path in paths]


def _flat(kind: Kind, value: Entity, way: str = "") -> Iterator[tuple[str, Any]]:
    for field, one in value.items():
        path = f"{way}.{field}".lstrip(".")
        if isinstance(one, Mapping) and one and path != "headers":
            yield from _flat(kind, one, path)
        else:
            yield path, one


def _shown(kind: Kind, path: str, value: Any) -> Any:
    hidden = path.partition(".")[0] in kind.secrets or secret(path.rpartition(".")[2])
    return HIDDEN if hidden and value is not None else value


def secret(name: str) -> bool:
    """Whether a field of a plugin is not shown."""
    return any(word in name for word in SECRET_WORDS)
