"""How much history is kept. Pure; `Store.prune` asks it.

Only the oldest revisions are ever forgotten, so history has no holes, and whatever is left can be restored: an older
state is what is now with every later change undone (see `tenants.store.schema`). The audit is never forgotten.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep the newest `count` revisions, and every one younger than `age`; the newest one always."""

    count: int = 1000
    age: timedelta = timedelta(days=90)


def stamp(moment: datetime) -> str:
    """A moment as the store writes it: RFC 3339, UTC, microseconds. The texts sort as the moments do."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def young(keep: Keep, now: datetime) -> tuple[str, str]:
    """From and until when a revision counts as young. One in the future says nothing: a clock was wrong."""
    return stamp(now - keep.age), stamp(now)


def floor(keep: Keep, newest: int, oldest_young: int | None) -> int:
    """The oldest revision to keep, given the lowest number among the young ones."""
    by_count = max(newest - max(keep.count, 1) + 1, 1)
    return by_count if oldest_young is None else min(by_count, oldest_young)
