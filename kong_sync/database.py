"""Brings a Kong with a database to a desired state: mirror, plan, guard, backup, execution. Called by `sidecar` and by
`kong sync`. What Kong holds is listed by `open`, and again after an outage or when somebody else wrote.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from kong_sync import limits, setbacks, summary
from kong_sync.admin import Admin
from kong_sync.diff import plan
from kong_sync.entities import KINDS, Entity
from kong_sync.executor import Executor, Failed
from kong_sync.gauges import Gauges
from kong_sync.lease import Leases, LostLease
from kong_sync.listing import Book, mirrored, stamps
from kong_sync.mirror import Mirror, drift
from kong_sync.phases import Change, Plan, Step
from kong_sync.states import EMPTY, Key, State, owner
from kong_sync.translate import Desired
from kong_sync.verdicts import Fault, located

MANY = 10
"""Changes of one plan before which a backup is made; before any deletion one is made too."""
Backup = Callable[[State], None]

log = structlog.get_logger("gatecast.kong")


@dataclass(frozen=True, slots=True)
class Guard:
    """`force`: the digest of a plan that may delete much. `share`, `few`: see `limits.check`."""

    force: str = ""
    share: float = limits.SHARE
    few: int = limits.FEW


GUARD = Guard()


class Database:
    """One Kong with a database. `mirror` is None until it was listed, and when nobody knows what it holds."""

    def __init__(
        self,
        kong: Admin,
        gateway: str,
        executor: Executor,
        gauges: Gauges,
        *,
        guard: Guard = GUARD,
        backup: Backup = lambda _state: None,
        leases: Leases | None = None,
    ) -> None:
        self.mirror: Mirror | None = None
        self.wanted = EMPTY
        self._kong, self._gateway, self._executor, self._gauges = kong, gateway, executor, gauges
        self._guard, self._backup, self._leases, self._book = guard, backup, leases, Book(kong)
        self._entities: Desired | None = None  # of which `wanted` is the short form
        self._new = set[Key]()  # created for what is not settled yet: a tenant of it may be refused

    async def look(self) -> tuple[str, ...]:
        """List what Kong holds; what of it is not as we left it, in words."""
        before = self.mirror
        if before is None:
            await self._book.open()
        self.mirror, listings = await mirrored(self._kong, self._book, self._gateway)
        self._gauges.entities.set(len(self.mirror.ours))
        if before is None or not (found := drift(before, self.mirror)):
            return ()
        written = stamps(listings, found)
        if newest := max(written.values(), default=0):
            self._gauges.drifted.set(newest)
        return tuple(_told(key, before, self.mirror, written.get(key, 0)) for key in found)

    def lose(self) -> None:
        """Nobody knows any more what Kong holds."""
        self.mirror = None

    async def want(self, desired: Desired, changed: Iterable[Key] | None = None) -> tuple[str, ...] | None:
        """Take a desired state as the wanted one. The owners to look at: None for all of them."""
        keys = None if changed is None or self._entities is None else tuple(changed)
        new = desired.entities
        rows = [(key[0], new[key]) for key in (new if keys is None else keys) if key in new]
        schemas = await self._book.know(rows)
        made = [(kind, schemas.wanted(KINDS[kind], row)) for kind, row in rows]
        self._entities, before = desired, self.wanted
        if keys is None:
            self.wanted = State.of(made)
            return None
        self.wanted = before.changed(made, [key for key in keys if key not in new])
        owners = {owner(row) for _kind, row in made}
        owners |= {owner(before.rows[key]) for key in keys if key in before.rows}
        return tuple(sorted(owners))

    def planned(
        self, owners: tuple[str, ...] | None = None, held: Iterable[Key] = (), kept: Iterable[Key] = ()
    ) -> Plan:
        """What leads from what Kong holds to what is wanted."""
        assert self.mirror is not None, "look first"
        ours, others, unsettled = self.mirror.ours, self.mirror.others, self._executor.unsettled
        return plan(self.wanted, ours, owners=owners, others=others, held=held, kept=kept, unsettled=unsettled)

    async def bring(self, desired: Desired, changed: Iterable[Key] | None = None) -> tuple[Fault, ...]:
        """Bring Kong to this. `changed`: what differs from the state brought before. Returns what could not be done.

        Raises limits.TooMuch before anything is done, Unavailable if Kong cannot answer: then nothing is known.
        """
        if self.mirror is None:
            await self.look()
            changed = None
        return await self.converge(await self.want(desired, changed))

    async def hold(self, rows: Iterable[tuple[str, Entity]]) -> None:
        """Take these entities as the wanted ones, in place of a desired state: a backup, say."""
        given = list(rows)
        schemas = await self._book.know(given)
        self.wanted = State.of((kind, schemas.wanted(KINDS[kind], row)) for kind, row in given)
        self._entities = None

    async def converge(self, owners: tuple[str, ...] | None = None) -> tuple[Fault, ...]:
        """Bring Kong to what is wanted, as far as Kong lets us. Look first. Raises as `bring`.

        After a step that Kong refuses, all is planned again without it and without what depends on it.
        """
        held, kept, granted = set[Key](), set[Key](), None
        faults: dict[Fault, None] = {}
        while True:
            made = self.planned(owners, held, kept)
            granted = self._granted(made, granted)
            faults |= dict.fromkeys(located(one, self.wanted) for one in made.problems)
            before = len(held) + len(kept)
            for one in await self._carried_out(made):
                found = self._faults(one)
                faults |= dict.fromkeys(found)
                held |= {fault.key for fault in found if fault.key}
                kept.add(one.step.key)
            if len(held) + len(kept) == before:
                break
        if owners is None and self.mirror is not None:
            self.mirror = self.mirror.shared(self.wanted)
        return tuple(faults)

    def allow(self, made: Plan) -> None:
        """Raises limits.TooMuch if the guard does not let this plan happen."""
        guard = self._guard
        limits.check(made, force=guard.force, share=guard.share, few=guard.few, new=self._new)

    async def settle(self) -> None:
        """Return when all that was written is in effect. What is there then is no longer new."""
        await self._executor.settle()
        self._new = set()

    def _granted(self, made: Plan, before: frozenset[Key] | None) -> frozenset[Key]:
        """The deletions that the guard lets happen; what is left of them after a failure needs no other word."""
        gone = frozenset((one.kind, one.id) for one in made.changes if one.after is None)
        if before is None or not gone <= before:
            self.allow(made)
        return gone | (before or gone)

    async def _carried_out(self, made: Plan) -> tuple[Failed, ...]:
        if not made:
            return ()
        if self._leases is not None and not await self._leases.check():
            raise LostLease
        assert self.mirror is not None, "planned of it"
        if len(made.changes) > MANY or any(change.after is None for change in made.changes):
            self._backup(self.mirror.ours)
        log.info("plan", waits=made.waits, **summary.totals(made))
        self._new |= {(one.kind, one.id) for one in made.changes if one.before is None}
        mirror, unlike, done = self.mirror, dict[Key, None](), Counter[str]()
        self.mirror = None  # until all answers are there

        def did(step: Step, answer: Entity | None) -> None:
            nonlocal mirror
            mirror = mirror.after(step)
            done[step.verb] += 1
            self._gauges.written.labels(step.verb, step.kind).inc()
            if answer is not None and self._book.schemas.held(KINDS[step.kind], answer) != mirror.ours.rows[step.key]:
                unlike[step.key] = None

        failed: tuple[Failed, ...] = ()
        try:
            failed = await self._executor.carry_out(made, did)
        finally:
            log.info("written", **done, refused=len(failed), of=sum(1 for _step in made.steps))
        self.mirror = mirror
        self._gauges.entities.set(len(mirror.ours))
        for key in unlike:
            self._gauges.unlike.inc()
            log.warning("kong holds it otherwise than it was written", kind=key[0], id=key[1])
        return failed

    def _faults(self, failed: Failed) -> tuple[Fault, ...]:
        """What a step that Kong refused hinders."""
        assert self.mirror is not None, "the phase is over"
        said, keys = str(failed.error), setbacks.held(self.wanted, self.mirror.ours, failed.step)
        return tuple(Fault(key, said) for key in sorted(keys)) or (Fault(None, said),)


def _told(key: Key, before: Mirror, found: Mirror, written: int) -> str:
    """One entity that somebody else changed, with the fields, and when by Kong's clock. Secrets are hidden.

    Who it was Kong does not say. Of what was deleted nothing is left that says when.
    """
    change = Change(*key, before.ours.rows.get(key), found.ours.rows.get(key))
    said = f"{summary.name(change)} was {change.verb} by somebody else"
    if written:
        said += f" at {datetime.fromtimestamp(written, UTC).isoformat().replace('+00:00', 'Z')}"
    fields = ", ".join(f"{one.path}: {one.before!r} became {one.after!r}" for one in summary.fields(change))
    return f"{said} ({fields})" if change.verb == "updated" else said
