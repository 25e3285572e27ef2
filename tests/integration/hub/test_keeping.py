"""The keeper over real databases: what goes, what stays, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy
import trio

from hub import feed
from hub import keeping_ledger as ledger
from hub.keeping import ClockSetAhead, Keeper, LeaseTaken
from hub.keeping_tables import retention_cursor, retention_later
from hub.model import Kind, State
from hub.tables import account_day, message
from hub.tables import feed as feed_table
from provisioning.keeping import LegalHold, Retention
from tests.fixtures_keeping import CUSTOMER, DAY, HOUR, OTHER, Stock, hold, opened_stock, receipt, rule
from threading_tokens.tables import thread_table


@pytest.fixture
async def stock(tmp_path: Any) -> AsyncIterator[Stock]:
    async with opened_stock(f"sqlite:///{tmp_path}/hub.db") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_stock(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Stock]:
    url = f"sqlite:///{tmp_path}/hub.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with opened_stock(url) as made:
        yield made


async def test_without_a_rule_everything_stays(stock: Stock) -> None:
    kept = await stock.put(3000 * DAY)
    await stock.keeper().round()
    assert await stock.ids() == [kept]


async def test_what_is_due_goes_with_all_that_hangs_on_it(any_stock: Stock) -> None:
    await any_stock.add(rule("month", 30))
    await any_stock.put_thread(7, closed_age_us=31 * DAY)
    await any_stock.put_thread(8)
    await any_stock.put_thread(9, closed_age_us=DAY)
    for thread_id in (7, 8, 9):
        await any_stock.put(40 * DAY, parts=2, thread_id=thread_id)
    young = await any_stock.put(20 * DAY, parts=2, thread_id=9)
    keeper = any_stock.keeper()
    await keeper.round()
    assert await any_stock.ids() == [young]
    # The open thread stays, and the closed one that still has a message.
    assert await any_stock.counts() == (2, 2, 2, 2)
    assert (keeper.tally.erased, keeper.tally.threads) == (3, 1)
    any_stock.now_us += 11 * DAY
    await keeper.round()
    assert await any_stock.ids() == []
    assert await any_stock.counts() == (0, 0, 1, 1)


async def test_a_thread_that_ends_after_its_last_message_went_goes_later(any_stock: Stock) -> None:
    await any_stock.add(rule("week", 7), rule("texts", 30, call_centre="other"))
    await any_stock.put_thread(7)
    await any_stock.put(40 * DAY, thread_id=7)
    keeper = any_stock.keeper()
    await keeper.round()
    assert await any_stock.counts() == (0, 0, 1, 1)

    def close(tx: Any) -> None:
        tx.sql.execute(sqlalchemy.text(f"UPDATE thread SET closed_us = {any_stock.now_us}"))

    await any_stock.store.transact(close)
    any_stock.now_us += 6 * DAY
    await keeper.round()
    assert (await any_stock.counts())[2] == 1
    any_stock.now_us += 2 * DAY
    await keeper.round()
    assert (await any_stock.counts())[2:] == (0, 0)


async def test_very_many_threads_that_ended_at_one_moment(any_stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a statement may name: they go page by page, past those that stay."""
    monkeypatch.setattr("hub.keeping_ledger.REMOVE_PAGE", 7)
    await any_stock.add(rule("day", 1), hold("matter", OTHER))
    for number in range(1, 51):
        who = OTHER if number % 5 else f"+1202555{number:04}"
        await any_stock.put_thread(number, customer=who, closed_age_us=5 * DAY)
    most, original = 0, ledger.remove_threads

    def counted(tx: Any, ids: Any, holds: Any) -> int:
        nonlocal most
        most = max(most, len(ids))
        return original(tx, ids, holds)

    monkeypatch.setattr("hub.keeping_ledger.remove_threads", counted)
    for _ in range(2):
        await any_stock.keeper().round()
        assert [row.id for row in await any_stock.rows(thread_table)] == [n for n in range(1, 51) if n % 5]
    assert most == 7
    await any_stock.remove(LegalHold, "matter")
    await any_stock.keeper().round()
    assert await any_stock.rows(thread_table) == []


async def test_what_has_not_ended_stays_until_it_has(stock: Stock) -> None:
    await stock.add(rule("day", 1))
    waiting = [
        await stock.put(9 * DAY, state=state, validity_us=12 * DAY) for state in (State.QUEUED, State.SUBMITTING)
    ]
    awaited = await stock.put(9 * DAY, state=State.ACCEPTED, validity_us=10 * DAY)
    over = await stock.put(9 * DAY, state=State.ACCEPTED, validity_us=DAY)
    late = await stock.put(9 * DAY, took_us=9 * DAY - HOUR)
    keeper = stock.keeper()
    await keeper.round()
    assert await stock.ids() == [*waiting, awaited, late]
    assert over not in await stock.ids()
    stock.now_us += 2 * DAY + HOUR
    await keeper.round()
    assert await stock.ids() == waiting  # whatever their validity: nothing has ended them yet
    stock.now_us += 20 * DAY
    await keeper.round()
    assert await stock.ids() == waiting

    def end(tx: Any) -> None:
        tx.sql.execute(message.update().values(state=State.DEAD.value, done_us=stock.now_us))

    await stock.store.transact(end)
    stock.now_us += DAY // 2
    await keeper.round()
    assert await stock.ids() == waiting
    stock.now_us += DAY
    await keeper.round()
    assert await stock.ids() == []
    assert await stock.rows(retention_later) == []


