"""How many may wait to write: a bound for each document, and one for all. Owned by `gatecast.ledger`.

Writes are made one after the other, a few milliseconds each. Without a bound, somebody who writes one document a
thousand times a second would make everybody else wait behind him.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tenants.documents import Key
from tenants.errors import Unavailable

EACH = 8
MOST = 256


class Busy(Unavailable):
    """Too many wait to write already; `retry_after` says in how many seconds it is worth asking again."""

    retry_after = 1.0


@dataclass(slots=True)
class Admission:
    """Who waits or writes now."""

    each: int = EACH
    most: int = MOST
    count: int = 0
    _of: Counter[Key] = field(default_factory=Counter)

    @contextmanager
    def admitted(self, keys: Iterable[Key]) -> Iterator[None]:
        """A place for a write of these documents, until the block ends. Raises `Busy`."""
        names = frozenset(keys)
        if full := next((key for key in sorted(names) if self._of[key] >= self.each), None):
            raise Busy(f"{self.each} changes of {full} wait already: ask again, or put your changes together")
        if self.count >= self.most:
            raise Busy(f"{self.most} changes wait already: ask again, or put your changes together")
        self.count += 1
        self._of.update(names)
        try:
            yield
        finally:
            self.count -= 1
            self._of.subtract(names)
            for key in names:
                if not self._of[key]:
                    del self._of[key]
