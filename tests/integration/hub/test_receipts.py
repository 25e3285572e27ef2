"""Receipts over both stores: one for each message, whatever order the news comes in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import trio

from hub import Accepted, Arrival, Outcome, Part, Receipt, ReceiptState, ReceiptWanted, Result, State, TryLater
from hub.tables import carrier_part, parked_receipt
from store import StoreUnavailable
from tests.fixtures_hub import CUSTOMER, FAR_AWAY, NUMBER, SECOND, Clock, World, accept, inbound, reply, transit

D, U, X = ReceiptState.DELIVERED, ReceiptState.UNDELIVERABLE, ReceiptState.EXPIRED


def carrier(part: Part) -> Outcome:
    """Takes all, and will send receipts; its ids say which part they are of."""
    return Outcome(part, Result.ACCEPTED, f"{part.message.text[:1]}{part.number}", receipt_expected=True)


def news(carrier_id: str, state: ReceiptState = D, error: str = "000", ids: str = "") -> Arrival:
    return Arrival(
        source=FAR_AWAY,
        destination=CUSTOMER,
        receipt=Receipt(carrier_id, state, error),
        attributes={"ids": ids} if ids else {},
    )


async def submitted(world: World, text: str = "aabbcc", **fields: object) -> int:
    """Submit a text that wants a receipt, and wait until it is handed over. Returns: its id."""
    fields.setdefault("receipt_wanted", ReceiptWanted.FINAL)
    (verdict,) = await world.receive("account:agg", transit(text, **fields))
    assert isinstance(verdict, Accepted)
    return verdict.message_id


async def count(world: World, table: object) -> int:
    found = await world.store.read(lambda tx: tx.sql.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar())
    return int(found or 0)


async def handed_over(world: World) -> None:
    await world.until_states([State.ACCEPTED, State.DELIVERED, State.UNDELIVERABLE, State.DEAD])


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
async def test_one_receipt_made_of_all_the_parts(world: World, fast_clock: Clock, order: Sequence[int]) -> None:
    world.add("link:one", characters=2, script=carrier)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        message_id = await submitted(world)
        await handed_over(world)
        for number in order:
            assert account.receipts() == []
            assert await world.receive("link:one", news(f"a{number}")) == [Accepted(0)]
        await world.until(account.receipts)
        await trio.sleep(1)
    (receipt,) = account.receipts()
    assert (receipt.message_id, receipt.state, receipt.error, receipt.text) == (str(message_id), D, "000", "aabbcc")
    told = account.given[0][1].message
    assert (told.source, told.destination) == (FAR_AWAY, CUSTOMER)
    assert await world.states() == ["DELIVERED"]


async def test_it_has_failed_as_soon_as_one_part_has(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", characters=2, script=carrier)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world)
        await handed_over(world)
        await world.receive("link:one", news("a2", X, "015"))
        await world.until(account.receipts)
        await world.receive("link:one", news("a1"), news("a3", U, "001"))
        await trio.sleep(2)
    assert [(r.state, r.error) for r in account.receipts()] == [(X, "015")]
    (row,) = await world.texts()
    assert (State(row.state), row.reason) == (State.UNDELIVERABLE, "EXPIRED:015")
    assert (row.receipts_settled, row.receipts_failed) == (3, 2)


async def test_a_part_that_failed_before_the_last_was_handed_over(any_world: World, fast_clock: Clock) -> None:
    """The last hand-over decides it: no other receipt need come."""
    world = any_world
    link = world.add("link:one", characters=2, script=lambda part: carrier(part) if part.number < 3 else None)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submitted(world)
        await world.until(lambda: len(link.given) == 3)
        await world.receive("link:one", news("a1", U, "007"))
        assert account.receipts() == []
        await link.answer(hub, [carrier(link.given[2][1])])
        await world.until(account.receipts)
    assert account.receipts()[0].state is U
    assert await world.states() == ["UNDELIVERABLE"]


async def test_all_receipts_come_before_the_last_answer(any_world: World, fast_clock: Clock) -> None:
    """A DLR overtakes the submit_sm_resp it belongs to: it is parked, then matched."""
    world = any_world
    link = world.add("link:one", characters=2, script=lambda part: carrier(part) if part.number < 3 else None)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submitted(world)
        await world.until(lambda: len(link.given) == 3)
        await world.receive("link:one", news("a1"), news("a2"), news("a3"))
        await world.receive("link:one", news("a3", U))  # again, and not the same
        assert await count(world, parked_receipt) == 2
        assert account.receipts() == []
        await link.answer(hub, [carrier(link.given[2][1])])
        await world.until(account.receipts)
        assert await count(world, parked_receipt) == 0
        assert hub.counters.events["receipts_parked", "link:one"] == 2
    assert account.receipts()[0].state is D


async def test_what_comes_again_or_uncalled_changes_nothing(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", script=carrier)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submitted(world, "a")
        await handed_over(world)
        await world.receive("link:one", news("a1"), news("a1", U))
        await world.until(account.receipts)
        before = await world.texts()
        await world.receive("link:one", news("a1", U), news("a1"))
        await world.receive("link:one", news("nobody's"), news(""), news("\x00"), news("half \ud83d"), news("x" * 500))
        assert await world.texts() == before
        await trio.sleep(2)
        assert hub.counters.events["receipts_repeated", "link:one"] == 6
        assert hub.counters.events["receipts_parked", "link:one"] == 2
    assert [r.state for r in account.receipts()] == [D]


@pytest.mark.parametrize("state", [ReceiptState.ENROUTE, ReceiptState.ACCEPTED, ReceiptState.UNKNOWN])
async def test_news_that_is_not_final_is_no_news(world: World, fast_clock: Clock, state: ReceiptState) -> None:
    world.add("link:one", script=carrier)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world, "a")
        await handed_over(world)
        assert await world.receive("link:one", news("a1", state)) == [Accepted(0)]
        assert await count(world, parked_receipt) == 0
        assert await world.states() == ["ACCEPTED"]
        await world.receive("link:one", news("a1"))
        await world.until(account.receipts)


@pytest.mark.parametrize(
    ("wanted", "states"),
    [(ReceiptWanted.NONE, []), (ReceiptWanted.FAILURE, [U]), (ReceiptWanted.FINAL, [D, U])],
)
async def test_the_sender_hears_what_it_asked_for(
    world: World, fast_clock: Clock, wanted: ReceiptWanted, states: list[ReceiptState]
) -> None:
    world.add("link:one", script=carrier)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world, "a", receipt_wanted=wanted)
        await submitted(world, "b", receipt_wanted=wanted)
        await handed_over(world)
        await world.receive("link:one", news("a1"), news("b1", U))
        await world.until(lambda: len(account.receipts()) >= len(states))
        await trio.sleep(2)
    assert sorted(r.state for r in account.receipts()) == states
    assert sorted(await world.states()) == ["DELIVERED", "UNDELIVERABLE"]


async def test_ids_are_matched_exactly_first_then_by_their_other_forms(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add(
        "link:one",
        script=lambda part: Outcome(part, Result.ACCEPTED, part.message.text, receipt_expected=True),
    )
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        ten, sixteen = await submitted(world, "10"), await submitted(world, "16")
        other = await submitted(world, "ff")
        await handed_over(world)
        await world.receive("link:one", news("16", U, ids="10"))
        await world.until(lambda: len(account.receipts()) == 1)
        assert account.receipts()[0].message_id == str(sixteen)
        await world.receive("link:one", news("16", D, ids="10"))  # the exact one is settled: it can only be the other
        await world.until(lambda: len(account.receipts()) == 2)
        assert account.receipts()[1].message_id == str(ten)
        await world.receive("link:one", news("255", D, ids="ff|FF"))
        await world.until(lambda: len(account.receipts()) == 3)
        assert account.receipts()[2].message_id == str(other)


async def test_what_is_left_of_a_parked_receipt_meets_no_other_message(any_world: World, fast_clock: Clock) -> None:
    """It is parked under all forms of its id; one of these is another message's id."""
    world = any_world
    link = world.add("link:one", script=lambda part: None)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        first = await submitted(world, "1", destination="+447700900001")
        await submitted(world, "2", destination="+447700900002")
        await world.until(lambda: len(link.given) == 2)
        await world.receive("link:one", news("255", ids="ff"))
        one, two = (part for _, part in link.given)
        await link.answer(hub, [Outcome(one, Result.ACCEPTED, "ff", receipt_expected=True)])
        await link.answer(hub, [Outcome(two, Result.ACCEPTED, "255", receipt_expected=True)])
        await world.until(account.receipts)
        await trio.sleep(2)
        assert await count(world, parked_receipt) == 0
    assert [r.message_id for r in account.receipts()] == [str(first)]
    assert await world.states() == ["DELIVERED", "ACCEPTED"]


