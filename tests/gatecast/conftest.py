"""A command line that runs in the test's own process: fixture `gatecast`."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from engines import postgres_url, template, url

from gatecast.cli import main
from gatecast.config import Settings

__all__ = ["postgres_url", "template", "url"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def gatecast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with the arguments of a command."""
    for name in [*Settings.model_fields, "config", "server", "debug"]:
        monkeypatch.delenv(f"GATECAST_{name.upper()}", raising=False)

    def run(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ran(end.value.code, said.out, said.err)

    return run
