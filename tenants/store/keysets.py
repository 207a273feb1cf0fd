"""The last good key set of each issuer, kept for the next start. `Store.keysets` is one; no part of history."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, insert, select

from tenants.keysets.faults import Unfit
from tenants.keysets.holding import Known
from tenants.keysets.keys import parse
from tenants.keysets.source import Source
from tenants.store import rows
from tenants.store.engine import Database
from tenants.store.schema import keysets

FORGOTTEN = 7 * 86400
"""Seconds after which a set is not kept any more: nobody asks for its source."""


@dataclass(frozen=True, slots=True)
class KeySets:
    """Key sets by source."""

    database: Database

    async def all(self) -> dict[Source, Known]:
        """Those that can be read."""
        async with self.database.reading() as connection:
            found = (await connection.execute(select(keysets))).all()
        made = {}
        for row in found:
            try:
                made[Source(row.issuer, row.uri, bool(row.local))] = Known(parse(row.text.encode()), float(row.fetched))
            except Unfit:
                continue  # an older gatecast wrote what this one does not take: it is fetched anew
        return made

    async def keep(self, some: Mapping[Source, Known]) -> None:
        """Keep these instead of what was kept of the same sources."""
        if not some:
            return
        newest = int(max(one.fetched for one in some.values()))
        async with self.database.writing() as connection:
            await rows.head(connection, lock=True)  # another server keeps the same sets
            for source in some:
                await connection.execute(delete(keysets).where(_of(source)))
            await connection.execute(delete(keysets).where(keysets.c.fetched < newest - FORGOTTEN))
            await connection.execute(insert(keysets), [_row(source, some[source]) for source in sorted(some)])


def _of(source: Source) -> ColumnElement[bool]:
    return and_(keysets.c.issuer == source.issuer, keysets.c.uri == source.uri, keysets.c.local == int(source.local))


def _row(source: Source, one: Known) -> dict[str, object]:
    where = {"issuer": source.issuer, "uri": source.uri, "local": int(source.local)}
    return {**where, "text": one.keys.text, "fetched": int(one.fetched)}
