"""A Kong for each test: the double, or a real one where KONG_ADMIN_URL (and KONG_PROXY_URL) say where it is.

What a test of the Admin client leaves in a real Kong under `TAG` is deleted after it; nothing else is touched.
"""

import os
from collections.abc import AsyncIterator

import kong_gates
import pytest

from kong_double.double import Double
from kong_sync.admin import Access, Admin, connected
from kong_sync.entities import KINDS

TAG = "gatecast-test"


@pytest.fixture
async def gate() -> AsyncIterator[kong_gates.Gate]:
    """A Kong that answers requests, for tests of traffic."""
    async with kong_gates.gate() as found:
        yield found


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    """A client of a Kong with a database."""
    url = os.environ.get("KONG_ADMIN_URL", "")
    if not url:
        async with Double().serving() as double, connected(Access(double.admin_url)) as made:
            yield made
        return
    async with connected(Access(url)) as made:
        await _sweep(made)
        yield made
        await _sweep(made)


async def _sweep(admin: Admin) -> None:
    for kind in reversed(list(KINDS.values())):
        for row in [] if kind.nested else await admin.rows(kind, tags=(TAG,)):
            await admin.delete(kind, row["id"])
