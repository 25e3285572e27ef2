"""Receipts for ids that nobody gave out: they take bounded room, and go when nothing will match them any more."""

from __future__ import annotations

import pytest
import sqlalchemy
import trio

from hub import Arrival, Outcome, Part, Receipt, ReceiptState, ReceiptWanted, Result, operations
from hub.tables import parked_receipt
from tests.fixtures_hub import CUSTOMER, FAR_AWAY, Clock, World, transit

HOUR_US = 3_600_000_000


def receipt(carrier_id: str) -> Arrival:
    return Arrival(
        source=FAR_AWAY, destination=CUSTOMER, receipt=Receipt(carrier_id, ReceiptState.DELIVERED, done_us=1)
    )


async def parked(world: World) -> int:
    query = sqlalchemy.select(sqlalchemy.func.count()).select_from(parked_receipt)
    return int(await world.store.read(lambda tx: tx.sql.execute(query).scalar()) or 0)


async def test_a_storm_of_unknown_receipts_is_forgotten_oldest_first(
    any_world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world
    for name in ("link:one", "account:agg"):
        world.add(name)
    monkeypatch.setattr(operations, "MAX_PARKED", 300)
    async with world.running() as hub:
        await world.settled()
        for number in range(1000):
            if number % 100 == 0:
                await world.receive("link:one", *(receipt(f"storm{n}") for n in range(number, number + 100)))
        assert hub.counters.events["receipts_parked", "link:one"] == 1000
        now_us = world.now_us()
        gone = [await world.store.transact(lambda tx: operations.forget_parked(tx, now_us, 250)) for _ in range(4)]
        assert gone == [250, 250, 200, 0]
        assert await parked(world) == 300

        # What came last is still there for the answer that it overtook.
        def late(part: Part) -> Outcome:
            return Outcome(part, Result.ACCEPTED, "storm999", receipt_expected=True)

        world.endpoints["link:one"].script = late
        await world.receive("account:agg", transit("hello", receipt_wanted=ReceiptWanted.FINAL))
        await world.until(lambda: world.endpoints["account:agg"].receipts())
        # An hour later nothing will come for the others.
        now_us = world.now_us() + HOUR_US + 1
        assert await world.store.transact(lambda tx: operations.forget_parked(tx, now_us)) == 299
        assert await parked(world) == 0


async def test_the_hub_forgets_by_itself(world: World, fast_clock: Clock) -> None:
    world.add("link:one")
    async with world.running():
        await world.settled()
        await world.receive("link:one", *(receipt(f"old{number}") for number in range(20)))
        assert await parked(world) == 20
        fast_clock.jump(3_700)
        with trio.fail_after(60 * 100):
            while await parked(world):  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(1)
