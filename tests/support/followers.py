"""Follow a directory of settings in a test: `async with followers.follow(settings) as follower: await follower.next()`.

`doc("one")` is a file with the organisation `one`, and `write(directory, a=doc("one"))` puts it into a.yaml.
Waits end on what arrives, never on time alone. "Nothing more was yielded" is shown by one more change: the next thing
to arrive is that change and no other.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from tenants.catalog import Catalog, Changes
from tenants.errors import Problem
from tenants.sources.directory import DISK, Disk, Limits, changes

WITHIN = 20.0
QUICK = Limits(tick=0.1)
PATIENT = Limits(quiet=0.4, bound=15.0, tick=0.1)
NEVER = 3600.0


def doc(*ids: str, parity: str = "") -> str:
    """A file with these organisations."""
    more = f"parity: {parity}\n" if parity else ""
    return "---\n".join(f"kind: Organisation\nid: {id}\n{more}" for id in ids)


def names(catalog: Catalog) -> str:
    """The ids in force."""
    return " ".join(sorted(catalog.organisations))


def found(catalog: Catalog) -> list[Problem]:
    """All problems but the warning that nothing is served: these files have no gateway."""
    return [problem for problem in catalog.problems if problem.code != "GC215"]


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
        return names(self.catalog)

    @property
    def found(self) -> list[Problem]:
        return found(self.catalog)

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
