"""What happens while dispatch waits for the store: the reading or write is held back, and the world goes on."""

from __future__ import annotations

from typing import Any

import trio

from hub import Accepted, Outcome, Result, State, dispatch
from hub.retry import RetryWaits
from tests.fixtures_hub import CUSTOMER, FAR_AWAY, SECOND, Clock, World, accept, held_back, transit


async def submit(world: World, *texts: str, **fields: Any) -> list[int]:
    verdicts = await world.receive("account:agg", *(transit(text, **fields) for text in texts))
    return [verdict.message_id for verdict in verdicts if isinstance(verdict, Accepted)]


async def test_what_is_left_to_a_lane_while_it_is_read_is_not_stranded(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    total = dispatch.DEPTH + 1
    async with world.running() as hub:
        await world.settled()
        await submit(world, *(str(n) for n in range(total)))
        lane = hub.dispatcher("link:one").lanes.lane((CUSTOMER, FAR_AWAY))
        assert lane is not None
        assert lane.more
        with held_back(world, "read") as hold:
            link.come_back(hub)
            await hold.reached.wait()  # its last row has been read, and not been loaded
            await submit(world, "late")
            hold.go.set()
            await world.until(lambda: "late" in link.texts())
    assert link.texts() == [*(str(n) for n in range(total)), "late"]


async def test_what_ends_while_it_is_read_is_not_loaded_again(world: World, fast_clock: Clock) -> None:
    """A scheduled text of the same pair is on the wire in a lane of its own, while that of the pair is read."""
    link = world.add("link:one", script=lambda part: None if part.payload == "scheduled" else accept(part))
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "scheduled", not_before_us=world.now_us() + 5 * SECOND)
        await world.until(link.texts)
        link.window = 0
        await submit(world, *(str(n) for n in range(dispatch.DEPTH + 1)))
        with held_back(world, "read") as hold:
            link.come_back(hub)
            await hold.reached.wait()
            (part,) = link.unanswered.values()
            await link.answer(hub, [accept(part)])
            hold.go.set()
            await world.until(lambda: len(link.given) == dispatch.DEPTH + 2)
            await world.until(lambda: not hub.dispatcher("link:one").held)
            await trio.sleep(5)
    assert link.texts().count("scheduled") == 1


async def test_what_went_to_sleep_while_it_was_read_is_not_loaded_as_it_was(world: World, fast_clock: Clock) -> None:
    """An operator's replay has the scan look again, while a refused text leaves memory."""
    link = world.add("link:one", max_attempts=9, script=lambda part: None)
    world.add("account:agg")
    async with world.running(heads=3, waits=RetryWaits(first_us=60 * SECOND, longest_us=60 * SECOND)) as hub:
        await world.settled()
        (first,) = await submit(world, "a", destination="+447700900001")
        await submit(world, "b", destination="+447700900002")
        await world.until(lambda: len(link.given) == 2)
        dispatcher = hub.dispatcher("link:one")
        with held_back(world, "read") as hold:
            dispatcher._texts.rewind(first)
            dispatcher.wake()
            await hold.reached.wait()
            await submit(world, "c", destination="+447700900003")
            await link.answer(hub, [Outcome(link.given[0][1], Result.RETRY)])
            hold.go.set()
            await trio.sleep(10)
        given = [part.attempt for _, part in link.given if part.payload == "a"]
        assert given == [1], "it is not due for a minute"
        link.script = accept
        await link.answer(hub, [accept(part) for part in link.unanswered.values()])
        await world.until_states([State.DELIVERED])
    assert [(part.attempt, part.in_doubt) for _, part in link.given if part.payload == "a"] == [(1, False), (2, False)]


async def test_what_is_being_claimed_is_not_withheld(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=lambda part: accept(part) if part.payload == "a" else None)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        dispatcher = hub.dispatcher("link:one")
        link.window = 0
        (message_id,) = await submit(world, "b")
        with held_back(world, "commit") as hold:
            link.come_back(hub)
            await hold.reached.wait()
            assert dispatcher.withhold(message_id) is None
            hold.go.set()
            await world.until(link.texts)
        assert dispatcher.withhold(message_id) is None, "nor what is on the wire"
        await link.answer(hub, [accept(link.given[0][1])])
        assert dispatcher.withhold(message_id) is None, "nor what is over"


async def test_what_is_withheld_is_not_given(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        dispatcher = hub.dispatcher("link:one")
        first, second, _ = await submit(world, "a", "b", "c")
        entries = [dispatcher.withhold(message_id) for message_id in (first, second)]
        assert all(entries)
        assert dispatcher.withhold(first) is None
        link.come_back(hub)
        await trio.sleep(10)
        assert link.texts() == []
        await hub._give_up(dispatcher, [(entry, "dropped") for entry in entries if entry is not None])
        await world.until(link.texts)
        await world.until_states([State.DROPPED, State.DELIVERED])
    assert link.texts() == ["c"]
    assert await world.states() == ["DROPPED", "DROPPED", "DELIVERED"]


async def test_room_that_goes_while_a_claim_is_written_costs_nothing(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "a")
        with held_back(world, "commit") as hold:
            link.come_back(hub)
            await hold.reached.wait()
            link.window = 0
            hold.go.set()
            await trio.sleep(5)
        assert link.texts() == []
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
    assert link.texts() == ["a"]


async def test_room_that_goes_while_a_born_claim_is_written_costs_nothing(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one")
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        with held_back(world, "commit") as hold:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(submit, world, "a")
                await hold.reached.wait()
                link.window = 0
                hold.go.set()
        await trio.sleep(5)
        assert link.texts() == []
        link.come_back(hub)
        await world.until_states([State.DELIVERED])
    assert link.texts() == ["a"]


async def test_many_born_claims_do_not_promise_more_than_the_room(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=3)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        with held_back(world, "commit") as hold:
            async with trio.open_nursery() as nursery:
                for n in range(10):
                    nursery.start_soon(lambda n=n: submit(world, str(n), destination=f"+44770090000{n}"))
                await hold.reached.wait()
                await trio.testing.wait_all_tasks_blocked()
                hold.go.set()
        await world.until_states([State.DELIVERED])
    assert link.most_unanswered <= 3
    assert len(link.given) == 10
