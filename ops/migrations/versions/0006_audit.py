"""One audit for everything, chained; what was in the audit of provisioning goes over into it."""

from __future__ import annotations

import secrets

import msgspec
import sqlalchemy as sa
from alembic import op

from store.audit_chain import SALT_OCTETS, ZERO, AuditEntry, Head, chained

revision = "0006"
down_revision = "0004"
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
    """Give the audit of provisioning back what is the catalog's; the chain is lost."""
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
