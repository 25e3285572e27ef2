"""An endpoint is taken off the road while texts are on it: nothing is lost, and it may come back."""

from __future__ import annotations

import random

import pytest
import trio

from hub import Accepted, Reason, Rejected, State, TryLater, UnknownEndpoint
from hub.dispatch import Dispatcher
from hub.operations import pending_counts
from provisioning import Route
from tests.fixtures_hub import SECOND, Clock, World, accept, held_back, inbound, make_directory, transit

ELSEWHERE = [Route(prefix="*", endpoint="link:two")]


def leave(world: World) -> None:
    """Lead nothing to link:one any more, and take its sessions away."""
    world.endpoints["link:one"].window = 0
    world.hub.directory = make_directory(routes=ELSEWHERE)


async def submit(world: World, *texts: str) -> None:
    verdicts = await world.receive("account:agg", *map(transit, texts))
    assert all(isinstance(verdict, Accepted) for verdict in verdicts)


async def test_what_waits_stays_in_the_store_and_goes_on_when_it_is_there_again(
    any_world: World, fast_clock: Clock
) -> None:
    world = any_world
    link = world.add("link:one", window=3, script=lambda part: None)
    other = world.add("link:two")
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        texts = [f"text {number}" for number in range(20)]
        for text in texts:
            await world.receive("account:agg", transit(text, f"+4477009{int(text[5:]):05}"))
        await world.until(lambda: len(link.unanswered) == 3)
        leave(world)
        await link.answer(hub, [accept(part) for part in list(link.unanswered.values())])
        assert await hub.detach("link:one", within_s=60_000)
        assert "link:one" not in hub.statistics()
        assert (await world.store.read(pending_counts))["link:one"] == 17
        assert set(await world.states()) == {"QUEUED", "DELIVERED"}, "nothing is in doubt: nothing of it has gone out"
        await submit(world, "by the other")
        await world.until(other.texts)
        with pytest.raises(UnknownEndpoint):
            await hub.detach("link:one")
        hub.wake("link:one")  # a session that ends late has nobody to wake

        link.script, link.window = accept, 100
        hub.attach(link)
        await world.until_counts({"DELIVERED": 21})
    assert link.texts() == texts
    assert hub.counters.events["in_doubt", "link:one"] == 0


async def test_what_has_not_come_back_in_time_is_found_in_doubt(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=lambda part: None)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "hello", "behind it")
        await world.until(lambda: link.unanswered)
        (part,) = link.unanswered.values()
        leave(world)
        assert not await hub.detach("link:one", within_s=60.0)
        await link.answer(hub, [accept(part)])  # too late: nobody remembers it
        assert {row.state for row in await world.texts()} <= {State.SUBMITTING, State.QUEUED}
        link.script, link.window = accept, 100
        hub.attach(link)
        await world.until_counts({"DELIVERED": 2})
    assert link.texts() == ["hello", "hello", "behind it"]


