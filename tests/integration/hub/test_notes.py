"""A word on how a message was sent stays with it, for operators and for who reads the thread."""

from __future__ import annotations

from hub import Accepted, Arrival, Outcome, Receipt, ReceiptState, Result, State
from hub.history import texts
from hub.operations import show
from tests.fixtures_hub import CUSTOMER, NUMBER, Clock, World, inbound

NOTE = "transliterated"


async def test_what_the_endpoint_says_with_the_last_part_is_shown_and_outlives_the_receipt(
    any_world: World, fast_clock: Clock
) -> None:
    world = any_world
    link = world.add(
        "link:one",
        characters=4,
        script=lambda part: Outcome(part, Result.ACCEPTED, f"c{part.number}", reason=NOTE, receipt_expected=True),
    )
    desk = world.add("desk:help")
    async with world.running():
        await world.settled()
        (opened,) = await world.receive("link:one", inbound("hi"))
        await world.until(desk.texts)
        assert isinstance(opened, Accepted)
        (verdict,) = await world.receive("desk:help", Arrival(source=NUMBER, destination=CUSTOMER, text="two parts"))
        assert isinstance(verdict, Accepted)
        await world.until(lambda: len(link.texts()) == 3)
        for state in (State.ACCEPTED, State.DELIVERED):
            await world.until_states([State.DELIVERED, state])
            shown = await world.store.read(lambda tx: show(tx, verdict.message_id))
            assert shown is not None
            assert (shown.state, shown.reason) == (state.name.lower(), NOTE)
            written = await world.store.read(lambda tx: texts(tx, "acme", customer=CUSTOMER))
            assert [(text.text, text.note) for text in written] == [("two parts", NOTE), ("hi", "")]
            news = [Receipt(f"c{number}", ReceiptState.DELIVERED) for number in (1, 2, 3)]
            await world.receive(
                "link:one", *(Arrival(source=CUSTOMER, destination=NUMBER, receipt=receipt) for receipt in news)
            )
