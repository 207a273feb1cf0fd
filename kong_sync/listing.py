"""What the sidecar reads of a Kong with a database: its schemas, and all that carries our tags. Called by `database`.

A listing is made at the start, at each reconciliation and after an outage; a tenant's change needs none.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from kong_sync.admin import Admin
from kong_sync.answers import Missing
from kong_sync.entities import KINDS, Entity, Kind
from kong_sync.forms import Schemas
from kong_sync.lease import HELD
from kong_sync.mirror import Mirror
from kong_sync.names import OURS
from kong_sync.probe import LIVE
from kong_sync.states import Key

Listings: TypeAlias = dict[str, list[Entity]]
"""By kind, as Kong tells it."""


class Book:
    """The schemas of one Kong. It grows when a plugin comes up that nobody asked about before."""

    def __init__(self, kong: Admin) -> None:
        self.schemas = Schemas()
        self._kong = kong
        self._kinds: Mapping[str, Entity] = {}
        self._plugins: dict[str, Entity] = {}

    async def open(self) -> None:
        """Read what Kong says of each kind, again too: it may be another version now."""
        found = await asyncio.gather(*(self._kong.schema(kind) for kind in KINDS.values()))
        self._kinds, self._plugins = dict(zip(KINDS, found, strict=True)), {}
        self.schemas = Schemas.read(self._kinds, self._plugins)

    async def know(self, rows: Iterable[tuple[str, Entity]]) -> Schemas:
        """The schemas, with those of all plugins among these (kind, entity)."""
        new = sorted({row["name"] for kind, row in rows if kind == "plugins"} - self._plugins.keys())
        if new:
            found = await asyncio.gather(*map(self._plugin, new))
            self._plugins.update(zip(new, found, strict=True))
            self.schemas = Schemas.read(self._kinds, self._plugins)
        return self.schemas

    async def _plugin(self, name: str) -> Entity:
        """A plugin that this Kong does not have has no fields: Kong will say so when it is written."""
        try:
            return await self._kong.plugin_schema(name)
        except Missing:
            return {}


def ours(gateway: str) -> tuple[str, str]:
    """The tags of all that is ours on this gateway."""
    return OURS, f"gateway:{gateway}"


async def mirrored(kong: Admin, book: Book, gateway: str) -> tuple[Mirror, Listings]:
    """What this Kong holds of ours, without what is the sidecar's own; and as Kong told it, with its stamps."""
    listings = await listed(kong, gateway)
    schemas = await book.know((name, row) for name, rows in listings.items() for row in rows)
    return Mirror.read(listings, schemas, ours(gateway)), listings


def stamps(listings: Listings, keys: Iterable[Key]) -> dict[Key, int]:
    """When Kong says that each of these was written last, in seconds since the epoch."""
    wanted = set(keys)
    rows = [((kind, row["id"]), row) for kind, found in listings.items() for row in found] if wanted else []
    return {key: int(row.get("updated_at") or row.get("created_at") or 0) for key, row in rows if key in wanted}


async def listed(kong: Admin, gateway: str) -> Listings:
    """All that carries our tags as Kong tells it, by kind; of nested kinds all below what is ours."""
    tags = ours(gateway)
    plain = [kind for kind in KINDS.values() if not kind.nested]
    found = await asyncio.gather(*(kong.rows(kind, tags=tags) for kind in plain))
    listings = {kind.name: [row for row in rows if _compared(row)] for kind, rows in zip(plain, found, strict=True)}
    for kind in KINDS.values():
        if kind.nested:
            above = listings[kind.foreign[kind.parent]]
            below = await asyncio.gather(*(_below(kong, kind, row["id"]) for row in above))
            listings[kind.name] = [row for rows in below for row in rows]
    return listings


async def _below(kong: Admin, kind: Kind, parent: str) -> list[Entity]:
    """None if somebody took the parent away just now."""
    try:
        return await kong.rows(kind, parent=parent)
    except Missing:
        return []


def _compared(row: Entity) -> bool:
    """Whether it is part of what settings come to: leases and the probe are not."""
    return not {HELD, LIVE} & {*(row.get("tags") or ())}