async def test_a_batch_on_its_way_to_the_journal_is_waited_for(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one")
    world.add("account:agg")
    async with world.running() as hub, trio.open_nursery() as nursery:
        await world.settled()
        with held_back(world, "commit") as hold:
            nursery.start_soon(submit, world, "on its way", "behind it")
            await hold.reached.wait()
            leave(world)
            gone = trio.Event()

            async def detach() -> None:
                assert await hub.detach("link:one", within_s=60_000)
                gone.set()

            nursery.start_soon(detach)
            await trio.sleep(20)
            assert not gone.is_set(), "it is still owed the end of the write"
        await gone.wait()
        assert await world.states() == ["QUEUED", "QUEUED"], "claimed when it came, and put down again"
    assert link.texts() == []


@pytest.mark.parametrize("method", ["commit", "transact"])
async def test_a_batch_that_the_store_does_not_answer_for_in_time_is_acknowledged(
    world: World, fast_clock: Clock, method: str
) -> None:
    """The endpoint is gone when the store answers at last: the text is in the store, and goes on when it is back."""
    name, arrival = ("link:one", transit("hello")) if method == "commit" else ("desk:help", inbound("hello"))
    for each in ("link:one", "link:two", "desk:help"):
        world.add(each, window=0)
    verdicts: list[object] = []

    async def send() -> None:
        verdicts.extend(await world.receive("link:two", arrival))

    world.directory = make_directory(routes=[Route(prefix="*", endpoint="link:one")])
    async with world.running() as hub, trio.open_nursery() as nursery:
        await world.settled()
        with held_back(world, method):
            nursery.start_soon(send)
            await world.until(lambda: not hub.dispatcher(name).is_quiet)
            assert not await hub.detach(name, within_s=60.0)
        await world.until(lambda: verdicts)
        assert isinstance(verdicts[0], Accepted)
        world.endpoints[name].window = 100
        hub.attach(world.endpoints[name])
        await world.until_counts({"DELIVERED": 1})
    assert world.endpoints[name].texts() == ["hello"]


async def test_a_batch_decided_before_and_reserved_after_is_to_be_sent_again(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a scan catches up arrivals wait with their way decided; the way may be gone when it is their turn."""
    world.add("link:one")
    world.add("account:agg")
    async with world.running() as hub, trio.open_nursery() as nursery:
        await world.settled()
        waiting, caught_up = trio.Event(), trio.Event()

        async def admission(self: Dispatcher) -> None:
            waiting.set()
            await caught_up.wait()

        monkeypatch.setattr(Dispatcher, "must_wait", True)
        monkeypatch.setattr(Dispatcher, "admission", admission)
        verdicts: list[object] = []

        async def late() -> None:
            verdicts.extend(await world.receive("account:agg", transit("late")))

        nursery.start_soon(late)
        await waiting.wait()
        leave(world)
        assert await hub.detach("link:one", within_s=60_000)
        caught_up.set()
        await world.until(lambda: verdicts)
        assert isinstance(verdicts[0], TryLater)
        assert await world.rows() == []


async def test_without_another_way_it_is_refused(world: World, fast_clock: Clock) -> None:
    world.add("link:one")
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        world.endpoints["link:one"].window = 0
        hub.directory = make_directory(routes=[])
        await hub.detach("link:one", within_s=60_000)
        assert await world.receive("account:agg", transit("hello")) == [Rejected(Reason.NO_ROUTE)]


async def test_texts_keep_their_order_while_an_endpoint_comes_and_goes(any_world: World, fast_clock: Clock) -> None:
    """Texts come all the while, are refused for now and answered late; each text arrives once, each lane in order."""
    world = any_world
    chance = random.Random(7)
    link = world.add("link:one", window=5, gap_us=SECOND // 50)
    world.add("account:agg")
    sent: dict[str, list[str]] = {}
    accepted = refused = 0
    async with world.running(heads=20) as hub, trio.open_nursery() as nursery:
        await world.settled()
        coming = True

        async def write() -> None:
            nonlocal accepted, refused
            number = 0
            while coming:
                number += 1
                customer = f"+447700900{chance.randrange(8):03}"
                (verdict,) = await world.receive("account:agg", transit(f"{customer}:{number}", customer))
                if isinstance(verdict, Accepted):
                    accepted += 1
                    sent.setdefault(customer, []).append(f"{customer}:{number}")
                else:
                    refused += 1
                await trio.sleep(0.05)

        nursery.start_soon(write)
        for _ in range(6):
            enough = accepted + chance.randrange(5, 25)
            await world.until(lambda enough=enough: accepted >= enough)
            link.window = 0
            assert await hub.detach("link:one", within_s=60_000)
            enough = refused + chance.randrange(3)
            await world.until(lambda enough=enough: refused >= enough)
            link.window = 5
            hub.attach(link)
        coming = False
        await world.until(lambda: len(link.texts()) == sum(map(len, sent.values())))
        nursery.cancel_scope.cancel()
    got: dict[str, list[str]] = {}
    for text in link.texts():
        got.setdefault(text.partition(":")[0], []).append(text)
    assert got == sent


async def test_other_gaps_hold_from_the_next_part_on(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", gap_us=3_600 * SECOND)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "first", "second", "third", "fourth")
        await world.until(lambda: len(link.texts()) == 1)
        link.gap_us, link.source_gap_us = 0, 2 * SECOND
        hub.keep_to_settings("link:one")
        fast_clock.jump(3_600)  # the gap that runs is kept
        await world.until_counts({"DELIVERED": 4})
        assert hub.dispatcher("link:one").lanes.gap_us == 0


async def test_a_text_that_was_begun_ends_as_it_was_cut(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", characters=2, gap_us=0)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        link.script = lambda part: accept(part) if part.number == 1 else None
        await submit(world, "aabbcc", "ddeeff")
        await world.until(lambda: len(link.texts()) == 2)
        link.characters = 100
        hub.keep_to_settings("link:one")
        link.script = accept
        await link.answer(hub, [accept(part) for part in list(link.unanswered.values())])
        await world.until_counts({"DELIVERED": 2})
    assert link.texts() == ["aa", "bb", "cc", "ddeeff"]
