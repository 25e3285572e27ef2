"""What retention asks of the database goes by an index: it runs beside the message path, over tables of years."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy

from hub import keeping_ledger as ledger
from hub.erasing import Eraser, Request
from store import Delete, SelectByKeys
from store.schema import metadata
from store.sqlite import _Read, _Write


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as opened:
        metadata.create_all(opened)
        yield opened
    engine.dispose()


def plan_of(connection: sqlalchemy.Connection, text: str, values: tuple[Any, ...]) -> str:
    return "; ".join(step[3] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values))


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (ledger._delete_messages, "SEARCH message USING INTEGER PRIMARY KEY"),
        (ledger._delete_carrier_parts, "ix_carrier_part_message (message_id=?)"),
        (ledger._delete_arrived_parts, "ix_arrived_part_message (message_id=?)"),
        (ledger._delete_later, "INTEGER PRIMARY KEY"),
        (ledger._select_pending, "SEARCH message USING INTEGER PRIMARY KEY"),
        (ledger._select_thread_ids, "SEARCH message USING INTEGER PRIMARY KEY"),
    ],
    ids=["messages", "carrier parts", "arrived parts", "later", "pending", "threads"],
)
def test_rows_of_messages_are_found_by_index(
    connection: sqlalchemy.Connection, statement: Delete | SelectByKeys, index: str
) -> None:
    compiled = _Write(statement, 512) if isinstance(statement, Delete) else _Read(statement, 512)
    plan = plan_of(connection, compiled._text(32), tuple(range(32)))
    assert index in plan
    assert f"SCAN {statement.table.name}" not in plan


def test_pages_go_by_the_primary_key(connection: sqlalchemy.Connection) -> None:
    compiled = ledger.page_query(5, 9, 100).compile(dialect=connection.dialect)
    values = tuple(compiled.params[name] for name in compiled.positiontup)
    plan = plan_of(connection, str(compiled), values)
    assert "INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan
    assert "B-TREE" not in plan


def test_what_a_person_waits_for_is_found_among_what_waits(connection: sqlalchemy.Connection) -> None:
    """Asked again and again while the daemon drops it: never the whole table."""
    eraser = Eraser.__new__(Eraser)
    eraser._request = Request(("+1", "+2"), None, "x", "y")
    for query in eraser.pending_queries():
        compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        values = tuple(compiled.params[name] for name in compiled.positiontup)
        assert "message USING INDEX ix_message_" in plan_of(connection, str(compiled), values)
