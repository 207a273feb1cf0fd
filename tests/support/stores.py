"""Short words for tests of the store: writes, people, a clock that is set by hand, statements counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event

from tenants.documents import Key
from tenants.store import By, Commit, Documents, Expected, Pace, Store, Write

QUICK = Pace(look=0.02, backstop=0.2, first=0.02, longest=0.1)
DANA = By("dana", "api", "because", "req-1", "192.0.2.7")
FILE = By("file:a.yaml", "file:a.yaml")
REGISTRY = By("registry", "registry")


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 20, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        """Forward, or back: `days=-1`."""
        self.now += timedelta(**by)


def key(name: str = "acme") -> Key:
    return Key("Tenant", name)


def put(name: str = "acme", expected: Expected | None = None, source: str = "", **more: Any) -> Write:
    """A write of a tenant; `n=1` and the like tell versions apart."""
    return Write.put({"kind": "Tenant", "id": name, **more}, expected, source)


def drop(name: str = "acme", expected: Expected | None = None) -> Write:
    return Write.delete(key(name), expected)


async def versions(store: Store, *, by: By = DANA, count: int = 3, name: str = "acme") -> list[Commit]:
    """Some revisions of one tenant: n=1, n=2, and so on."""
    return [await store.commit([put(name, n=n)], by) for n in range(1, count + 1)]


def contents(found: Documents) -> list[tuple[str, str, str]]:
    """Name, text and source of every document."""
    return [(str(one.key), one.text, one.source) for one in found.documents]


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """The statements that are executed in the block."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engines = (store.database.read.sync_engine, store.database.write.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
