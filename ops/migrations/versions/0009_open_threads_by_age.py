"""An index of open threads in the order of their opening; room in PostgreSQL's pages for the versions of a thread.

Without the index the sweep for threads that are too old went through all threads of a call centre from the oldest on,
and every closed one that retention still keeps lay in its way: a second for a million and a half, every fifteen
seconds, in the writer's transaction.

Each text notes in its thread that something was said. In a page that is full the new version of the row goes to another
page, and all seven indexes get an entry for it; where there is room it stays, and none is touched: a third of what
PostgreSQL spent on texts in a million open threads.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NAME = "ix_thread_open_id"
OPEN = sa.text("closed_us = 0")
FILL_PERCENT = 80


def upgrade() -> None:
    """Make the index, leave room."""
    op.create_index(NAME, "thread", ["call_centre", "id"], unique=False, sqlite_where=OPEN, postgresql_where=OPEN)
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE thread SET (fillfactor = {FILL_PERCENT})")  # of pages that are filled from now on


def downgrade() -> None:
    """Take it away."""
    op.drop_index(NAME, table_name="thread", sqlite_where=OPEN, postgresql_where=OPEN)
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE thread RESET (fillfactor)")
