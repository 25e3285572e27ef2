"""Dispatch over a real store: order, memory, restarts, outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from hub import Accepted, Outcome, Part, ReceiptState, ReceiptWanted, Rejected, Result, State, dispatch, journal
from hub.operations import Request, ask
from hub.retry import RetryWaits
from store import Op
from tests.fixtures_hub import CUSTOMER, DAY, FAR_AWAY, SECOND, Clock, World, accept, transit

FINAL = (State.DELIVERED, State.UNDELIVERABLE, State.DEAD, State.DROPPED)


def customer(number: int) -> str:
    return f"+1617{number:07d}"


async def submit(world: World, *texts: str, destination: str = FAR_AWAY, **fields: object) -> list[int]:
    """Submit texts in one batch. Returns: their ids."""
    verdicts = await world.receive("account:agg", *(transit(text, destination, **fields) for text in texts))
    assert all(isinstance(verdict, Accepted) for verdict in verdicts)
    return [verdict.message_id for verdict in verdicts if isinstance(verdict, Accepted)]


async def test_a_message_goes_from_account_to_link_and_its_receipt_comes_back(
    any_world: World, fast_clock: Clock
) -> None:
    world = any_world
    link = world.add("link:one")
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "hello", receipt_wanted=ReceiptWanted.FINAL)
        await world.until(account.receipts)
    assert link.texts() == ["hello"]
    assert account.receipts()[0].message_id == str(message_id)
    assert account.receipts()[0].state is ReceiptState.DELIVERED
    assert await world.states() == ["DELIVERED"]


async def test_a_message_whose_lane_is_free_is_born_claimed(
    world: World, fast_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write before it is on the wire, and the row says SUBMITTING by then."""
    claims: list[object] = []
    monkeypatch.setattr(journal, "claim", claims.append)
    link = world.add("link:one", script=lambda part: None)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        await submit(world, "hello")
        await world.until(link.texts)
        assert not claims
        assert await world.states() == ["SUBMITTING"]


async def test_parts_go_one_by_one_with_the_gap_between_them(world: World, fast_clock: Clock) -> None:
    gap_us = 10 * SECOND
    link = world.add("link:one", characters=4, gap_us=gap_us)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        await submit(world, "aaaabbbbcc")
        await submit(world, "dddd")
        await submit(world, "other", destination=customer(1))
        await world.until(lambda: len(link.given) == 6)
    times: dict[str, list[int]] = defaultdict(list)
    for at_us, part in link.given:
        times[part.message.destination].append(at_us)
    assert [p.payload for _, p in link.given if p.message.destination == FAR_AWAY] == ["aaaa", "bbbb", "cc", "dddd"]
    assert [(p.number, p.total) for _, p in link.given if p.message.destination == FAR_AWAY][:3] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    for lane in times.values():
        assert all(later - earlier >= gap_us for earlier, later in pairwise(lane))
    assert times[customer(1)][0] < times[FAR_AWAY][1], "lanes do not wait for each other"


async def test_one_part_of_a_lane_is_on_the_wire_at_a_time(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=lambda part: None)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, *"abc")
        await world.until(link.texts)
        await trio.sleep(20)
        assert link.texts() == ["a"]
        for _ in range(3):
            (part,) = link.unanswered.values()
            await link.answer(hub, [accept(part)])
            await world.until(lambda: link.unanswered or len(link.given) == 3)
        assert link.texts() == ["a", "b", "c"]


async def test_a_backlog_beyond_the_heads_stays_in_the_store_and_drains_in_order(
    world: World, fast_clock: Clock
) -> None:
    """50,000 for an endpoint that is away: memory holds the heads, no more; then all goes, in order of each lane."""
    heads, lanes, total = 500, 300, 50_000
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=heads) as hub:
        await world.settled()
        dispatcher = hub.dispatcher("link:one")
        most = 0
        for start in range(0, total, 5_000):
            await world.receive(
                "account:agg", *(transit(str(n), customer(n % lanes)) for n in range(start, start + 5_000))
            )
            most = max(most, dispatcher.lanes.size, len(dispatcher.held))
        assert most <= heads
        assert hub.statistics()["link:one"].behind
        link.come_back(hub, 2_000)
        while len(link.given) < total:
            assert len(dispatcher.held) <= heads
            await trio.sleep(5)
        await world.until(lambda: not dispatcher.held)
        assert len(dispatcher.lanes) == 0
    order: dict[str, list[int]] = defaultdict(list)
    for _, part in link.given:
        order[part.message.destination].append(int(part.payload))
    assert all(texts == sorted(texts) for texts in order.values())
    assert sum(map(len, order.values())) == total == len({int(p.payload) for _, p in link.given})


