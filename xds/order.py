"""Order between the types of one stream: make before break (R46). Pure; asked by `xds.stream` for each resource it
would send.

What is needed goes first: a route table waits until the client holds the clusters it names. What is used goes last:
a cluster is removed only when no table that this client may still hold uses it. Both wait for this client alone,
name by name, so one tenant's slow or refused resource never holds up another's. Waiting for an answer ends after
PATIENCE; what the client *refused* is no answer to wait for: its dependants stay as they are until newer content is
accepted, or go without it where nothing is lost by that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xds.interest import Interest
from xds.kinds import Kind
from xds.snapshot import Resource, Snapshot

PATIENCE = 15.0  # seconds: Envoy's own initial_fetch_timeout; what waits longer goes anyway and is reported


@dataclass(frozen=True, slots=True)
class Overdue:
    """A resource that waited longer than PATIENCE for another type's ACK and went without it."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Users:
    """Names that a client may still be using through resources of one type; `unknown`: perhaps others too."""

    names: frozenset[str]
    refused: frozenset[str]  # of these, by resources whose newer content the client refused
    unknown: bool


class Order:
    """Who waits, and since when. Owned by one stream."""

    def __init__(self, interests: Mapping[str, Interest]) -> None:
        self.overdue: list[Overdue] = []
        self._interests = interests
        self._since: dict[tuple[str, str], float] = {}
        self._users: dict[str, Users] = {}

    def begin(self) -> None:
        """A new drain: forget who waited for what is no longer wanted, and what was in use."""
        if self._since:
            self._since = {key: at for key, at in self._since.items() if key[1] in self._interests[key[0]].wanted}
        self._users.clear()

    def deadline(self) -> float | None:
        """When the first one that waits has waited for PATIENCE; what an ACK holds up anyway waits for that."""
        waiting = [at for (kind, name), at in self._since.items() if self._interests[kind].waits(name)]
        return min(waiting) + PATIENCE if waiting else None

    def may_go(self, kind: Kind, name: str, want: Resource | None, snapshot: Snapshot, now: float) -> bool:
        """Whether `name` may be sent (`want`) or removed (None) now."""
        waits, refused = self._in_use(kind, name) if want is None else self._missing(kind, want, snapshot)
        if kind.parts and want is not None:
            waits = self._takes_away(kind, name, want)
        if refused or not waits:
            self._since.pop((kind.name, name), None)
            return not refused
        since = self._since.setdefault((kind.name, name), now)
        if now - since < PATIENCE:
            return False
        del self._since[kind.name, name]
        self.overdue.append(Overdue(kind.name, name))
        return True

    def all_there(self, kind: Kind, snapshot: Snapshot) -> bool:
        """Nothing that resources of `kind` could need is missing: no need to look at each."""
        if kind.parts:
            return False
        needed = (self._interests.get(name) for name in kind.needs)
        return all(one is None or not one.started or one.settled(snapshot) for one in needed)

    def _missing(self, kind: Kind, want: Resource, snapshot: Snapshot) -> tuple[bool, bool]:
        """(something it uses is not acknowledged yet, something it uses was refused and would be lost).

        Nothing is lost by what names the refused one already, nor where the client holds nothing of it yet: there it
        would wait in vain, and a proxy that starts would wait with all it has.
        """
        if self.all_there(kind, snapshot):
            return False, False
        have = self._interests[kind.name].held(want.name)
        waits = refused = False
        for other in (self._interests[name] for name in kind.needs if name in self._interests):
            for used in want.uses or ():
                name = other.holder(used)
                if other.covers(name) and not other.offers(used) and _there(snapshot, other.kind, name, used):
                    waits = waits or name not in other.parked
                    refused = refused or (name in other.parked and _loses(have, used))
        return waits, refused

    def _takes_away(self, kind: Kind, name: str, want: Resource) -> bool:
        """Whether newer content lacks a part that this client may still be using (F46)."""
        have = self._interests[kind.name].held(name)
        if have is None or have.uses is None or want.uses is None:
            return False  # after a reconnect: what nobody used for a minute is gone
        users = [self._used_by(one) for one in kind.users if one in self._interests and self._interests[one].started]
        return any(one.unknown or not one.names.isdisjoint(have.uses - want.uses) for one in users)

    def _in_use(self, kind: Kind, name: str) -> tuple[bool, bool]:
        """(a user of `name` may still hold it, one will hold it for as long as it refuses our newer content)."""
        users = [self._used_by(one) for one in kind.users if one in self._interests]
        return any(one.unknown or name in one.names for one in users), any(name in one.refused for one in users)

    def _used_by(self, kind: str) -> Users:
        """Computed once a drain, however many removals ask."""
        if kind not in self._users:
            user = self._interests[kind]
            uses = list(user.unsettled())
            refused = [used for name in user.parked for used in user.uses(name)]
            self._users[kind] = Users(
                frozenset().union(*(one for one in uses if one is not None)),
                frozenset().union(*(one for one in refused if one is not None)),
                unknown=None in uses,
            )
        return self._users[kind]


def _there(snapshot: Snapshot, kind: Kind, name: str, used: str) -> bool:
    found = snapshot.get(kind.name, name)
    return found is not None and (not kind.parts or used in (found.uses or ()))


def _loses(have: Resource | None, used: str) -> bool:
    return have is not None and (have.uses is None or used not in have.uses)