async def test_an_id_that_is_given_out_again(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", script=lambda part: Outcome(part, Result.ACCEPTED, "1", receipt_expected=True))
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        old, young = await submitted(world, "a"), await submitted(world, "b")
        await handed_over(world)
        await world.receive("link:one", news("1"))
        await world.receive("link:one", news("1", U), news("1", U))
        await world.until(lambda: len(account.receipts()) == 2)
    assert [(r.message_id, r.state) for r in account.receipts()] == [(str(young), D), (str(old), U)]


async def test_ids_are_scoped_by_link(world: World, fast_clock: Clock) -> None:
    world.add("link:one", script=carrier)
    world.add("link:two")
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world, "a")
        await handed_over(world)
        await world.receive("link:two", news("a1"))
        assert await world.states() == ["ACCEPTED"]
        await world.receive("link:one", news("a1", U))
        await world.until(account.receipts)
    assert account.receipts()[0].state is U


@pytest.mark.parametrize("expecting", [{1}, {2}, {3}, {1, 3}, set()])
async def test_a_part_without_receipt_is_delivered_by_its_hand_over(
    any_world: World, fast_clock: Clock, expecting: set[int]
) -> None:
    world = any_world
    world.add("link:one", characters=2, script=lambda part: carrier(part) if part.number in expecting else accept(part))
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world)
        await handed_over(world)
        for number in expecting:
            assert account.receipts() == []
            await world.receive("link:one", news(f"a{number}"))
        await world.until(account.receipts)
        await trio.sleep(1)
    assert [r.state for r in account.receipts()] == [D]