async def test_a_deep_lane_starves_no_other(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    depth = dispatch.DEPTH
    async with world.running(heads=200) as hub:
        await world.settled()
        await submit(world, *(f"deep {n}" for n in range(depth * 5)))
        for n in range(50):
            await submit(world, f"other {n}", destination=customer(n))
        dispatcher = hub.dispatcher("link:one")
        lane = dispatcher.lanes.lane((CUSTOMER, FAR_AWAY))
        assert lane is not None
        assert len(lane) == depth
        assert not dispatcher.behind, "the others found a place"
        link.come_back(hub, 1_000)
        await world.until(lambda: len(link.given) == depth * 5 + 50)
        assert len(link.texts()) == len(set(link.texts()))
        assert [text for text in link.texts() if "deep" in text] == [f"deep {n}" for n in range(depth * 5)]
        await world.until(lambda: not len(dispatcher.lanes))


async def test_a_lane_refills_while_more_comes_in(world: World, fast_clock: Clock) -> None:
    """What is left to a lane while it is being read must not be stranded."""
    link = world.add("link:one")
    world.add("account:agg")
    total = dispatch.DEPTH * 12
    async with world.running() as hub:
        await world.settled()
        async with trio.open_nursery() as nursery:
            for start in range(0, total, 8):
                nursery.start_soon(submit, world, *(str(n) for n in range(start, start + 8)))
        await world.until(lambda: len(link.given) == total)
        await world.until(lambda: not len(hub.dispatcher("link:one").lanes))
    ids = [part.message.id for _, part in link.given]
    assert ids == sorted(set(ids))


class Outrun:
    """A link that takes two at a time and answers when told, and an account whose texts come faster than it does.

    The clock stands still, so that nothing passes but what the test lets pass.
    """

    def __init__(self, world: World, clock: Clock, between_s: float) -> None:
        self.world = world
        self.clock = clock
        self.link = world.endpoints["link:one"]
        self._between_s = between_s
        self._count = 0

    async def submit(self, count: int) -> None:
        for _ in range(count):
            self._count += 1
            await submit(self.world, str(self._count), destination=customer(self._count))

    async def answer(self) -> None:
        self.clock.jump(self._between_s)
        await self.link.answer(self.world.hub, [accept(part) for part in list(self.link.unanswered.values())])

    async def begin(self) -> None:
        """Let it take two batches, and leave it with one on the wire and one ready behind that."""
        await self.world.settled()
        self.clock.rate = 0.0
        for _ in range(2):
            await self.submit(2)
            await self.answer()
        await self.submit(4)
        assert len(self.link.given) == 6


@pytest.fixture
def outrun(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[Clock, float], Outrun]:
    monkeypatch.setattr(dispatch, "BATCH", 2)
    world.add("link:one", script=lambda part: None, window=2)
    world.add("account:agg")
    return lambda clock, between_s: Outrun(world, clock, between_s)


@pytest.mark.parametrize("relief", ["room", "time"])
async def test_arrivals_wait_a_moment_for_what_a_swift_endpoint_has_yet_to_take(
    world: World, fast_clock: Clock, outrun: Callable[[Clock, float], Outrun], relief: str
) -> None:
    scene = outrun(fast_clock, 0.01)
    async with world.running() as hub, trio.open_nursery() as nursery:
        await scene.begin()
        assert hub.dispatcher("link:one").must_wait
        done = trio.Event()

        async def late() -> None:
            await scene.submit(1)
            done.set()

        nursery.start_soon(late)
        await wait_all_tasks_blocked()
        assert len(await world.rows()) == 8
        if relief == "room":
            await scene.answer()
        else:
            fast_clock.jump(dispatch.BREATH_S)
        await done.wait()
        assert len(await world.rows()) == 9


async def test_arrivals_do_not_wait_for_a_slow_endpoint(
    world: World, fast_clock: Clock, outrun: Callable[[Clock, float], Outrun]
) -> None:
    scene = outrun(fast_clock, 2 * dispatch.BREATH_S)
    async with world.running() as hub:
        await scene.begin()
        assert not hub.dispatcher("link:one").must_wait
        await scene.submit(5)
        assert len(await world.rows()) == 13


async def test_it_catches_up_while_more_comes_in(world: World, fast_clock: Clock) -> None:
    """Steady traffic from many sessions: something is always on its way, and yet it does not stay behind for ever."""
    fast_clock.rate = 1.0  # the wait for admission is to outlast a commit
    link = world.add("link:one", window=0)
    world.add("account:agg")
    sent = 0
    async with world.running(heads=500) as hub:
        dispatcher = hub.dispatcher("link:one")
        caught_up = trio.Event()

        async def session(number: int) -> None:
            nonlocal sent
            at = 0
            while not caught_up.is_set():
                await submit(world, str(at), destination=customer(number * 10 + at % 7))
                at, sent = at + 1, sent + 1

        commit = world.store.commit

        async def slow_commit(ops: Sequence[Op]) -> None:
            await commit(ops)
            await trio.sleep(0.03)

        world.store.commit = slow_commit  # type: ignore[method-assign]

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(session, number)
            await world.until(lambda: dispatcher.behind and sent > 1_000, within_s=0.2)
            link.come_back(hub, 1_000)
            await world.until(lambda: not dispatcher.behind, within_s=0.2)
            caught_up.set()
        await world.until(lambda: len(link.given) == sent)
    assert len({part.message.id for _, part in link.given}) == sent
    order: dict[str, list[int]] = defaultdict(list)
    for _, part in link.given:
        order[part.message.destination].append(part.message.id)
    assert all(ids == sorted(ids) for ids in order.values())


async def test_small_heads_work_too(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=3)
    world.add("account:agg")
    async with world.running(heads=10) as hub:
        await world.settled()
        for n in range(100):
            await submit(world, str(n), destination=customer(n % 17))
        await world.until(lambda: len(link.given) == 100)
        await world.until(lambda: not hub.dispatcher("link:one").held)
        assert link.most_unanswered <= 3
    assert sorted(map(int, link.texts())) == list(range(100))


# --- restarts --------------------------------------------------------------------------------------------------------


async def test_a_restart_takes_up_what_is_queued_and_doubts_what_was_on_the_wire(
    any_world: World, fast_clock: Clock
) -> None:
    world = any_world
    link = world.add("link:one", characters=4, script=lambda part: accept(part) if part.number == 1 else None)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        await submit(world, "aaaabbbbcccc")
        await submit(world, "next")
        await world.until(lambda: len(link.given) == 2)
        assert await world.states() == ["SUBMITTING", "QUEUED"]
    before = link.given[-1][1]
    link.script = accept
    async with world.running() as hub:
        await world.until_states(FINAL)
        assert hub.statistics()["link:one"].resumed_in_doubt == 1
    again = link.given[2][1]
    assert (again.payload, again.number, again.total) == (before.payload, before.number, before.total) == ("bbbb", 2, 3)
    assert again.in_doubt
    assert not before.in_doubt
    assert [part.payload for _, part in link.given[2:]] == ["bbbb", "cccc", "next"]
    assert [part.in_doubt for _, part in link.given[2:]] == [True, False, False]


async def test_a_restart_keeps_the_order_behind_a_head_that_backs_off(world: World, fast_clock: Clock) -> None:
    """A message that waits for its next try is still the head of its lane after a restart."""
    waits = RetryWaits(first_us=60 * SECOND, longest_us=60 * SECOND)
    link = world.add("link:one", script=lambda part: Outcome(part, Result.RETRY))
    world.add("account:agg")
    async with world.running(waits=waits):
        await world.settled()
        await submit(world, "first")
        await submit(world, "second")
        await world.until(link.given.__len__)
        await world.until(lambda: not link.unanswered)
        await trio.sleep(1)
    link.script = accept
    async with world.running(waits=waits):
        await submit(world, "third")
        await world.until_states(FINAL)
    assert link.texts() == ["first", "first", "second", "third"]
    assert link.given[1][0] - link.given[0][0] >= 40 * SECOND
    assert link.given[1][1].attempt == 2


async def test_the_clock_set_back_over_a_restart_does_not_turn_the_order_round(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running():
        await submit(world, "old")
    old = (await world.rows())[0].id
    future = old + (3_600_000 << 22)  # an hour of ids ahead: what a clock that was wrong gave out
    await world.store.transact(
        lambda tx: tx.sql.exec_driver_sql("UPDATE message SET id = ? WHERE id = ?", (future, old))
    )
    async with world.running() as hub:
        await world.settled()
        await submit(world, "new")
        link.come_back(hub)
        await world.until(lambda: len(link.given) == 2)
    assert link.texts() == ["old", "new"]


# --- outcomes --------------------------------------------------------------------------------------------------------


async def test_a_temporary_refusal_backs_off_and_dies_in_the_end(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=lambda part: Outcome(part, Result.RETRY, reason="ESME_RSYSERR"))
    account = world.add("account:agg")
    async with world.running(waits=RetryWaits(first_us=10 * SECOND, longest_us=15 * SECOND)):
        await world.settled()
        await submit(world, "hello", receipt_wanted=ReceiptWanted.FAILURE)
        await submit(world, "behind")
        await world.until(account.receipts)
    first = [(at_us, part) for at_us, part in link.given if part.payload == "hello"]
    assert [part.attempt for _, part in first] == [1, 2, 3]
    waits = [later[0] - earlier[0] for earlier, later in pairwise(first)]
    assert waits[0] >= 8 * SECOND
    assert waits[1] >= 12 * SECOND
    row = (await world.texts())[0]
    assert (State(row.state), row.reason, row.attempts) == (State.DEAD, "ESME_RSYSERR", 3)
    assert account.receipts()[0].state is ReceiptState.UNDELIVERABLE
    assert world.hub.counters.deaths["link:one", "ESME_RSYSERR"] == 1


async def test_when_validity_ends_before_the_next_try_it_has_expired(world: World, fast_clock: Clock) -> None:
    world.add("link:one", script=lambda part: Outcome(part, Result.RETRY, reason="ESME_RSYSERR"))
    account = world.add("account:agg")
    async with world.running(waits=RetryWaits(first_us=100 * SECOND)):
        await world.settled()
        await submit(world, "hello", receipt_wanted=ReceiptWanted.FINAL, validity_us=70 * SECOND)
        await world.until(account.receipts)
    assert account.receipts()[0].state is ReceiptState.EXPIRED
    assert (await world.texts())[0].reason == "expired:ESME_RSYSERR"


@pytest.mark.parametrize("result", [Result.THROTTLED, Result.UNSENT])
async def test_a_part_that_was_not_taken_keeps_the_head_and_costs_no_attempt(
    world: World, fast_clock: Clock, result: Result
) -> None:
    refusals = 5

    def script(part: Part) -> Outcome:
        nonlocal refusals
        if part.payload == "first" and refusals:
            refusals -= 1
            return Outcome(part, result, retry_after_us=SECOND)
        return accept(part)

    link = world.add("link:one", script=script)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        await submit(world, "first", "second")
        await world.until_states(FINAL)
    assert link.texts() == ["first"] * 6 + ["second"]
    assert {part.attempt for _, part in link.given} == {1}
    assert not any(part.in_doubt for _, part in link.given)
    assert (await world.texts())[0].attempts == 0


async def test_doubt_is_journalled_and_resent_with_the_same_identity(world: World, fast_clock: Clock) -> None:
    def script(part: Part) -> Outcome:
        if part.number == 2 and not part.in_doubt:
            return Outcome(part, Result.IN_DOUBT, reason="on the wire")
        return accept(part)

    link = world.add("link:one", characters=2, script=script)
    world.add("account:agg")
    async with world.running():
        await world.settled()
        await submit(world, "aabbcc")
        await world.until_states(FINAL)
    assert [(p.payload, p.number, p.in_doubt) for _, p in link.given] == [
        ("aa", 1, False),
        ("bb", 2, False),
        ("bb", 2, True),
        ("cc", 3, False),
    ]
    assert (await world.texts())[0].in_doubt == 1
    assert world.hub.counters.events["in_doubt", "link:one"] == 1
    assert world.hub.counters.events["resent", "link:one"] == 1


async def test_a_link_that_holds_what_is_in_doubt_makes_dead_letters_of_it(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=lambda part: Outcome(part, Result.IN_DOUBT) if part.payload == "a" else None)
    world.add("account:agg")
    async with world.running(hold_in_doubt=True):
        await world.settled()
        await submit(world, "a", "b")
        await world.until(lambda: len(link.given) == 2)
    async with world.running(hold_in_doubt=True):
        await world.until_states(FINAL)
    assert link.texts() == ["a", "b"]
    assert [row.reason for row in await world.texts()] == ["in-doubt", "in-doubt"]


async def test_a_refusal_for_good_ends_the_message_and_not_its_lane(world: World, fast_clock: Clock) -> None:
    link = world.add(
        "link:one",
        characters=4,
        script=lambda part: (
            Outcome(part, Result.REFUSED, reason="ESME_RINVDSTADR") if part.number == 2 else accept(part)
        ),
    )
    account = world.add("account:agg")
    async with world.running():
        await world.settled()
        await submit(world, "aaaabbbbcccc", "ok", receipt_wanted=ReceiptWanted.FINAL)
        await world.until(lambda: len(account.receipts()) == 2)
    assert link.texts() == ["aaaa", "bbbb", "ok"]
    assert [r.state.value for r in account.receipts()] == ["UNDELIV", "DELIVRD"]
    row = (await world.texts())[0]
    assert (State(row.state), row.reason, row.next_part) == (State.DEAD, "ESME_RINVDSTADR", 1)


async def test_what_cannot_be_carried_dies_with_its_reason(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one")
    world.add("account:agg")
    async with world.running():
        await world.settled()
        await submit(world, "unsplittable", "ok")
        await world.until_states(FINAL)
    assert link.texts() == ["ok"]
    assert (await world.texts())[0].reason == "too-long"


async def test_an_outcome_counts_once(world: World, fast_clock: Clock) -> None:
    """A translator's slip: the same outcome twice in a batch, once more later, and one for a part long past."""
    link = world.add("link:one", characters=2, script=lambda part: None)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "aabb", "cc")
        await world.until(link.texts)
        (first,) = link.unanswered.values()
        await link.answer(hub, [accept(first), accept(first)])
        await hub.report("link:one", [accept(first)])
        await world.until(lambda: len(link.given) == 2)
        (second,) = link.unanswered.values()
        await hub.report("link:one", [accept(first)])
        assert (await world.texts())[0].next_part == 1
        await link.answer(hub, [accept(second)])
        await world.until(lambda: len(link.given) == 3)
    assert link.texts() == ["aa", "bb", "cc"]


async def test_an_endpoint_away_for_long_comes_back(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        await submit(world, "short", receipt_wanted=ReceiptWanted.FINAL, validity_us=20 * SECOND)
        await submit(world, "long", validity_us=DAY)
        await world.until(account.receipts)  # told although the link never came
        assert account.receipts()[0].state is ReceiptState.EXPIRED
        link.come_back(hub)
        await world.until(link.texts)
        await world.until_states(FINAL)
    assert link.texts() == ["long"]
    assert await world.states() == ["DEAD", "DELIVERED"]


async def test_a_lane_in_back_off_leaves_memory_to_others(world: World, fast_clock: Clock) -> None:
    """A thousand handsets that are off must not stop a carrier's traffic."""
    off = {customer(n) for n in range(60)}
    link = world.add(
        "link:one",
        max_attempts=20,
        script=lambda part: Outcome(part, Result.RETRY) if part.message.destination in off else accept(part),
    )
    world.add("account:agg")
    async with world.running(heads=20, waits=RetryWaits(first_us=200 * SECOND)) as hub:
        await world.settled()
        for n in range(60):
            await submit(world, f"off {n}", f"off too {n}", destination=customer(n))
        await submit(world, "on", destination=customer(1_000))
        await world.until(lambda: "on" in link.texts())
        assert "off too 0" not in link.texts(), "order holds in the lanes that sleep"
        assert len(hub.dispatcher("link:one").held) <= 20
        off.clear()
        await submit(world, "off three 0", destination=customer(0))
        await world.until_states(FINAL, within_s=40)
    for n in range(60):
        texts = [p.payload for _, p in link.given if p.message.destination == customer(n)]
        assert list(dict.fromkeys(texts)) == [f"off {n}", f"off too {n}"] + ["off three 0"] * (n == 0)
    assert [p.attempt for _, p in link.given if p.payload == "off 7"] == [1, 2]


# --- not before ------------------------------------------------------------------------------------------------------


async def test_scheduled_messages_wait_in_the_store_and_go_in_time(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one")
    world.add("account:agg")
    async with world.running(heads=20) as hub:
        await world.settled()
        now = world.now_us()
        for n in range(50):  # more than memory would hold
            await submit(world, f"later {n}", destination=customer(n), not_before_us=now + 100 * SECOND)
        await submit(world, "even later", not_before_us=now + 200 * SECOND)
        await submit(world, "now")
        await world.until(link.texts)
        await world.until(lambda: not hub.dispatcher("link:one").held)
        assert link.texts() == ["now"]
        await world.until(lambda: len(link.given) == 52)
    assert link.texts()[0] == "now"
    assert sorted(link.texts()[1:51]) == sorted(f"later {n}" for n in range(50))
    assert all(at_us >= now + 100 * SECOND for at_us, _ in link.given[1:])
    assert link.given[51][0] >= now + 200 * SECOND
    assert len({part.message.id for _, part in link.given}) == 52


async def test_scheduled_messages_survive_a_restart(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one")
    world.add("account:agg")
    async with world.running():
        await world.settled()
        start = world.now_us()
        await submit(world, "later", not_before_us=start + 100 * SECOND)
        await submit(world, "past", not_before_us=start - SECOND)
        await world.until(link.texts)
    assert link.texts() == ["past"]
    async with world.running() as hub:
        await world.settled()
        await submit(world, "now")
        await world.until(lambda: len(link.given) == 3)
        await world.until(lambda: not hub.dispatcher("link:one").held)
    assert link.texts() == ["past", "now", "later"]
    assert link.given[2][0] >= start + 100 * SECOND


async def test_a_lane_is_refilled_past_rows_that_are_not_its_to_read(world: World, fast_clock: Clock) -> None:
    """More scheduled texts of the same pair than a reading holds lie before what was left to the lane."""
    link = world.add("link:one", window=0)
    world.add("account:agg")
    depth = dispatch.DEPTH
    async with world.running() as hub:
        await world.settled()
        later = world.now_us() + 100 * SECOND
        await submit(world, *(f"later {n}" for n in range(depth + 5)), not_before_us=later)
        await submit(world, *(f"now {n}" for n in range(depth * 2)))
        link.come_back(hub, 1)
        await world.until(lambda: len(link.given) == depth * 3 + 5, within_s=40)
    now = [text for text in link.texts() if text.startswith("now")]
    assert now == [f"now {n}" for n in range(depth * 2)]


# --- the operator ----------------------------------------------------------------------------------------------------


async def ask_for(world: World, verb: str, message_id: int) -> None:
    request = Request(world.store.new_id(), verb, message_id, "ops", world.now_us())
    await world.store.transact(lambda tx: ask(tx, request))


async def test_a_dead_letter_is_sent_again_with_the_part_that_was_next(world: World, fast_clock: Clock) -> None:
    broken = True
    link = world.add(
        "link:one",
        characters=2,
        script=lambda part: Outcome(part, Result.REFUSED) if broken and part.number == 2 else accept(part),
    )
    world.add("account:agg")
    async with world.running():
        await world.settled()
        (message_id,) = await submit(world, "aabb")
        await world.until_states(FINAL)
        broken = False
        await ask_for(world, "retry", message_id)
        await world.until(lambda: len(link.given) == 3)
        await world.until_states([State.DELIVERED])
    assert link.texts() == ["aa", "bb", "bb"]


async def test_replaying_more_than_memory_holds(world: World, fast_clock: Clock) -> None:
    broken = True
    link = world.add("link:one", script=lambda part: Outcome(part, Result.REFUSED) if broken else accept(part))
    world.add("account:agg")
    async with world.running(heads=10) as hub:
        await world.settled()
        ids = [(await submit(world, str(n), destination=customer(n)))[0] for n in range(40)]
        await world.until_states(FINAL)
        broken = False
        link.window = 0
        for message_id in ids:
            await ask_for(world, "retry", message_id)
        await world.until(lambda: hub.dispatcher("link:one").behind)
        assert len(hub.dispatcher("link:one").held) <= 10
        link.come_back(hub)
        await world.until(lambda: len(link.given) == 80)
        await world.until_states([State.DELIVERED])


async def test_dropping_messages_in_memory_in_the_store_and_dead(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", window=0)
    world.add("account:agg")
    async with world.running(heads=10) as hub:
        await world.settled()
        ids = [(await submit(world, str(n), destination=customer(n)))[0] for n in range(30)]
        assert hub.dispatcher("link:one").behind
        for message_id in (ids[0], ids[9], ids[25]):  # in memory, in memory, in the store
            await ask_for(world, "drop", message_id)
        await world.until_counts({"DROPPED": 3, "QUEUED": 27})
        link.come_back(hub)
        await world.until(lambda: len(link.given) == 27)
        await world.until_states(FINAL)
    assert {"0", "9", "25"}.isdisjoint(link.texts())
    assert (
        await world.store.read(lambda tx: tx.sql.exec_driver_sql("SELECT count(*) FROM operator_request").scalar()) == 0
    )


async def test_dropping_the_head_that_backs_off_frees_its_lane(world: World, fast_clock: Clock) -> None:
    link = world.add(
        "link:one", script=lambda part: Outcome(part, Result.RETRY) if part.payload == "a" else accept(part)
    )
    world.add("account:agg")
    async with world.running(waits=RetryWaits(first_us=DAY // 2, longest_us=DAY // 2)):
        await world.settled()
        ids = await submit(world, "a", "b")
        await world.until(link.texts)
        await trio.sleep(1)
        await ask_for(world, "drop", ids[0])
        await world.until(lambda: "b" in link.texts())
    assert await world.states() == ["DROPPED", "DELIVERED"]


async def test_what_is_on_the_wire_is_not_dropped(world: World, fast_clock: Clock) -> None:
    link = world.add("link:one", script=lambda part: None)
    world.add("account:agg")
    async with world.running() as hub:
        await world.settled()
        (message_id,) = await submit(world, "a")
        await world.until(link.texts)
        await ask_for(world, "drop", message_id)
        await trio.sleep(10)
        assert await world.states() == ["SUBMITTING"]
        await link.answer(hub, [accept(link.given[0][1])])
        await world.until_states([State.DELIVERED])


async def test_expiry_and_dispatch_do_not_end_a_message_twice(world: World, fast_clock: Clock) -> None:
    """The housekeeper and the loop both see validity end, while a slow journal keeps both waiting."""
    world.add("link:one", script=lambda part: Outcome(part, Result.RETRY))
    account = world.add("account:agg")
    async with world.running(waits=RetryWaits(first_us=14 * SECOND, longest_us=14 * SECOND)):
        await world.settled()
        for n in range(200):
            await submit(
                world,
                str(n),
                destination=customer(n),
                validity_us=(5 + n % 30) * SECOND,
                receipt_wanted=ReceiptWanted.FINAL,
            )
        await world.until_states(FINAL)
        await world.until(lambda: len(account.receipts()) == 200)
    assert len(await world.texts()) == 200
    assert len({receipt.message_id for receipt in account.receipts()}) == 200


async def test_messages_of_an_endpoint_that_is_gone_expire_too(world: World, fast_clock: Clock) -> None:
    world.add("link:one", window=0)
    account = world.add("account:agg")
    async with world.running():
        await submit(world, "a", validity_us=30 * SECOND, receipt_wanted=ReceiptWanted.FINAL)
    del world.endpoints["link:one"]
    async with world.running():
        await world.until(account.receipts)
        verdicts = await world.receive("account:agg", transit("b"))
        assert isinstance(verdicts[0], Rejected)
    assert account.receipts()[0].state is ReceiptState.EXPIRED
    assert await world.states() == ["DEAD"]


async def test_a_refusal_after_a_doubt_does_not_end_the_doubt(world: World, fast_clock: Clock) -> None:
    """Lost, refused for now, and then a restart: the carrier may still have it from the first time."""
    outcomes = iter([Result.IN_DOUBT, Result.RETRY])
    link = world.add("link:one", script=lambda part: Outcome(part, next(outcomes)))
    world.add("account:agg")
    waits = RetryWaits(first_us=50 * SECOND)
    async with world.running(waits=waits):
        await world.settled()
        await submit(world, "a")
        await world.until(lambda: len(link.given) == 2)
        await world.until(lambda: not link.unanswered)
        await trio.sleep(1)
    link.script = accept
    async with world.running(waits=waits):
        await world.until_states(FINAL)
    assert [part.in_doubt for _, part in link.given] == [False, True, True]
