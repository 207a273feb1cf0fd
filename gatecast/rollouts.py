"""Which clients have a revision: what it changed, compared with what each client has acknowledged.

Owned by `gatecast.ledger`, which notes what every revision changed; asked by the HTTP API.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile

from tenants.errors import Unavailable
from xds.hub import Client, Hub
from xds.interest import Interest
from xds.kinds import KINDS
from xds.snapshot import Resource, Snapshot

REVISIONS = 1024
NAMES = 200_000  # in all revisions together
LOOKED = 100  # revisions compared for one client's lag

Versions = Mapping[str, Mapping[str, str | None]]
"""By kind and name: the version that a revision came to; None: it was removed."""


@dataclass(frozen=True, slots=True)
class RolledOut:
    """Where one client stands: "has", "pending" or "refused". `client` is the number of its stream."""

    client: int
    node: str
    gateway: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where all clients stand with a revision. `done`: all have it."""

    revision: int
    clients: tuple[RolledOut, ...]
    done: bool


@dataclass(slots=True)
class Rollouts:
    """What the last revisions changed. Of one that is not remembered, a client has what it needs if nothing waits."""

    hub: Hub
    newest: int = 0
    _made: OrderedDict[int, Mapping[str, Versions]] = field(default_factory=OrderedDict)
    _names: int = 0

    def note(self, revision: int, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot]) -> None:
        """This revision is published; it came to these snapshots."""
        old = {name: before.get(name) or Snapshot.empty(name) for name in after}
        made = {name: _versions(old[name], one) for name, one in after.items() if old[name] is not one}
        self.newest, self._made[revision] = revision, made
        self._names += _count(made)
        while len(self._made) > 1 and (len(self._made) > REVISIONS or self._names > NAMES):
            self._names -= _count(self._made.popitem(last=False)[1])
        self.hub.move()

    def of(self, revision: int) -> Rollout:
        """Where every client stands with this revision."""
        clients = tuple(self._stand(client, revision) for client in self.hub.clients.values())
        done = revision <= self.newest and all(one.state == "has" for one in clients)
        return Rollout(revision, clients, done)

    def lag(self) -> dict[str, int]:
        """For each gateway how many of the newest revisions its most outdated client does not have, at most LOOKED."""
        found = dict.fromkeys(self.hub.snapshots, 0)
        for client in self.hub.clients.values():
            found[client.gateway] = max(found.get(client.gateway, 0), self._behind(client))
        return found

    def _behind(self, client: Client) -> int:
        """One that is idle has all; of the others most lack the newest alone."""
        if all(not one.started or _idle(one) for one in client.machine.interests.values()):
            return 0
        newest = islice(reversed(self._made), LOOKED)
        return sum(1 for _ in takewhile(lambda revision: self._stand(client, revision).state != "has", newest))

    async def wait(self, revision: int) -> None:
        """Wait until no client is pending."""
        while revision > self.newest or any(self._pending(revision)):
            if self.hub.draining:
                raise Unavailable("the server is shutting down: ask another one")
            await self.hub.moved()

    def _pending(self, revision: int) -> Iterator[bool]:
        return (self._stand(one, revision).state == "pending" for one in self.hub.clients.values())

    def _stand(self, client: Client, revision: int) -> RolledOut:
        if revision > self.newest:
            state, detail = "pending", "this server does not have the revision yet"
        else:
            state, detail = _state(client, self._changed(revision).get(client.gateway))
        return RolledOut(client.number, client.node.id, client.gateway, state, detail)

    def _changed(self, revision: int) -> Mapping[str, Versions | None]:
        """What the revision changed; the next one that is known, if several were read at once."""
        if self._made and revision >= next(iter(self._made)):
            known = self._made.get(revision) or next(made for at, made in self._made.items() if at >= revision)
            return {name: known.get(name, {}) for name in self.hub.snapshots}
        return {}


def _versions(before: Snapshot, after: Snapshot) -> Versions:
    found = {}
    for kind in KINDS:
        names = after.changed(kind, before.serial)
        if names is None:
            names = frozenset((*before.resources[kind], *after.resources[kind]))
        if names:
            found[kind] = {name: _version(after.get(kind, name)) for name in names}
    return found


def _state(client: Client, changed: Versions | None) -> tuple[str, str]:
    """`changed`: None where nobody knows any more."""
    state, detail = "has", ""
    for kind, interest in client.machine.interests.items():
        if not interest.started or _idle(interest) or (changed is not None and kind not in changed):
            continue
        found = _of_kind(client, interest, changed[kind] if changed is not None else None)
        if found == "refused":
            return found, client.of(kind).error
        if found == "pending":
            state, detail = found, f"{kind} is not acknowledged yet"
    return state, detail


def _idle(interest: Interest) -> bool:
    return interest.sent is None and not (interest.pending or interest.parked or interest.doubt)


def _of_kind(client: Client, interest: Interest, versions: Mapping[str, str | None] | None) -> str:
    if versions is None:
        return "refused" if interest.parked or interest.trials else "pending"
    late = [name for name in versions if interest.covers(name) and not _has(client, interest, name, versions[name])]
    tried = interest.parked.keys() | frozenset().union(*interest.trials)
    return "has" if not late else "refused" if tried & set(late) else "pending"


def _has(client: Client, interest: Interest, name: str, version: str | None) -> bool:
    """It acknowledged this version, or the newest one, which came after it."""
    held, newest = interest.held(name), client.machine.snapshot.get(interest.kind.name, name)
    return name not in interest.doubt and _version(held) in (version, _version(newest))


def _version(one: Resource | None) -> str | None:
    return one.version if one else None


def _count(made: Mapping[str, Versions]) -> int:
    return sum(len(names) for versions in made.values() for names in versions.values())
