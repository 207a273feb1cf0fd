"""The audit chain: entries that each cover the one before by hash, and the check that finds tampering. Pure.

What the check finds: an entry edited, removed, inserted, moved, or cut off the end, unless whoever did it also wrote
every later hash and the head anew. There is no key, so somebody with full rights on the database can do that. Against
it keep a `Head` elsewhere (`Audit.head`, a line of the export, a backup's header) and give it to the check as `noted`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace

from tenants.errors import Refused
from tenants.store.revisions import canonical

OUTCOMES = ("done", "refused", "failed")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number and hash of its last entry; 0 and "" before the first."""

    seq: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """Who (`actor`) did what (`action` to `target`), when, from where (`source`, `origin`), why, and what came of it.

    `outcome` is one of OUTCOMES. `details` is canonical JSON, redacted. `digest` covers the revision that was made.
    `seq`, `previous` and `hash` are the chain.
    """

    at: str
    actor: str
    action: str
    target: str
    source: str
    origin: str
    reason: str
    request_id: str
    outcome: str
    revision: int | None = None
    details: str = "{}"
    digest: str = ""
    seq: int = 0
    previous: str = ""
    hash: str = ""

    @property
    def line(self) -> str:
        """It as a line of the export."""
        return canonical(asdict(self))


def parse(line: str) -> Entry:
    """An entry from a line of the export. Raises `Refused`."""
    try:
        return Entry(**json.loads(line))
    except (TypeError, ValueError):
        raise Refused("this is not a line of an audit export") from None


def sealed(entry: Entry, head: Head) -> Entry:
    """The entry as the next one after `head`."""
    bare = replace(entry, seq=head.seq + 1, previous=head.hash, hash="")
    return replace(bare, hash=_hash(bare))


def _hash(entry: Entry) -> str:
    return hashlib.sha256(replace(entry, hash="").line.encode()).hexdigest()


@dataclass(slots=True)
class Check:
    """Reads entries in order, in as many parts as they come, and collects what is wrong. At most `most` are named."""

    noted: Head | None = None
    most: int = 100
    last: Head = Head()
    found: list[str] = field(default_factory=list)
    count: int = 0

    def read(self, entries: Iterable[Entry]) -> None:
        """The next entries, by ascending number."""
        for entry in entries:
            self.count += 1
            self.found += self._faults(entry) if len(self.found) < self.most else ()
            if self.noted and entry.seq == self.noted.seq and entry.hash != self.noted.hash:
                self.found.append(f"entry {entry.seq} is not the one that was noted: the chain was written anew")
            self.last = Head(entry.seq, entry.hash)

    def end(self, head: Head | None) -> None:
        """No more entries; `head` is what the store says the end is."""
        if head is None:
            self.found.append("the head of the chain is missing: entries may have been cut off the end")
        elif head.seq > self.last.seq:
            self.found.append(f"entries {self.last.seq + 1} to {head.seq} are missing at the end")
        elif head != self.last:
            self.found.append(f"the head of the chain says {head.seq}, the last entry is another one: {self.last.seq}")
        if self.noted and self.noted.seq > self.last.seq:
            self.found.append(f"entry {self.noted.seq} was noted, and the chain ends with {self.last.seq}")

    def _faults(self, entry: Entry) -> Iterator[str]:
        due = self.last.seq + 1
        if entry.seq != due:
            span = f"entry {due} is" if entry.seq == due + 1 else f"entries {due} to {entry.seq - 1} are"
            yield f"{span} missing"
        elif entry.previous != self.last.hash:
            yield f"entry {entry.seq} does not follow the one before it: one of them was replaced or moved"
        if _hash(entry) != entry.hash:
            yield f"entry {entry.seq} was edited"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check came to: the number of entries, the end of the chain, and what is wrong (nothing: it is whole)."""

    entries: int
    head: Head
    problems: tuple[str, ...] = ()
