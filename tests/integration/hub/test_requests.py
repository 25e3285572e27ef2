"""What senders ask of their texts: how they stand, to be cancelled, to say something else; texts that came as one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from hub import (
    Accepted,
    Arrival,
    Concatenation,
    Effect,
    Fate,
    Message,
    Name,
    Outcome,
    Part,
    Reason,
    Receipt,
    ReceiptState,
    ReceiptWanted,
    Rejected,
    Result,
    State,
    dispatch,
    operations,
    requests,
)
from hub.retry import RetryWaits
from store import StoreFull, StoreUnavailable
from tests.fixtures_hub import CUSTOMER, DAY, FAR_AWAY, NUMBER, SECOND, Clock, World, accept, held_back, transit

D, ENROUTE, DELETED = ReceiptState.DELIVERED, ReceiptState.ENROUTE, ReceiptState.DELETED
ELSEWHERE = "+447700900999"
HOURS = 4 * 3600 * SECOND  # far enough away for the slowest machine: two minutes of ours


def carrier(part: Part) -> Outcome:
    """Takes all, and will send receipts."""
    return Outcome(part, Result.ACCEPTED, f"{part.message.text}/{part.number}", receipt_expected=True)


def silent(part: Part) -> Outcome | None:
    """Keeps what it is given, and does not answer."""
    return None


def news(text: str, state: ReceiptState = D, error: str = "000", number: int = 1) -> Arrival:
    return Arrival(source=FAR_AWAY, destination=CUSTOMER, receipt=Receipt(f"{text}/{number}", state, error))


async def submit(world: World, *texts: str, **fields: object) -> list[int]:
    verdicts = await world.receive("account:agg", *(transit(text, **fields) for text in texts))
    return [verdict.message_id for verdict in verdicts if isinstance(verdict, Accepted)]


async def submit_as_one(world: World, text: str, *destinations: str, **fields: object) -> int:
    arrivals = [transit(text, destination=destination, **fields) for destination in destinations]
    verdicts = await world.hub.receive_as_one("account:agg", arrivals)
    (shared,) = {verdict.message_id for verdict in verdicts if isinstance(verdict, Accepted)}
    return shared


async def fate(world: World, message_id: int, endpoint: str = "account:agg", **name: str) -> Fate | None:
    (found,) = await world.hub.query(endpoint, [Name(message_id, **name)])
    return found


async def state_of(world: World, message_id: int) -> ReceiptState | None:
    found = await fate(world, message_id)
    return found and found.state


async def cancel(world: World, message_id: int, endpoint: str = "account:agg", **name: str) -> Effect:
    return await world.hub.cancel(endpoint, Name(message_id, **name))


async def replace(world: World, message_id: int, text: str, **fields: object) -> Effect:
    def rewrite(message: Message) -> Message:
        return msgspec.structs.replace(message, text=text, **fields)

    return await world.hub.replace("account:agg", Name(message_id), rewrite)


async def row_of(world: World, message_id: int) -> object:
    (row,) = [row for row in await world.rows() if row.id == message_id]
    return row


# --- query -----------------------------------------------------------------------------------------------------------


async def test_a_text_is_under_way_until_a_receipt_says_what_became_of_it(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", script=carrier, window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        good, bad = await submit(world, "good", "bad")
        assert await fate(world, good) == Fate(ENROUTE)
        link.come_back(hub)
        await world.until_states([State.ACCEPTED])
        assert await fate(world, good) == Fate(ENROUTE), "handed over is not read by anybody: no ACCEPTED"
        await world.receive("link:one", news("good"), news("bad", ReceiptState.REJECTED, "069"))
        delivered, rejected = await hub.query("account:agg", [Name(good), Name(bad)])
        done_us = {row.id: row.done_us for row in await world.texts()}
    assert delivered == Fate(D, done_us=done_us[good])
    assert rejected == Fate(ReceiptState.REJECTED, done_us=done_us[bad], error="069")
    assert all(done_us.values())


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("expired", ReceiptState.EXPIRED),
        ("expired:ESME_RTHROTTLED", ReceiptState.EXPIRED),
        ("dropped", DELETED),
        ("cancelled", DELETED),
        ("opted-out", ReceiptState.REJECTED),
        ("ESME_RINVDSTADR", ReceiptState.UNDELIVERABLE),
        ("in-doubt", ReceiptState.UNDELIVERABLE),
    ],
)
async def test_what_the_hub_gave_up_says_what_its_receipt_said(
    world: World, fast_clock: Clock, reason: str, state: ReceiptState
) -> None:
    world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        (message_id,) = await submit(world, "a", receipt_wanted=ReceiptWanted.FINAL)
        entry = hub.dispatcher("link:one").withhold(message_id)
        assert entry is not None
        await hub._give_up(hub.dispatcher("link:one"), [(entry, reason)])
        await world.until(account.receipts)
        found = await fate(world, message_id)
    assert found is not None
    assert found.state is state is account.receipts()[0].state
    assert found.done_us > 0


async def test_a_text_that_waits_for_its_time_says_so(world: World, fast_clock: Clock) -> None:
    world.add("link:one")
    world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "later", not_before_us=world.now_us() + HOURS)
        assert await fate(world, message_id) == Fate(ENROUTE, scheduled=True)
        world.clock.jump(HOURS // SECOND)
        await world.until_states([State.DELIVERED])
        assert await state_of(world, message_id) is D


async def test_nobody_is_told_of_what_is_not_theirs(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", script=carrier)
    world.add("account:agg")
    world.add("account:other", window=0)
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "a", receipt_wanted=ReceiptWanted.FINAL)
        await world.until_states([State.ACCEPTED])
        await world.receive("link:one", news("a"))
        await world.until_states([State.DELIVERED])
        receipt_id = next(row.id for row in await world.rows() if row.kind == 1)
        assert await fate(world, message_id, endpoint="account:other") is None
        assert await fate(world, message_id, endpoint="link:one") is None
        assert await fate(world, message_id + 1) is None, "nor of what there is not"
        assert await fate(world, receipt_id) is None, "a receipt is no text of theirs"
        assert await fate(world, receipt_id, endpoint="link:one") is None
        assert await cancel(world, message_id, endpoint="account:other") is Effect.UNKNOWN


async def test_the_greatest_id_there_can_be_is_nobodys(any_world: World, fast_clock: Clock) -> None:
    any_world.add("account:agg")
    async with any_world.running():
        await any_world.settled()
        assert await fate(any_world, (1 << 63) - 1) is None
        assert await cancel(any_world, (1 << 63) - 1) is Effect.UNKNOWN
        assert await replace(any_world, (1 << 63) - 1, "other") is Effect.UNKNOWN


async def test_the_source_must_be_that_of_the_text(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "a")
        assert await fate(world, message_id, source=CUSTOMER) is not None
        assert await fate(world, message_id, source=CUSTOMER.removeprefix("+")) is not None, "a type of number left out"
        assert await fate(world, message_id, source=ELSEWHERE) is None
        assert await cancel(world, message_id, source=ELSEWHERE) is Effect.UNKNOWN
        assert await cancel(world, message_id, destination=ELSEWHERE) is Effect.UNKNOWN
        assert await cancel(world, message_id, source=CUSTOMER, destination=FAR_AWAY) is Effect.DONE


def part_of(number: int, total: int = 2, **fields: object) -> Arrival:
    return transit(f"part {number} ", concatenation=Concatenation(7, total, number), **fields)


async def test_a_text_in_parts_is_known_by_the_id_of_each(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        wanted = ReceiptWanted.FINAL
        (first,) = await world.receive("account:agg", part_of(1, receipt_wanted=wanted))
        assert isinstance(first, Accepted)
        assert await fate(world, first.message_id) == Fate(ENROUTE), "while the other has not come"
        assert await cancel(world, first.message_id) is Effect.IMPOSSIBLE
        (second,) = await world.receive("account:agg", part_of(2, receipt_wanted=wanted))
        assert isinstance(second, Accepted)
        assert await fate(world, first.message_id, source=ELSEWHERE) is None
        assert await fate(world, first.message_id, endpoint="link:one") is None
        assert await replace(world, first.message_id, "new") is Effect.IMPOSSIBLE
        assert await cancel(world, first.message_id) is Effect.DONE
        assert await cancel(world, second.message_id) is Effect.DONE, "with one part went the others"
        assert await state_of(world, first.message_id) is await state_of(world, second.message_id) is DELETED
        await world.until(lambda: len(account.receipts()) == 2)
    told = {receipt.message_id: receipt.state for receipt in account.receipts()}
    assert told == {str(first.message_id): DELETED, str(second.message_id): DELETED}


# --- cancel ----------------------------------------------------------------------------------------------------------


async def test_what_waits_is_cancelled_and_its_sender_hears_so(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        ids = await submit(world, "a", "b", "c", receipt_wanted=ReceiptWanted.FINAL)
        assert await cancel(world, ids[1]) is Effect.DONE
        row = await row_of(world, ids[1])
        assert (row.state, row.reason) == (State.DROPPED, "cancelled"), "before the answer"
        assert await cancel(world, ids[1]) is Effect.IMPOSSIBLE, "there is nothing left to cancel"
        await world.until(account.receipts)
        link.come_back(hub)
        await world.until_states([State.DROPPED, State.DELIVERED])
        await world.until(lambda: len(account.receipts()) == 3)
    assert link.texts() == ["a", "c"]
    receipt = account.receipts()[0]
    assert (receipt.message_id, receipt.state) == (str(ids[1]), DELETED)
    assert len(account.receipts()) == 3


async def test_what_is_on_the_wire_is_not_cancelled(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=silent)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        (message_id,) = await submit(world, "a")
        await world.until(link.texts)
        assert await cancel(world, message_id) is Effect.IMPOSSIBLE
        assert await replace(world, message_id, "b") is Effect.IMPOSSIBLE
        await link.answer(hub, [accept(link.given[0][1])])
        await world.until_states([State.DELIVERED])
        assert await cancel(world, message_id) is Effect.IMPOSSIBLE
        assert await replace(world, message_id, "b") is Effect.IMPOSSIBLE
    assert link.texts() == ["a"]


async def test_what_has_been_sent_in_part_or_may_have_been_is_not_cancelled(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", characters=1, window=1, script=silent, gap_us=HOURS)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        (parts,) = await submit(world, "xy")
        await world.until(link.texts)
        await link.answer(hub, [accept(link.given[0][1])])  # the next goes after the gap
        assert await cancel(world, parts) is Effect.IMPOSSIBLE
        assert await replace(world, parts, "new") is Effect.IMPOSSIBLE
        (lost,) = await submit(world, "z", destination=ELSEWHERE)
        await world.until(lambda: len(link.given) == 2)
        link.window = 0
        await link.answer(hub, [Outcome(link.given[1][1], Result.IN_DOUBT)])
        assert await cancel(world, lost) is Effect.IMPOSSIBLE
        assert await replace(world, lost, "new") is Effect.IMPOSSIBLE
        link.script = accept
        link.come_back(hub)
        world.clock.jump(HOURS // SECOND)
        await world.until_states([State.DELIVERED])
    assert sorted(link.texts()) == ["x", "y", "z", "z"]


async def test_what_a_restart_finds_in_doubt_is_not_cancelled(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=silent)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "a")
        await world.until(link.texts)
    link.window = 0
    async with world.running():
        assert await cancel(world, message_id) is Effect.IMPOSSIBLE, "before it is loaded"
        await world.settled()
        assert await cancel(world, message_id) is Effect.IMPOSSIBLE
        assert await replace(world, message_id, "new") is Effect.IMPOSSIBLE
    assert await world.states() == ["SUBMITTING"]


async def test_what_was_refused_for_now_is_cancelled_and_not_replaced(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=lambda part: Outcome(part, Result.RETRY), max_attempts=9)
    world.add("account:agg")
    waits = RetryWaits(first_us=HOURS, longest_us=HOURS)
    async with world.running(waits=waits):
        await world.settled()
        (message_id,) = await submit(world, "a")
        await world.until(link.texts)
        with trio.fail_after(2000):
            while (await row_of(world, message_id)).attempts == 0:  # noqa: ASYNC110
                await trio.sleep(1)
        assert await replace(world, message_id, "b") is Effect.IMPOSSIBLE
        assert await cancel(world, message_id) is Effect.DONE
    assert await world.states() == ["DROPPED"]


async def test_what_lies_in_the_store_alone_is_cancelled(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=4) as hub:
        await world.settled()
        ids = await submit(world, *(str(n) for n in range(12)))
        assert ids[9] not in hub.dispatcher("link:one").held
        assert await cancel(world, ids[9]) is Effect.DONE
        link.come_back(hub)
        await world.until_states([State.DROPPED, State.DELIVERED])
        assert not hub.dispatcher("link:one").held
    assert link.texts() == [str(n) for n in range(12) if n != 9]


async def test_a_text_whose_endpoint_is_gone_is_cancelled_once(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "a", receipt_wanted=ReceiptWanted.FINAL)
        await world.hub.release()
    del world.endpoints["link:one"]
    effects: list[Effect] = []
    async with world.running():
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(lambda: collect(world, message_id, effects))
        await world.until(account.receipts)
        await trio.sleep(10)
    assert sorted(effects) == [Effect.DONE, Effect.IMPOSSIBLE]
    assert len(account.receipts()) == 1


async def collect(world: World, message_id: int, effects: list[Effect]) -> None:
    effects.append(await cancel(world, message_id))


@pytest.mark.parametrize("which", [1, 5])
async def test_a_session_that_dies_while_the_store_is_away_breaks_no_order(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """The cancelling was not written: the text goes on in its place, whether it lies in memory or in the store only."""
    link = world.add("link:one", window=0)
    world.add("account:agg")
    tried = trio.Event()

    async def away(*_: object) -> None:
        tried.set()
        raise StoreUnavailable("away")

    async with world.running(heads=4) as hub:
        await world.settled()
        ids = await submit(world, *(str(n) for n in range(8)))
        await world.until(lambda: len(hub.dispatcher("link:one").held) == 4)
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "commit", away)
            async with trio.open_nursery() as session:
                session.start_soon(cancel, world, ids[which])
                await tried.wait()
                session.cancel_scope.cancel()
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
    assert link.texts() == [*"01234567"]


async def test_what_the_store_did_not_let_be_ended_is_not_forgotten(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lane is read on while it is being ended, without it; then the store refuses: it is to be read again."""
    link = world.add("link:one", window=0)
    world.add("account:agg")
    original = world.store.read

    async def refused(*arguments: Any, **more: Any) -> Any:
        if arguments[0].__qualname__.startswith("Hub._take_aside"):
            link.come_back(world.hub)
            await world.until(lambda: "7" in link.texts())
            raise StoreUnavailable("away")
        return await original(*arguments, **more)

    async with world.running(heads=4) as hub:
        await world.settled()
        ids = await submit(world, *(str(n) for n in range(8)))
        waiting = await original(lambda tx: operations.standings(tx, [ids[5]]))
        monkeypatch.setattr(world.store, "read", refused)
        with pytest.raises(StoreUnavailable):
            await hub._end_waiting(waiting, "dropped")
        await world.until(lambda: "5" in link.texts())
    assert sorted(link.texts()) == [*"01234567"]


