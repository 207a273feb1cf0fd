"""What we hold of one source, and what each fetch makes of it: rotation with overlap, the last good set, staleness.

Pure: a fetch that ended becomes a new `Holding`. Called by `fetcher`, which owns the newest one of each source.

Overlap: a provider should keep publishing a key while its tokens live (OpenID Connect Core 10.1.1), and many do not.
A token that is good at the moment of a rotation must stay good, so a key that is no longer listed is served for
`Limits.overlap` more: an hour, since few access tokens live longer. It goes then, for a key may have been withdrawn
because it was stolen; `overlap` 0 drops it with the fetch that misses it.
"""

from dataclasses import dataclass, replace

from tenants.keysets.freshness import Random, refresh_in, retry_in
from tenants.keysets.keys import MAX_KEYS, Key, KeySet, key_set
from tenants.keysets.limits import Limits
from tenants.keysets.state import State


@dataclass(frozen=True, slots=True)
class Old:
    """A key the provider no longer lists. It goes at `until`, on the fetcher's clock."""

    key: Key
    until: float


@dataclass(frozen=True, slots=True)
class Holding:
    """`listed`: the last good set as the provider gave it. Times are on the fetcher's clock, but for `fetched`."""

    listed: KeySet | None = None
    old: tuple[Old, ...] = ()
    at: float = 0.0  # of the last good fetch
    fetched: float = 0.0  # the same, on the wall
    problem: str = ""
    failures: int = 0
    due: float = 0.0  # of the next fetch


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks."""

    now: float
    wall: float


@dataclass(frozen=True, slots=True)
class Known:
    """A key set that was fetched at `fetched`, on the wall, by a process that is gone."""

    keys: KeySet
    fetched: float


def remembered(known: Known, moment: Moment) -> Holding:
    """The holding of who knows this from before. It is due at once; a wall clock that went back makes it no younger."""
    at = moment.now - max(0.0, moment.wall - known.fetched)
    return Holding(known.keys, at=at, fetched=min(known.fetched, moment.wall), due=moment.now)


def renewed(
    held: Holding, fresh: KeySet, fresh_for: float | None, moment: Moment, limits: Limits, random: Random
) -> Holding:
    """The holding after a good fetch."""
    old = _old(held, fresh, moment.now, limits)
    due = moment.now + refresh_in(fresh_for, limits, random)
    return Holding(fresh, old, moment.now, moment.wall, due=due)


def failed(held: Holding, problem: str, now: float, limits: Limits, random: Random) -> Holding:
    """The holding after a fetch that failed: the last good set stays."""
    failures = held.failures + 1
    due = now + retry_in(failures, limits, random)
    return replace(held, problem=problem, failures=failures, due=due)


def state(held: Holding, now: float, limits: Limits) -> State:
    """What the holding says at this time."""
    if held.listed is None:
        return State(problem=held.problem)
    kept = [one.key for one in held.old if one.until > now]
    keys = key_set((*held.listed.keys, *kept), held.listed.skipped) if kept else held.listed
    stale = now >= held.at + limits.stale
    return State(keys, held.problem, held.fetched, stale)


def lapse(held: Holding, now: float, limits: Limits) -> float | None:
    """When the state changes next without a fetch: a key's overlap ends, or the set becomes stale. None: never."""
    times = [one.until for one in held.old] + ([held.at + limits.stale] if held.listed else [])
    return min((time for time in times if time > now), default=None)


def _old(held: Holding, fresh: KeySet, now: float, limits: Limits) -> tuple[Old, ...]:
    """The keys in overlap, the newest first; as many as a set may have, so that no provider makes us hoard."""
    listed = {key.identity for key in fresh.keys}
    gone = [Old(key, now + limits.overlap) for key in (held.listed.keys if held.listed else ())]
    known = [one for one in (*gone, *held.old) if one.until > now and one.key.identity not in listed]
    return tuple(known[:MAX_KEYS])
