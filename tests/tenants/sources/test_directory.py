"""The directory source with real files and real notifications: what arrives, and what comes together."""

import asyncio
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from followers import NEVER, PATIENT, WITHIN, doc, follow, write

from tenants.sources.directory import Disk, Limits, read_file


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
