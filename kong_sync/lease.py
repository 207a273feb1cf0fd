"""One writer for a Kong: a lease in the Kong itself, as a consumer of ours. Called by `sidecar`.

Kong has no conditional write, but names are unique. So a lease has a number, and whoever creates the entity with the
next number has taken over: of several who try, Kong lets one. The newest number counts; older ones are taken away.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from kong_sync.admin import Admin
from kong_sync.answers import Conflict, KongRefused, Missing
from kong_sync.entities import KINDS, Entity
from kong_sync.names import identity, name, tags
from tenants.errors import Unavailable

HELD = "lease"
"""The tag beside ours. What carries it is never compared with what we want."""
TERM = 30.0
CONSUMERS = KINDS["consumers"]

log = structlog.get_logger("gatecast.kong")


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write until when, in seconds since the epoch."""

    number: int
    who: str
    until: float

    @classmethod
    def read(cls, row: Entity) -> "Lease":
        """From the entity. One that cannot be read is over."""
        number = str(row["username"]).rpartition(".")[2]
        until, _, who = str(row.get("custom_id") or "").partition(" ")
        try:
            return cls(int(number), who, float(until))
        except ValueError:
            return cls(int(number) if number.isdecimal() else 0, who, 0.0)


class LostLease(Unavailable):
    """We may not write now."""

    def __init__(self) -> None:
        super().__init__("the lease in this Kong is not ours any more: somebody emptied it, or took over")


class Leases:
    """The lease of one sidecar. `held` is None while another writes, or nobody."""

    def __init__(
        self, kong: Admin, gateway: str, who: str, *, term: float = TERM, wall: Callable[[], float] = time.time
    ) -> None:
        self.held: Lease | None = None
        self.other = ""  # who writes in our place
        self._kong, self._gateway, self._who, self._term, self._wall = kong, gateway, who, term, wall

    async def take(self) -> bool:
        """Try to get it, or to keep it. False: another sidecar has it."""
        rows = await self._kong.rows(CONSUMERS, tags=(*tags(self._gateway), HELD))
        newest = max((Lease.read(row) for row in rows), key=lambda one: one.number, default=Lease(0, "", 0.0))
        if newest.until > self._wall() and newest.who != self._who:
            self.held, self.other = None, newest.who
            return False
        mine = Lease(newest.number + 1, self._who, self._wall() + self._term)
        try:
            await self._kong.create(CONSUMERS, self._entity(mine))
        except Conflict:
            self.held = None
            return False
        self.held, self.other = mine, ""
        for row in rows:
            await self._kong.delete(CONSUMERS, row["id"])
        return True

    async def keep(self) -> bool:
        """Extend it. False: it is not there any more; somebody emptied this Kong, or took over."""
        if self.held is None:
            return False
        mine = Lease(self.held.number, self._who, self._wall() + self._term)
        try:
            await self._kong.patch(CONSUMERS, self._entity(mine)["id"], {"custom_id": self._entity(mine)["custom_id"]})
        except Missing:
            self.held = None
            return False
        self.held = mine
        return True

    @property
    def sure(self) -> bool:
        """Whether nobody can have taken over yet: no call. A process that slept does not know how long."""
        return self.held is not None and self._wall() < self.held.until

    async def check(self) -> bool:
        """Whether we may write now: one call. Near its end it is extended instead."""
        if self.held is None or self._wall() > self.held.until - self._term / 2:
            return await self.keep()
        row = await self._kong.get(CONSUMERS, self._entity(self.held)["id"])
        if row is None or Lease.read(row).who != self._who:
            self.held = None
        return self.held is not None

    async def give_up(self) -> None:
        """Let another have it at once."""
        if self.held is not None:
            lease, self.held = self.held, None
            try:
                await self._kong.delete(CONSUMERS, self._entity(lease)["id"])
            except KongRefused as error:
                log.warning("the lease could not be given up", why=str(error))

    def _entity(self, lease: Lease) -> Entity:
        return {
            "id": identity(self._gateway, "consumers", HELD, str(lease.number), lease.who),
            "username": name(self._gateway, HELD, str(lease.number)),
            "custom_id": f"{lease.until:.3f} {lease.who}",
            "tags": [*tags(self._gateway), HELD],
        }
