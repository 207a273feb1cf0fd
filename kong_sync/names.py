"""Names, ids and tags of our entities: the same in every process, none of them Kong's choice. Called by translation.

An id says what an entity is for, not what it contains, so a changed setting is a change in place: counters and
whatever else hangs on an id stay.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kong_sync.entities import Entity

OURS = "gatecast"
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "gatecast/kong")


@dataclass(frozen=True, slots=True)
class Made:
    """One entity as it should be. All fields we care about are stated, also those that are as Kong would have them."""

    kind: str
    entity: Entity

    @property
    def key(self) -> tuple[str, str]:
        """(kind, id)."""
        return self.kind, self.entity["id"]


def identity(gateway: str, kind: str, *parts: str) -> str:
    """The id of an entity by what it is for."""
    return str(uuid.uuid5(_SPACE, "/".join((gateway, kind, *parts))))


@lru_cache(maxsize=4096)
def ref(gateway: str, kind: str, *parts: str) -> Mapping[str, str]:
    """A reference to another entity of ours."""
    return {"id": identity(gateway, kind, *parts)}


def space() -> bytes:
    """What `identity` is a uuid5 in, for whoever else makes ids: of the text `gateway/kind/part`."""
    return _SPACE.bytes


def name(gateway: str, *parts: str) -> str:
    """A name that nobody else uses: `gatecast.edge.orders.1f0c9b2e`."""
    return ".".join((OURS, gateway, *parts))


def tags(gateway: str, *more: str) -> list[str]:
    """Those by which we know what is ours; `more`: `tenant:acme`, or `class:1f0c9b2e`."""
    return [OURS, _of(gateway), *more]


@lru_cache(maxsize=64)
def _of(gateway: str) -> str:
    """One text for all entities."""
    return f"gateway:{gateway}"


def digest(value: Any, length: int = 12) -> str:
    """A name for a content of plain JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def plugin(gateway: str, plugin_name: str, config: Entity, where: Mapping[str, Entity], said: str, tag: str) -> Made:
    """A row of a plugin. `where`: its scope, none of route, service and consumer for a global one; `said` names it."""
    scope = {"route": None, "service": None, "consumer": None} | dict(where)
    row = {
        "id": identity(gateway, "plugins", said, plugin_name),
        "name": plugin_name,
        "instance_name": name(gateway, said, plugin_name),
        **scope,
        "config": config,
        "enabled": True,
        "tags": tags(gateway, *((tag,) if tag else ())),
    }
    return Made("plugins", row)
