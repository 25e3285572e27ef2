"""One audit for everything, chained, which takes over that of provisioning; what retention and the archive need."""

from __future__ import annotations

import secrets

import msgspec
import sqlalchemy as sa
from alembic import op

from store.audit_chain import SALT_OCTETS, ZERO, AuditEntry, Head, chained

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PAGE = 5_000
COLUMNS = ("id", "at_us", "who", "action", "kind", "key", "detail", "salt", "content_digest", "chain")

SQLITE = (
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER audit_only_redaction BEFORE UPDATE ON audit WHEN NOT (NEW.id = OLD.id AND NEW.at_us = OLD.at_us"
    " AND NEW.who = OLD.who AND NEW.action = OLD.action AND NEW.kind = OLD.kind"
    " AND NEW.content_digest = OLD.content_digest AND NEW.chain = OLD.chain AND NEW.salt = ''"
    " AND NEW.key = '(redacted)' AND NEW.detail = '(redacted)')"
    " BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
)
POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF TG_OP = 'UPDATE' AND NEW.id = OLD.id AND NEW.at_us = OLD.at_us AND NEW.who = OLD.who"
    " AND NEW.action = OLD.action AND NEW.kind = OLD.kind AND NEW.content_digest = OLD.content_digest"
    " AND NEW.chain = OLD.chain AND NEW.salt = '' AND NEW.key = '(redacted)' AND NEW.detail = '(redacted)'"
    " THEN RETURN NEW; END IF;"
    " RAISE EXCEPTION 'the audit is append-only'; END $$",
    "CREATE TRIGGER audit_only_redaction BEFORE UPDATE OR DELETE ON audit"
    " FOR EACH ROW EXECUTE FUNCTION audit_append_only()",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
)


def upgrade() -> None:
    """Make the tables, move the old audit, and let the database refuse to change what is there."""
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in COLUMNS[2:]),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_kind_key", "audit", ["kind", "key", "id"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    _move()
    op.drop_table("provisioning_audit")
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)
    _make_keeping()


def _make_keeping() -> None:
    """The tables of retention and the archive, and the indexes by which a message's rows are found."""
    op.create_index(
        "ix_arrived_part_message",
        "arrived_part",
        ["message_id"],
        unique=False,
        sqlite_where=sa.text("message_id > 0"),
        postgresql_where=sa.text("message_id > 0"),
    )
    op.create_index("ix_carrier_part_message", "carrier_part", ["message_id"], unique=False)
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "retention_cursor",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retention_cursor")),
    )
    op.create_table(
        "retention_later",
        sa.Column("message_id", big, autoincrement=False, nullable=False),
        sa.Column("look_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_retention_later")),
    )
    op.create_index("ix_retention_later_look_us", "retention_later", ["look_us"], unique=False)
    op.create_table(
        "archive_object",
        sa.Column("id", big, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("call_centre", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("is_stored", sa.SmallInteger(), nullable=False),
        sa.Column("ids", sa.Text(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("superseded", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive_object")),
    )
    op.create_index("ix_archive_object_day", "archive_object", ["call_centre", "day"], unique=False)


def _move() -> None:
    """Chain what was in the audit of provisioning, page by page."""
    connection = op.get_bind()
    old = sa.table("provisioning_audit", *(sa.column(name) for name in COLUMNS[:7]))
    new = sa.table("audit", *(sa.column(name) for name in COLUMNS))
    head, last = Head(0, ZERO.hex()), 0
    while page := connection.execute(sa.select(old).where(old.c.id > last).order_by(old.c.id).limit(PAGE)).all():
        last = page[-1][0]
        rows = chained(head, [AuditEntry(*row[1:]) for row in page], [secrets.token_bytes(SALT_OCTETS) for _ in page])
        connection.execute(sa.insert(new), [msgspec.structs.asdict(row) for row in rows])
        head = Head(rows[-1].id, rows[-1].chain)
    if head.id:
        heads = sa.table("audit_head", *(sa.column(name) for name in ("id", "last_id", "chain")))
        connection.execute(sa.insert(heads).values(id=1, last_id=head.id, chain=head.chain))


def downgrade() -> None:
    """Give the audit of provisioning back what is the catalog's; the chain is lost, and the archive's index."""
    for table in ("archive_object", "retention_later", "retention_cursor"):
        op.drop_table(table)
    op.drop_index("ix_carrier_part_message", table_name="carrier_part")
    op.drop_index("ix_arrived_part_message", table_name="arrived_part")
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
    op.execute(
        "INSERT INTO provisioning_audit (at_us, who, action, kind, key, detail)"
        " SELECT at_us, who, action, kind, key, detail FROM audit WHERE action IN ('added', 'changed', 'removed')"
        " ORDER BY id"
    )
    op.drop_table("audit")
    op.drop_table("audit_head")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_append_only()")