async def test_an_id_that_no_database_takes_is_no_id(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", script=lambda part: Outcome(part, Result.ACCEPTED, part.message.text, receipt_expected=True))
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world, "nul \x00")
        await submitted(world, "long " * 30)
        await handed_over(world)
        await world.receive("link:one", news("long " * 30))
        await world.until(lambda: len(account.receipts()) == 2)
    assert await world.states() == ["DELIVERED", "DELIVERED"]


async def test_one_id_for_all_parts(any_world: World, fast_clock: Clock) -> None:
    """Some carriers answer each part of a text with one id, and send one receipt for each."""
    world = any_world
    world.add("link:one", characters=2, script=lambda part: Outcome(part, Result.ACCEPTED, "7", receipt_expected=True))
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world)
        await handed_over(world)
        await world.receive("link:one", news("7"), news("7"))
        await trio.sleep(1)
        assert account.receipts() == []
        await world.receive("link:one", news("7"))
        await world.until(account.receipts)


async def test_a_desk_hears_of_its_replies_under_its_own_id(world: World, fast_clock: Clock) -> None:
    world.add("link:one", script=carrier)
    desk = world.add("desk:help")
    async with world.running():
        await world.settled()
        await world.receive("link:one", inbound())
        (verdict,) = await world.receive(
            "desk:help", reply("answer", upstream_id="stanza-1", receipt_wanted=ReceiptWanted.FINAL)
        )
        assert isinstance(verdict, Accepted)
        await world.until(lambda: world.endpoints["link:one"].texts())
        await handed_over(world)
        await world.receive("link:one", news("a1"))
        await world.until(desk.receipts)
    (receipt,) = desk.receipts()
    assert (receipt.message_id, receipt.state) == ("stanza-1", D)
    told = next(p.message for _, p in desk.given if p.message.receipt is not None)
    assert (told.token, told.call_centre, told.destination) == (verdict.token, "acme", NUMBER)


