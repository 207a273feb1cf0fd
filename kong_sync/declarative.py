"""The whole desired state as one text for `POST /config` of a Kong without a database. Pure, deterministic.

    found = problems(desired); if not any(one.severity == "error" ...): await kong.load(text(desired))

It is effective as a whole and at once, so there is no plan, no order and no wait (`research/kong-mapping.md` C5). The
entities are those of the database mode, flat, with our ids. What cannot be done there: change one tenant without
sending all; keep what others configured (the text is all that Kong has); count limits over several nodes in Kong's
database.
"""

import json
from collections.abc import Iterator
from typing import Any

from kong_sync.adoption import Match, faults
from kong_sync.answers import CODE
from kong_sync.entities import KINDS, Entity, Kind, label, tenant
from kong_sync.states import EMPTY, State
from tenants.errors import Problem

FORMAT = "3.0"
MANY = 5000
"""Entities up to which a push takes less than a second; at 20,000 requests wait for 1.7 s while Kong loads them."""
LARGE = 10 << 20
"""Bytes: what Kong's nginx takes if nobody raised `nginx_admin_client_max_body_size`."""


def document(desired: State) -> dict[str, Any]:
    """The configuration as JSON: kinds in the order of creation, entities by id."""
    rows: dict[str, list[Entity]] = {}
    for kind, id_ in sorted(desired.rows):
        rows.setdefault(kind, []).append(_written(KINDS[kind], desired.rows[kind, id_]))
    return {"_format_version": FORMAT, "_transform": False, **{kind: rows[kind] for kind in KINDS if kind in rows}}


def text(desired: State) -> str:
    """The same for the same state, so that Kong's `check_hash` finds it."""
    return json.dumps(document(desired), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _written(kind: Kind, entity: Entity) -> Entity:
    """There a reference is the id alone."""
    return {name: one["id"] if name in kind.foreign and one else one for name, one in entity.items()}


def problems(desired: State, size: int = 0) -> Iterator[Problem]:
    """What Kong would refuse, in its own way: a reference to nothing is answered with 500. `size`: of the text."""
    yield from (problem for _key, problem in faults(desired, Match(desired, EMPTY), EMPTY, desired.rows))
    for (kind, _id), entity in sorted(desired.rows.items(), key=lambda one: one[0]):
        if kind == "plugins" and (entity.get("config") or {}).get("policy") == "cluster":
            name, said = label(KINDS[kind], entity), "counts in Kong's database, and this Kong has none"
            hint = "use local or redis"
            yield Problem(CODE, kind, name, "config.policy", said, hint, tenant=tenant(entity))
    if len(desired) > MANY:
        yield _warning(f"{len(desired)} entities; above {MANY} a push takes seconds and requests wait meanwhile")
    if size > LARGE:
        yield _warning(f"{size} bytes; Kong answers 413 unless nginx_admin_client_max_body_size is raised")


def _warning(said: str) -> Problem:
    return Problem(CODE, "kong", "", "", said, "use Kong with a database", severity="warning")