async def test_rules_of_several_periods(stock: Stock) -> None:
    await stock.add(
        rule("dead", 90, order=1, classes=("dead",)),
        rule("binary", 0, order=2, types=("binary",)),
        rule("receipts", 1, order=3, types=("receipt",)),
        rule("acme", 10, order=4, call_centre="acme"),
    )
    dead = await stock.put(80 * DAY, state=State.DEAD)
    transit = await stock.put(5000 * DAY, call_centre="")
    await stock.put(HOUR, text="", data=b"\x00")
    await stock.put(2 * DAY, kind=Kind.RECEIPT, receipt=receipt())
    young = await stock.put(9 * DAY)
    await stock.put(12 * DAY)
    keeper = stock.keeper()
    await keeper.round()
    assert await stock.ids() == sorted([dead, transit, young])
    stock.now_us += 11 * DAY
    await keeper.round()
    assert await stock.ids() == [transit]


async def test_a_hold_keeps_what_it_fits_and_lets_go_when_it_is_removed(any_stock: Stock) -> None:
    await any_stock.add(rule("day", 1), hold("matter", "+1202555*", received_from="2026-09-10"))
    await any_stock.put_thread(7, closed_age_us=2 * DAY)
    await any_stock.put_thread(8, closed_age_us=2 * DAY, customer="+13105550000")
    held = await any_stock.put(4 * DAY, thread_id=7)
    await any_stock.put(4 * DAY, thread_id=8)
    await any_stock.put(20 * DAY, thread_id=7)  # before its days
    elsewhere = await any_stock.put(4 * DAY, call_centre="other")
    keeper = any_stock.keeper()
    await keeper.round()
    assert await any_stock.ids() == [held]
    assert elsewhere not in await any_stock.ids()
    assert (await any_stock.counts())[2] == 1
    await any_stock.remove(LegalHold, "matter")
    await keeper.round()
    assert await any_stock.ids() == []
    assert (await any_stock.counts())[2] == 0


async def test_a_hold_that_comes_in_between_is_obeyed(any_stock: Stock) -> None:
    """The rules were read, the page was read; then somebody orders the hold: nothing goes by the old rules."""
    await any_stock.add(rule("day", 1))
    ids = [await any_stock.put(4 * DAY) for _ in range(3)]
    revision, book = await any_stock.store.read(ledger.rulebook)
    await any_stock.add(hold("matter"))

    def work(tx: Any) -> None:
        ledger.guard(tx, revision)
        ledger.remove(tx, ids, book.holds)

    with pytest.raises(ledger.Changed):
        await any_stock.store.transact(work)
    await any_stock.keeper().round()
    assert await any_stock.ids() == ids


async def test_a_changed_rule_is_applied_to_what_was_passed_by(stock: Stock) -> None:
    await stock.add(rule("keep", 1, call_centre="other"))
    await stock.put(40 * DAY)
    keeper = stock.keeper()
    await keeper.round()
    assert len(await stock.ids()) == 1
    await stock.add(rule("keep", 1))
    await keeper.round()
    assert await stock.ids() == []
    await stock.remove(Retention, "keep")
    await keeper.round()
    assert not [row for row in await stock.rows(retention_cursor) if row[0].startswith("pass:")]


async def test_what_a_follower_has_not_seen_stays(any_stock: Stock) -> None:
    await any_stock.add(rule("day", 1))
    seen, unseen = await any_stock.put(9 * DAY), await any_stock.put(5 * DAY)
    for age in (9, 8, 5):
        await any_stock.publish(age * DAY)
    await any_stock.store.transact(lambda tx: feed.advance(tx, "panel", 1))
    await any_stock.store.transact(lambda tx: feed.advance(tx, "opt-out-seen", 99_999))  # follows another audit
    keeper = any_stock.keeper(feed_us=DAY)
    await keeper.round()
    assert await any_stock.ids() == [unseen]
    assert seen not in await any_stock.ids()
    assert len(await any_stock.rows(feed_table)) == 2
    await any_stock.store.transact(lambda tx: feed.advance(tx, "panel", 3))
    await keeper.round()
    assert await any_stock.ids() == []
    assert await any_stock.rows(feed_table) == []


