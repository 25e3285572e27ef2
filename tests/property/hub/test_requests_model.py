"""Whatever senders ask of their texts, and whenever, while carriers answer as they like and the hub is dropped.

1. What was answered as cancelled is nowhere, and its row says so.
2. What a carrier takes says what the last successful replacement says.
3. In each lane nothing overtakes.
4. A query says what the receipt says, for each id that was given out.
5. Nobody has hold of anything when all is done, and memory is empty.
"""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from typing import Any

import msgspec
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub import Accepted, Effect, Message, Name, Outcome, Part, ReceiptState, ReceiptWanted, Result, State
from hub.hub import Hub
from tests.fixtures_hub import CUSTOMER, DAY, SECOND, World, fast_mock_clock, opened_world, transit
from tests.property.hub.test_end_to_end import HEADS, LANES, WAITS, Carrier

FINAL = (State.DELIVERED, State.DEAD, State.DROPPED)

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("arrive"),
            st.integers(0, 3),  # lane
            st.integers(1, 12),  # texts
            st.sampled_from([0, 0, 0, 4]),  # seconds until they are due
        ),
        st.tuples(st.just("as one"), st.integers(2, 4)),  # so many lanes
        # The youngest texts, and what is asked of them, all at once.
        st.tuples(
            st.just("ask"),
            st.lists(
                st.tuples(
                    st.integers(0, 15),  # which
                    st.sampled_from(["cancel", "replace", "replace", "later"]),
                ),
                min_size=1,
                max_size=12,
            ),
        ),
        st.tuples(st.just("cancel all"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
        st.sampled_from([("restart",), ("away",), ("back",), ("back",), ("cut",)]),
    ),
    min_size=3,
    max_size=25,
)


