"""Letters of authorization, white lists, carrier directories and what is published, retention, keys of the API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAMED = ("loa", "white_list", "carrier_directory", "retention", "legal_hold", "api_key")


def upgrade() -> None:
    """Make the tables."""
    for table in NAMED:
        op.create_table(
            table,
            sa.Column("name", sa.Text(), nullable=False),
            sa.Column("settings", sa.Text(), nullable=False),
            sa.Column("updated_us", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("name", name=op.f(f"pk_{table}")),
        )
    op.create_table(
        "loa_document",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_loa_document")),
    )
    op.create_table(
        "publication",
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("digits", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("call_centre", sa.Text(), nullable=False),
        sa.Column("wanted", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("directory", "digits", name=op.f("pk_publication")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_publication_call_centre", "publication", ["call_centre", "digits"], unique=False)
    op.create_index("ix_publication_due", "publication", ["directory", "state", "next_us"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("publication")
    op.drop_table("loa_document")
    for table in reversed(NAMED):
        op.drop_table(table)
