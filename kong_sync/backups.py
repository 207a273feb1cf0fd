"""Backups of our entities as files of decK, the newest few kept. Called before a plan that deletes, or changes much."""

import os
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog
import yaml

from kong_sync import deck
from kong_sync.entities import KINDS, Entity, Kind
from kong_sync.states import State
from tenants.errors import Refused, Unavailable

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEPT = 10
PREFIX = "gatecast-kong-"

log = structlog.get_logger("gatecast.kong")


class _Plain(yaml.CSafeDumper):
    """Without anchors: Go's YAML, which decK reads with, refuses a file in which most is written by reference."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def dumped(state: State, tags: Iterable[str]) -> str:
    """A file of decK as text."""
    data = deck.document(state, tags)
    return yaml.dump(data, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


def written(file: Path, text: str) -> None:
    """A new file that its owner alone can read. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)


def loaded(file: Path) -> list[tuple[str, Entity]]:
    """The entities of a file. Raises Refused."""
    try:
        data = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise Refused(f"{file}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise Refused(f"{file}: it is no text in UTF-8") from None
    except (ValueError, yaml.YAMLError) as error:
        raise Refused(f"{file}: {' '.join(str(error).split())}") from None
    try:
        rows = deck.read(data)
    except Refused as error:
        raise Refused(f"{file}: {error}") from None
    except (TypeError, AttributeError):  # where a list stands, there is something else
        raise Refused(f"{file}: it is not laid out as a file of decK") from None
    for name, row in rows:
        if wrong := _wrong(KINDS[name], row):
            raise Refused(f"{file}: {name} {row['id']}: {wrong}")
    return rows


def _wrong(kind: Kind, row: Entity) -> str:
    """What no Kong has, "" if nothing."""
    named = {field for fields in kind.unique for field in fields} - set(kind.foreign)
    texts = {field: row.get(field) for field in named} | {
        field: (row.get(field) or {}).get("id") for field in kind.foreign
    }
    if strange := sorted(field for field, one in texts.items() if one is not None and not isinstance(one, str)):
        return f"`{strange[0]}` is no text"
    tags = row.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return "`tags` is no list of texts"
    return "" if isinstance(row["id"], str) and UUID.fullmatch(row["id"]) else "`id` is no UUID"


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
