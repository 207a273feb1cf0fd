"""Brings a Kong without a database to a desired state: the whole configuration in one push. Called by `sidecar`, in
place of `database`, and by `kong sync`. Kong takes all of it or nothing, at once, so there is no plan, no wait and no
lease. All that such a Kong has is ours: what is not in the push is gone.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from kong_sync import declarative
from kong_sync.admin import Admin
from kong_sync.adoption import Match
from kong_sync.answers import KongRefused
from kong_sync.database import GUARD, MANY, Guard
from kong_sync.digest import LENGTH
from kong_sync.entities import KINDS, STAMPS, Entity
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

    def __init__(
        self,
        kong: Admin,
        gauges: Gauges,
        *,
        guard: Guard = GUARD,
        backup: Callable[[State], None] = lambda _state: None,
    ) -> None:
        self.given = ""
        self._kong, self._gauges, self._guard, self._backup = kong, gauges, guard, backup
        self._held: State | None = None  # None: nobody has looked yet
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

    async def held(self) -> State:
        """What there is to lose: what we gave it last; before that what it was found with, whoever gave it that.

        It is listed once: a Kong with much in it takes long for it (`research/kong.md` 1.11).
        """
        if self._held is None:
            self._held = await listed(self._kong) if (await self._kong.status()).ready else EMPTY
        return self._held

    async def bring(self, desired: Desired, changed: Iterable[Key] | None = None) -> tuple[Fault, ...]:
        """Give it all of this, or what it had. Raises limits.TooMuch, and Unavailable if Kong cannot answer."""
        if self.given and desired.entities == self._entities:
            return ()
        faults = await self.give(State.of((key[0], row) for key, row in desired.entities.items()))
        if not faults:
            self._entities = desired.entities
        return faults

    async def give(self, wanted: State) -> tuple[Fault, ...]:
        """The same for any entities: a backup, say."""
        text = await asyncio.to_thread(declarative.text, wanted)
        problems = tuple(declarative.problems(wanted, len(text.encode())))
        self._warn(problems)
        if errors := tuple(located(one, wanted) for one in problems if one.severity == "error"):
            return errors
        self._check(wanted, await self.held())
        try:
            await self._kong.load(text)
        except KongRefused as error:
            return tuple(located(one, wanted) for one in error.problems)
        self.given, self._held = (await self._kong.status()).digest, wanted
        self._gauges.written.labels("load", "config").inc()
        self._gauges.entities.set(len(wanted))
        return ()

    async def settle(self) -> None:
        """What was pushed is in effect."""

    def _check(self, wanted: State, held: State) -> None:
        """The guard of `limits`, and the backup. Raises limits.TooMuch."""
        gone = len(lost(wanted, held))
        few = gone < len(held) and gone <= max(self._guard.few, self._guard.share * len(held))
        if gone and not few and self._guard.force != named(wanted):
            raise TooMuch(f"the push takes away {gone} of the {len(held)} entities in this Kong", named(wanted))
        other = sum(wanted.rows.get(key) != row for key, row in held.rows.items()) if self.given else gone
        if gone or other > MANY:
            self._backup(held)

    def _warn(self, problems: tuple[Problem, ...]) -> None:
        new = frozenset(one for one in problems if one.severity != "error")
        for one in sorted(map(str, new - self._told)):
            log.warning("kong without a database", problem=one)
        self._told = new


def named(wanted: State) -> str:
    """The digest that forces a push: of what there will be, so it does not depend on who looks, and when."""
    return digest([sorted(map(list, wanted.rows))], LENGTH)


def lost(wanted: State, held: State) -> tuple[Key, ...]:
    """What a push takes away; an entity that comes back under another id is not gone."""
    match = Match(wanted, held)
    return tuple(sorted(key for key in held.rows if key not in wanted.rows and not match.wanted(*key)))


async def listed(kong: Admin) -> State:
    """All that this Kong holds, whoever gave it that, without stamps."""
    plain = [kind for kind in KINDS.values() if not kind.nested]
    found = await asyncio.gather(*(kong.rows(kind) for kind in plain))
    rows = [(kind.name, row) for kind, page in zip(plain, found, strict=True) for row in page]
    for kind in KINDS.values():
        above = [row for name, row in rows if kind.nested and name == kind.foreign[kind.parent]]
        below = await asyncio.gather(*(kong.rows(kind, parent=row["id"]) for row in above))
        rows += [(kind.name, row) for page in below for row in page]
    return State.of((name, {field: one for field, one in row.items() if field not in STAMPS}) for name, row in rows)
