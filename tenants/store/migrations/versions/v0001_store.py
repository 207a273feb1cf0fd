"""The store as first published: documents, revisions, pins, the audit chain, idempotency keys, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

SQLITE = tuple(
    f"CREATE TRIGGER audit_no_{verb} BEFORE {verb.upper()} ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
    for verb in ("update", "delete")
)
POSTGRES = (
    "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_append_only()",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit EXECUTE FUNCTION audit_append_only()",
)


def upgrade() -> None:
    """Make everything, and the one row of `heads`."""
    _revisions()
    _documents()
    _audit()
    _access()
    op.execute("INSERT INTO heads (id, revision, audit, audit_hash) VALUES (1, 0, 0, '')")
    for statement in POSTGRES if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    """Remove everything: all settings, all history."""
    for table in ("tokens", "answers", "audit", "pins", "documents", "changes", "revisions", "heads"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_append_only()")


def _revisions() -> None:
    op.create_table(
        "heads",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="heads_one_row"), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("audit", sa.BigInteger, nullable=False),
        sa.Column("audit_hash", sa.Text, nullable=False),
    )
    op.create_table(
        "revisions",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "author", "source", "reason", "request_id")),
        sa.Column("restores", sa.BigInteger),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("created", "changed", "deleted")),
    )
    op.create_table(
        "changes",
        sa.Column("revision", sa.BigInteger, sa.ForeignKey("revisions.number"), primary_key=True),
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("id", NAME, primary_key=True),
        sa.Column("before_text", sa.Text),
        sa.Column("before_source", sa.Text),
        sa.Column("before_revision", sa.BigInteger),
        sa.Column("after_text", sa.Text),
        sa.Column("after_source", sa.Text),
    )
    op.create_index("changes_of_a_document", "changes", ["kind", "id", "revision"])


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("id", NAME, primary_key=True),
        sa.Column("organisation", NAME),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("documents_of_an_organisation", "documents", ["organisation"])
    op.create_index("documents_by_revision", "documents", ["revision"])
    op.create_table(
        "pins",
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("id", NAME, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "author", "reason")),
    )


def _audit() -> None:
    before = ("at", "actor", "action", "target", "source", "origin", "reason", "request_id", "outcome")
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in before),
        sa.Column("revision", sa.BigInteger),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("details", "digest", "previous", "hash")),
    )
    op.create_index("audit_of_a_revision", "audit", ["revision"])


def _access() -> None:
    op.create_table(
        "answers",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("body_hash", "state")),
        sa.Column("status", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("body", "at")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("hash", "name", "role", "author", "created")),
        *(sa.Column(name, sa.Text) for name in ("expires", "revoked", "used")),
    )
