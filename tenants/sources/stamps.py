"""Decides when to read and what to read again, by the stamps of files. Pure; called by the directory source."""

from collections.abc import Mapping
from dataclasses import dataclass

SUFFIXES = (".yaml", ".yml", ".json")

Stamp = tuple[int, ...]
"""Device, inode, size, time of change of the content and of the inode (ns). A rename changes the last, too."""

UNSURE: Stamp = ()
"""Stands for a file that may have changed under the reader, or could not be opened: read it at every look."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a file or folder that is there could not be read; `code` is one of `tenants.codes`."""

    message: str
    hint: str = ""
    code: str = "GC011"


Content = bytes | Unreadable | None
"""What is on disk under a path now; None: nothing any more."""

Stamps = Mapping[str, Stamp | Unreadable]
"""By path relative to the directory."""


def is_settings(name: str) -> bool:
    """Whether a file of this name holds settings. Editors' backups, swap and probe files do not."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def unquiet(newest: int, began: int, now: int, quiet: float) -> float | None:
    """Seconds to wait before the next walk; None if nothing changed during this one nor in the `quiet` seconds before.

    The walk `began` and is over `now`; times are nanoseconds since 1970. One in the future is another machine's clock
    and says nothing.
    """
    if newest > now or newest <= began - quiet * 1e9:
        return None
    return max(0.0, quiet - (now - newest) / 1e9)


def different(known: Stamps, found: Stamps) -> tuple[list[str], list[str]]:
    """Paths to read (again), and paths that are gone. Below an unreadable folder nothing is gone, only out of sight."""
    blocked = {path for path, stamp in found.items() if isinstance(stamp, Unreadable)}
    fresh = [path for path, stamp in found.items() if known.get(path) != stamp]
    gone = [path for path in known if path not in found and not (blocked and _below(path, blocked))]
    return fresh, gone


def remembered(known: Stamps, found: Stamps, seen: Mapping[str, Content], since: int) -> Stamps:
    """The stamps to compare the next walk with. What vanished before it was read stays as it was known.

    A file that changed after `since` (ns) may change again within one tick of the file system's clock: its stamp is not
    to be trusted.
    """
    kept = dict(known)
    for path, content in seen.items():
        stamp = found.get(path)
        if content is None or stamp is None:
            kept.pop(path, None)
        elif isinstance(stamp, Unreadable) or (isinstance(content, bytes) and stamp[-1] < since):
            kept[path] = stamp
        else:
            kept[path] = UNSURE
    return kept


def _below(path: str, folders: set[str]) -> bool:
    return "." in folders or any(path[:at] in folders for at, letter in enumerate(path) if letter == "/")
