"""The last good key sets of issuers, so that a restart while one is away answers nobody with 503."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "keysets",
        sa.Column("issuer", NAME, primary_key=True),
        sa.Column("uri", NAME, primary_key=True),
        sa.Column("local", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("fetched", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Remove it; the keys are fetched again."""
    op.drop_table("keysets")
