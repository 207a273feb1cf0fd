"""A stream of either variant, for the dialogues of test_stream*.py."""

import pytest
from talk import Talk
from traps import talking


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
def either(request: pytest.FixtureRequest) -> Talk:
    return talking(is_delta=request.param)
