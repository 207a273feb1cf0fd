"""The directory that the tests of the directory source begin with."""

from pathlib import Path

import pytest
from followers import doc, write


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A directory with organisation `one` in a.yaml and `two` in b.yaml."""
    directory = tmp_path / "settings"
    directory.mkdir()
    write(directory, a=doc("one"), b=doc("two"))
    return directory
