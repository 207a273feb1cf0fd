"""Walks a settings directory: which files are there, and a stamp of each that differs if its content may. Blocking.

Called by `tenants.sources.directory`, in a thread. Symlinks are followed, so a stamp is the target's.
"""

import os
import stat
from dataclasses import dataclass, field
from heapq import heappop, heappush

from tenants.sources.stamps import Stamp, Unreadable, is_settings


@dataclass(frozen=True, slots=True)
class Listing:
    """What a walk found, by path relative to the directory. `newest` is when anything changed last, in ns."""

    files: dict[str, Stamp | Unreadable]
    folders: dict[str, Stamp]
    newest: int


@dataclass(slots=True)
class _Walk:
    """One walk. Real folders come before linked ones, and each is entered once: links may go in circles."""

    root: str
    max_size: int
    files: dict[str, Stamp | Unreadable] = field(default_factory=dict)
    folders: dict[str, Stamp] = field(default_factory=dict)
    entered: set[Stamp] = field(default_factory=set)
    ahead: list[tuple[bool, str]] = field(default_factory=list)

    def enter(self, folder: str) -> None:
        here = os.path.join(self.root, folder)
        try:
            self.folders[folder] = stamp = _stamp(os.stat(here))
            if stamp[:2] in self.entered:
                return
            self.entered.add(stamp[:2])
            with os.scandir(here) as entries:
                for entry in entries:
                    self.meet(entry, f"{folder}/{entry.name}" if folder else entry.name)
        except (FileNotFoundError, NotADirectoryError):
            self.folders.pop(folder, None)  # it went away meanwhile
        except OSError as error:
            self.files[shown(folder) or "."] = Unreadable(f"the folder cannot be read: {reason(error)}")

    def meet(self, entry: os.DirEntry[str], path: str) -> None:
        if entry.name.startswith("."):
            return
        linked = entry.is_symlink()
        try:
            if entry.is_dir():
                heappush(self.ahead, (linked, path))
            elif is_settings(entry.name) or (linked and not os.path.exists(entry.path)):
                self.files[shown(path)] = self.judge(entry.stat(), path)
        except FileNotFoundError:
            if linked:
                self.files[shown(path)] = Unreadable("the link leads nowhere", "mend the link or delete it")
        except OSError as error:
            self.files[shown(path)] = Unreadable(f"it cannot be read: {reason(error)}")

    def judge(self, found: os.stat_result, path: str) -> Stamp | Unreadable:
        if not stat.S_ISREG(found.st_mode):
            return Unreadable("it is not a regular file")
        if path != shown(path):
            return Unreadable("the name of the file is not UTF-8", "rename it")
        if found.st_size > self.max_size:
            return Unreadable(f"the file is larger than {self.max_size >> 20} MiB", "split it", "GC008")
        return _stamp(found)


def scan(root: str, max_size: int) -> Listing:
    """Everything there is. A directory that is not there is an empty one."""
    walk = _Walk(root, max_size)
    walk.enter("")
    while walk.ahead:
        walk.enter(heappop(walk.ahead)[1])
    stamps = [stamp for stamp in walk.files.values() if not isinstance(stamp, Unreadable)]
    newest = max((stamp[-1] for stamp in (*stamps, *walk.folders.values())), default=0)
    return Listing(walk.files, walk.folders, newest)


def moved(root: str, listing: Listing) -> bool:
    """Whether names came or went in a folder since it was walked."""
    return any(_standing(os.path.join(root, folder)) != stamp for folder, stamp in listing.folders.items())


def identity(root: str) -> Stamp:
    """Which directory stands under this name now; empty if none."""
    return _standing(root)[:2]


def shown(path: str) -> str:
    """A path that can be printed: bytes that are not UTF-8 are escaped."""
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _standing(path: str) -> Stamp:
    try:
        return _stamp(os.stat(path))
    except OSError:
        return ()


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def reason(error: OSError) -> str:
    """What the system says, without the path, which would be absolute."""
    return (error.strerror or str(error)).lower()
