"""Backups: a copy holds the same documents, revisions and chain, goes back into either engine; half a copy is none."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import database
from stores import DANA, FILE, QUICK, contents, drop, put, versions

from tenants.errors import Refused
from tenants.store import Keep, NotOurs, Once, Store, Write, backup, put_back


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database to bring a copy back to."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/target.db"
        return
    with database(request.getfixturevalue("postgres_url")) as url:
        yield url


async def fill(store: Store) -> str:
    """Something in every table; the text of a token."""
    await versions(store, count=3)
    await store.commit([put(f"t{n}", text=f'ü\0"{n}') for n in range(1500)], FILE)
    await store.commit([drop("t1")], DANA, force=True)
    await store.restore(2, DANA, once=Once("a", "b", "c"))
    await store.prune(Keep(count=4), DANA)
    _token, shown = await store.tokens.create("ci", "admin", DANA)
    return shown


async def everything(store: Store) -> list[object]:
    """What a copy must have, too."""
    return [
        contents(await store.current()),
        await store.revisions(limit=500),
        [await store.changes(one.number) for one in await store.revisions()],
        await store.pins(),
        [line async for line in store.audit.export()],
        await store.tokens.all(),
    ]


async def test_a_copy_that_was_put_back_is_the_same_store(store: Store, url: str, target: str, tmp_path: Path) -> None:
    shown = await fill(store)
    before = await everything(store)
    head = await backup(url, tmp_path / "copy")
    await store.commit([put("later")], DANA)  # after the copy: not in it

    verdict = await put_back(tmp_path / "copy", target)

    assert (verdict.problems, verdict.head) == ((), head)
    async with await Store.open(target, pace=QUICK) as copy:
        assert await everything(copy) == before
        assert await copy.tokens.verify(shown)
        assert (await copy.commit([], DANA, once=Once("a", "b", "c"))).replayed
        assert (await copy.restore(3, DANA)).made
        assert (await copy.audit.verify(head)).problems == ()


async def test_a_copy_of_an_archive_put_back_is_the_same_archive(store: Store, target: str, tmp_path: Path) -> None:
    await fill(store)
    await backup(store.database.url.render_as_string(hide_password=False), tmp_path / "one")
    await put_back(tmp_path / "one", target)
    await backup(target, tmp_path / "two")
    first, second = ((tmp_path / name).read_bytes() for name in ("one", "two"))
    if first.startswith(b"{") and second.startswith(b"{"):
        assert sorted(first.splitlines()[:-1]) == sorted(second.splitlines()[:-1])


async def test_a_copy_made_while_others_write_is_one_state(store: Store, url: str, target: str, tmp_path: Path) -> None:
    await store.commit([put(f"t{n}", n=0) for n in range(2000)], DANA)
    stop = asyncio.Event()

    async def keep_writing() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await store.commit([put("first", n=n), put("zlast", n=n)], DANA)

    writer = asyncio.create_task(keep_writing())
    await backup(url, tmp_path / "copy")
    stop.set()
    await writer
    assert (await put_back(tmp_path / "copy", target)).problems == ()
    async with await Store.open(target) as copy:
        found = {one.key.id: one.body.get("n") for one in (await copy.current()).documents}
    assert found.get("first") == found.get("zlast")


async def test_a_copy_is_readable_by_its_owner_alone_and_overwrites_nothing(
    store: Store, url: str, tmp_path: Path
) -> None:
    path = tmp_path / "copy"
    await backup(url, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.database.postgres or path.read_bytes()[18:20] == b"\1\1"  # SQLite without a log beside it
    with pytest.raises(Refused, match="is there already"):
        await backup(url, path)
    with pytest.raises(Refused, match="cannot be written: no such file or directory"):
        await backup(url, tmp_path / "no" / "copy")
    assert sorted(one.name for one in tmp_path.iterdir() if "copy" in one.name) == ["copy"]


async def test_a_copy_goes_back_into_an_empty_database_alone(store: Store, url: str, tmp_path: Path) -> None:
    await store.commit([put(n=1)], DANA)
    await backup(url, tmp_path / "copy")
    before = contents(await store.current())
    with pytest.raises(Refused, match="not empty"):
        await put_back(tmp_path / "copy", url)
    assert contents(await store.current()) == before


async def test_a_database_that_was_only_migrated_is_empty(store: Store, url: str, target: str, tmp_path: Path) -> None:
    await store.commit([put(n=1)], DANA)
    await backup(url, tmp_path / "copy")
    await (await Store.open(target)).close()
    assert (await put_back(tmp_path / "copy", target)).entries == 1


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("damage", ["cut", "edited", "half a line", "no end"])
async def test_half_an_archive_is_refused_and_leaves_the_database_empty(
    store: Store, url: str, target: str, tmp_path: Path, damage: str
) -> None:
    await fill(store)
    path = tmp_path / "copy"
    await backup(url, path)
    lines = path.read_text().splitlines(keepends=True)
    damaged = {
        "cut": [*lines[:100], lines[-1]],
        "edited": [line.replace("because", "becauze") for line in lines],
        "half a line": [*lines[:50], lines[50][:20]],
        "no end": lines[:-1],
    }[damage]
    path.write_text("".join(damaged))
    with pytest.raises(Refused, match="whole"):
        await put_back(path, target)
    async with await Store.open(target) as empty:
        assert await empty.revision() == 0
        assert (await empty.current()).documents == ()


@pytest.mark.parametrize("content", [b"", b"{}", b"kind: Tenant\n", b"SQLite format 3\0" + b"x" * 5000, b"\xff\xfe"])
async def test_another_file_is_no_backup(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "copy"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"no (whole )?backup of gatecast"):
        await put_back(path, f"{tmp_path}/target.db")
    with pytest.raises(Refused, match="cannot be read: no such file"):
        await put_back(tmp_path / "none", f"{tmp_path}/target.db")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_backup_of_a_newer_gatecast_is_refused(store: Store, url: str, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    await backup(url, path)
    header, rest = path.read_text().split("\n", 1)
    path.write_text(json.dumps({**json.loads(header), "schema": "0099"}) + "\n" + rest)
    with pytest.raises(NotOurs, match="newer gatecast"):
        await put_back(path, f"{tmp_path}/target.db")


async def test_there_must_be_something_to_copy(tmp_path: Path) -> None:
    with pytest.raises(NotOurs, match="no such file"):
        await backup(f"{tmp_path}/new.db", tmp_path / "copy")
    (tmp_path / "empty.db").touch()
    with pytest.raises(NotOurs, match="nothing to copy"):
        await backup(f"{tmp_path}/empty.db", tmp_path / "copy")
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("empty")] == ["empty.db"]


async def test_progress_is_told_in_rows(store: Store, url: str, target: str, tmp_path: Path) -> None:
    await store.commit([Write.put({"kind": "Tenant", "id": f"t{n}"}) for n in range(1200)], DANA)
    await backup(url, tmp_path / "copy")
    seen: list[int] = []
    await put_back(tmp_path / "copy", target, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 2400 + 3  # documents and changes; a revision, an audit entry, the heads
