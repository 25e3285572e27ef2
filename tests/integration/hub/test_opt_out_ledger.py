"""The opt-out ledger over both stores: what it keeps, takes over from others, and by which indexes it is read."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy
from sqlalchemy.schema import CreateIndex, CreateTable
from trio.testing import MockClock as Clock

from hub import opt_out_ledger, tables
from hub.opt_out import Entry
from hub.opt_out_ledger import Change
from store import Transaction
from tests.fixtures_hub import World

A, B = "+18005550100", "+18005550200"
ANN, BOB = "+12025550143", "+12025550144"
NOW_US = 1_790_000_000_000_000


def entry(
    number: str = A, customer: str = ANN, *, is_out: bool = True, since_us: int = 100, how: str = "keyword"
) -> Entry:
    return Entry(number, customer, is_out, since_us, how, "who", "stop")


async def record(world: World, *changes: Change) -> list[int]:
    def work(tx: Transaction) -> list[int]:
        opt_out_ledger.lock(tx)
        return opt_out_ledger.record(tx, changes, NOW_US)

    return await world.store.transact(work)


async def merge(world: World, *entries: Entry) -> list[int]:
    def work(tx: Transaction) -> list[int]:
        opt_out_ledger.lock(tx)
        return opt_out_ledger.merge(tx, entries, NOW_US, "list.csv")

    return await world.store.transact(work)


async def all_of(world: World) -> list[Entry]:
    return await world.store.read(lambda tx: opt_out_ledger.listing(tx, everybody=True))


async def test_the_last_change_is_how_it_stands_and_the_audit_has_all(any_world: World, fast_clock: Clock) -> None:
    back = entry(is_out=False, since_us=200)
    ids = await record(
        any_world,
        Change("out", entry()),
        Change("override", entry(how="desk"), message_id=7),
        Change("in", back, "a letter"),
        Change("out", entry(B, BOB)),
    )
    assert ids == sorted(ids)
    assert len(set(ids)) == 4
    assert await all_of(any_world) == [back, entry(B, BOB)]
    lines = await any_world.store.read(lambda tx: opt_out_ledger.changes_after(tx, ids[0], 2))
    assert [(line.id, line.action, line.reason, line.message_id) for line in lines] == [
        (ids[1], "override", "", 7),
        (ids[2], "in", "a letter", 0),
    ]
    audit = await any_world.store.read(lambda tx: opt_out_ledger.audit_of(tx, [(A, ANN)]))
    assert [line.id for line in audit] == ids[:3]
    assert await any_world.store.read(opt_out_ledger.senders) == {B}
    assert await any_world.store.read(opt_out_ledger.count) == 1
    assert await record(any_world) == []


async def test_an_override_is_remembered_for_as_long_as_that_opt_out(any_world: World, fast_clock: Clock) -> None:
    await record(any_world, Change("out", entry()), Change("override", entry(how="desk")))

    def asked(number: str, customer: str, since_us: int) -> Callable[[Transaction], bool]:
        return lambda tx: opt_out_ledger.was_overridden(tx, number, customer, since_us)

    assert await any_world.store.read(asked(A, ANN, NOW_US))
    assert not await any_world.store.read(asked(A, ANN, NOW_US + 1)), "an opt-out that came later"
    assert not await any_world.store.read(asked(B, ANN, 0))
    assert not await any_world.store.read(asked(A, BOB, 0))


async def test_pages_hold_everything_once(any_world: World, fast_clock: Clock) -> None:
    numbers = ["*acme", "+1555", "+18005550100", "12345", "AT&T", "acme", "Zed"]
    customers = ["+1", "12", "+44"]
    made = [entry(number, customer) for number in numbers for customer in customers]
    await record(any_world, *(Change("out", each) for each in made))
    found: list[Entry] = []
    after = ("", "")
    while True:
        page = await any_world.store.read(
            lambda tx, after=after: opt_out_ledger.listing(tx, after=after, limit=4)  # type: ignore[misc]
        )
        found += page
        if len(page) < 4:
            break
        after = (page[-1].number, page[-1].customer)
    assert len(found) == len(made)
    assert set(found) == set(made)
    only = await any_world.store.read(lambda tx: opt_out_ledger.listing(tx, number="AT&T", customer="12"))
    assert only == [entry("AT&T", "12")]


@pytest.mark.parametrize(
    ("known", "other", "tallies", "stands"),
    [
        (None, entry(), [1, 0, 0], entry()),
        (entry(), entry(), [0, 1, 0], entry()),
        (entry(), entry(how="import"), [0, 1, 0], entry()),
        (entry(), entry(is_out=False, since_us=99), [0, 0, 1], entry()),
        (entry(), entry(is_out=False, since_us=100), [0, 0, 1], entry()),
        (entry(), entry(is_out=False, since_us=101), [1, 0, 0], entry(is_out=False, since_us=101)),
        (entry(is_out=False), entry(since_us=99), [0, 0, 1], entry(is_out=False)),
        (entry(is_out=False), entry(since_us=100), [1, 0, 0], entry()),
        (None, entry(since_us=0), [1, 0, 0], entry(since_us=NOW_US)),
        (entry(), entry(since_us=0), [0, 1, 0], entry()),
        (entry(is_out=False, since_us=200), entry(since_us=0), [1, 0, 0], entry(since_us=NOW_US)),
    ],
)
async def test_of_two_ledgers_the_later_entry_stands(
    any_world: World, fast_clock: Clock, known: Entry | None, other: Entry, tallies: list[int], stands: Entry
) -> None:
    if known is not None:
        await record(any_world, Change("out" if known.is_out else "in", known))
    assert await merge(any_world, other) == tallies
    assert await all_of(any_world) == [stands]
    assert (await merge(any_world, other))[0] == 0, "again, it changes nothing"
    audit = await any_world.store.read(lambda tx: opt_out_ledger.audit_of(tx, [(A, ANN)]))
    assert len(audit) == (known is not None) + tallies[0]
    if tallies[0]:
        assert (audit[-1].how, audit[-1].reason) == ("import", "list.csv")


async def test_lines_of_one_file_count_in_their_order(any_world: World, fast_clock: Clock) -> None:
    first, later = entry(since_us=5), entry(is_out=False, since_us=9)
    assert await merge(any_world, first, later, entry(since_us=7)) == [2, 0, 1]
    assert await all_of(any_world) == [later]


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda tx: opt_out_ledger.waiting_for(tx, [ANN, BOB], 5, 10), "ix_message_lane (destination=? AND id>?)"),
        (
            lambda tx: opt_out_ledger.was_overridden(tx, A, ANN, 5),
            "ix_opt_out_audit_customer (customer=? AND number=?)",
        ),
        (lambda tx: opt_out_ledger.changes_after(tx, 5, 10), "INTEGER PRIMARY KEY (rowid>?)"),
        (lambda tx: opt_out_ledger.listing(tx, after=(A, ANN)), "((number,customer)>(?,?))"),
        (lambda tx: opt_out_ledger.senders(tx), "ix_opt_out_number"),
    ],
    ids=["waiting", "override", "changes", "listing", "senders"],
)
@pytest.mark.parametrize("newest_last", [True, False])
def test_it_is_read_by_its_indexes(ask: Callable[[Transaction], Any], index: str, newest_last: bool) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    asked: list[tuple[str, Any]] = []
    with engine.connect() as connection:
        for table in (tables.message, tables.opt_out, tables.opt_out_audit):
            connection.execute(CreateTable(table))
            by_name = sorted(table.indexes, key=lambda each: str(each.name))
            for each in by_name if newest_last else reversed(by_name):
                connection.execute(CreateIndex(each))

        @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
        def note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            asked.append((statement, values))

        ask(cast("Transaction", SimpleNamespace(sql=connection, select=lambda *_: [])))
        statement, values = asked[0]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    engine.dispose()
    assert index in plan[0][3], plan
    assert not any("B-TREE FOR ORDER BY" in step[3] for step in plan)
