"""The accountant finds what is planted, and nothing where nothing is."""

from __future__ import annotations

import random

import pytest

from tests.faults.accounting import Journalled, Sent, Taken, audit, name_of

LANES, TEXTS, PARTS = 3, 8, 3


class History:
    """A faultless history of some lanes; tests plant faults in it."""

    def __init__(self, seed: int = 1) -> None:
        chance = random.Random(seed)
        names = [[name_of("A", lane, number) for number in range(TEXTS)] for lane in range(LANES)]
        self.sent = {
            name: Sent(name=name, acknowledged=1, wants_receipt=number % 2 == 0)
            for lane in names
            for number, name in enumerate(lane)
        }
        queues = [[Taken(name, part, PARTS) for name in lane for part in range(1, PARTS + 1)] for lane in names]
        self.taken: list[Taken] = []
        while any(queues):
            self.taken.append(chance.choice([queue for queue in queues if queue]).pop(0))
        self.told = [name for name, text in self.sent.items() if text.wants_receipt]
        self.journal = {name: Journalled() for name in self.sent}

    def audit(self) -> list[str]:
        return audit(self.sent, self.taken, self.told, self.journal)

    def where(self, lane: int, number: int, part: int) -> int:
        return self.taken.index(Taken(name_of("A", lane, number), part, PARTS))


VICTIM = name_of("A", 1, 4)


@pytest.mark.parametrize("seed", range(20))
def test_a_faultless_history_has_no_violations(seed: int) -> None:
    assert History(seed).audit() == []


def test_what_was_not_acknowledged_may_be_missing() -> None:
    history = History()
    history.sent["B0000000."] = Sent(name="B0000000.")
    assert history.audit() == []


def test_what_was_not_acknowledged_may_come_once() -> None:
    history = History()
    history.sent["B0000000."] = Sent(name="B0000000.")
    history.journal["B0000000."] = Journalled()
    history.taken.append(Taken("B0000000."))
    assert history.audit() == []
    history.taken.append(Taken("B0000000."))
    assert history.audit() == ["B0000000.: taken again 1 times, in doubt 0 times"]


def test_a_lost_text_is_found() -> None:
    history = History()
    history.taken = [take for take in history.taken if take.name != VICTIM]
    assert history.audit() == [f"{VICTIM}: lost"]


def test_a_text_that_is_not_even_in_the_journal_is_found() -> None:
    history = History()
    history.taken = [take for take in history.taken if take.name != VICTIM]
    del history.journal[VICTIM]
    history.told = [name for name in history.told if name != VICTIM]
    assert history.audit() == [f"{VICTIM}: acknowledged, but not in the journal", f"{VICTIM}: lost"]


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_lost_part_is_found(part: int) -> None:
    history = History()
    history.taken.pop(history.where(1, 4, part))
    assert any("lost in part" in violation for violation in history.audit())


def test_a_text_that_stays_in_the_queue_is_found() -> None:
    history = History()
    history.journal[VICTIM] = Journalled(is_over=False)
    assert history.audit() == [f"{VICTIM}: journalled, but not handed over"]


def test_a_text_that_was_acknowledged_whole_and_came_in_part_is_found() -> None:
    history = History()
    history.sent[VICTIM].pieces = 2
    history.sent[VICTIM].acknowledged = 2
    at = history.where(1, 4, 1)
    history.taken[at : at + 1] = [Taken(VICTIM, 1, PARTS, whole=False)]
    assert f"{VICTIM}: every piece was acknowledged, and some are missing" in history.audit()


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_repetition_is_found_and_pardoned_by_the_journal(part: int) -> None:
    history = History()
    at = history.where(1, 4, part)
    history.taken.insert(at, history.taken[at])
    assert history.audit() == [f"{VICTIM}: taken again 1 times, in doubt 0 times"]
    history.journal[VICTIM] = Journalled(in_doubt=1)
    assert history.audit() == []
    history.taken.insert(at, history.taken[at])
    assert history.audit() == [f"{VICTIM}: taken again 2 times, in doubt 1 times"]


def test_a_repetition_out_of_its_place_is_found_whatever_the_journal_says() -> None:
    history = History()
    history.journal[VICTIM] = Journalled(in_doubt=9)
    after = history.where(1, 5, 1)
    history.taken.insert(after + 1, Taken(VICTIM, 3, PARTS))
    assert history.audit() == [f"lane A01: {VICTIM} part 3 came after 5 part 1"]


@pytest.mark.parametrize(("one", "other"), [((4, 1), (5, 1)), ((4, 3), (5, 1)), ((4, 1), (4, 2)), ((0, 1), (7, 3))])
def test_a_swap_in_a_lane_is_found(one: tuple[int, int], other: tuple[int, int]) -> None:
    history = History()
    first, second = history.where(1, *one), history.where(1, *other)
    taken = history.taken
    taken[first], taken[second] = taken[second], taken[first]
    assert any(violation.startswith("lane A01") for violation in history.audit())


def test_a_swap_between_lanes_is_none() -> None:
    history = History()
    pairs = enumerate(zip(history.taken, history.taken[1:], strict=False))
    at = next(i for i, (one, other) in pairs if one.name[:3] != other.name[:3])
    history.taken[at], history.taken[at + 1] = history.taken[at + 1], history.taken[at]
    assert history.audit() == []


def test_a_text_from_nowhere_is_found() -> None:
    history = History()
    history.taken.append(Taken("Z0000000."))
    assert history.audit() == ["Z0000000.: taken, but nobody sent it"]


def test_a_missing_receipt_is_found() -> None:
    history = History()
    history.told.remove(VICTIM)
    assert history.audit() == [f"{VICTIM}: no receipt"]


def test_a_repeated_receipt_is_found_and_pardoned_by_the_journal() -> None:
    history = History()
    history.told.append(VICTIM)
    assert history.audit() == [f"{VICTIM}: 2 receipts, in doubt 0 times"]
    history.journal[VICTIM] = Journalled(receipt_doubts=1)
    assert history.audit() == []


def test_a_receipt_that_nobody_asked_for_is_found() -> None:
    history = History()
    history.told.append(name_of("A", 1, 5))
    assert history.audit() == [f"{name_of('A', 1, 5)}: a receipt that nobody asked for"]
