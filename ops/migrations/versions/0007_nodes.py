"""What several nodes on one database share: who is there, whose the endpoints are, and what they tell each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _id(*, autoincrement: bool) -> sa.Column[int]:
    wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", wide, autoincrement=autoincrement, nullable=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "node",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("instance", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=80), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("newest_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node")),
    )
    op.create_table(
        "lease",
        sa.Column("endpoint", sa.String(length=80), nullable=False),
        sa.Column("node", sa.SmallInteger(), nullable=False),
        sa.Column("wanted_by", sa.SmallInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_lease")),
    )
    op.create_table(
        "bell",
        _id(autoincrement=True),
        sa.Column("endpoint", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bell")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox",
        _id(autoincrement=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "errand",
        _id(autoincrement=False),
        sa.Column("node", sa.SmallInteger(), nullable=False),
        sa.Column("endpoint", sa.String(length=80), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_errand")),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("errand", "outbox", "bell", "lease", "node"):
        op.drop_table(name)
