"""What the store refuses and when it cannot answer, by type: an HTTP status each, and an exit code, are floors above.

Refused: Stale, Foreign, NotFound, KeyReused, NotOurs. Unavailable: Full, Doubtful, StillRunning, Behind. Neither of
them: Defect.
"""

from tenants.documents import Key
from tenants.errors import GatecastError, Refused, Unavailable

_NOTHING = "none"


class Stale(Refused):
    """The caller expected something else than what is there. `current` is an etag, "absent", or a revision's number.

    `key` is None where the caller expected a revision.
    """

    def __init__(self, key: Key | None, expected: str, current: str) -> None:
        self.key, self.expected, self.current = key, expected, current
        what = str(key) if key else "the newest revision"
        wanted, found = (_NOTHING if one == "absent" else one for one in (expected, current))
        why = "" if _NOTHING in (wanted, found) else "somebody changed it meanwhile: "
        super().__init__(f"{what}: expected {wanted}, there is {found}; {why}read it again and decide anew")


class Foreign(Refused):
    """The document belongs to another source, and the caller did not say to take it over."""

    def __init__(self, key: Key, owner: str, source: str) -> None:
        self.key, self.owner, self.source = key, owner, source
        super().__init__(
            f"{key} comes from {owner}, and {source} may not change it: change it there, or take it over with force"
        )


class NotFound(Refused):
    """There is no such document, revision or token, or it is not kept any more."""


class KeyReused(Refused):
    """The Idempotency-Key came before, with another request."""


class NotOurs(Refused):
    """What stands under the URL is no store of ours, is a newer one, is damaged, or may not be used."""


class Defect(GatecastError):
    """The database refused a statement of ours: a defect of gatecast. What was written is not in the text."""


class Full(Unavailable):
    """The disk of the store is full: nothing was written."""


class Doubtful(Unavailable):
    """The connection broke while the change was being confirmed: it may have been written or not."""


class StillRunning(Unavailable):
    """The first request with this Idempotency-Key has no answer yet."""


class Behind(Unavailable):
    """There is a newer revision than the one that was judged by: read on, and judge anew. For those who `judge`.

    Not audited: nobody was refused anything yet.
    """

    def __init__(self, seen: int, newest: int) -> None:
        super().__init__(f"revision {newest} was made meanwhile, after revision {seen}: ask again")