async def test_the_feed_and_accounts_days_are_trimmed_by_age(any_stock: Stock) -> None:
    for age in (9, 2, 0):
        await any_stock.publish(age * DAY)
    today = any_stock.now_us // DAY
    days = [{"account": "a", "day": today - age, "taken": 1} for age in (0, 399, 400, 401, 2000)]
    await any_stock.store.transact(lambda tx: tx.sql.execute(account_day.insert(), days))
    await any_stock.keeper(feed_us=3 * DAY).round()
    assert len(await any_stock.rows(feed_table)) == 2
    assert sorted(today - row.day for row in await any_stock.rows(account_day)) == [0, 399, 400]


async def test_pages_end_and_go_on(any_stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a page reads, more than a transaction removes, and the second round reads nothing twice."""
    monkeypatch.setattr("hub.keeping.READ_PAGE", 7)
    monkeypatch.setattr("hub.keeping_ledger.REMOVE_PAGE", 3)
    await any_stock.add(rule("day", 1, call_centre="acme"))
    stay = [await any_stock.put(3 * DAY, call_centre="other") for _ in range(20)]
    for _ in range(20):
        await any_stock.put(2 * DAY)
    keeper = any_stock.keeper()
    await keeper.round()
    assert await any_stock.ids() == stay
    passes = [row.position for row in await any_stock.rows(retention_cursor) if row.name.startswith("pass:")]
    assert len(passes) == 1
    assert passes[0] > max(stay)


async def test_a_round_ends_although_more_becomes_due_all_the_time(stock: Stock) -> None:
    """Or nothing would be removed any more but what had not ended in time."""
    await stock.add(rule("day", 1))
    count = 200
    looks = [(number + 1, stock.now_us + number * 1_000) for number in range(count)]
    await stock.store.transact(lambda tx: ledger.put_later(tx, looks))

    def goes_on() -> int:
        stock.now_us += 1_000
        return stock.now_us

    keeper = Keeper(stock.store, goes_on, holder="test")
    await keeper.round()
    left = len(await stock.rows(retention_later))
    assert 0 < left < count
    await keeper.round()
    assert len(await stock.rows(retention_later)) < left


async def test_one_keeper_at_a_time(any_stock: Stock) -> None:
    await any_stock.add(rule("day", 1))
    await any_stock.put(2 * DAY)
    now = any_stock.now_us
    assert await any_stock.store.transact(lambda tx: ledger.take_lease(tx, "another", now, now + 60_000_000))
    with pytest.raises(LeaseTaken):
        await any_stock.keeper().round()
    assert len(await any_stock.ids()) == 1
    any_stock.now_us += 61_000_000  # the other has died
    await any_stock.keeper().round()
    assert await any_stock.ids() == []


async def test_a_lease_that_a_clock_ahead_took_keeps_nobody_off(any_stock: Stock) -> None:
    """Who took it died, and the clock was set right: it would end in a year."""
    await any_stock.add(rule("day", 1))
    await any_stock.put(2 * DAY)
    ahead = any_stock.now_us + 365 * DAY
    assert await any_stock.store.transact(lambda tx: ledger.take_lease(tx, "another", ahead, ahead + 60_000_000))
    await any_stock.keeper().round()
    assert await any_stock.ids() == []


async def test_a_clock_that_was_set_ahead_erases_nothing(stock: Stock) -> None:
    await stock.add(rule("year", 365))
    put = [await stock.put(HOUR)]
    keeper = stock.keeper(most_ahead_us=6 * HOUR)
    stock.now_us += 5 * HOUR
    await keeper.round()
    stock.now_us += 400 * DAY
    for _ in range(2):
        with pytest.raises(ClockSetAhead, match="set ahead by 960"):
            await keeper.round()
    assert await stock.ids() == put
    await stock.keeper(most_ahead_us=6 * HOUR).round()  # one that finds it so at its start believes it
    assert await stock.ids() == []


async def test_it_runs_until_it_is_cancelled(stock: Stock) -> None:
    await stock.add(rule("day", 1))
    await stock.put(2 * DAY)
    keeper = stock.keeper()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.run)
            while not keeper.tally.erased:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    assert await stock.ids() == []


async def test_a_dead_letter_that_is_sent_again_is_not_removed(stock: Stock) -> None:
    """Between the reading of a page and its removal."""
    message_id = await stock.put(4 * DAY, state=State.DEAD, parts=1)
    revived = sqlalchemy.update(message).values(state=State.QUEUED.value)
    await stock.store.transact(lambda tx: tx.sql.execute(revived))
    removed = await stock.store.transact(lambda tx: ledger.remove(tx, [message_id], ledger.Rulebook().holds))
    assert removed == ledger.Removed(0, 0)
    assert await stock.counts() == (1, 1, 0, 0)


async def test_the_customer_of_a_message_without_a_thread_may_be_either_party(stock: Stock) -> None:
    await stock.add(rule("day", 1), hold("matter", OTHER))
    held = [await stock.put(3 * DAY, source=OTHER), await stock.put(3 * DAY, destination=OTHER)]
    await stock.put(3 * DAY, source=CUSTOMER)
    await stock.keeper().round()
    assert await stock.ids() == held
