"""Groups of links, the opt-out ledger, what accounts sent in a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "link_group",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_link_group")),
    )
    op.create_table(
        "opt_out",
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("is_out", sa.SmallInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.Column("word", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number", "customer", name=op.f("pk_opt_out")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_opt_out_customer", "opt_out", ["customer"], unique=False)
    op.create_index(
        "ix_opt_out_number",
        "opt_out",
        ["number"],
        unique=False,
        sqlite_where=sa.text("is_out = 1"),
        postgresql_where=sa.text("is_out = 1"),
    )
    op.create_table(
        "opt_out_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.Column("word", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opt_out_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_opt_out_audit_customer", "opt_out_audit", ["customer", "number", "id"], unique=False)
    op.create_table(
        "account_day",
        sa.Column("account", sa.String(length=80), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "day", name=op.f("pk_account_day")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("account_day")
    op.drop_index("ix_opt_out_audit_customer", table_name="opt_out_audit")
    op.drop_table("opt_out_audit")
    op.drop_index("ix_opt_out_number", table_name="opt_out")
    op.drop_index("ix_opt_out_customer", table_name="opt_out")
    op.drop_table("opt_out")
    op.drop_table("link_group")