async def test_receipts_survive_a_restart_at_every_step(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", characters=2, script=carrier)
    account = world.add("account:agg", window=0)
    async with world.running():
        await submitted(world)
        await handed_over(world)
    async with world.running():
        await world.receive("link:one", news("a1"), news("a2"))
    async with world.running():
        await world.receive("link:one", news("a3"))
    account.window = 10
    async with world.running():
        await world.until(account.receipts)
    async with world.running():
        await trio.sleep(3)
    assert len(account.receipts()) == 1


async def test_receipts_for_who_is_away_wait_in_the_store(world: World, fast_clock: Clock) -> None:
    """100,000 of them: memory holds the heads, texts of others are not held up, and then all are told in order."""
    total, heads = 100_000, 500
    world.add("link:one", window=5_000)
    account = world.add("account:agg", window=0)
    ids: list[int] = []
    async with world.running(heads=heads) as hub:
        await world.settled()
        dispatcher = hub.dispatcher("account:agg")
        for start in range(0, total, 5_000):
            verdicts = await world.receive(
                "account:agg",
                *(
                    transit("a", f"+1617{n:07d}", receipt_wanted=ReceiptWanted.FINAL)
                    for n in range(start, start + 5_000)
                ),
            )
            ids += [v.message_id for v in verdicts if isinstance(v, Accepted)]
            assert len(dispatcher.held) <= heads
        await world.until(lambda: len(world.endpoints["link:one"].given) == total, within_s=60)
        assert len(dispatcher.held) <= heads
        account.come_back(hub, 5_000)
        await world.until(lambda: len(account.given) == total, within_s=60)
        await world.until(lambda: not dispatcher.held)
    assert {int(r.message_id) for r in account.receipts()} == set(ids)
    assert len(account.receipts()) == total


async def test_outcomes_whose_commit_nobody_answered_for(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection was lost while the commit was under way, and it was written: it must not be written again."""
    world = any_world
    link = world.add("link:one", script=lambda part: None)
    account = world.add("account:agg")
    transact = world.store.transact
    doubts = 2

    async def doubtful(work: object, **more: object) -> object:
        nonlocal doubts
        doubts -= 1
        if doubts == 1:
            raise StoreUnavailable("cut before", in_doubt=True)
        answer = await transact(work, **more)  # type: ignore[arg-type]
        if doubts == 0:
            raise StoreUnavailable("cut after", in_doubt=True)
        return answer

    async with world.running() as hub:
        await world.settled()
        await submitted(world, "a")
        await submitted(world, "b", destination="+447700900002")
        await world.until(lambda: len(link.given) == 2)
        await world.receive("link:one", news("a1", U))  # parked
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "transact", doubtful)
            await link.answer(hub, [carrier(link.given[0][1]), accept(link.given[1][1])])
        await world.until(lambda: len(account.receipts()) == 2)
        await trio.sleep(2)
    assert sorted(r.state for r in account.receipts()) == [D, U]
    assert await count(world, carrier_part) == 1
    assert await world.states() == ["UNDELIVERABLE", "DELIVERED"]


@pytest.mark.parametrize("result", [Result.THROTTLED, Result.UNSENT, Result.REROUTED])
async def test_outcomes_that_change_no_count_are_not_taken_for_written(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch, result: Result
) -> None:
    """The first of a batch leaves all of its row as it was but for the state; the commit was lost with the others."""
    world = any_world
    link = world.add("link:one", script=lambda part: None)
    account = world.add("account:agg")
    transact = world.store.transact

    async def cut(work: object, **more: object) -> object:
        monkeypatch.setattr(world.store, "transact", transact)
        raise StoreUnavailable("cut before", in_doubt=True)

    async with world.running() as hub:
        await world.settled()
        await submitted(world, "a")
        await submitted(world, "b", destination="+447700900002")
        await world.until(lambda: len(link.given) == 2)
        (_, kept), (_, taken) = link.given
        monkeypatch.setattr(world.store, "transact", cut)
        await link.answer(hub, [Outcome(kept, result), accept(taken)])
        await world.until(account.receipts)
        await world.until_counts({"SUBMITTING": 1, "DELIVERED": 1})
    assert [receipt.message_id for receipt in account.receipts()] == [str(taken.message.id)]


async def test_receipts_made_by_a_commit_that_nobody_answered_for_are_given(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The carrier sends its receipt again, which is then a repetition: the first one has to be passed on."""
    world = any_world
    world.add("link:one", script=carrier)
    account = world.add("account:agg")
    transact = world.store.transact

    async def doubtful(work: object, **more: object) -> object:
        monkeypatch.setattr(world.store, "transact", transact)
        await transact(work, **more)  # type: ignore[arg-type]
        raise StoreUnavailable("cut after", in_doubt=True)

    async with world.running():
        await world.settled()
        await submitted(world, "a")
        await handed_over(world)
        monkeypatch.setattr(world.store, "transact", doubtful)
        assert [type(verdict) for verdict in await world.receive("link:one", news("a1"))] == [TryLater]
        assert [type(verdict) for verdict in await world.receive("link:one", news("a1"))] == [Accepted]
        await world.until(account.receipts)
    assert [receipt.state for receipt in account.receipts()] == [D]


async def test_a_parked_receipt_settled_by_a_commit_that_nobody_answered_for_is_passed_on(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world
    link = world.add("link:one", script=lambda part: None)
    account = world.add("account:agg")
    transact = world.store.transact

    async def doubtful(work: object, **more: object) -> object:
        monkeypatch.setattr(world.store, "transact", transact)
        await transact(work, **more)  # type: ignore[arg-type]
        raise StoreUnavailable("cut after", in_doubt=True)

    async with world.running() as hub:
        await world.settled()
        await submitted(world, "a")
        await world.until(lambda: len(link.given) == 1)
        await world.receive("link:one", news("a1"))
        monkeypatch.setattr(world.store, "transact", doubtful)
        await link.answer(hub, [carrier(link.given[0][1])])
        await world.until(account.receipts)
    assert [receipt.state for receipt in account.receipts()] == [D]


async def test_parked_receipts_are_forgotten_in_the_end(world: World, fast_clock: Clock) -> None:
    world.add("link:one")
    async with world.running():
        await world.settled()
        await world.receive("link:one", news("nobody's"))
        assert await count(world, parked_receipt) == 1
        fast_clock.jump(4_000 * 1.0)
        with trio.fail_after(3_000):
            while await count(world, parked_receipt):  # noqa: ASYNC110
                await trio.sleep(10)


async def test_a_receipt_that_nobody_takes_expires(world: World, fast_clock: Clock) -> None:
    world.add("link:one", script=carrier)
    world.add("account:agg", window=0, validity_us=20 * SECOND)
    async with world.running():
        await world.settled()
        await submitted(world, "a")
        await handed_over(world)
        await world.receive("link:one", news("a1"))
        with trio.fail_after(1_000):
            while (await world.rows())[-1].state != State.DEAD:  # noqa: ASYNC110
                await trio.sleep(5)
    assert len(await world.rows()) == 2, "no receipts of receipts"
