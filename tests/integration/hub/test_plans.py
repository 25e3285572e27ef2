"""Every query of the message path goes by the index that was made for it: a table of years must not be read through.

SQLite's planner decides by the form of a query, so an empty table tells. PostgreSQL's goes by figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.schema import CreateIndex, CreateTable

from hub import journal, requests, tables
from hub.model import Kind, Message, State
from store import Op, create_all, open_store


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


def rows(first: int, count: int, state: State, links: int) -> list[tuple[Any, ...]]:
    """Texts to as many customers, in turns to several links."""
    made = []
    for at in range(first, first + count):
        fields = {"source": "+12125550100", "destination": f"+1202{at:07}", "text": "hello"}
        times = {"received_us": at, "expires_us": 1_000_000 + at}
        text = Message(id=at, kind=Kind.TEXT, origin="account:a", endpoint=f"link:{at % links}", **fields, **times)
        row = list(journal.row_of(text, state))
        row[journal.MESSAGE_COLUMNS.index("done_us")] = 0 if state is State.QUEUED else at
        made.append(tuple(row))
    return made


@pytest.mark.parametrize(
    ("done", "pending", "links"),
    [(8_000, 300, 1), (8_000, 300, 3), (300, 3_000, 3)],
    ids=["mostly done, one link", "mostly done", "mostly pending"],
)
@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "as it came"])
async def test_postgresql_goes_by_the_same_indexes(
    postgres_url: str, done: int, pending: int, links: int, analyzed: bool
) -> None:
    queries = {
        "ix_message_pending": journal.pending_page("link:0", Kind.TEXT, 1, 2_000),
        "ix_message_lane": journal.lane_page("link:0", "+12125550100", "+12020008001", 1, 32),
        "ix_message_due": journal.due_page("link:0", (5, 6), 100),
        "ix_message_expiry": journal.overdue_messages(1_000, (5, 6), 100),
    }
    async with open_store(postgres_url) as store:
        await store.transact(create_all)
        await store.commit([Op(journal.insert_message, rows(1, done, State.DELIVERED, links))])
        await store.commit([Op(journal.insert_message, rows(1 + done, pending, State.QUEUED, links))])

        def plans(tx: Any) -> dict[str, str]:
            if analyzed:
                tx.sql.exec_driver_sql("ANALYZE message")
            found = {}
            for index, query in queries.items():
                compiled = query.compile(dialect=tx.sql.dialect, compile_kwargs={"literal_binds": True})
                steps = tx.sql.exec_driver_sql(f"EXPLAIN {compiled}".replace("%", "%%")).scalars()
                found[index] = "\n".join(steps)
            return found

        for index, plan in (await store.transact(plans)).items():
            assert index in plan, plan
            assert "Sort" not in plan, plan
