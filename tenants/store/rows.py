"""The statements of the store: what it asks and writes. `tenants.store.store` calls them inside its transactions.

Numbers of statements do not depend on the size of the store, and only for sets of more than a thousand documents on the
size of the set.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.documents import Key
from tenants.store.chain import Head
from tenants.store.errors import NotOurs
from tenants.store.planning import Held
from tenants.store.revisions import Change, Pin, Revision, Stored
from tenants.store.schema import changes, documents, heads, pins, revisions

CHANNEL = "gatecast_revision"
AT_ONCE = 1000  # names in one statement: SQLite takes 32,766 values, PostgreSQL 65,535
_PINNED = pins.c.kind.isnot(None).label("pinned")
_CURRENT = select(documents, _PINNED).select_from(
    documents.outerjoin(pins, and_(documents.c.kind == pins.c.kind, documents.c.id == pins.c.id))
)
# Built once: building a statement costs more than running it.
_HELD = _CURRENT.where(documents.c.kind == bindparam("kind"), documents.c.id.in_(bindparam("ids", expanding=True)))
_PINS = select(pins.c.id).where(pins.c.kind == bindparam("kind"), pins.c.id.in_(bindparam("ids", expanding=True)))
_HERE = and_(documents.c.kind == bindparam("its_kind"), documents.c.id == bindparam("its_id"))
_HEADS = select(heads.c.revision, heads.c.audit, heads.c.audit_hash)
_LOCKED = _HEADS.with_for_update()
_ADVANCE = update(heads).values(
    revision=bindparam("revision"), audit=bindparam("audit"), audit_hash=bindparam("audit_hash")
)
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


async def head(connection: AsyncConnection, *, lock: bool = False) -> tuple[int, Head]:
    """The newest revision and the end of the audit chain; with `lock`, nobody else writes until we are done."""
    row = (await connection.execute(_LOCKED if lock else _HEADS)).one_or_none()
    if row is None:
        raise NotOurs("the store has lost the row that says where its history ends: restore a backup")
    return row.revision, Head(row.audit, row.audit_hash)


async def newest(connection: AsyncConnection) -> int:
    """The newest revision."""
    return int((await connection.execute(select(heads.c.revision))).scalar_one())


async def oldest(connection: AsyncConnection) -> int:
    """The oldest revision that is kept; 1 in a new store."""
    return int((await connection.execute(select(func.min(revisions.c.number)))).scalar_one() or 1)


async def held(connection: AsyncConnection, revision: int, keys: Iterable[Key]) -> Held:
    """What is there under these names."""
    found: dict[Key, Stored] = {}
    pinned: set[Key] = set()
    for kind, some in _parts(keys):
        asked = {"kind": kind, "ids": some}
        rows = await connection.execute(_HELD, asked)
        found |= {stored.key: stored for stored in map(_stored, rows)}
        pinned |= {Key(kind, row.id) for row in await connection.execute(_PINS, asked)}
    return Held(revision, found, frozenset(pinned))


async def current(connection: AsyncConnection) -> tuple[Stored, ...]:
    """Every document, by name."""
    return tuple(sorted(map(_stored, await connection.execute(_CURRENT)), key=lambda stored: stored.key))


async def since(connection: AsyncConnection, number: int) -> tuple[tuple[Stored, ...], tuple[Key, ...]]:
    """Documents that a later revision touched, as they are now, and the names of those that are gone; by name."""
    rows = await connection.execute(_CURRENT.where(documents.c.revision > number))
    put = tuple(sorted(map(_stored, rows), key=lambda stored: stored.key))
    touched = select(changes.c.kind, changes.c.id).where(changes.c.revision > number).distinct()
    names = {Key(*row) for row in await connection.execute(touched)}
    return put, tuple(sorted(names - {stored.key for stored in put}))


async def page(
    connection: AsyncConnection, kind: str, organisation: str, part: str, after: Key | None, limit: int
) -> tuple[Stored, ...]:
    """Some documents by name, of a kind, of an organisation, whose id contains `part`; "" asks for nothing."""
    asked = _CURRENT.order_by(documents.c.kind, documents.c.id).limit(limit)
    asked = asked.where(documents.c.kind == kind) if kind else asked
    asked = asked.where(documents.c.organisation == organisation) if organisation else asked
    asked = asked.where(documents.c.id.contains(part, autoescape=True)) if part else asked
    if after:
        asked = asked.where(tuple_(documents.c.kind, documents.c.id) > tuple_(*after))
    return tuple(map(_stored, await connection.execute(asked)))


async def between(connection: AsyncConnection, after: int, until: int) -> tuple[Change, ...]:
    """What each document touched by revisions `after` + 1 to `until` was before the first, and is after the last."""
    first, last = changes.alias("first"), changes.alias("last")
    asked = select(changes.c.kind, changes.c.id, func.min(changes.c.revision), func.max(changes.c.revision))
    span = (
        asked.where(changes.c.revision > after, changes.c.revision <= until)
        .group_by(changes.c.kind, changes.c.id)
        .subquery("span")
    )
    kind, name, low, high = span.c
    rows = await connection.execute(
        select(kind, name, *_images(first, "before"), first.c.before_revision, *_images(last, "after"), high)
        .join(first, and_(first.c.revision == low, first.c.kind == kind, first.c.id == name))
        .join(last, and_(last.c.revision == high, last.c.kind == kind, last.c.id == name))
    )
    return tuple(sorted(map(_change, rows), key=lambda change: change.key))


async def kept(connection: AsyncConnection, after: int, until: int) -> list[tuple[Revision, tuple[Change, ...]]]:
    """Each kept revision from `after` + 1 to `until` with its changes, by number and name."""
    made = await connection.execute(
        select(revisions).where(revisions.c.number > after, revisions.c.number <= until).order_by(revisions.c.number)
    )
    row = (*_images(changes, "before"), changes.c.before_revision, *_images(changes, "after"), changes.c.revision)
    asked = select(changes.c.kind, changes.c.id, *row).where(changes.c.revision > after, changes.c.revision <= until)
    done = await connection.execute(asked.order_by(changes.c.revision, changes.c.kind, changes.c.id))
    of = {number: tuple(map(_change, group)) for number, group in groupby(done, key=lambda row: row.revision)}
    return [(Revision(*row), of.get(row.number, ())) for row in made]


async def history(
    connection: AsyncConnection, before: int | None, limit: int, key: Key | None, author: str
) -> tuple[Revision, ...]:
    """Revisions, newest first, that touched the document `key`, if one is asked for."""
    asked: Select[Any] = select(revisions).order_by(revisions.c.number.desc()).limit(limit)
    asked = asked.where(revisions.c.number < before) if before is not None else asked
    asked = asked.where(revisions.c.author == author) if author else asked
    if key:
        touched = select(changes.c.revision).where(changes.c.kind == key.kind, changes.c.id == key.id)
        asked = asked.where(revisions.c.number.in_(touched))
    return tuple(Revision(*row) for row in await connection.execute(asked))


async def pinned(connection: AsyncConnection) -> tuple[Pin, ...]:
    """Every pin, by name."""
    rows = await connection.execute(select(pins).order_by(pins.c.kind, pins.c.id))
    return tuple(Pin(Key(row.kind, row.id), row.revision, row.at, row.author, row.reason) for row in rows)


async def unpin(connection: AsyncConnection, keys: Iterable[Key]) -> int:
    """Remove these pins; how many there were."""
    count = 0
    for kind, some in _parts(keys):
        count += (await connection.execute(delete(pins).where(pins.c.kind == kind, pins.c.id.in_(some)))).rowcount
    return count


async def write(connection: AsyncConnection, made: Revision, done: Sequence[Change], pin: Sequence[Key]) -> None:
    """A revision, its changes, the documents as they are now, and new pins."""
    await connection.execute(insert(revisions), _columns(made))
    await connection.execute(insert(changes), [_change_row(made.number, change) for change in done])
    new = [_document_row(change.after) for change in done if change.after and not change.before]
    changed = [_document_row(change.after) for change in done if change.after and change.before]
    gone = [{"its_kind": change.key.kind, "its_id": change.key.id} for change in done if not change.after]
    if new:
        await connection.execute(insert(documents), new)
    if changed:
        rows = [{"its_kind": row.pop("kind"), "its_id": row.pop("id"), **row} for row in changed]
        await connection.execute(update(documents).where(_HERE), rows)
    if gone:
        await connection.execute(delete(documents).where(_HERE), gone)
    if pin:
        await unpin(connection, pin)  # a pin says why it was set last
        why = {"revision": made.number, "at": made.at, "author": made.author, "reason": made.reason}
        await connection.execute(insert(pins), [{**key._asdict(), **why} for key in pin])


async def advance(connection: AsyncConnection, number: int, end: Head) -> None:
    """Move the heads to this revision and this end of the audit chain."""
    await connection.execute(_ADVANCE, {"revision": number, "audit": end.seq, "audit_hash": end.hash})


async def notify(connection: AsyncConnection, number: int, kinds: Iterable[str]) -> None:
    """Tell other processes, when this transaction is through, which revision there is and what kinds it touched."""
    payload = f"{number} {','.join(sorted(kinds))}"
    await connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def forget(connection: AsyncConnection, below: int) -> int:
    """Remove the revisions before this one; how many there were."""
    await connection.execute(delete(changes).where(changes.c.revision < below))
    return (await connection.execute(delete(revisions).where(revisions.c.number < below))).rowcount


async def oldest_between(connection: AsyncConnection, since: str, until: str) -> int | None:
    """The lowest number among the revisions of this time."""
    asked = select(func.min(revisions.c.number)).where(revisions.c.at > since, revisions.c.at <= until)
    found: int | None = (await connection.execute(asked)).scalar_one()
    return found


def _parts(keys: Iterable[Key]) -> Iterator[tuple[str, list[str]]]:
    for kind, group in groupby(sorted(keys), key=lambda key: key.kind):
        names = [key.id for key in group]
        for start in range(0, len(names), AT_ONCE):
            yield kind, names[start : start + AT_ONCE]


def _images(table: FromClause, side: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return table.c[f"{side}_text"], table.c[f"{side}_source"]


def _stored(row: Row[Any]) -> Stored:
    return Stored(Key(row.kind, row.id), row.text, row.source, row.revision, bool(row.pinned))


def _change(row: tuple[Any, ...]) -> Change:
    kind, name, before_text, before_source, before_revision, after_text, after_source, last = row
    key = Key(kind, name)
    before = None if before_text is None else Stored(key, before_text, before_source, before_revision)
    after = None if after_text is None else Stored(key, after_text, after_source, last)
    return Change(key, before, after)


def _change_row(number: int, change: Change) -> dict[str, Any]:
    before, after = change.before, change.after
    return {
        "revision": number,
        "kind": change.key.kind,
        "id": change.key.id,
        "before_text": before and before.text,
        "before_source": before and before.source,
        "before_revision": before and before.revision,
        "after_text": after and after.text,
        "after_source": after and after.source,
    }


def _document_row(stored: Stored) -> dict[str, Any]:
    organisation = stored.body.get("organisation") if stored.key.kind == "Tenant" else None
    return {
        "kind": stored.key.kind,
        "id": stored.key.id,
        "organisation": organisation if isinstance(organisation, str) else None,
        "text": stored.text,
        "source": stored.source,
        "revision": stored.revision,
    }


def _columns(made: Revision) -> dict[str, Any]:
    return {column.name: getattr(made, column.name) for column in revisions.c}
