"""What the database is asked about threads costs what it should: by the right index, or by none.

The sweep for threads that are old looks at open ones alone: what retention keeps must not lie in its way. Of the note
that something was said in a thread no index hears.
"""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from ops import schema
from store import Op, open_store
from store.transaction import Transaction
from threading_tokens import ThreadRules
from threading_tokens.registry import expire
from threading_tokens.rows import ADD, TOUCH

WITHIN_S = 60.0
NOW_US = 1_800_000_000_000_000
RULES = {"helpline": ThreadRules(idle_us=1, max_age_us=1)}
OF_OPEN_ONES = {"ix_thread_open_id", "ix_thread_open_seen"}


def asked_by_the_sweep(tx: Transaction) -> list[tuple[str, object]]:
    """The queries of a sweep, with their values."""
    found: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, values: object, _context: object, _many: object) -> None:
        if statement.startswith("SELECT") and "FROM thread" in statement:
            found.append((statement, values))

    sqlalchemy.event.listen(tx.sql, "before_cursor_execute", note)
    try:
        expire(tx, RULES, NOW_US, 500, lambda: 1)
    finally:
        sqlalchemy.event.remove(tx.sql, "before_cursor_execute", note)
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_each_query_goes_by_an_index_of_open_threads(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/x.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    schema.prepare(url)

    def plans(tx: Transaction) -> list[str]:
        words = "EXPLAIN QUERY PLAN " if kind == "sqlite" else "EXPLAIN "
        if kind == "postgresql":  # of an empty table it would rather read the whole
            tx.sql.exec_driver_sql("SET LOCAL enable_seqscan = off")
            tx.sql.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        asked = asked_by_the_sweep(tx)
        return [
            " ".join(map(str, tx.sql.exec_driver_sql(words + statement, values).all()))  # type: ignore[arg-type]
            for statement, values in asked
        ]

    async with open_store(url) as store:
        found = await store.transact(plans)
    assert len(found) == 2
    assert [{index for index in OF_OPEN_ONES if index in plan} for plan in found] == [
        {"ix_thread_open_id"},
        {"ix_thread_open_seen"},
    ], found


def counted(url: str, updates: int) -> tuple[int, int]:
    """Updates of threads, and those of them that touched no index; a session's are told when it has ended."""
    asked = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'thread'"
    give_up_at = time.monotonic() + WITHIN_S
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            all_of_them, heap_only = connection.execute(asked).fetchone() or (0, 0)
            if all_of_them >= updates or time.monotonic() > give_up_at:
                return all_of_them, heap_only
            time.sleep(0.05)


async def test_to_note_a_text_leaves_the_indexes_alone(postgres_url: str) -> None:
    """PostgreSQL: a new version of a row in the same page is heap-only."""
    schema.prepare(postgres_url)
    more = ("link:a", 1, 1, 0, *[""] * 7, 1)
    rows = [(at, "helpline", "+18002530000", f"+1202555{at:04}", f"{at:026}", *more) for at in range(1, 501)]
    async with open_store(postgres_url) as store:
        await store.commit([Op(ADD, rows)])
        await store.commit([Op(TOUCH, [(at, 2) for at in range(1, 501, 10)])])
    assert counted(postgres_url, 50) == (50, 50)
