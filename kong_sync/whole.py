"""Brings a Kong without a database to a desired state: the whole configuration in one push. Called by `sidecar`, in
place of `database`. Kong takes all of it or nothing, at once, so there is no plan, no wait and no lease.
"""

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from kong_sync import declarative
from kong_sync.admin import Admin
from kong_sync.answers import KongRefused
from kong_sync.database import GUARD, Guard
from kong_sync.digest import LENGTH
from kong_sync.entities import Entity
from kong_sync.gauges import Gauges
from kong_sync.limits import TooMuch
from kong_sync.names import digest
from kong_sync.states import EMPTY, Key, State
from kong_sync.translate import Desired
from kong_sync.verdicts import Fault, located
from tenants.errors import Problem

log = structlog.get_logger("gatecast.kong")


class Whole:
    """One Kong without a database. `given`: its hash of what we gave it last, "" if that is not known."""

    def __init__(self, kong: Admin, gauges: Gauges, *, guard: Guard = GUARD) -> None:
        self.given = ""
        self.loaded = EMPTY
        self._kong, self._gauges, self._guard = kong, gauges, guard
        self._entities: Mapping[Key, Entity] = {}
        self._told: frozenset[Problem] = frozenset()

    async def look(self) -> tuple[str, ...]:
        """Whether it has what we gave it: a restart empties it, and somebody else may have pushed."""
        status = await self._kong.status()
        if not self.given or status.digest == self.given:
            return ()
        self.given = ""
        return ("it has another configuration than ours" if status.ready else "it was restarted and is empty",)

    def lose(self) -> None:
        """Nobody knows any more what Kong holds."""
        self.given = ""

    async def bring(self, desired: Desired, changed: Iterable[Key] | None = None) -> tuple[Fault, ...]:
        """Give it all of this, or what it had. Raises limits.TooMuch, and Unavailable if Kong cannot answer."""
        if self.given and desired.entities == self._entities:
            return ()
        wanted = State.of((key[0], row) for key, row in desired.entities.items())
        text = await asyncio.to_thread(declarative.text, wanted)
        problems = tuple(declarative.problems(wanted, len(text.encode())))
        self._warn(problems)
        if errors := tuple(located(one, wanted) for one in problems if one.severity == "error"):
            return errors
        self._check(wanted)
        try:
            await self._kong.load(text)
        except KongRefused as error:
            return tuple(located(one, wanted) for one in error.problems)
        self.given, self.loaded = (await self._kong.status()).digest, wanted
        self._entities = desired.entities
        self._gauges.written.labels("load", "config").inc()
        self._gauges.entities.set(len(wanted))
        return ()

    async def settle(self) -> None:
        """What was pushed is in effect."""

    def _check(self, wanted: State) -> None:
        """The guard of `limits`, for what we loaded ourselves; of what was there before nobody can know."""
        gone = sum(key not in wanted.rows for key in self.loaded.rows)
        if not gone or (gone < len(self.loaded) and gone <= max(self._guard.few, self._guard.share * len(self.loaded))):
            return
        mine = digest([sorted(map(list, wanted.rows))], LENGTH)
        if self._guard.force != mine:
            said = f"the push takes away {gone} of our {len(self.loaded)} entities in this Kong"
            raise TooMuch(said, mine)

    def _warn(self, problems: tuple[Problem, ...]) -> None:
        new = frozenset(one for one in problems if one.severity != "error")
        for one in sorted(map(str, new - self._told)):
            log.warning("kong without a database", problem=one)
        self._told = new
