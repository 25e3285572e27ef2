"""Migrations over both back ends, with a script location of the test's own."""

import pytest
import sqlalchemy as sa
import trio

from store import StoreError, StoreUnavailable, open_store
from store.migrations import current_revision, head_revision, migrate

ENV = """
from store.migrations import run_in_alembic

run_in_alembic()
"""
FIRST = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

def upgrade():
    op.create_table("thing", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.String))
    op.execute("INSERT INTO thing (id, name) VALUES (1, 'one')")
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

def upgrade():
    with op.batch_alter_table("thing") as thing:
        thing.add_column(sa.Column("size", sa.Integer, nullable=False, server_default="7"))
        thing.alter_column("name", nullable=False)
    {more}
"""


@pytest.fixture
def scripts(tmp_path):
    """A script location; the % in its path has a meaning for Alembic's configuration."""
    location = tmp_path / "migrations 100%"
    (location / "versions").mkdir(parents=True)
    (location / "env.py").write_text(ENV)
    (location / "versions/0001_first.py").write_text(FIRST)
    return location


def add_second(scripts, more=""):
    (scripts / "versions/0002_second.py").write_text(SECOND.format(more=more))


async def things(url):
    async with open_store(url) as store:
        return await store.read(lambda tx: [tuple(row) for row in tx.sql.execute(sa.text("SELECT * FROM thing"))])


async def test_a_schema_is_brought_forward_and_keeps_its_rows(store_url, scripts):
    assert current_revision(store_url) is None
    await trio.to_thread.run_sync(migrate, store_url, scripts)
    assert current_revision(store_url) == head_revision(scripts) == "0001"
    assert await things(store_url) == [(1, "one")]
    add_second(scripts)
    assert head_revision(scripts) == "0002"
    migrate(store_url, scripts)
    migrate(store_url, scripts)  # nothing is left to do
    assert current_revision(store_url) == "0002"
    assert await things(store_url) == [(1, "one", 7)]


async def test_a_step_that_fails_changes_nothing(store_url, scripts):
    migrate(store_url, scripts)
    add_second(scripts, more="op.execute('INSERT INTO nowhere VALUES (1)')")
    with pytest.raises(StoreError):
        migrate(store_url, scripts)
    assert current_revision(store_url) == "0001"
    assert await things(store_url) == [(1, "one")]


async def test_two_that_start_at_once_migrate_once(store_url, scripts):
    add_second(scripts)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(trio.to_thread.run_sync, migrate, store_url, scripts)
    assert await things(store_url) == [(1, "one", 7)]


def test_a_database_that_is_not_there(tmp_path, scripts):
    with pytest.raises(StoreUnavailable):
        migrate(f"postgresql://postgres@/x?host={tmp_path}", scripts)
    with pytest.raises(StoreUnavailable):
        current_revision(f"sqlite:///{tmp_path}/missing/x.db")
