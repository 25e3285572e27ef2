"""Whatever arrives, whatever carriers answer, however often the hub is dropped and opened again on its store.

1. Every text that was accepted ends in exactly one final state.
2. In each lane nothing overtakes: a part is never submitted after one that stands behind it.
3. A carrier has a part twice only where the second came marked as in doubt.
4. One receipt at most for each text, and it says what became of it.
5. Memory holds no more than it may, and nothing when all is done.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter, defaultdict
from typing import Any

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub import Accepted, Outcome, Part, ReceiptState, ReceiptWanted, Result, State
from hub.retry import RetryWaits
from tests.fixtures_hub import DAY, SECOND, World, accept, fast_mock_clock, opened_world, transit

HEADS = 8
WAITS = RetryWaits(first_us=2 * SECOND, longest_us=8 * SECOND)
LANES = [f"+44770090012{n}" for n in range(4)]
FINAL = (State.DELIVERED, State.UNDELIVERABLE, State.DEAD)

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("arrive"),
            st.integers(0, 3),  # lane
            st.integers(1, 12),  # texts
            st.integers(1, 3),  # parts of each
            st.sampled_from([0, 0, 0, 3, 6]),  # seconds until it is due
            st.booleans(),  # in one batch
        ),
        st.tuples(st.just("wait"), st.integers(0, 5)),
        st.just(("restart",)),
        st.just(("away",)),
        st.just(("back",)),
        st.just(("cut",)),
    ),
    min_size=3,
    max_size=25,
)


class Carrier:
    """Answers at random, and keeps account of what it really took."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.taken: list[Part] = []
        self.honest = False

    def __call__(self, part: Part) -> Outcome | None:
        roll = 0.0 if self.honest else self.random.random()
        if roll < 0.7:
            self.taken.append(part)
            return accept(part)
        if roll < 0.76:
            return Outcome(part, Result.RETRY, reason="ESME_RSYSERR")
        if roll < 0.82:
            return Outcome(part, Result.THROTTLED, retry_after_us=SECOND)
        if roll < 0.85:
            return Outcome(part, Result.UNSENT)
        if roll < 0.88:
            return Outcome(part, Result.REFUSED, reason="ESME_RINVDSTADR")
        if self.random.random() < 0.5:
            self.taken.append(part)  # and the answer gets lost
        return Outcome(part, Result.IN_DOUBT) if roll < 0.94 else None


async def play(world: World, script: list[tuple[Any, ...]], carrier: Carrier) -> dict[int, str]:
    """Play a script, then let all come to its end. Returns: text by id of all that was accepted."""
    link = world.add("link:one", script=carrier, characters=2, window=10, gap_us=SECOND // 10, max_attempts=4)
    world.add("account:agg")
    accepted: dict[int, str] = {}
    number = 0

    async def arrive(lane: int, texts: int, parts: int, due_s: int, at_once: bool) -> None:
        nonlocal number
        not_before_us = world.now_us() + due_s * SECOND if due_s else 0
        arrivals = []
        for _ in range(texts):
            number += 1
            text = f"{number:06}"[-2 * parts :]
            arrivals.append(
                transit(
                    text,
                    LANES[lane],
                    receipt_wanted=ReceiptWanted.FINAL,
                    not_before_us=not_before_us,
                    validity_us=DAY,
                )
            )
        batches = [arrivals] if at_once else [[arrival] for arrival in arrivals]
        for batch in batches:
            for verdict, arrival in zip(await world.receive("account:agg", *batch), batch, strict=True):
                assert isinstance(verdict, Accepted)
                accepted[verdict.message_id] = arrival.text

    async def sitting(script: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Play until a restart. Returns: the rest."""
        async with world.running(heads=HEADS, waits=WAITS) as hub:
            for at, (step, *arguments) in enumerate(script):
                match step:
                    case "restart":
                        return script[at + 1 :]
                    case "arrive":
                        await arrive(*arguments)
                    case "wait":
                        await trio.sleep(arguments[0])
                    case "away":
                        link.window = 0
                    case "back":
                        link.come_back(hub, 10)
                    case "cut":
                        lost = [part for part in link.unanswered.values() if part not in link.answering()]
                        await link.answer(hub, [Outcome(part, Result.IN_DOUBT) for part in lost])
                assert all(len(hub.dispatcher(name).held) <= HEADS for name in world.endpoints)
        return []

    while script:
        script = await sitting(script)
    carrier.honest = True
    link.window = 10
    async with world.running(heads=HEADS, waits=WAITS) as hub:
        await world.until_states(FINAL)
        account = world.endpoints["account:agg"]
        await world.until(lambda: len({r.message_id for r in account.receipts()}) == len(accepted))
        await world.until(lambda: not any(hub.dispatcher(name).held for name in world.endpoints))
        await trio.sleep(1)
        for name in world.endpoints:
            lanes = hub.dispatcher(name).lanes
            lanes.advance(world.now_us())  # nobody wakes up for the end of a gap alone
            assert len(lanes) == 0
    return accepted


@given(script=steps, seed=st.integers(0, 1_000_000))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_nothing_is_lost_overtaken_or_doubled(script: list[tuple[Any, ...]], seed: int) -> None:
    carrier = Carrier(seed)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with opened_world(f"sqlite:///{folder}/hub.db", clock, synchronous="OFF") as world:
                accepted = await play(world, script, carrier)
                check(await world.texts(), accepted, world, carrier)

    clock = fast_mock_clock()
    trio.run(main, clock=clock)


def check(rows: list[Any], accepted: dict[int, str], world: World, carrier: Carrier) -> None:
    assert [row.id for row in rows] == sorted(accepted)
    state_of = {row.id: State(row.state) for row in rows}
    taken = Counter((part.message.id, part.number) for part in carrier.taken)
    submissions: dict[Any, list[Part]] = defaultdict(list)
    for _, part in world.endpoints["link:one"].given:
        message = part.message
        submissions[message.id if message.not_before_us else message.destination].append(part)
    for lane in submissions.values():
        places = [(part.message.id, part.number) for part in lane]
        assert places == sorted(places), "something was overtaken"
    seen: set[tuple[int, int]] = set()
    for part in carrier.taken:
        place = (part.message.id, part.number)
        assert part.in_doubt or place not in seen, "a duplicate without doubt"
        seen.add(place)
    for message_id, text in accepted.items():
        total = len(text) // 2
        if state_of[message_id] is State.DELIVERED:
            assert all(taken[message_id, number] for number in range(1, total + 1)), "delivered, and not handed over"
    told: dict[int, Any] = {}
    for _, part in world.endpoints["account:agg"].given:
        # One that was on the wire when the hub was dropped is sent again, marked.
        assert part.message.id not in told or part.in_doubt
        told[part.message.id] = (int(part.payload.message_id), part.payload.state)
    assert sorted(told.values()) == sorted(
        (i, ReceiptState.DELIVERED if state is State.DELIVERED else ReceiptState.UNDELIVERABLE)
        for i, state in state_of.items()
    )
