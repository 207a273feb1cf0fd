"""For every test: our own logs go nowhere, unless the test captures or configures them itself.

Hypothesis draws the same examples in every run, so that a run fails by what was changed and not by chance, nor because
the machine was busy. `pytest --hypothesis-profile=search` draws new ones.
"""

from collections.abc import MutableMapping
from typing import Any, NoReturn

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("search"), derandomize=True)
settings.load_profile("same")


def _drop(_logger: Any, _name: str, _event: MutableMapping[str, Any]) -> NoReturn:
    raise structlog.DropEvent


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.reset_defaults()
    structlog.configure(processors=[_drop])
