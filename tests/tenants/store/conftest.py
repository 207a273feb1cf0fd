"""A test that asks for `url` or `store` runs on both engines: a SQLite file, and a database of a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from postgres import database, server_url
from stores import QUICK, Clock

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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[Store]:
    """An empty store."""
    async with await Store.open(url, clock=clock, pace=QUICK) as store:
        yield store


@pytest.fixture
async def other(store: Store, url: str, clock: Clock) -> AsyncIterator[Store]:
    """The same store, opened by somebody else."""
    async with await Store.open(url, clock=clock, pace=QUICK) as other:
        yield other
