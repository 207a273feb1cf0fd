"""The directory source: settings files, first as they are and then as they change, as `Changes` for the catalog.

    async with aclosing(changes("settings")) as source:
        async for found in source: ...

`gatecast.serve` and `gatecast check` call it. Notifications only say when to look: every look walks the whole directory
and compares stamps, so a lost notification loses no change, and a slow periodic look serves file systems without any.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass

from watchfiles import Change, awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from tenants.catalog import Changes
from tenants.errors import Refused
from tenants.reading import MAX_FILE, Given
from tenants.sources.scan import identity, moved, reason, scan
from tenants.sources.stamps import UNSURE, Content, Stamps, Unreadable, different, remembered, unquiet
from tenants.sources.tree import refusal, remembered_files, step


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the source is, in seconds, and the largest file it reads, in bytes.

    It reads when nothing has changed for `quiet`, at the latest `bound` after the first change. It asks for
    notifications every `step`, looks whether they still come every `tick`, and looks at everything every `rescan`.
    """

    quiet: float = 0.05
    bound: float = 0.5
    step: float = 0.01
    tick: float = 0.5
    rescan: float = 30.0
    max_file: int = MAX_FILE


@dataclass(frozen=True, slots=True)
class Disk:
    """How the source looks at the disk; tests put in a reader that fails. `clock` tells nanoseconds since 1970."""

    read: Callable[[str], bytes]
    clock: Callable[[], int] = time.time_ns


def read_file(path: str) -> bytes:
    """The content of a file. Raises `OSError`."""
    with open(path, "rb") as file:
        return file.read()


DEFAULT = Limits()
DISK = Disk(read_file)


async def changes(
    directory: str | os.PathLike[str],
    *,
    allow_empty: bool = False,
    limits: Limits = DEFAULT,
    disk: Disk = DISK,
    stop: asyncio.Event | None = None,
    before: Iterable[Given] = (),
    asked: asyncio.Event | None = None,
) -> AsyncGenerator[Changes]:
    """Yield what the directory holds, then each change, until `stop` is set (within a tick) or the caller closes this.

    `before`: what it said when somebody looked last; of that, what is gone is withdrawn at the first look, as it would
    be later. While `asked` is set it looks within a tick, clears it, and yields what it finds, also if that is nothing.
    Paths in what it yields are relative to the directory. Raises `Refused` at the start if the directory is not there,
    or holds no good document and `allow_empty` is not given. Afterwards it raises nothing: what is wrong is a problem.
    """
    root = os.fspath(directory)
    if not await asyncio.to_thread(os.path.isdir, root):
        there = await asyncio.to_thread(os.path.exists, root)
        raise Refused(f"settings directory {root}: {'it is a file' if there else 'there is no such directory'}")
    files = remembered_files(before)
    started, asked = False, asked or asyncio.Event()
    known: Stamps = dict.fromkeys(files.said, UNSURE)
    async with aclosing(_wakes(root, limits, stop or asyncio.Event(), asked)) as wakes:
        async for told in wakes:
            now = asked.is_set()
            asked.clear()
            seen, known = await _quiet(root, known, limits, disk, limits.quiet - limits.step if told else 0.0)
            files, found = await asyncio.to_thread(step, files, seen, allow_empty=allow_empty)
            if not (started or allow_empty or before) and (why := refusal(found)):
                raise Refused(f"settings directory {root}: it {why}")
            if found != Changes() or not started or now:
                started = True
                yield found


Look = tuple[Mapping[str, Content], Stamps]
"""What may say something new, and the stamps to compare the next look with."""


async def _quiet(root: str, known: Stamps, limits: Limits, disk: Disk, wait: float) -> Look:
    """A look at a moment when nothing moves, or at the latest moment allowed; the first one after `wait` seconds."""
    now = asyncio.get_running_loop().time
    latest = now() + limits.bound
    while True:
        await asyncio.sleep(min(wait, max(0.0, latest - now())))
        look = await asyncio.to_thread(_look, root, known, limits, disk, now() >= latest)
        if not isinstance(look, float):
            return look
        wait = look


def _look(root: str, known: Stamps, limits: Limits, disk: Disk, hurry: bool) -> Look | float:
    """Walk, and read what is new; or the seconds to wait, if something moves and there is no hurry."""
    began = disk.clock()
    listing = scan(root, limits.max_file)
    wait = unquiet(listing.newest, began, disk.clock(), limits.quiet)
    if wait is not None and not hurry:
        return wait
    fresh, gone = different(known, listing.files)
    seen = dict(_contents(root, {path: listing.files[path] for path in fresh}, disk)) | dict.fromkeys(gone)
    if moved(root, listing) and not hurry:
        return limits.quiet  # names changed while we read: what we have may be half old, half new
    return seen, remembered(known, listing.files, seen, began - int(limits.quiet * 1e9))


def _contents(root: str, fresh: Stamps, disk: Disk) -> Iterator[tuple[str, Content]]:
    for path, stamp in fresh.items():
        if isinstance(stamp, Unreadable):
            yield path, stamp
            continue
        try:
            yield path, disk.read(os.path.join(root, path))
        except FileNotFoundError:
            continue  # it went away meanwhile: the next look knows
        except OSError as error:
            yield path, Unreadable(f"the file cannot be read: {reason(error)}")


async def _wakes(root: str, limits: Limits, stop: asyncio.Event, asked: asyncio.Event) -> AsyncGenerator[bool]:
    """Yield when it is time to look: at once, at notifications (True), soon after a watch begins, when it is asked for,
    and now and then.
    """
    yield False
    while not stop.is_set():
        with suppress(OSError, WatchfilesRustInternalError):  # no directory, or the system has no watch left to give
            async with aclosing(_watch(root, limits, stop, asked)) as notified:
                async for told in notified:
                    yield told
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), limits.tick)
        if not stop.is_set():
            yield False


async def _watch(root: str, limits: Limits, stop: asyncio.Event, asked: asyncio.Event) -> AsyncGenerator[bool]:
    """The wakes of one watch. It ends when another directory stands under the name, which the watch would not see."""
    now = asyncio.get_running_loop().time
    standing, due = await asyncio.to_thread(identity, root), 0.0
    async with aclosing(_notifications(root, limits)) as batches:
        async for batch in batches:
            if stop.is_set():
                return
            if batch or now() >= due or asked.is_set():
                due = now() + limits.rescan
                yield bool(batch)
            if await asyncio.to_thread(identity, root) != standing:
                return


def _notifications(root: str, limits: Limits) -> AsyncGenerator[set[tuple[Change, str]]]:
    """Batches of changes, and an empty one at each tick without any."""
    step, tick = int(limits.step * 1000), int(limits.tick * 1000)
    return awatch(root, watch_filter=None, step=step, debounce=step, rust_timeout=tick, yield_on_timeout=True)
