"""Where a directory source may begin, and how it ends."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from followers import WITHIN, doc, follow, write

from tenants.catalog import Changes
from tenants.errors import Refused
from tenants.sources.directory import Limits, changes


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
