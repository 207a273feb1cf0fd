"""The tables of the store, as SQLAlchemy Core knows them. `migrations/` makes them; a test compares the two.

Everything is text and whole numbers, so that both engines hold the same bytes: a document is canonical JSON in ASCII, a
time is RFC 3339 in UTC with microseconds. Order is `number` and `seq`, never a time: clocks jump.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, Table, Text

VERSION = "0002"
"""The newest migration: what a database must be at to be used."""

NAME = Text().with_variant(Text(collation="C"), "postgresql")
"""Text in the order of its bytes, as SQLite and Python have it."""

metadata = MetaData()

heads = Table(
    "heads",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="heads_one_row"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("audit", BigInteger, nullable=False),
    Column("audit_hash", Text, nullable=False),
)
"""One row: the newest revision and the end of the audit chain. Whoever writes locks it first, so writers queue here."""

revisions = Table(
    "revisions",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("restores", BigInteger),
    Column("created", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("revision", BigInteger, ForeignKey("revisions.number"), primary_key=True),
    Column("kind", NAME, primary_key=True),
    Column("id", NAME, primary_key=True),
    Column("before_text", Text),
    Column("before_source", Text),
    Column("before_revision", BigInteger),
    Column("after_text", Text),
    Column("after_source", Text),
    Index("changes_of_a_document", "kind", "id", "revision"),
)
"""Before and after of each document a revision touched; null where there was none.

The state at an older revision is the state now with every later change undone. So whatever is kept can be restored from
what is kept: forgetting the oldest revisions never takes anything from the others.
"""

documents = Table(
    "documents",
    metadata,
    Column("kind", NAME, primary_key=True),
    Column("id", NAME, primary_key=True),
    Column("organisation", NAME),
    Column("text", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("documents_of_an_organisation", "organisation"),
    Index("documents_by_revision", "revision"),
)
"""The documents now. `revision` is the one that last touched the document."""

pins = Table(
    "pins",
    metadata,
    Column("kind", NAME, primary_key=True),
    Column("id", NAME, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("at", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
"""Names that files and registries may not write until somebody unpins them; the document itself may be gone."""

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("revision", BigInteger),
    Column("details", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("audit_of_a_revision", "revision"),
)
"""The chain (see `tenants.store.chain`). Triggers refuse UPDATE, DELETE and TRUNCATE."""

answers = Table(
    "answers",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Text, nullable=False),
)
"""First answers by Idempotency-Key."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("expires", Text),
    Column("revoked", Text),
    Column("used", Text),
)
"""API tokens. Only a hash of the secret is here."""

keysets = Table(
    "keysets",
    metadata,
    Column("issuer", NAME, primary_key=True),
    Column("uri", NAME, primary_key=True),
    Column("local", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("fetched", BigInteger, nullable=False),
)
"""The last good key set of each source (see `tenants.keysets`); `fetched` in seconds since 1970. No part of history."""
