"""One Envoy for each module of policy tests: tests use tenants of their own, so none sees another's settings."""

from collections.abc import AsyncIterator

import edges
import pytest
import pytest_asyncio


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[edges.Edge]:
    """A gateway that finds the tenant by the header x-tenant-id."""
    async with edges.edge(tmp_path_factory.mktemp("envoy")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[edges.Edge]:
    """A gateway that finds the tenant by the host."""
    async with edges.edge(tmp_path_factory.mktemp("envoy"), by="host") as made:
        yield made
