"""Whose password is looked at next. The clock jumps."""

from __future__ import annotations

import trio
import trio.testing
from trio.testing import MockClock

from translators.turns import KNOWN_AT_ONCE, REST, Turns

HASH_S = 0.1


class Queue:
    """Asks for turns, and notes who had one when."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.had: list[tuple[str, float]] = []
        self.at_once = self.most_at_once = 0

    async def ask(self, source: str, *, known: bool = False, wrong: bool = False) -> None:
        async with self.turns.turn(source, known) as turn:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            turn.was_wrong = wrong
            await trio.sleep(HASH_S)
            self.had.append((source, round(trio.current_time(), 6)))
            self.at_once -= 1


async def test_one_address_waits_behind_itself(autojump_clock: MockClock) -> None:
    queue = Queue()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(queue.ask, "flood")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(queue.ask, "honest")
    assert [source for source, _ in queue.had].index("honest") <= 2
    assert queue.most_at_once == 1


async def test_who_is_known_does_not_wait_for_strangers(autojump_clock: MockClock) -> None:
    queue = Queue()
    async with trio.open_nursery() as nursery:
        for at in range(50):
            nursery.start_soon(queue.ask, f"stranger {at}")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(KNOWN_AT_ONCE):
            nursery.start_soon(lambda: queue.ask("known", known=True))
    assert [at for source, at in queue.had if source == "known"] == [HASH_S] * KNOWN_AT_ONCE


async def test_after_a_wrong_password_strangers_wait(autojump_clock: MockClock) -> None:
    queue = Queue()
    async with trio.open_nursery() as nursery:
        for at in range(3):
            nursery.start_soon(lambda at=at: queue.ask(f"{at}", wrong=True))
            await trio.testing.wait_all_tasks_blocked()
    gaps = [b - a for (_, a), (_, b) in zip(queue.had, queue.had[1:], strict=False)]
    assert all(abs(gap - HASH_S * (1 + REST)) < 1e-6 for gap in gaps)
    queue = Queue()
    async with trio.open_nursery() as nursery:
        for at in range(3):
            nursery.start_soon(queue.ask, f"{at}")
    assert queue.had[-1][1] - queue.had[0][1] < 3 * HASH_S, "right ones do not"


async def test_who_gives_up_leaves_no_gap(autojump_clock: MockClock) -> None:
    queue = Queue()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.ask, "first")
        await trio.testing.wait_all_tasks_blocked()
        for source in ("gone", "gone", "stays", "gone"):

            async def wait(source: str = source) -> None:
                with trio.move_on_after(HASH_S / 2 if source == "gone" else 100):
                    await queue.ask(source)

            nursery.start_soon(wait)
    assert [source for source, _ in queue.had] == ["first", "stays"]
    with trio.move_on_after(HASH_S / 2):  # given up in its turn
        await queue.ask("last")
    with trio.fail_after(10):
        await queue.ask("again")
    assert not queue.turns._taken
    assert not queue.turns._waiting
