"""The settings directory as a source that `gatecast.feeds` follows: see `tenants.sources.directory`."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

from tenants.catalog import Changes
from tenants.reading import Given
from tenants.sources.directory import DEFAULT, Limits, changes


@dataclass(slots=True, eq=False)
class Folder:
    """Documents in files. It looks when it is told of changes, so nobody knows when next."""

    directory: str | os.PathLike[str]
    allow_empty: bool = False
    limits: Limits = DEFAULT
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    family: str = "file"
    trouble: str = ""
    next: float | None = None

    @property
    def name(self) -> str:
        """Where it is."""
        return os.fspath(self.directory)

    def changes(self, before: Iterable[Given]) -> AsyncGenerator[Changes]:
        """See `tenants.sources.directory.changes`."""
        return changes(
            self.directory, allow_empty=self.allow_empty, limits=self.limits, before=tuple(before), asked=self.asked
        )
