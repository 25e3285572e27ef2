"""Indexes over pending and dead messages that a claim does not touch; room in PostgreSQL's pages for its versions.

``state`` was in the conditions of these indexes, so that each change of it was a change of theirs. Now ``done_us`` says
what is pending, and a ``next_us`` below 0 what is a dead letter. The table is read once, and its indexes are made anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BEFORE = {"pending": "state < 2", "untried": "state = 0 AND attempts = 0 AND next_us > 0", "dead": "state = 5"}
AFTER = {"pending": "done_us = 0", "untried": "done_us = 0 AND attempts = 0 AND next_us > 0", "dead": "next_us < 0"}
INDEXES = (
    ("ix_message_pending", ["endpoint", "kind", "id"], "pending"),
    ("ix_message_due", ["endpoint", "next_us", "id"], "untried"),
    ("ix_message_expiry", ["expires_us", "id"], "pending"),
    ("ix_message_lane", ["destination", "id"], "pending"),
    ("ix_message_dead", ["id"], "dead"),
)


def _make_anew(conditions: dict[str, str]) -> None:
    for name, columns, which in INDEXES:
        op.drop_index(name, table_name="message")
        where = sa.text(conditions[which])
        op.create_index(name, "message", columns, unique=False, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """Let the rows say it in the new words, then make the indexes anew."""
    op.execute("UPDATE message SET next_us = -1 WHERE state = 5")
    # No row should be so; one that is would be forgotten, or looked at for ever.
    op.execute("UPDATE message SET done_us = 0 WHERE state < 2 AND done_us <> 0")
    op.execute("UPDATE message SET done_us = received_us WHERE state > 1 AND done_us = 0")
    _make_anew(AFTER)
    if op.get_context().dialect.name == "postgresql":
        # Pages that are filled from now on have room for new versions; remains of old ones are swept out sooner.
        op.execute("ALTER TABLE message SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.03)")


def downgrade() -> None:
    """Go back to the words of before."""
    op.execute("UPDATE message SET next_us = 0 WHERE next_us < 0")
    _make_anew(BEFORE)
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE message RESET (fillfactor, autovacuum_vacuum_scale_factor)")
