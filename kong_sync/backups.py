"""Backups of our entities as files of decK, the newest few kept. Called before a plan that deletes, or changes much."""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog
import yaml

from kong_sync import deck
from kong_sync.entities import Entity
from kong_sync.states import State
from tenants.errors import Refused, Unavailable

KEPT = 10
PREFIX = "gatecast-kong-"

log = structlog.get_logger("gatecast.kong")


def dumped(state: State, tags: Iterable[str]) -> str:
    """A file of decK as text."""
    data = deck.document(state, tags)
    return yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True)


def written(file: Path, text: str) -> None:
    """A new file that its owner alone can read. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)


def loaded(file: Path) -> list[tuple[str, Entity]]:
    """The entities of a file. Raises Refused."""
    try:
        data = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Refused(f"{file}: {getattr(error, 'strerror', None) or ' '.join(str(error).split())}") from None
    try:
        return deck.read(data)
    except Refused as error:
        raise Refused(f"{file}: {error}") from None


def keeper(
    folder: Path, gateway: str, tags: Iterable[str], *, kept: int = KEPT, now: Callable[[], datetime] | None = None
) -> Callable[[State], None]:
    """What writes a backup into this folder, and takes the oldest away. It raises Unavailable: then nothing changes."""
    said = tuple(tags)

    def keep(state: State) -> None:
        if not len(state):
            return
        at = (now or (lambda: datetime.now(UTC)))()
        file = folder / f"{PREFIX}{gateway}-{at:%Y%m%dT%H%M%S%f}.yaml"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            written(file, dumped(state, said))
        except OSError as error:
            raise Unavailable(f"nothing was changed, for there is no backup: {file}: {error.strerror}") from None
        for old in sorted(folder.glob(f"{PREFIX}{gateway}-*.yaml"))[:-kept]:
            old.unlink()
        log.info("backup", file=str(file), entities=len(state))

    return keep
