"""The first schema: messages, threads, provisioning, the feed.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# long because: a migration is a list of tables, and is never read in parts.
def upgrade() -> None:
    """Apply."""
    op.create_table(
        "account",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_account")),
    )
    op.create_table(
        "arrived_part",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.String(length=80), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("reference", sa.Integer(), nullable=False),
        sa.Column("total", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("deadline_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrived_part")),
    )
    op.create_index(
        "ix_arrived_part_waiting",
        "arrived_part",
        ["source", "destination", "reference"],
        unique=False,
        sqlite_where=sa.text("message_id = 0"),
        postgresql_where=sa.text("message_id = 0"),
    )
    op.create_table(
        "block",
        sa.Column("first", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("call_centre", sa.Text(), nullable=False),
        sa.Column("alias", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("element", sa.Text(), server_default="", nullable=False),
        sa.Column("link", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("first", name=op.f("pk_block")),
    )
    op.create_table(
        "call_centre",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_call_centre")),
    )
    op.create_table(
        "carrier_part",
        sa.Column("endpoint", sa.String(length=80), nullable=False),
        sa.Column("carrier_id", sa.String(length=80), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "carrier_id", "message_id", "part", name=op.f("pk_carrier_part")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "desk",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_desk")),
    )
    op.create_table(
        "feed",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "feed_follower",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed_follower")),
    )
    op.create_table(
        "link",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_link")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("origin", sa.String(length=80), nullable=False),
        sa.Column("endpoint", sa.String(length=80), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("call_centre", sa.String(length=64), nullable=False),
        sa.Column("thread_id", sa.BigInteger(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("done_us", sa.BigInteger(), nullable=False),
        sa.Column("next_part", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("in_doubt", sa.SmallInteger(), nullable=False),
        sa.Column("receipt_wanted", sa.SmallInteger(), nullable=False),
        sa.Column("receipts_settled", sa.SmallInteger(), nullable=False),
        sa.Column("receipts_failed", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.String(length=80), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index(
        "ix_message_dead",
        "message",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 5"),
        postgresql_where=sa.text("state = 5"),
    )
    op.create_index(
        "ix_message_due",
        "message",
        ["endpoint", "next_us", "id"],
        unique=False,
        sqlite_where=sa.text("state = 0 AND attempts = 0 AND next_us > 0"),
        postgresql_where=sa.text("state = 0 AND attempts = 0 AND next_us > 0"),
    )
    op.create_index(
        "ix_message_expiry",
        "message",
        ["expires_us", "id"],
        unique=False,
        sqlite_where=sa.text("state < 2"),
        postgresql_where=sa.text("state < 2"),
    )
    op.create_index(
        "ix_message_lane",
        "message",
        ["destination", "id"],
        unique=False,
        sqlite_where=sa.text("state < 2"),
        postgresql_where=sa.text("state < 2"),
    )
    op.create_index(
        "ix_message_pending",
        "message",
        ["endpoint", "kind", "id"],
        unique=False,
        sqlite_where=sa.text("state < 2"),
        postgresql_where=sa.text("state < 2"),
    )
    op.create_index(
        "ix_message_thread",
        "message",
        ["thread_id", "id"],
        unique=False,
        sqlite_where=sa.text("thread_id > 0"),
        postgresql_where=sa.text("thread_id > 0"),
    )
    op.create_table(
        "number",
        sa.Column("digits", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("call_centre", sa.Text(), nullable=False),
        sa.Column("alias_of", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("element", sa.Text(), server_default="", nullable=False),
        sa.Column("link", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digits", name=op.f("pk_number")),
    )
    op.create_index("ix_number_alias_of", "number", ["alias_of"], unique=False)
    op.create_index("ix_number_call_centre", "number", ["call_centre", "digits"], unique=False)
    op.create_table(
        "operator_request",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_request")),
    )
    op.create_table(
        "parked_receipt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("endpoint", sa.String(length=80), nullable=False),
        sa.Column("carrier_id", sa.String(length=80), nullable=False),
        sa.Column("parked_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked_receipt")),
    )
    op.create_index("ix_parked_receipt_carrier_id", "parked_receipt", ["endpoint", "carrier_id"], unique=False)
    op.create_table(
        "provisioning_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_audit")),
    )
    op.create_table(
        "provisioning_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_revision")),
    )
    op.create_table(
        "route",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_route")),
    )
    op.create_table(
        "thread",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("call_centre", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("network_endpoint", sa.Text(), server_default="", nullable=False),
        sa.Column("opened_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("closed_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("close_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("opened_because", sa.Text(), server_default="", nullable=False),
        sa.Column("product", sa.Text(), server_default="", nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("designation_kind", sa.Text(), server_default="", nullable=False),
        sa.Column("designation_value", sa.Text(), server_default="", nullable=False),
        sa.Column("desk_label", sa.Text(), server_default="", nullable=False),
        sa.Column("seen_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_thread")),
    )
    op.create_index("ix_thread_call_centre_id", "thread", ["call_centre", "id"], unique=False)
    op.create_index(
        "ix_thread_closed",
        "thread",
        ["call_centre", "closed_us"],
        unique=False,
        sqlite_where=sa.text("closed_us > 0"),
        postgresql_where=sa.text("closed_us > 0"),
    )
    op.create_index("ix_thread_customer", "thread", ["call_centre", "customer", "id"], unique=False)
    op.create_index(
        "ix_thread_open_seen",
        "thread",
        ["call_centre", "seen_us"],
        unique=False,
        sqlite_where=sa.text("closed_us = 0"),
        postgresql_where=sa.text("closed_us = 0"),
    )
    op.create_index(
        "uq_thread_open_pair",
        "thread",
        ["customer", "number", "call_centre"],
        unique=True,
        sqlite_where=sa.text("closed_us = 0"),
        postgresql_where=sa.text("closed_us = 0"),
    )
    op.create_index("uq_thread_token", "thread", ["token"], unique=True)
    op.create_table(
        "thread_event",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("thread_id", sa.BigInteger(), nullable=False),
        sa.Column("call_centre", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), server_default="", nullable=False),
        sa.Column("designation_kind", sa.Text(), server_default="", nullable=False),
        sa.Column("designation_value", sa.Text(), server_default="", nullable=False),
        sa.Column("desk_label", sa.Text(), server_default="", nullable=False),
        sa.Column("product", sa.Text(), server_default="", nullable=False),
        sa.Column("channel", sa.Text(), server_default="", nullable=False),
        sa.Column("place", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("direction", sa.Text(), server_default="", nullable=False),
        sa.Column("started_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duration_s", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "id", name=op.f("pk_thread_event")),
        sqlite_with_rowid=False,
    )


# long because: as above.
def downgrade() -> None:
    """Undo."""
    op.drop_table("thread_event")
    op.drop_index("uq_thread_token", table_name="thread")
    op.drop_index(
        "uq_thread_open_pair",
        table_name="thread",
        sqlite_where=sa.text("closed_us = 0"),
        postgresql_where=sa.text("closed_us = 0"),
    )
    op.drop_index(
        "ix_thread_open_seen",
        table_name="thread",
        sqlite_where=sa.text("closed_us = 0"),
        postgresql_where=sa.text("closed_us = 0"),
    )
    op.drop_index("ix_thread_customer", table_name="thread")
    op.drop_index(
        "ix_thread_closed",
        table_name="thread",
        sqlite_where=sa.text("closed_us > 0"),
        postgresql_where=sa.text("closed_us > 0"),
    )
    op.drop_index("ix_thread_call_centre_id", table_name="thread")
    op.drop_table("thread")
    op.drop_table("route")
    op.drop_table("provisioning_revision")
    op.drop_table("provisioning_audit")
    op.drop_index("ix_parked_receipt_carrier_id", table_name="parked_receipt")
    op.drop_table("parked_receipt")
    op.drop_table("operator_request")
    op.drop_index("ix_number_call_centre", table_name="number")
    op.drop_index("ix_number_alias_of", table_name="number")
    op.drop_table("number")
    op.drop_index(
        "ix_message_thread",
        table_name="message",
        sqlite_where=sa.text("thread_id > 0"),
        postgresql_where=sa.text("thread_id > 0"),
    )
    op.drop_index(
        "ix_message_pending",
        table_name="message",
        sqlite_where=sa.text("state < 2"),
        postgresql_where=sa.text("state < 2"),
    )
    op.drop_index(
        "ix_message_lane",
        table_name="message",
        sqlite_where=sa.text("state < 2"),
        postgresql_where=sa.text("state < 2"),
    )
    op.drop_index(
        "ix_message_expiry",
        table_name="message",
        sqlite_where=sa.text("state < 2"),
        postgresql_where=sa.text("state < 2"),
    )
    op.drop_index(
        "ix_message_due",
        table_name="message",
        sqlite_where=sa.text("state = 0 AND attempts = 0 AND next_us > 0"),
        postgresql_where=sa.text("state = 0 AND attempts = 0 AND next_us > 0"),
    )
    op.drop_index(
        "ix_message_dead",
        table_name="message",
        sqlite_where=sa.text("state = 5"),
        postgresql_where=sa.text("state = 5"),
    )
    op.drop_table("message")
    op.drop_table("link")
    op.drop_table("feed_follower")
    op.drop_table("feed")
    op.drop_table("desk")
    op.drop_table("carrier_part")
    op.drop_table("call_centre")
    op.drop_table("block")
    op.drop_index(
        "ix_arrived_part_waiting",
        table_name="arrived_part",
        sqlite_where=sa.text("message_id = 0"),
        postgresql_where=sa.text("message_id = 0"),
    )
    op.drop_table("arrived_part")
    op.drop_table("account")
