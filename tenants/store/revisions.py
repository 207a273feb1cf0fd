"""The values of the store: documents as stored, writes, who makes them, what they come to. Pure.

Everybody who reads or writes the store meets these; `tenants.store.planning` decides with them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Self

from tenants.documents import KINDS, Key
from tenants.errors import Refused
from tenants.values import ID


def canonical(value: Any) -> str:
    """JSON with one spelling: keys in order, no spaces, ASCII alone. Raises `Refused` for what is not JSON."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"this is not JSON: {error}") from None


def etag(text: str) -> str:
    """The version of a document: a hash of its canonical JSON. The same content has the same etag everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def plain(text: str) -> str:
    """Text that every engine can hold: without NUL, and without halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


@lru_cache(maxsize=1024)
def owner(source: str) -> str:
    """Whom a document of this source belongs to: "file", "registry", or "operator" (api, cli, page)."""
    family = source.partition(":")[0]
    return family if family in AUTOMATIC else "operator"


AUTOMATIC: Final = frozenset({"file", "registry"})
"""Owners that write again by themselves. They never refuse a whole set for one document, and a restore pins theirs."""


@dataclass(frozen=True, slots=True)
class By:
    """Who asks, and why. `source` is `api`, `cli`, `registry` or `file:<path>`; `origin` the address a request is from.

    An automatic source is its own author.
    """

    author: str
    source: str
    reason: str = ""
    request_id: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        for name in ("author", "source", "reason", "request_id", "origin"):
            object.__setattr__(self, name, plain(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be there for a write to happen: one of `etags`; any document if none is given; or `absent`: nothing."""

    etags: tuple[str, ...] = ()
    absent: bool = False

    def holds(self, current: str | None) -> bool:
        """Whether the etag that is there, None for nothing, is as expected."""
        if self.absent or current is None:
            return self.absent and current is None
        return not self.etags or current in self.etags

    def __str__(self) -> str:
        return "absent" if self.absent else " or ".join(self.etags) or "a document"


ABSENT: Final = Expected(absent=True)
PRESENT: Final = Expected()


@dataclass(frozen=True, slots=True)
class Write:
    """One document to put (`text` is its canonical JSON) or to delete (None). `source` overrides that of `By`."""

    key: Key
    text: str | None
    expected: Expected | None = None
    source: str = ""

    @classmethod
    def put(cls, body: Mapping[str, Any], expected: Expected | None = None, source: str = "") -> Self:
        """Raises `Refused` if the body names no kind and id. Whether it is a good document is for `tenants.reading`."""
        kind, name = body.get("kind"), body.get("id")
        if not isinstance(kind, str) or kind not in KINDS or not isinstance(name, str) or not ID.fullmatch(name):
            raise Refused(f"a document needs a kind ({', '.join(KINDS)}) and an id, not {kind!r} and {name!r}")
        return cls(Key(kind, name), canonical(body), expected, plain(source))

    @classmethod
    def delete(cls, key: Key, expected: Expected | None = None, source: str = "") -> Self:
        """Deleting what is not there changes nothing, unless `expected` says it must be."""
        return cls(key, None, expected, plain(source))

    @property
    def body(self) -> dict[str, Any]:
        """What is put, as JSON; a new value each time. Nothing for a deletion."""
        body: dict[str, Any] = json.loads(self.text or "{}")
        return body


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as stored. `revision` touched it last; `pinned`: files and registries may not write it now."""

    key: Key
    text: str
    source: str
    revision: int
    pinned: bool = False

    @property
    def etag(self) -> str:
        """Its version."""
        return etag(self.text)

    @property
    def body(self) -> dict[str, Any]:
        """It as JSON; a new value each time."""
        body: dict[str, Any] = json.loads(self.text)
        return body


@dataclass(frozen=True, slots=True)
class Change:
    """One document before and after; None where there is none."""

    key: Key
    before: Stored | None
    after: Stored | None

    @property
    def what(self) -> str:
        """ "created", "changed" or "deleted"."""
        return "created" if self.before is None else "deleted" if self.after is None else "changed"

    @property
    def reversed(self) -> "Change":
        """The way back."""
        return replace(self, before=self.after, after=self.before)


@dataclass(frozen=True, slots=True)
class Revision:
    """What the store keeps of one transaction. `at` is RFC 3339 in UTC; `restores` the revision it went back to."""

    number: int
    at: str
    author: str
    source: str
    reason: str
    request_id: str
    restores: int | None = None
    created: int = 0
    changed: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class KeptOut:
    """A write of a file or registry that did not happen. `why`: "pinned", or "foreign" (it belongs to `owner`)."""

    key: Key
    why: str
    owner: str
    source: str

    def __str__(self) -> str:
        if self.why == "pinned":
            return f"{self.key} is pinned since a restore: what {self.source} says is kept out until it is unpinned"
        return f"{self.key} comes from {self.owner}: what {self.source} says is kept out"


@dataclass(frozen=True, slots=True)
class Pin:
    """Why files and registries may not write this name: set by whom with which revision."""

    key: Key
    revision: int
    at: str
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Documents:
    """All documents at a revision, in the order of their names."""

    revision: int
    documents: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class News:
    """What became of documents since a revision: how they are now, and which are gone.

    `whole`: the store cannot tell the difference any more, so `put` is everything there is, and nothing else is.
    """

    revision: int
    put: tuple[Stored, ...] = ()
    gone: tuple[Key, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller was told: an HTTP status and a body in JSON."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What a set of writes came to. `revision` is the newest one, also where nothing was `made`.

    `kept_out` is what an automatic source was not let to write; `pinned` are names that it may not write from now on.
    With `replayed`, this came from the first request with the same Idempotency-Key, and only `answer` counts.
    """

    revision: int
    changes: tuple[Change, ...] = ()
    kept_out: tuple[KeptOut, ...] = ()
    made: bool = False
    answer: Answer | None = None
    replayed: bool = False
    pinned: tuple[Key, ...] = ()
