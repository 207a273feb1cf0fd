"""The directory source with real files and real notifications. Waits end on what arrives, never on time alone.

"Nothing more was yielded" is shown by one more change: the next thing to arrive is that change and no other.
"""

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tenants.catalog import Catalog, Changes
from tenants.errors import Problem, Refused
from tenants.sources.directory import DISK, Disk, Limits, changes, read_file

WITHIN = 20.0
QUICK = Limits(tick=0.1)
PATIENT = Limits(quiet=0.4, bound=15.0, tick=0.1)
NEVER = 3600.0


def doc(*ids: str, parity: str = "") -> str:
    """A file with these organisations."""
    more = f"parity: {parity}\n" if parity else ""
    return "---\n".join(f"kind: Organisation\nid: {id}\n{more}" for id in ids)


class Follower:
    """Receives what the source yields and keeps a catalog of it."""

    def __init__(self, source: AsyncIterator[Changes]) -> None:
        self.source, self.catalog, self.last = source, Catalog.empty(), Changes()

    async def next(self) -> Changes:
        """The next changes."""
        self.last = await asyncio.wait_for(anext(self.source), WITHIN)
        self.catalog = self.catalog.apply(self.last).catalog
        return self.last

    async def watch(self, directory: Path) -> None:
        """Go on until notifications arrive: the look when the watch begins finds one change, they tell the other."""
        write(directory, watch=doc("watch"))
        await self.next()
        (directory / "watch.yaml").unlink()
        await self.next()

    @property
    def put(self) -> str:
        """The ids that the last changes put."""
        return " ".join(sorted(given.key.id for given in self.last.put))

    @property
    def names(self) -> str:
        """The ids in force."""
        return " ".join(sorted(self.catalog.organisations))

    @property
    def found(self) -> list[Problem]:
        """All problems but the warning that nothing is served: these directories have no gateway."""
        return [problem for problem in self.catalog.problems if problem.code != "GC215"]

    @property
    def problems(self) -> list[str]:
        """File and code of every problem."""
        return [f"{problem.file} {problem.code}" for problem in self.found]

    @property
    def messages(self) -> str:
        """What the problems say."""
        return "\n".join(problem.message for problem in self.catalog.problems)


@asynccontextmanager
async def follow(
    directory: Path, *, limits: Limits = QUICK, disk: Disk = DISK, allow_empty: bool = False
) -> AsyncIterator[Follower]:
    """A follower that has received what the directory holds at first."""
    async with aclosing(changes(directory, limits=limits, disk=disk, allow_empty=allow_empty)) as source:
        follower = Follower(source)
        await follower.next()
        yield follower


