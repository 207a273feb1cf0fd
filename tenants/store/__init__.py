"""Documents with their history, pins, audit, idempotency keys and tokens, in SQLite or PostgreSQL.

`Store` is the way in; `diffs` shows what changes came to; `backup` copies a store to a file
and `put_back` brings it back.
"""

from tenants.store.chain import Entry, Head, Verdict
from tenants.store.copies import backup, put_back
from tenants.store.differences import MISSING, DocumentDiff, FieldDiff, diffs
from tenants.store.errors import (
    Behind,
    Defect,
    Doubtful,
    Foreign,
    Full,
    KeyReused,
    NotFound,
    NotOurs,
    Stale,
    StillRunning,
)
from tenants.store.once import Once
from tenants.store.redaction import redacted
from tenants.store.retention import Keep
from tenants.store.revisions import (
    ABSENT,
    AUTOMATIC,
    PRESENT,
    Answer,
    By,
    Change,
    Commit,
    Documents,
    Expected,
    KeptOut,
    News,
    Pin,
    Revision,
    Stored,
    Write,
    canonical,
    etag,
    owner,
)
from tenants.store.store import Judge, Store
from tenants.store.tokens import ROLES, Token
from tenants.store.watch import Pace

__all__ = [
    "ABSENT",
    "AUTOMATIC",
    "MISSING",
    "PRESENT",
    "ROLES",
    "Answer",
    "Behind",
    "By",
    "Change",
    "Commit",
    "Defect",
    "DocumentDiff",
    "Documents",
    "Doubtful",
    "Entry",
    "Expected",
    "FieldDiff",
    "Foreign",
    "Full",
    "Head",
    "Judge",
    "Keep",
    "KeptOut",
    "KeyReused",
    "News",
    "NotFound",
    "NotOurs",
    "Once",
    "Pace",
    "Pin",
    "Revision",
    "Stale",
    "StillRunning",
    "Store",
    "Stored",
    "Token",
    "Verdict",
    "Write",
    "backup",
    "canonical",
    "diffs",
    "etag",
    "owner",
    "put_back",
    "redacted",
]
