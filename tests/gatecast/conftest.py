"""A command line that runs in the test's own process: fixture `gatecast`; and what it talks to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import kong_threads
import pytest
from consoles import Console, console
from engines import postgres_url, template, url

from gatecast.cli import main
from gatecast.config import Settings
from kong_double.double import Double

__all__ = ["postgres_url", "template", "url"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def gatecast(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Call it with the arguments of a command."""
    for name in [*Settings.model_fields, "config", "server", "debug", "context", "token", "ca", "store"]:
        monkeypatch.delenv(f"GATECAST_{name.upper()}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))

    def run(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ran(end.value.code, said.out, said.err)

    return run


@pytest.fixture
def here(tmp_path: Path, gatecast: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    """A whole server with a store, which the command line of the test asks."""
    with console(tmp_path) as made:
        monkeypatch.setenv("GATECAST_SERVER", made.url)
        yield made


@pytest.fixture
def kong(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A double of Kong, which the commands of the test take for theirs."""
    with kong_threads.kong() as double:
        monkeypatch.setenv("GATECAST_KONG_ADMIN_URL", double.admin_url)
        yield double