async def test_of_two_who_cancel_at_once_one_does(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    account = world.add("account:agg")
    effects: list[Effect] = []
    async with world.running(heads=2):
        await world.settled()
        ids = await submit(world, *"abcdef", receipt_wanted=ReceiptWanted.FINAL)
        async with trio.open_nursery() as nursery:
            for message_id in ids:
                nursery.start_soon(collect, world, message_id, effects)
                nursery.start_soon(collect, world, message_id, effects)
        await world.until(lambda: len(account.receipts()) == 6)
        await trio.sleep(10)
    assert effects.count(Effect.DONE) == 6
    assert effects.count(Effect.IMPOSSIBLE) == 6
    assert len(account.receipts()) == 6


async def test_all_of_a_pair_are_cancelled(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world
    monkeypatch.setattr(requests, "CANCEL_PAGE", 2)
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=3) as hub:
        await world.settled()
        await submit(world, *"abcde")
        await submit(world, "later", not_before_us=world.now_us() + DAY)
        await submit(world, "elsewhere", destination=ELSEWHERE)
        await submit(world, "other source", source=ELSEWHERE)
        assert await hub.cancel_all("account:other", CUSTOMER, FAR_AWAY) == 0
        assert await hub.cancel_all("account:agg", CUSTOMER, FAR_AWAY) == 6
        assert await hub.cancel_all("account:agg", CUSTOMER, FAR_AWAY) == 0
        link.come_back(hub)
        await world.until_states([State.DROPPED, State.DELIVERED])
    assert sorted(link.texts()) == ["elsewhere", "other source"]


async def test_only_texts_of_a_service_are_cancelled_where_one_is_named(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "plain")
        await submit(world, "alerts", attributes={"service_type": "ALRT"})
        assert await hub.cancel_all("account:agg", CUSTOMER, FAR_AWAY, "ALRT") == 1
    assert await world.states() == ["QUEUED", "DROPPED"]


# --- replace ---------------------------------------------------------------------------------------------------------


async def test_a_text_is_replaced_in_its_place(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        ids = await submit(world, "a", "b", "c")
        assert await replace(world, ids[0], "A" * 20) is Effect.DONE
        assert await replace(world, ids[1], "B", receipt_wanted=ReceiptWanted.FINAL) is Effect.DONE
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
        await world.until(account.receipts)
    assert link.texts() == ["A" * 20, "B", "c"]
    assert [receipt.message_id for receipt in account.receipts()] == [str(ids[1])]


async def test_what_lies_in_the_store_alone_is_replaced_in_its_place(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=4) as hub:
        await world.settled()
        ids = await submit(world, *(str(n) for n in range(12)))
        assert ids[9] not in hub.dispatcher("link:one").held
        assert await replace(world, ids[9], "nine") is Effect.DONE
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
    assert link.texts() == ["nine" if n == 9 else str(n) for n in range(12)]


async def test_a_restart_finds_the_new_text(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        ids = await submit(world, "a", "b")
        assert await replace(world, ids[0], "half \ud83d of a pair") is Effect.DONE
    link.window = 10
    async with world.running():
        await world.until_states([State.DELIVERED])
    assert link.texts() == ["half \ufffd of a pair", "b"]


async def test_an_entry_that_was_claimed_is_claimed_again(world: World, fast_clock: Clock) -> None:
    """Its row says SUBMITTING when it is replaced, and must say so again before the new text is on the wire."""
    link = world.add("link:one", window=1, script=silent)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "first", destination=ELSEWHERE)
        await world.until(link.texts)
        link.window = 0
        (message_id,) = await submit(world, "a")
        entry = hub.dispatcher("link:one").held[message_id]
        link.window = 2
        await world.until(lambda: len(link.given) == 2 or hub.wake("link:one"))
        link.window = 1
        await link.answer(hub, [Outcome(link.given[1][1], Result.UNSENT)])
        assert await replace(world, message_id, "b") is Effect.DONE
        assert not entry.claimed
        assert (await row_of(world, message_id)).state == State.QUEUED
        link.come_back(hub)
        await world.until(lambda: len(link.given) == 3)
        assert (await row_of(world, message_id)).state == State.SUBMITTING
    assert link.texts() == ["first", "a", "b"]


async def test_a_new_time_is_kept(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=4) as hub:
        await world.settled()
        waits, *_ = await submit(world, *"abcdef")
        then = world.now_us() + HOURS
        (later,) = await submit(world, "later", not_before_us=then)
        (sooner,) = await submit(world, "sooner", not_before_us=then)
        assert await replace(world, waits, "a, later", not_before_us=then + HOURS) is Effect.DONE
        assert await replace(world, later, "later still", not_before_us=then + 2 * HOURS) is Effect.DONE
        assert await replace(world, sooner, "at once", not_before_us=world.now_us()) is Effect.DONE
        assert await fate(world, waits) == Fate(ENROUTE, scheduled=True)
        link.come_back(hub)
        await world.until(lambda: len(link.texts()) == 6)
        assert [text for text in link.texts() if text != "at once"] == [*"bcdef"]
        world.clock.jump(HOURS // SECOND)
        await trio.sleep(30)
        assert len(link.texts()) == 6
        world.clock.jump(HOURS // SECOND)
        await world.until(lambda: len(link.texts()) == 7)
        assert link.texts()[6] == "a, later"
        world.clock.jump(HOURS // SECOND)
        await world.until(lambda: len(link.texts()) == 8)
    assert link.texts()[7] == "later still"


async def test_a_new_validity_is_kept(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "a")
        assert await replace(world, message_id, "b", expires_us=world.now_us() + 60 * SECOND) is Effect.DONE
        world.clock.jump(120)
        await world.until_states([State.DEAD])
        assert await state_of(world, message_id) is ReceiptState.EXPIRED


async def test_what_is_refused_changes_nothing(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")

    def fail(message: Message) -> Message:
        raise KeyError

    async with world.running() as hub:
        await world.settled()
        (message_id,) = await submit(world, "a")
        with pytest.raises(KeyError):
            await hub.replace("account:agg", Name(message_id), fail)
        assert await hub.replace("account:agg", Name(message_id), lambda message: None) is Effect.IMPOSSIBLE
        assert await replace(world, message_id, "x" * 40_000) is Effect.IMPOSSIBLE
        assert await hub.replace("account:other", Name(message_id), fail) is Effect.UNKNOWN
        assert await hub.replace("account:agg", Name(message_id + 1), fail) is Effect.UNKNOWN
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
    assert link.texts() == ["a"]


async def test_a_text_to_a_call_centre_is_not_replaced(world: World, fast_clock: Clock) -> None:
    world.add("desk:help", window=0)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "a", destination=NUMBER)
        assert await replace(world, message_id, "STOP") is Effect.IMPOSSIBLE
        assert await cancel(world, message_id) is Effect.DONE


async def test_nothing_is_replaced_while_the_store_is_full(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        (message_id,) = await submit(world, "a")
        original = world.store.transact

        async def full(*arguments: object, **more: object) -> None:
            raise StoreFull

        world.store.transact = full  # type: ignore[method-assign]
        with pytest.raises(StoreFull):
            await replace(world, message_id, "b")
        world.store.transact = original  # type: ignore[method-assign]
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
    assert link.texts() == ["a"]


@pytest.mark.parametrize("written", [True, False])
async def test_a_doubt_of_the_store_is_cleared_before_the_text_goes_on(
    world: World, fast_clock: Clock, written: bool
) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        (message_id,) = await submit(world, "a")
        original = world.store.transact

        async def doubtful(*arguments: object, **more: object) -> None:
            if written:
                await original(*arguments, **more)  # type: ignore[arg-type]
            raise StoreUnavailable("cut", in_doubt=True)

        world.store.transact = doubtful  # type: ignore[method-assign,assignment]
        effect = await replace(world, message_id, "b")
        world.store.transact = original  # type: ignore[method-assign]
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
    assert effect is (Effect.DONE if written else Effect.IMPOSSIBLE)
    assert link.texts() == ["b" if written else "a"]


async def test_what_is_loaded_while_it_is_replaced_goes_out_as_it_is_then(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    original = world.store.transact
    go = trio.Event()

    async def late(*arguments: Any, **more: Any) -> Any:
        if arguments[0].__qualname__.startswith("Requests."):
            await go.wait()
        return await original(*arguments, **more)

    effects: list[Effect] = []

    async def replace_and_tell(message_id: int) -> None:
        effects.append(await replace(world, message_id, "new"))

    async with world.running(heads=4) as hub:
        await world.settled()
        ids = await submit(world, *(str(n) for n in range(8)))
        world.store.transact = late  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replace_and_tell, ids[4])
            try:
                await world.until(lambda: ids[4] in hub.dispatcher("link:one").grips)
                link.come_back(hub)
                await world.until(lambda: ids[4] in hub.dispatcher("link:one").held)
                await world.until(lambda: len(link.texts()) == 4)
                await trio.sleep(10)
                assert link.texts() == [*"0123"], "it keeps its place, and all behind it wait"
                assert await cancel(world, ids[4]) is Effect.IMPOSSIBLE, "one at a time"
            finally:
                go.set()
        world.store.transact = original  # type: ignore[method-assign]
        await world.until_states([State.DELIVERED])
    assert effects == [Effect.DONE]
    assert link.texts() == [*"0123", "new", *"567"]


async def test_what_was_read_before_it_was_replaced_does_not_go_out(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=4) as hub:
        await world.settled()
        ids = await submit(world, *(str(n) for n in range(8)))
        with held_back(world, "read") as hold:
            link.come_back(hub)
            await hold.reached.wait()
            assert ids[4] not in hub.dispatcher("link:one").held
            assert await replace(world, ids[4], "new") is Effect.DONE
            assert await replace(world, ids[5], "later", not_before_us=world.now_us() + HOURS) is Effect.DONE
            assert await cancel(world, ids[6]) is Effect.DONE
        await world.until(lambda: "7" in link.texts())
        assert link.texts() == [*"0123", "new", "7"]
        world.clock.jump(HOURS // SECOND)
        await world.until(lambda: link.texts()[-1] == "later")
    assert await world.states() == ["DELIVERED"] * 6 + ["DROPPED", "DELIVERED"]


async def test_who_ends_a_text_waits_for_who_has_hold_of_it(any_world: World, fast_clock: Clock) -> None:
    """An operator's drop, or an opt-out, must not be lost because the sender just replaces the text."""
    world = any_world
    world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running(heads=2) as hub:
        await world.settled()
        ids = await submit(world, *"abcd", receipt_wanted=ReceiptWanted.FINAL)
        dispatcher = hub.dispatcher("link:one")
        assert dispatcher.lay_hold(ids[0])
        assert dispatcher.lay_hold(ids[3])
        for number, message_id in enumerate((ids[0], ids[3])):
            request = operations.Request(number + 1, "drop", message_id, "operator", world.now_us())
            await world.store.transact(lambda tx, request=request: operations.ask(tx, request))
        await trio.sleep(10)
        assert await world.states() == ["QUEUED"] * 4
        for message_id in (ids[0], ids[3]):
            dispatcher.let_go(message_id, world.now_us())
        await world.until(lambda: len(account.receipts()) == 2)
    assert await world.states() == ["DROPPED", "QUEUED", "QUEUED", "DROPPED"]


@pytest.mark.parametrize("heads", [3, 10_000])
async def test_dispatch_and_replacing_never_cross(any_world: World, fast_clock: Clock, heads: int) -> None:
    """What was answered DONE is what goes out, and what was answered IMPOSSIBLE goes out as it was; all in order."""
    world = any_world
    link = world.add("link:one", window=2)
    world.add("account:agg")
    texts = [str(n) for n in range(60)]
    destinations = [FAR_AWAY, ELSEWHERE, CUSTOMER]
    expected: dict[str, list[str]] = {}
    effects: list[Effect] = []

    async def try_to_replace(message_id: int, old: str, said: list[str], at: int) -> None:
        effect = await replace(world, message_id, f"new {old}")
        effects.append(effect)
        if effect is Effect.DONE:
            said[at] = f"new {old}"

    async with world.running(heads=heads):
        await world.settled()
        async with trio.open_nursery() as nursery:
            for destination in destinations:
                ids = await submit(world, *texts, destination=destination, source=NUMBER.replace("800", "888"))
                said = expected[destination] = list(texts)
                for at, (message_id, old) in enumerate(zip(ids, texts, strict=True)):
                    nursery.start_soon(try_to_replace, message_id, old, said, at)
        await world.until_states([State.DELIVERED], within_s=60)
    assert len(effects) == 180
    assert Effect.UNKNOWN not in effects
    for destination in destinations:
        sent = [part.payload for _, part in link.given if part.message.destination == destination]
        assert sent == expected[destination]


# --- texts that came as one ------------------------------------------------------------------------------------------


async def test_texts_that_came_as_one_have_one_id(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", script=lambda part: Outcome(part, Result.ACCEPTED, part.message.destination, "", 0, True))
    account = world.add("account:agg")
    everybody = [FAR_AWAY, ELSEWHERE, "+447700900555"]
    async with world.running():
        await world.settled()
        shared = await submit_as_one(world, "hello", *everybody, receipt_wanted=ReceiptWanted.FINAL)
        other = await submit_as_one(world, "hello", *everybody, receipt_wanted=ReceiptWanted.FINAL)
        assert shared not in {row.id for row in await world.rows()}
        await world.until_states([State.ACCEPTED])
        assert await state_of(world, shared) is ENROUTE
        for number, address in enumerate(everybody):
            assert await state_of(world, shared) is ENROUTE, "until the last has ended"
            state, error = (D, "000") if number != 1 else (ReceiptState.UNDELIVERABLE, "012")
            receipt = Receipt(address, state, error)
            await world.receive("link:one", Arrival(source=address, destination=CUSTOMER, receipt=receipt))
        await world.until(lambda: len(account.receipts()) == 3)
        # Of two parts with one carrier's id the younger one is meant: the second submission has the news.
        ended = {message_id: await fate(world, message_id) for message_id in (shared, other)}
        assert await fate(world, other, endpoint="account:other") is None
        assert await fate(world, other, source=ELSEWHERE) is None
        assert await fate(world, other + 1, source=ELSEWHERE) is None
    assert ended[shared] == Fate(ENROUTE)
    found = ended[other]
    assert found is not None
    assert (found.state, found.error) == (ReceiptState.UNDELIVERABLE, "012")
    assert {receipt.message_id for receipt in account.receipts()} == {str(other)}
    assert sorted(part.message.source for _, part in account.given) == sorted(everybody)


async def test_of_texts_that_came_as_one_those_that_can_be_are_cancelled(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=1, script=silent)
    account = world.add("account:agg")
    wanted = ReceiptWanted.FINAL
    async with world.running() as hub:
        await world.settled()
        shared = await submit_as_one(world, "a", FAR_AWAY, ELSEWHERE, "+447700900555", receipt_wanted=wanted)
        await world.until(link.texts)
        assert await replace(world, shared, "b") is Effect.IMPOSSIBLE
        assert await cancel(world, shared, destination=ELSEWHERE) is Effect.DONE
        assert await cancel(world, shared) is Effect.DONE, "the third"
        assert await cancel(world, shared) is Effect.IMPOSSIBLE, "the first is on the wire"
        await link.answer(hub, [accept(link.given[0][1])])
        await world.until(lambda: len(account.receipts()) == 3)
        assert await state_of(world, shared) is DELETED
    assert sorted(receipt.state for receipt in account.receipts()) == [DELETED, DELETED, D]
    assert {receipt.message_id for receipt in account.receipts()} == {str(shared)}
    assert len(link.texts()) == 1


async def test_of_texts_that_come_as_one_each_has_its_own_verdict(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        destinations = ["", FAR_AWAY, ELSEWHERE]
        arrivals = [transit("a", destination=destination) for destination in destinations]
        first, second, third = await hub.receive_as_one("account:agg", arrivals)
        assert first == Rejected(Reason.BAD_DESTINATION)
        assert isinstance(second, Accepted)
        assert second == third
        assert await hub.receive_as_one("account:agg", arrivals[:1]) == [first]
    assert await world.states() == ["QUEUED", "QUEUED"]


async def test_parts_that_came_as_one_are_known_by_the_id_of_each(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    link = world.add("link:one", window=0)
    account = world.add("account:agg")
    wanted = ReceiptWanted.FINAL
    shared: list[int] = []
    async with world.running() as hub:
        await world.settled()
        for number in (1, 2):
            arrivals = [part_of(number, destination=d, receipt_wanted=wanted) for d in (FAR_AWAY, ELSEWHERE)]
            one, two = await hub.receive_as_one("account:agg", arrivals)
            assert isinstance(one, Accepted)
            assert one == two
            shared.append(one.message_id)
            assert await state_of(world, shared[0]) is ENROUTE
        assert await state_of(world, shared[1]) is ENROUTE
        assert await cancel(world, shared[1], destination=ELSEWHERE) is Effect.DONE
        link.come_back(hub)
        await world.until(lambda: len(account.receipts()) == 4)
        assert await state_of(world, shared[0]) is DELETED
    assert link.texts() == ["part 1 part 2 "]
    told = sorted((receipt.message_id, receipt.state) for receipt in account.receipts())
    assert told == sorted((str(message_id), state) for message_id in shared for state in (D, DELETED))


async def test_there_may_be_as_many_as_a_submit_multi_names(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=50) as hub:
        await world.settled()
        everybody = [f"+4477009{n:05}" for n in range(requests.MOST_AS_ONE)]
        before = await submit_as_one(world, "before", *everybody)
        shared = await submit_as_one(world, "a", *everybody)
        await submit_as_one(world, "after", *everybody)
        assert await state_of(world, shared) is ENROUTE
        assert await cancel(world, shared) is Effect.DONE
        assert await state_of(world, shared) is DELETED
        assert await state_of(world, before) is ENROUTE
        assert hub.dispatcher("link:one").lanes.size <= 50
    states = await world.states()
    assert states.count("DROPPED") == requests.MOST_AS_ONE
    assert states.count("QUEUED") == 2 * requests.MOST_AS_ONE


# --- a lane's own texts, and those with a time of their own ----------------------------------------------------------


async def test_a_deep_lane_does_not_wait_for_a_text_with_a_time_of_its_own(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, *(str(n) for n in range(dispatch.DEPTH)))
        await submit(world, "tomorrow", not_before_us=world.now_us() + DAY // 2)
        await submit(world, "after")
        link.come_back(hub)
        await world.until(lambda: "after" in link.texts())
        assert "tomorrow" not in link.texts()
        world.clock.jump(DAY // 2 // SECOND)
        await world.until(lambda: "tomorrow" in link.texts())
    assert link.texts().count("tomorrow") == 1


async def test_memory_that_fills_up_between_two_pages_of_a_lane_ends_nothing(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "DEPTH", 2)
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=4) as hub:
        await world.settled()
        await submit(world, "a", "b")
        later = await submit(world, *"wxyz", not_before_us=world.now_us() + HOURS)  # rows of the lane, not in it
        await submit(world, "c")
        standings = await world.store.read(lambda tx: operations.standings(tx, later))
        dispatcher = hub.dispatcher("link:one")
        with held_back(world, "read") as hold:
            link.come_back(hub)
            await hold.reached.wait()
            aside = [dispatcher.take_aside(standing) for standing in standings]  # as who cancels them does
        await trio.sleep(10)
        for entry in aside:
            dispatcher.ended(entry, world.now_us())
        await world.until(lambda: "c" in link.texts())
    assert link.texts() == [*"abc"]
