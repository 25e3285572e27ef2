"""Routes are named by prefix and endpoint: a prefix may have several."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give each route its new name: what it was named by before is the prefix in its settings."""
    route = sa.table("route", sa.column("name", sa.Text()), sa.column("settings", sa.Text()))
    connection = op.get_bind()
    for name, settings in connection.execute(sa.select(route.c.name, route.c.settings)).all():
        told = json.loads(settings)["settings"]
        key = f"{told['prefix']}→{told['endpoint']}"
        if key != name:
            connection.execute(sa.update(route).where(route.c.name == name).values(name=key))


def downgrade() -> None:
    """Name each route by its prefix again; of several of one prefix the first is kept."""
    route = sa.table("route", sa.column("name", sa.Text()), sa.column("settings", sa.Text()))
    connection = op.get_bind()
    kept: set[str] = set()
    for name, settings in connection.execute(sa.select(route.c.name, route.c.settings).order_by(route.c.name)).all():
        prefix = json.loads(settings)["settings"]["prefix"]
        if prefix in kept:
            connection.execute(sa.delete(route).where(route.c.name == name))
        else:
            connection.execute(sa.update(route).where(route.c.name == name).values(name=prefix))
        kept.add(prefix)
