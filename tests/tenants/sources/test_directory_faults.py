"""A directory that is broken, not readable or gone: what was good stays in force, and why is shown."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from followers import NEVER, PATIENT, doc, follow, write

from tenants.sources.directory import Disk, Limits, read_file


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
