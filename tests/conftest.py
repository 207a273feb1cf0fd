"""For every test: our own logs go nowhere, unless the test captures or configures them itself."""

from collections.abc import MutableMapping
from typing import Any, NoReturn

import pytest
import structlog


def _drop(_logger: Any, _name: str, _event: MutableMapping[str, Any]) -> NoReturn:
    raise structlog.DropEvent


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.reset_defaults()
    structlog.configure(processors=[_drop])