class Sender:
    """Gives texts to the hub, asks things of them, and keeps account of what it was answered.

    Attributes:
        given: every id that it was given → the texts that it stands for, by destination.
        cancelled: the ids of single texts that it cancelled.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.given: dict[int, dict[str, str]] = {}
        self.cancelled: set[int] = set()
        self.number = 0

    def _text(self) -> str:
        self.number += 1
        return f"{self.number:06}"

    async def arrive(self, lane: int, texts: int, due_s: int) -> None:
        not_before_us = self.world.now_us() + due_s * SECOND if due_s else 0
        arrivals = [self._arrival(self._text(), LANES[lane], not_before_us) for _ in range(texts)]
        verdicts = await self.world.receive("account:agg", *arrivals)
        for verdict, arrival in zip(verdicts, arrivals, strict=True):
            assert isinstance(verdict, Accepted)
            self.given[verdict.message_id] = {arrival.destination: arrival.text}

    async def arrive_as_one(self, lanes: int) -> None:
        text = self._text()
        arrivals = [self._arrival(text, lane, 0) for lane in LANES[:lanes]]
        (verdict,) = set(await self.world.hub.receive_as_one("account:agg", arrivals))
        assert isinstance(verdict, Accepted)
        self.given[verdict.message_id] = dict.fromkeys(LANES[:lanes], text)

    def _arrival(self, text: str, lane: str, not_before_us: int) -> Any:
        wanted = ReceiptWanted.FINAL
        return transit(text, lane, receipt_wanted=wanted, not_before_us=not_before_us, validity_us=DAY)

    async def ask(self, hub: Hub, asked: list[tuple[int, str]]) -> None:
        youngest = list(reversed(self.given))
        async with trio.open_nursery() as nursery:
            for which, verb in asked:
                if which < len(youngest):
                    nursery.start_soon(self._cancel if verb == "cancel" else self._replace, hub, youngest[which], verb)

    async def _cancel(self, hub: Hub, message_id: int, verb: str) -> None:
        effect = await hub.cancel("account:agg", Name(message_id, CUSTOMER))
        assert effect is not Effect.UNKNOWN
        if effect is Effect.DONE and len(self.given[message_id]) == 1:
            self.cancelled.add(message_id)

    async def _replace(self, hub: Hub, message_id: int, verb: str) -> None:
        text = self._text()[-random.Random(self.number).choice((2, 4, 6)) :]
        changes: dict[str, Any] = {"text": text}
        if verb == "later":
            changes["not_before_us"] = self.world.now_us() + 3 * SECOND

        def rewrite(message: Message) -> Message:
            return msgspec.structs.replace(message, **changes)

        effect = await hub.replace("account:agg", Name(message_id), rewrite)
        assert effect is not Effect.UNKNOWN
        if effect is Effect.DONE:
            (destination,) = self.given[message_id]
            self.given[message_id] = {destination: text}


async def play(world: World, script: list[tuple[Any, ...]], carrier: LosingCarrier) -> Sender:
    """Play a script, then let all come to its end."""
    link = world.add("link:one", script=carrier, characters=2, window=6, gap_us=SECOND // 10, max_attempts=4)
    account = world.add("account:agg")
    sender = Sender(world)

    async def sitting(script: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        async with world.running(heads=HEADS, waits=WAITS) as hub:
            for at, (step, *arguments) in enumerate(script):
                match step:
                    case "restart":
                        return script[at + 1 :]
                    case "arrive":
                        await sender.arrive(*arguments)
                    case "as one":
                        await sender.arrive_as_one(*arguments)
                    case "ask":
                        await sender.ask(hub, *arguments)
                    case "cancel all":
                        await hub.cancel_all("account:agg", CUSTOMER, LANES[arguments[0]])
                    case "wait":
                        await trio.sleep(arguments[0])
                    case "away":
                        link.window = 0
                    case "back":
                        link.come_back(hub, 6)
                    case "cut":
                        lost = [part for part in link.unanswered.values() if part not in link.answering()]
                        await link.answer(hub, [carrier.lose(part) for part in lost])
                assert not hub.dispatcher("link:one").grips._ends, "somebody has still hold of something"
        return []

    while script:
        script = await sitting(script)
    carrier.honest = True
    link.window = 6
    async with world.running(heads=HEADS, waits=WAITS) as hub:
        await world.until_states(FINAL)
        owed = sum(len(texts) for texts in sender.given.values())
        await world.until(lambda: len(told_of(account.given)) == owed)
        await world.until(lambda: not any(hub.dispatcher(name).held for name in world.endpoints))
        await world.until(lambda: all(is_empty(world, name) for name in world.endpoints))
        await check_queries(hub, sender, told_of(account.given))
    return sender


def is_empty(world: World, name: str) -> bool:
    """Whether an endpoint has no lanes: those that slept when their text was cancelled go when their time has come."""
    lanes = world.hub.dispatcher(name).lanes
    lanes.advance(world.now_us())
    return len(lanes) == 0


def told_of(given: list[tuple[int, Part]]) -> dict[tuple[int, str], ReceiptState]:
    """What the sender was told: by id and destination."""
    return {(int(part.payload.message_id), part.message.source): part.payload.state for _, part in given}


async def check_queries(hub: Hub, sender: Sender, told: dict[tuple[int, str], ReceiptState]) -> None:
    fates = await hub.query("account:agg", [Name(message_id) for message_id in sender.given])
    for (message_id, texts), fate in zip(sender.given.items(), fates, strict=True):
        assert fate is not None
        states = [told[message_id, destination] for destination in texts]
        failed = [state for state in states if state is not ReceiptState.DELIVERED]
        assert fate.state is (failed[0] if failed else ReceiptState.DELIVERED)
    assert set(await hub.query("account:other", [Name(message_id) for message_id in sender.given])) <= {None}


class LosingCarrier(Carrier):
    """A carrier whose connection may be cut."""

    def lose(self, part: Part) -> Outcome:
        return Outcome(part, Result.IN_DOUBT)


@given(script=steps, seed=st.integers(0, 1_000_000))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_was_answered_is_what_happens(script: list[tuple[Any, ...]], seed: int) -> None:
    carrier = LosingCarrier(seed)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with opened_world(f"sqlite:///{folder}/hub.db", clock, synchronous="OFF") as world:
                sender = await play(world, script, carrier)
                check(await world.texts(), sender, world, carrier)

    clock = fast_mock_clock()
    trio.run(main, clock=clock)


def check(rows: list[Any], sender: Sender, world: World, carrier: Carrier) -> None:
    assert len(rows) == sum(len(texts) for texts in sender.given.values())
    states = {row.id: State(row.state) for row in rows}
    lanes: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for _, part in world.endpoints["link:one"].given:
        message = part.message
        lanes[message.id if message.not_before_us else message.destination].append((message.id, part.number))
    for places in lanes.values():
        assert places == sorted(places), "something was overtaken"
    for part in carrier.taken:  # one that was refused for now may say something else when it comes again
        name = int(part.message.upstream_id or part.message.id)
        assert part.message.text == sender.given[name][part.message.destination], "another text went out"
    taken = {part.message.id for part in carrier.taken}
    dropped = {message_id for message_id, state in states.items() if state is State.DROPPED}
    assert sender.cancelled <= dropped
    assert not dropped & taken, "it was cancelled, and a carrier has it"
