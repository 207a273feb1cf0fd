"""The rows of a store outside a database: our archive (lines of JSON), and the reading of a SQLite file.

An archive is a header, rows, and a last line with their number and hash: half an archive is told from a whole one.
"""

import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tenants.errors import Refused
from tenants.store.chain import Head
from tenants.store.revisions import canonical
from tenants.store.schema import metadata

FORMAT: Final = "gatecast-backup/1"
TOGETHER: Final = 1000

Part = tuple[str, list[dict[str, Any]]]
"""Some rows of one table."""


async def lines(
    connection: AsyncConnection, tables: Iterable[Table], schema: str, end: Head
) -> AsyncIterator[tuple[str, int]]:
    """The archive of what the connection sees, in portions of text, each with the number of rows so far."""
    count, hashed = 0, hashlib.sha256()
    yield canonical({"format": FORMAT, "schema": schema, "audit": end.seq, "audit_hash": end.hash}) + "\n", 0
    for table in tables:
        result = await connection.stream(select(table))
        async for some in result.mappings().partitions(TOGETHER):
            text = "".join(canonical([table.name, dict(row)]) + "\n" for row in some)
            hashed.update(text.encode())
            count += len(some)
            yield text, count
    yield canonical({"rows": count, "sha256": hashed.hexdigest()}) + "\n", count


def in_order(names: Iterable[str]) -> list[str]:
    """Names of tables so that what others refer to comes first, without alembic's. An older schema may have others."""
    known = [table.name for table in metadata.sorted_tables]
    return sorted(set(names) - {"alembic_version"}, key=lambda name: (known.index(name) if name in known else -1, name))


def read_archive(path: Path) -> tuple[str, Iterator[Part]]:
    """The schema's version, and the rows. They end with `Refused` if the archive does not end as it should."""
    with path.open(encoding="utf-8", errors="replace") as file:
        header = _json(file.readline(), path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise Refused(f"{path} is no backup of gatecast")
    return str(header["schema"]), _rows(path)


def _rows(path: Path) -> Iterator[Part]:
    table, some, count, hashed = "", list[dict[str, Any]](), 0, hashlib.sha256()
    with path.open(encoding="utf-8", errors="replace") as file:
        file.readline()
        for line in file:
            found = _json(line, path)
            if isinstance(found, dict):
                if some:
                    yield table, some
                if (found.get("rows"), found.get("sha256")) != (count, hashed.hexdigest()):
                    break
                return
            hashed.update(line.encode())
            if found[0] != table or len(some) == TOGETHER:
                if some:
                    yield table, some
                table, some = found[0], []
            some.append(found[1])
            count += 1
    raise Refused(f"{path} is not whole: its end is missing, or it was edited; take another backup")


def _json(line: str, path: Path) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise Refused(f"{path} is no whole backup of gatecast") from None


def read_sqlite(path: Path) -> tuple[str, Iterator[Part]]:
    """The same of a SQLite file, which is only read."""
    try:
        with closing(_open(path)) as connection:
            (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError):
        raise Refused(f"{path} is no backup of gatecast, or it is damaged") from None
    return str(found), _sqlite_rows(path)


def _sqlite_rows(path: Path) -> Iterator[Part]:
    try:
        with closing(_open(path)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for table in in_order(name for (name,) in found):
                cursor = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - names of our own tables
                names = [column[0] for column in cursor.description]
                while some := cursor.fetchmany(TOGETHER):
                    yield table, [dict(zip(names, row, strict=True)) for row in some]
    except sqlite3.Error as error:
        raise Refused(f"{path} is damaged: {error}; take another backup") from None


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
