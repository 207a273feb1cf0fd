"""Fixtures of stores: a test that asks for `url` runs on SQLite and on a real PostgreSQL.

A conftest imports what its tests need.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import database, server_url

from tenants.store import Store


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server for all tests."""
    with server_url() as url:
        yield url


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """The name of a database with our schema, to copy."""
    with database(postgres_url) as url:
        asyncio.run(_migrated(url))
        yield url.partition("?")[0].rpartition("/")[2]


async def _migrated(url: str) -> None:
    await (await Store.open(url)).close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    template = request.getfixturevalue("template")
    with database(request.getfixturevalue("postgres_url"), template) as url:
        yield url
