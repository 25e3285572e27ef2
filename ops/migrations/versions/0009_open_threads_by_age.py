"""An index of open threads in the order of their opening: the sweep for threads that are too old reads it.

Without it the sweep went through all threads of a call centre from the oldest on, and every closed one that retention
still keeps lay in its way: a second for a million and a half, every fifteen seconds, in the writer's transaction.
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


def upgrade() -> None:
    """Make the index."""
    op.create_index(NAME, "thread", ["call_centre", "id"], unique=False, sqlite_where=OPEN, postgresql_where=OPEN)


def downgrade() -> None:
    """Take it away."""
    op.drop_index(NAME, table_name="thread", sqlite_where=OPEN, postgresql_where=OPEN)
