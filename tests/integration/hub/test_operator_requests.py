"""What operators asked for is carried out in pages, and nothing that cannot be done stops what can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog
import trio

from hub import Accepted, Outcome, Part, Result, State, operations
from hub.operations import Request, Selection
from hub.retry import RetryWaits
from tests.fixtures_hub import CUSTOMER, DAY, FAR_AWAY, RATE, Clock, World, accept, transit

DEAD = Selection(states=(State.DEAD,))


async def submit(world: World, count: int) -> list[int]:
    """Texts to many customers. Returns: their ids."""
    arrivals = [transit(str(n), f"+1617{n:07d}") for n in range(count)]
    verdicts = await world.receive("account:agg", *arrivals)
    return [verdict.message_id for verdict in verdicts if isinstance(verdict, Accepted)]


async def ask(world: World, *asked: tuple[str, int]) -> None:
    requests = [Request(world.store.new_id(), verb, number, "cli:ann", world.now_us()) for verb, number in asked]
    await world.store.transact(lambda tx: operations.ask_all(tx, requests))


async def carried_out(world: World) -> None:
    with trio.fail_after(60 * RATE):
        while await world.store.read(operations.waiting_requests):  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.5)


def kinds(tallies: Sequence[operations.Tally]) -> list[tuple[str, str, str, int]]:
    return [(each.endpoint, each.state, each.reason, each.count) for each in tallies]


async def test_a_thousand_dead_letters_go_again_in_pages(any_world: World, fast_clock: Clock) -> None:
    world, broken = any_world, True
    link = world.add("link:one", script=lambda part: Outcome(part, Result.REFUSED) if broken else accept(part))
    world.add("account:agg")
    async with world.running():
        await world.settled()
        ids = await submit(world, 1_000)
        await world.until_counts({"DEAD": 1_000})
        assert kinds(await world.store.read(lambda tx: operations.tally(tx, DEAD))) == [
            ("link:one", "dead", "refused", 1_000)
        ]
        broken = False
        with structlog.testing.capture_logs() as logged:
            await ask(world, *(("retry", message_id) for message_id in ids), ("retry", ids[0]), ("drop", 1))
            await carried_out(world)
        await world.until_counts({"DELIVERED": 1_000})
    assert Counter(link.texts()) == {str(n): 2 for n in range(1_000)}
    told = [line for line in logged if line["event"] == "operators' requests carried out"]
    assert sum(line["count"] for line in told) == 1_002
    assert len(told) <= 1_000 // operations.REQUESTS_PAGE + 2, "one line for each page"


async def test_what_cannot_be_done_is_done_with(world: World, fast_clock: Clock) -> None:
    """The endpoint is gone, the message is none, it is no dead letter, the verb is from the future."""
    link = world.add("link:one", script=lambda part: Outcome(part, Result.REFUSED))
    world.add("account:agg")
    async with world.running():
        await world.settled()
        gone, again = await submit(world, 2)
        await world.until_counts({"DEAD": 2})
        await world.store.transact(
            lambda tx: tx.sql.exec_driver_sql(f"UPDATE message SET endpoint = 'link:gone' WHERE id = {gone}")
        )
        link.script = accept
        await ask(world, ("retry", gone), ("retry", 12345), ("praise", again), ("drop", 12345), ("retry", again))
        await carried_out(world)
        await world.until_counts({"DEAD": 1, "DELIVERED": 1})
        await ask(world, ("retry", again), ("drop", again))
        await carried_out(world)
    assert Counter(await world.states()) == {"DEAD": 1, "DELIVERED": 1}


async def test_requests_for_one_message_are_carried_out_in_their_order(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        first, second = await submit(world, 2)
        await ask(world, ("drop", first), ("retry", first), ("drop", second))
        await carried_out(world)
        await world.until_counts({"DROPPED": 2})


async def test_what_is_on_the_wire_is_dropped_when_it_comes_back(world: World, fast_clock: Clock) -> None:
    """A text that is refused for the time being again and again is on the wire whenever one looks."""
    link = world.add("link:one", script=lambda part: None)
    world.add("account:agg")
    async with world.running(waits=RetryWaits(first_us=1, longest_us=1)) as hub:
        await world.settled()
        await submit(world, 1)
        await world.until(link.texts)
        part: Part = link.given[0][1]
        await ask(world, ("drop", part.message.id))
        await carried_out(world)
        assert await world.states() == ["SUBMITTING"]
        await link.answer(hub, [Outcome(part, Result.RETRY)])
        await world.until_counts({"DROPPED": 1})
    assert len(link.texts()) == 1


async def test_selections(any_world: World, fast_clock: Clock) -> None:
    """Each condition leaves out what it says, in the order of ids."""
    world = any_world
    world.add("link:one", script=lambda part: Outcome(part, Result.REFUSED, reason=f"R{int(part.payload) % 2}"))
    world.add("account:agg")
    async with world.running():
        await world.settled()
        early = await submit(world, 4)
        await world.until_counts({"DEAD": 4})
        await trio.sleep(100)
        between_us = world.now_us()
        await trio.sleep(100)
        late = await submit(world, 4)
        await world.until_counts({"DEAD": 8})

        async def found(**conditions: object) -> list[int]:
            selection = Selection(states=(State.DEAD,), **conditions)  # type: ignore[arg-type]
            return await world.store.read(lambda tx: operations.ids_of(tx, selection))

        ids = sorted(early + late)
        assert await found() == ids
        assert await found(received_before_us=between_us) == early
        assert await found(reason="R1") == [early[1], early[3], late[1], late[3]]
        assert await found(reason="R1", destination="+16170000003") == [early[3], late[3]]
        assert await found(source=CUSTOMER, destination=FAR_AWAY) == []
        assert await found(from_id=early[2], to_id=late[1]) == ids[2:6]
        assert await found(ids=(early[1], 5)) == [early[1]]
        assert await found(endpoint="link:two") == await found(call_centre="acme") == []
        assert await found(movable=True) == ids
        pages = await world.store.read(lambda tx: operations.listing(tx, DEAD, after_id=ids[2], limit=2))
        assert [each.id for each in pages] == ids[3:5]
        assert await world.store.read(lambda tx: operations.ids_of(tx, Selection())) == []


async def test_what_has_left_in_part_belongs_to_its_link(world: World, fast_clock: Clock) -> None:
    def second_part_fails(part: Part) -> Outcome:
        return Outcome(part, Result.REFUSED if part.number == 2 else Result.ACCEPTED, "id")

    world.add("link:one", characters=2, script=second_part_fails)
    other = world.add("link:two", validity_us=2 * DAY)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        verdicts = await world.receive("account:agg", transit("aabb", "+16170000001"), transit("aabb", "+16170000002"))
        halved, whole = (verdict.message_id for verdict in verdicts if isinstance(verdict, Accepted))
        await world.until_counts({"DEAD": 2})
        await world.store.transact(
            lambda tx: tx.sql.exec_driver_sql(f"UPDATE message SET next_part = 0 WHERE id = {whole}")
        )
        moved = await world.store.transact(lambda tx: operations.move(tx, [halved, whole, 7], "link:two"))
        assert moved == [whole]
        await ask(world, ("retry", whole))
        await world.until_counts({"DEAD": 1, "DELIVERED": 1})
        assert other.texts() == ["aabb"]