def write(directory: Path, **texts: str) -> None:
    """`a=` is written to a.yaml, in place."""
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A directory with organisation `one` in a.yaml and `two` in b.yaml."""
    directory = tmp_path / "settings"
    directory.mkdir()
    write(directory, a=doc("one"), b=doc("two"))
    return directory


async def test_it_begins_with_every_document_at_any_depth(settings: Path) -> None:
    (settings / "deep" / "er").mkdir(parents=True)
    (settings / "deep" / "er" / "c.json").write_text('{"kind": "Organisation", "id": "three"}')
    (settings / "d.yml").write_text(doc("four"))

    async with follow(settings) as follower:
        assert follower.names == "four one three two"
        assert {given.file for given in follower.last.put} == {"a.yaml", "b.yaml", "d.yml", "deep/er/c.json"}


async def test_what_is_hidden_or_an_editors_is_not_read(settings: Path) -> None:
    (settings / ".git").mkdir()
    for name in (".git/x.yaml", ".a.yaml", ".a.yaml.swp", "a.yaml~", "4913", "#a.yaml#", "notes.txt"):
        (settings / name).write_text(doc("wrong"))

    async with follow(settings) as follower:
        assert follower.names == "one two"


async def test_a_changed_a_new_and_a_deleted_file_arrive(settings: Path) -> None:
    async with follow(settings) as follower:
        await follower.watch(settings)
        write(settings, a=doc("one", parity="exact"))
        await follower.next()
        assert follower.put == "one"

        (settings / "new").mkdir()
        write(settings / "new", c=doc("three"))
        await follower.next()
        assert follower.put == "three"

        write(settings / "new", c=doc("three", parity="exact"))
        await follower.next()
        assert follower.catalog.organisations["three"].parity == "exact"

        (settings / "b.yaml").unlink()
        await follower.next()
        assert follower.names == "one three"


async def test_an_editors_rename_over_the_file_is_a_change(settings: Path) -> None:
    async with follow(settings) as follower:
        for parity in ("exact", ""):
            (settings / ".a.yaml.swp").write_text("swap")
            (settings / "4913").write_text("")
            (settings / "4913").unlink()
            (settings / "a.yaml").rename(settings / "a.yaml~")
            (settings / "a.yaml.tmp").write_text(doc("one", parity=parity))
            (settings / "a.yaml.tmp").rename(settings / "a.yaml")
            (settings / "a.yaml~").unlink()
            (settings / ".a.yaml.swp").unlink()

            await follower.next()

            assert follower.put == "one"
            assert not follower.last.withdrawn
            assert follower.catalog.organisations["one"].parity == (parity or None)


async def test_a_file_of_the_same_size_and_time_renamed_over_another_is_a_change(settings: Path) -> None:
    before = (settings / "a.yaml").stat()
    async with follow(settings) as follower:
        (settings / "tmp").write_text(doc("six"))
        os.utime(settings / "tmp", ns=(before.st_atime_ns, before.st_mtime_ns))
        (settings / "tmp").rename(settings / "a.yaml")

        await follower.next()

        assert follower.names == "six two"


async def test_a_directory_moved_in_and_out_is_followed(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", c=doc("three"))
    async with follow(settings) as follower:
        await follower.watch(settings)
        (tmp_path / "more").rename(settings / "more")
        await follower.next()
        assert follower.names == "one three two"

        (settings / "more").rename(tmp_path / "more")
        await follower.next()
        assert follower.names == "one two"


async def test_a_burst_of_a_thousand_files_is_one_change(settings: Path) -> None:
    def burst() -> None:
        for number in range(1000):
            write(settings, **{f"f{number}": doc(f"f{number}")})

    async with follow(settings, limits=PATIENT) as follower:
        await follower.watch(settings)
        await asyncio.to_thread(burst)
        await follower.next()
        assert len(follower.last.put) == 1000

        write(settings, a=doc("one", parity="exact"))
        await follower.next()
        assert follower.put == "one"


async def test_nothing_is_read_before_all_is_quiet(settings: Path) -> None:
    calm, looked, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()
    calm.set()

    def clock() -> int:
        """While it is not calm, it stands still at the latest change."""
        if calm.is_set():
            return time.time_ns() + 10**12
        loop.call_soon_threadsafe(looked.set)
        return max(path.stat().st_ctime_ns for path in (settings, *settings.iterdir()))

    limits = Limits(quiet=0.05, bound=NEVER, tick=0.1)
    async with follow(settings, limits=limits, disk=Disk(read_file, clock)) as follower:
        calm.clear()
        coming = asyncio.create_task(follower.next())
        write(settings, a=doc("one", parity="exact"))
        for _ in range(3):  # it has looked, and looked again
            looked.clear()
            await asyncio.wait_for(looked.wait(), WITHIN)
        write(settings, b=doc("two", parity="exact"))
        calm.set()
        await coming
        assert follower.put == "one two"


async def test_files_that_never_rest_are_read_at_the_bound(settings: Path) -> None:
    """With a quiet time of an hour only the bound can let anything through."""
    limits = Limits(quiet=NEVER, bound=0.2, tick=0.1)
    async with follow(settings, limits=limits) as follower:
        write(settings, a=doc("one", parity="exact"))
        await follower.next()
        assert follower.put == "one"


async def test_a_touched_file_is_not_a_change(settings: Path) -> None:
    async with follow(settings) as follower:
        (settings / "a.yaml").touch()
        write(settings, b=doc("two", parity="exact"))
        await follower.next()
        assert follower.put == "two"


async def test_a_change_made_before_the_watch_stands_is_not_lost(settings: Path) -> None:
    """The source has yielded and is not asked for more: it watches nothing yet."""
    async with follow(settings, limits=Limits(tick=0.1, rescan=NEVER)) as follower:
        write(settings, a=doc("one", parity="exact"))
        await follower.next()
        assert follower.put == "one"


async def test_a_change_without_a_notification_is_found_by_the_slow_look(settings: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(doc("three"))
    (settings / "link.yaml").symlink_to(outside)
    async with follow(settings, limits=Limits(tick=0.05, rescan=0.1)) as follower:
        for parity in ("exact", ""):
            outside.write_text(doc("three", parity=parity))
            await follower.next()
            assert follower.put == "three"


def config_map(directory: Path, version: str, *ids: str) -> None:
    """What the kubelet does: a new hidden directory, and `..data` renamed onto it."""
    hidden = directory / f"..{version}"
    (hidden / "sub").mkdir(parents=True)
    for id in ids:
        write(hidden, **{id: doc(id, parity="exact" if version == "new" else "")})
    write(hidden / "sub", deep=doc(f"deep-{version}"))
    (directory / "..data_tmp").symlink_to(f"..{version}")
    (directory / "..data_tmp").rename(directory / "..data")
    for name in (*(f"{id}.yaml" for id in ids), "sub"):
        with suppress(FileExistsError):
            (directory / name).symlink_to(f"..data/{name}")


async def test_the_swap_of_a_config_map_is_one_change_of_all_files(tmp_path: Path) -> None:
    ids = [f"t{number}" for number in range(50)]
    config_map(tmp_path, "old", *ids)
    async with follow(tmp_path, limits=PATIENT) as follower:
        await follower.watch(tmp_path)
        assert follower.names == " ".join(sorted([*ids, "deep-old"]))

        config_map(tmp_path, "new", *ids)
        await follower.next()

        assert follower.put == " ".join(sorted([*ids, "deep-new"]))
        assert "deep-old" not in follower.catalog.organisations
        assert follower.problems == []


async def test_a_swap_in_the_middle_of_reading_is_not_seen_by_half(tmp_path: Path) -> None:
    config_map(tmp_path, "old", "one", "two")
    swapped = False

    def read(path: str) -> bytes:
        nonlocal swapped
        content = read_file(path)
        if not swapped:
            swapped = True
            config_map(tmp_path, "new", "one", "two")
        return content

    async with follow(tmp_path, limits=PATIENT, disk=Disk(read)) as follower:
        assert {given.document.parity for given in follower.last.put if given.key.id in ("one", "two")} == {"exact"}
        assert follower.names == "deep-new one two"


async def test_a_broken_file_keeps_its_documents_while_the_rest_goes_live_and_recovers(settings: Path) -> None:
    async with follow(settings, limits=PATIENT) as follower:
        write(settings, a="kind: Organisation\nid: [\n", b=doc("two", parity="exact"))
        await follower.next()
        assert follower.names == "one two"
        assert follower.catalog.organisations["two"].parity == "exact"
        assert [(problem.file, problem.code) for problem in follower.found] == [("a.yaml", "GC001")]
        assert follower.found[0].line in (2, 3)

        write(settings, a=doc("one", parity="exact"))
        await follower.next()
        assert follower.problems == []
        assert follower.catalog.organisations["one"].parity == "exact"


async def test_a_file_that_is_not_text_is_a_problem(settings: Path) -> None:
    async with follow(settings) as follower:
        (settings / "a.yaml").write_bytes(b"\xff\xfe\x00")
        await follower.next()
        assert follower.problems == ["a.yaml GC009"]
        assert follower.names == "one two"


async def test_a_document_moved_to_another_file_in_one_batch_is_never_dropped(settings: Path) -> None:
    async with follow(settings, limits=PATIENT) as follower:
        (settings / "a.yaml").unlink()
        write(settings, c=doc("one"))
        await follower.next()
        assert follower.names == "one two"
        assert follower.problems == []


async def test_a_file_that_may_not_be_read_keeps_its_documents_until_it_may(settings: Path) -> None:
    denied = True

    def read(path: str) -> bytes:
        if denied and path.endswith("a.yaml"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return read_file(path)

    async with follow(settings, limits=Limits(tick=0.05, rescan=0.1), disk=Disk(read)) as follower:
        assert follower.names == "two"
        assert follower.problems == ["a.yaml GC011"]
        assert "permission denied" in follower.messages
        assert str(settings) not in follower.messages

        denied = False  # nothing on disk changes: only a second try can find out
        await follower.next()
        assert follower.names == "one two"
        assert follower.problems == []


async def test_a_file_that_vanishes_before_it_is_read_is_gone_at_the_next_look(settings: Path) -> None:
    def read(path: str) -> bytes:
        if path.endswith("c.yaml"):
            os.unlink(path)
        return read_file(path)

    write(settings, c=doc("three"))
    async with follow(settings, disk=Disk(read)) as follower:
        assert follower.names == "one two"
        assert follower.problems == []


@pytest.mark.parametrize("target", ["nowhere.yaml", "a.yaml"], ids=["dangling", "loop"])
async def test_a_link_that_leads_nowhere_keeps_its_documents(settings: Path, target: str) -> None:
    async with follow(settings, limits=PATIENT) as follower:
        (settings / "a.yaml").unlink()
        (settings / "a.yaml").symlink_to(target)
        await follower.next()
        assert follower.names == "one two"
        assert follower.problems == ["a.yaml GC011"]


async def test_a_linked_folder_whose_target_is_gone_keeps_its_documents(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    write(tmp_path / "mount", c=doc("three"))
    (settings / "more").symlink_to(tmp_path / "mount")
    async with follow(settings, limits=Limits(tick=0.05, rescan=0.1)) as follower:
        assert follower.names == "one three two"

        (tmp_path / "mount").rename(tmp_path / "gone")
        await follower.next()
        assert follower.names == "one three two"
        assert follower.problems == ["more GC011"]

        (tmp_path / "gone").rename(tmp_path / "mount")
        await follower.next()
        assert follower.names == "one three two"
        assert follower.problems == []


def pipe(path: Path) -> None:
    os.mkfifo(path)


def large(path: Path) -> None:
    path.write_text("#" * 200)


def misnamed(path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path.parent / "bad-") + b"\xff.yaml")).write_text(doc("three"))


@pytest.mark.parametrize(
    ("make", "problem"),
    [(pipe, "c.yaml GC011"), (large, "c.yaml GC008"), (misnamed, "bad-\\xff.yaml GC011")],
)
async def test_what_is_no_settings_file_is_a_problem_and_is_not_opened(
    settings: Path, make: Callable[[Path], None], problem: str
) -> None:
    make(settings / "c.yaml")
    opened: list[str] = []

    def read(path: str) -> bytes:
        opened.append(os.path.basename(path))
        return read_file(path)

    async with follow(settings, limits=Limits(tick=0.1, max_file=100), disk=Disk(read)) as follower:
        assert follower.names == "one two"
        assert follower.problems == [problem]
        assert sorted(opened) == ["a.yaml", "b.yaml"]


async def test_links_in_circles_are_walked_once(settings: Path) -> None:
    for name in ("x", "y", "z"):
        (settings / name).mkdir()
        write(settings / name, **{name: doc(name)})
        for other in ("x", "y", "z"):
            (settings / name / f"to-{other}").symlink_to(settings / other)
        (settings / name / "up").symlink_to("..")

    async with follow(settings) as follower:
        assert follower.names == "one two x y z"
        assert {given.file for given in follower.last.put} == {"a.yaml", "b.yaml", "x/x.yaml", "y/y.yaml", "z/z.yaml"}
        assert follower.problems == []


async def test_when_all_files_vanish_everything_stays_and_the_reason_is_shown(settings: Path) -> None:
    async with follow(settings, limits=PATIENT) as follower:
        await follower.watch(settings)
        (settings / "a.yaml").unlink()
        (settings / "b.yaml").unlink()
        await follower.next()
        assert follower.names == "one two"
        assert "no documents any more" in follower.messages

        write(settings, a=doc("one"))
        await follower.next()
        assert follower.names == "one"
        assert follower.problems == []


async def test_when_the_directory_vanishes_everything_stays_and_a_new_one_is_followed(
    settings: Path, tmp_path: Path
) -> None:
    async with follow(settings, limits=Limits(tick=0.05, rescan=NEVER)) as follower:
        await follower.watch(settings)
        settings.rename(tmp_path / "away")
        await follower.next()
        assert follower.names == "one two"
        assert "no documents any more" in follower.messages

        fresh = tmp_path / "fresh"
        fresh.mkdir()
        write(fresh, a=doc("one"), b=doc("two"))
        fresh.rename(settings)
        await follower.next()
        assert follower.problems == []

        for parity in ("exact", ""):
            write(settings, a=doc("one", parity=parity))
            await follower.next()
            assert follower.put == "one"


async def test_all_may_vanish_where_empty_is_allowed(settings: Path) -> None:
    async with follow(settings, limits=PATIENT, allow_empty=True) as follower:
        (settings / "a.yaml").unlink()
        (settings / "b.yaml").unlink()
        await follower.next()
        assert follower.names == ""
        assert follower.problems == []


async def refused(directory: Path) -> str:
    """Why the source refuses to start."""
    with pytest.raises(Refused) as caught:
        async with follow(directory):
            pass
    return str(caught.value)


async def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "no such directory" in await refused(tmp_path / "nowhere")
    assert "it is a file" in await refused(tmp_path / "file")


async def test_an_empty_directory_is_refused_at_the_start(tmp_path: Path) -> None:
    assert "--allow-empty" in await refused(tmp_path)
    write(tmp_path, a="# nothing\n")
    assert "holds no documents" in await refused(tmp_path)


async def test_a_directory_without_a_good_document_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, a="kind: [\n", b="kind: Organization\nid: x\n")

    message = await refused(tmp_path)

    assert "a.yaml:" in message
    assert "b.yaml:1 " in message
    assert "did you mean Organisation?" in message


async def test_an_empty_directory_is_a_start_where_that_is_allowed(tmp_path: Path) -> None:
    async with follow(tmp_path, allow_empty=True) as follower:
        assert follower.last == Changes()
        write(tmp_path, a=doc("one"))
        await follower.next()
        assert follower.names == "one"


async def test_it_ends_when_it_is_told_to_stop(settings: Path) -> None:
    stop = asyncio.Event()
    seen = []
    async with asyncio.timeout(WITHIN), aclosing(changes(settings, limits=Limits(tick=0.05), stop=stop)) as source:
        async for found in source:
            seen.append(found)
            asyncio.get_running_loop().call_soon(stop.set)
    assert len(seen) == 1


async def test_a_reader_that_is_cancelled_leaves_nothing_running(settings: Path) -> None:
    before = asyncio.all_tasks()

    async def forever() -> None:
        async with aclosing(changes(settings)) as source:
            async for _ in source:
                started.set()

    started = asyncio.Event()
    task = asyncio.create_task(forever())
    await asyncio.wait_for(started.wait(), WITHIN)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, WITHIN)
    assert asyncio.all_tasks() == before
