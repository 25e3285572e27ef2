"""Every query of the message path goes by the index that was made for it: a table of years must not be read through.

SQLite's planner decides by the form of a query, so an empty table tells. (PostgreSQL's goes by figures.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy

from hub import journal, tables
from hub.model import Kind
from store import metadata


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path_factory.mktemp('plans')}/x.db")
    metadata.create_all(engine, tables=[tables.message, tables.arrived_part])
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (journal.pending_page("link:x", Kind.TEXT, 5, 100), "ix_message_pending (endpoint=? AND kind=? AND id>?)"),
        (journal.lane_page("link:x", "+1", "+2", 5, 32), "ix_message_lane (destination=? AND id>?)"),
        (journal.due_page("link:x", (5, 6), 100), "ix_message_due (endpoint=? AND next_us>?)"),
        (journal.overdue_messages(9, (5, 6), 100), "ix_message_expiry (expires_us>? AND expires_us<?)"),
        (journal.alone(7), "INTEGER PRIMARY KEY (rowid=?)"),
        (journal.overdue_parts(5, 100), "ix_arrived_part_waiting"),
    ],
    ids=["pending", "lane", "due", "overdue", "alone", "parts"],
)
def test_a_query_goes_by_its_index(connection: sqlalchemy.Connection, query: Any, index: str) -> None:
    compiled = query.compile(dialect=connection.dialect)
    values = tuple(compiled.params[name] for name in compiled.positiontup)
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
    assert index in plan[0][3]
    assert not any("B-TREE FOR ORDER BY" in step[3] for step in plan)
