"""A Kong for each test of traffic: the double, or a real one (`kong_gates`)."""

from collections.abc import AsyncIterator

import kong_gates
import pytest


@pytest.fixture
async def gate() -> AsyncIterator[kong_gates.Gate]:
    async with kong_gates.gate() as found:
        yield found
