"""Every query of the message path goes by the index that was made for it: a table of years must not be read through.

SQLite's planner decides by the form of a query, so an empty table tells. (PostgreSQL's goes by figures.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.schema import CreateIndex, CreateTable

from hub import journal, requests, tables
from hub.model import Kind


@pytest.fixture(scope="module", params=["first to last", "last to first"])
def connection(request: pytest.FixtureRequest) -> Iterator[sqlalchemy.Connection]:
    """The tables, with their indexes made in one order and in the other: between equals SQLite takes the latest."""
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as opened:
        for table in (tables.message, tables.arrived_part):
            opened.execute(CreateTable(table))
            by_name = sorted(table.indexes, key=lambda index: str(index.name))
            for index in by_name if request.param == "first to last" else reversed(by_name):
                opened.execute(CreateIndex(index))
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
        (requests.pending_between("account:a", "+1", "+2", 5, 500), "ix_message_lane (destination=? AND id>?)"),
        (requests.neighbours(5, 9, "account:a"), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (requests.neighbouring_parts(5, 9, "account:a"), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ],
    ids=["pending", "lane", "due", "overdue", "alone", "parts", "pair", "neighbours", "neighbouring parts"],
)
def test_a_query_goes_by_its_index(connection: sqlalchemy.Connection, query: Any, index: str) -> None:
    compiled = query.compile(dialect=connection.dialect)
    values = tuple(compiled.params[name] for name in compiled.positiontup)
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
    assert index in plan[0][3]
    assert not any("B-TREE FOR ORDER BY" in step[3] for step in plan)
