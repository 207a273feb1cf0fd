"""A test that asks for `url` or `store` runs on both engines: a SQLite file, and a database of a real PostgreSQL."""

from collections.abc import AsyncIterator

import pytest
from engines import postgres_url, template, url
from stores import QUICK, Clock

from tenants.store import Store

__all__ = ["postgres_url", "template", "url"]


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
