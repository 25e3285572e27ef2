"""What waits, by the store: counts, ages, and how far followers are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from hub import feed, journal
from hub.backlog import Waiting, backlog
from hub.model import Kind, Message, State
from store import Op, Store, Transaction, create_all, open_store
from store.ids import EPOCH_US

NOW_US = EPOCH_US + 1_000_000_000
_numbers: Iterator[int] = count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/backlog.db" if sqlite else str(request.getfixturevalue("postgres_url"))
    async with open_store(url, node=1) as opened:
        await opened.transact(create_all)
        yield opened


def text(age_s: float, **more: object) -> Message:
    """A text that came so long before NOW_US."""
    at_us = NOW_US - round(age_s * 1e6)
    fields: dict[str, object] = {
        "id": ((at_us - EPOCH_US) // 1000 << 22) + next(_numbers),
        "kind": Kind.TEXT,
        "origin": "desk:d",
        "endpoint": "link:a",
        "source": "+16175550100",
        "destination": "+16175550101",
        "text": "x",
        "data": None,
        "receipt_wanted": False,
        "upstream_id": "",
        "received_us": at_us,
        "expires_us": at_us + 10**12,
        **more,
    }
    return Message(**fields)  # type: ignore[arg-type]


async def put(store: Store, *rows: tuple[Message, State]) -> None:
    await store.transact(lambda tx: tx.write(journal.insert_messages(list(rows))))


async def test_an_empty_store_has_nothing_waiting(store: Store) -> None:
    found = await store.read(lambda tx: backlog(tx, NOW_US))
    assert (found.waiting, found.scheduled, found.dead, found.open_threads, found.followers) == ({}, {}, 0, {}, {})


async def test_what_waits_is_counted_and_the_oldest_has_its_age(store: Store) -> None:
    await put(
        store,
        (text(100), State.ACCEPTED),
        (text(90), State.SUBMITTING),
        (text(80), State.QUEUED),
        (text(70, endpoint="link:b"), State.QUEUED),
        (text(95, kind=Kind.RECEIPT), State.QUEUED),
        (text(500), State.DEAD),
    )
    found = await store.read(lambda tx: backlog(tx, NOW_US))
    assert found.waiting == {
        ("link:a", Kind.TEXT): Waiting(2, NOW_US - 90_000_000),
        ("link:b", Kind.TEXT): Waiting(1, NOW_US - 70_000_000),
        ("link:a", Kind.RECEIPT): Waiting(1, NOW_US - 95_000_000),
    }
    assert found.dead == 1


async def test_a_text_for_later_is_not_late_and_its_wait_begins_when_it_is_due(store: Store) -> None:
    later = text(900, not_before_us=NOW_US + 1)
    due = text(900, not_before_us=NOW_US - 5_000_000, endpoint="link:b")
    await put(store, (later, State.QUEUED), (due, State.QUEUED))
    found = await store.read(lambda tx: backlog(tx, NOW_US))
    assert found.scheduled == {"link:a": 1}
    assert found.waiting == {
        ("link:a", Kind.TEXT): Waiting(0, 0),
        ("link:b", Kind.TEXT): Waiting(1, NOW_US - 5_000_000),
    }
    assert (await store.read(lambda tx: backlog(tx, NOW_US + 1))).waiting["link:a", Kind.TEXT] == Waiting(1, NOW_US + 1)


async def test_a_text_that_is_tried_again_later_is_as_old_as_it_is(store: Store) -> None:
    tried = text(60)
    await put(store, (tried, State.QUEUED))
    row = (tried.id, State.QUEUED.value, 0, 3, 0, NOW_US + 50_000_000, 0, "")
    await store.commit([Op(journal.move_message, [row])])
    found = await store.read(lambda tx: backlog(tx, NOW_US))
    assert found.waiting == {("link:a", Kind.TEXT): Waiting(1, NOW_US - 60_000_000)}
    assert found.scheduled == {}


async def test_a_follower_lags_by_the_oldest_row_it_has_not_passed(store: Store) -> None:
    def happen(tx, at_us: int) -> None:  # type: ignore[no-untyped-def]
        tx.write(feed.outbox(store, at_us, [("message", 1)]))

    await store.transact(lambda tx: happen(tx, 10))
    await store.transact(lambda tx: feed.begin(tx, "early"))
    await store.transact(lambda tx: happen(tx, 20))
    await store.transact(lambda tx: happen(tx, 30))
    await store.transact(lambda tx: feed.begin(tx, "late"))
    assert (await store.read(lambda tx: backlog(tx, NOW_US))).followers == {"early": 20, "late": 0}


async def test_it_reads_the_indices_of_what_waits(tmp_path: Path) -> None:
    """What has ended may be millions of rows."""

    def plans(tx: Transaction) -> list[str]:
        said: list[tuple[str, Any]] = []

        def note(connection: Any, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
            said.append((statement, values))

        event.listen(tx.sql, "before_cursor_execute", note)
        backlog(tx, NOW_US)
        event.remove(tx.sql, "before_cursor_execute", note)
        assert len(said) >= 7
        return [
            "; ".join(step[3] for step in tx.sql.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
            for statement, values in said
        ]

    async with open_store(f"sqlite:///{tmp_path}/plans.db", node=1) as store:
        await store.transact(create_all)
        await put(store, (text(1), State.QUEUED), (text(1, not_before_us=NOW_US + 1), State.QUEUED))
        await store.transact(lambda tx: feed.begin(tx, "follower"))
        for plan in await store.read(plans):
            assert "INDEX" in plan or "PRIMARY KEY" in plan or "SCAN feed_follower" in plan, plan
