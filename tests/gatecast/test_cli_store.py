"""`gatecast db`, and `gatecast token` without a server: the store itself, on both engines."""

import asyncio
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stores import DANA, contents, put

from tenants.store import Documents, Store
from tenants.store.schema import VERSION

Run = Callable[..., Any]


def filled(url: str) -> Documents:
    """A store with two revisions; what is in it."""

    async def fill() -> Documents:
        async with await Store.open(url) as store:
            await store.commit([put("acme", n=1), put("beta")], DANA)
            await store.commit([put("acme", n=2)], DANA)
            return await store.current()

    return asyncio.run(fill())


def held(url: str) -> Documents:
    async def read() -> Documents:
        async with await Store.open(url, migrate=False) as store:
            return await store.current()

    return asyncio.run(read())


def test_a_store_is_made_and_is_made_once(tmp_path: Path, gatecast: Run) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    assert gatecast("db", "migrate", "--store", url).out == f"the store went from nothing to schema {VERSION}\n"
    assert gatecast("db", "migrate", "--store", url).out == f"the store is at schema {VERSION}\n"
    assert json.loads(gatecast("db", "migrate", "--store", url, "-o", "json").out) == {"from": VERSION, "to": VERSION}
    assert gatecast("db", "migrate", "--store", url, "--to", "9999").code == 1


def test_a_store_goes_down_to_nothing_only_for_who_says_so(url: str, gatecast: Run) -> None:
    filled(url)
    ran = gatecast("db", "migrate", "--store", url, "--to", "base", "--yes")
    assert (ran.code, ran.out) == (0, f"the store went from schema {VERSION} to nothing\n")
    assert json.loads(gatecast("db", "migrate", "--store", url, "-o", "json").out)["from"] == ""


@pytest.mark.parametrize("schema", ["0000", "1", "0099", "nix"])
def test_a_schema_that_is_none_is_told_the_ones_there_are(schema: str, url: str, gatecast: Run) -> None:
    filled(url)
    ran = gatecast("db", "migrate", "--store", url, "--to", schema, "--yes")
    assert (ran.code, f"which are: base, 0001, {VERSION}" in ran.err) == (1, True)


def test_a_store_of_a_newer_gatecast_is_not_taken_down(tmp_path: Path, gatecast: Run) -> None:
    filled(f"sqlite:///{tmp_path}/newer.db")
    with closing(sqlite3.connect(tmp_path / "newer.db")) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '0099'")
        opened.commit()
    for schema in ("base", "0001", VERSION):
        ran = gatecast("db", "migrate", "--store", f"{tmp_path}/newer.db", "--to", schema, "--yes")
        assert (ran.code, "newer gatecast" in ran.err) == (1, True)


def test_a_backup_goes_back_into_an_empty_store(url: str, tmp_path: Path, gatecast: Run) -> None:
    before = filled(url)
    file, other = tmp_path / "copy", f"sqlite:///{tmp_path}/other.db"
    ran = gatecast("db", "backup", str(file), "--store", url, "-o", "json")
    head = json.loads(ran.out)["audit"]
    assert (ran.code, head["seq"], stat.S_IMODE(file.stat().st_mode)) == (0, 2, 0o600)
    again = gatecast("db", "backup", str(file), "--store", url)
    assert (again.code, "is there already" in again.err) == (1, True)
    ran = gatecast("db", "restore", str(file), "--store", other)
    assert (ran.code, ran.out) == (0, "the audit is whole: 2 entries\n")
    assert contents(held(other)) == contents(before)
    full = gatecast("db", "restore", str(file), "--store", other, "-o", "json")
    assert (full.code, json.loads(full.out)["error"]["code"]) == (1, "error")
    assert "not empty" in full.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("db", "backup", "x"), 2),
        (("db", "backup", "x", "--store", "/nowhere/gatecast.db"), 1),
        (("db", "migrate", "--store", "mysql://a/b"), 1),
        (("db", "migrate", "--store", "postgresql://127.0.0.1:9/x?connect_timeout=1"), 7),
        (("token", "list", "--store", "/nowhere/gatecast.db"), 1),
    ],
)
def test_a_store_that_is_none_is_told_so(
    arguments: tuple[str, ...], code: int, tmp_path: Path, gatecast: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = gatecast(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ("defect" in ran.err, list(tmp_path.iterdir())) == (False, [])


def test_a_token_in_the_url_of_a_store_is_not_repeated(gatecast: Run) -> None:
    ran = gatecast("db", "migrate", "--store", "postgresql://dana:geheim@127.0.0.1:9/x?connect_timeout=1")
    assert (ran.code, "geheim" in ran.err) == (7, False)


def test_the_first_token_is_made_where_the_store_is(url: str, gatecast: Run) -> None:
    filled(url)
    ran = gatecast("token", "create", "dana", "--role", "admin", "--expires", "2d", "--store", url)
    (text,) = ran.out.splitlines()
    name = text.split("_")[1]
    assert (ran.code, text.startswith("gatecast_")) == (0, True)
    assert ran.err.startswith(f"token {name} for dana, admin, good until 2")

    async def verified() -> Any:
        async with await Store.open(url, migrate=False) as store:
            return await store.tokens.verify(text)

    assert asyncio.run(verified()).role == "admin"
    listed = gatecast("token", "list", "--store", url).out.splitlines()
    assert listed[1].split()[:4] == [name, "dana", "admin", "good"]
    assert "secret" not in gatecast("token", "list", "--store", url, "-o", "json").out
    assert gatecast("token", "revoke", name, "--store", url).out.startswith(f"token {name} of dana is revoked since ")
    assert asyncio.run(verified()) is None
    assert gatecast("token", "revoke", "nix", "--store", url).code == 4


def test_a_store_that_needs_a_newer_schema_is_not_touched_by_reading_tokens(tmp_path: Path, gatecast: Run) -> None:
    (tmp_path / "empty.db").touch()
    ran = gatecast("token", "list", "--store", f"sqlite:///{tmp_path}/empty.db")
    assert (ran.code, "gatecast db migrate" in ran.err) == (1, True)
