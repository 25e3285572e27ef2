"""Alembic's environment: the connection is the one that ``store.migrations.migrate`` opened."""

from store.migrations import run_in_alembic

run_in_alembic()
