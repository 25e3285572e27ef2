"""The map from a carrier's ids to parts: what happens to a message afterwards does not lose it."""

from __future__ import annotations

from hub import Accepted, Outcome, Part, ReceiptState, Result
from tests.fixtures_hub import SECOND, Clock, World
from tests.integration.hub.test_receipts import carrier, handed_over, news, submitted


async def test_a_throttled_part_does_not_lose_the_ids_of_those_before(any_world: World, fast_clock: Clock) -> None:
    world, refusals = any_world, 3

    def script(part: Part) -> Outcome:
        nonlocal refusals
        if part.number == 2 and refusals:
            refusals -= 1
            return Outcome(part, Result.THROTTLED, reason="ESME_RTHROTTLED", retry_after_us=SECOND)
        return carrier(part)

    link = world.add("link:one", characters=2, script=script)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world)
        await handed_over(world)
        assert [part.number for _, part in link.given] == [1, 2, 2, 2, 2, 3]
        await world.receive("link:one", news("a1"), news("a2"))
        assert account.receipts() == []
        await world.receive("link:one", news("a3"))
        await world.until(account.receipts)
    assert [receipt.state for receipt in account.receipts()] == [ReceiptState.DELIVERED]


async def test_a_receipt_counts_long_after_the_validity_has_ended(any_world: World, fast_clock: Clock) -> None:
    world = any_world
    world.add("link:one", script=carrier)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world, "a", validity_us=60 * SECOND)
        await handed_over(world)
        fast_clock.jump(7 * 86_400.0)
        await world.receive("link:one", news("a1"))
        await world.until(account.receipts)
    assert [receipt.state for receipt in account.receipts()] == [ReceiptState.DELIVERED]


async def test_receipts_that_come_again_or_uncalled_are_answered_ok(any_world: World, fast_clock: Clock) -> None:
    """An error would make the carrier send them for ever."""
    world = any_world
    world.add("link:one", script=carrier)
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submitted(world, "a")
        await handed_over(world)
        for carrier_id in ("a1", "a1", "nobody's", "nobody's"):
            assert await world.receive("link:one", news(carrier_id)) == [Accepted(0)]
        await world.until(account.receipts)
