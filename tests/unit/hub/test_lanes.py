"""Lanes, rule by rule. The whole of it against a model: tests/property/hub/test_lanes_model.py."""

from __future__ import annotations

import pytest

from hub.lanes import Entry, Lanes

GAP = 100


class Numbered(Entry):
    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@pytest.fixture
def lanes() -> Lanes[Numbered]:
    return Lanes(GAP)


def put(lanes: Lanes[Numbered], key: str, number: int, now_us: int = 0) -> Numbered:
    entry = Numbered(number)
    lanes.push(key, entry)
    lanes.release(entry, now_us)
    return entry


def given(lanes: Lanes[Numbered], now_us: int, limit: int = 100) -> list[int]:
    """Take and submit."""
    taken = lanes.take(limit, now_us)
    for entry in taken:
        lanes.submitted(entry, now_us)
    return [entry.number for entry in taken]


def test_lanes_do_not_wait_for_each_other(lanes: Lanes[Numbered]) -> None:
    for number, key in enumerate("aabbc"):
        put(lanes, key, number)
    assert given(lanes, 0) == [0, 2, 4]
    assert given(lanes, 1_000) == []  # each has one on the wire


def test_ready_lanes_are_served_first_come_first_served(lanes: Lanes[Numbered]) -> None:
    for number, key in enumerate("cab"):
        put(lanes, key, number)
    assert given(lanes, 0, limit=2) == [0, 1]
    put(lanes, "d", 3)
    assert given(lanes, 0) == [2, 3]


def test_the_gap_runs_from_submission_and_not_from_taking(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    put(lanes, "a", 2)
    assert lanes.take(1, 0) == [first]
    lanes.submitted(first, 60)  # the claim took that long to be written
    lanes.done(first, 70)
    assert given(lanes, 159) == []
    assert lanes.next_wakeup() == 160
    assert given(lanes, 160) == [2]


@pytest.mark.parametrize("ending", ["done", "again"])
def test_the_gap_holds_whatever_the_outcome(lanes: Lanes[Numbered], ending: str) -> None:
    first = put(lanes, "a", 1)
    assert given(lanes, 0) == [1]
    if ending == "done":
        lanes.done(first, 10)
        put(lanes, "a", 1, 20)
    else:
        lanes.again(first, 10, 10)
    assert given(lanes, 99) == []
    assert given(lanes, 100) == [1]


def test_what_was_taken_and_not_submitted_costs_no_gap(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    assert lanes.take(1, 0) == [first]
    lanes.again(first, 0, 0)
    assert given(lanes, 0) == [1]


def test_a_lane_that_is_used_again_while_its_gap_runs_keeps_its_next_gap(lanes: Lanes[Numbered]) -> None:
    """The note that a lane may be forgotten must not be believed once the lane has submitted again."""
    first = put(lanes, "a", 1)
    assert given(lanes, 0) == [1]
    lanes.done(first, 10)  # remembered until 100
    second = Numbered(2)
    lanes.push("a", second)
    assert lanes.seize(second, 100)
    lanes.submitted(second, 100)
    second.held = False
    lanes.done(second, 101)  # remembered until 200
    lanes.advance(102)
    third = put(lanes, "a", 3, 103)
    assert given(lanes, 150) == []
    assert given(lanes, 200) == [third.number]


def test_an_entry_that_comes_back_is_still_the_head(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    put(lanes, "a", 2)
    given(lanes, 0)
    lanes.again(first, 5_000, 10)
    assert lanes.next_wakeup() == 5_000
    assert given(lanes, 4_999) == []
    assert given(lanes, 5_000) == [1]


def test_when_the_head_that_waits_is_ended_the_lane_waits_no_longer(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    put(lanes, "a", 2)
    given(lanes, 0)
    lanes.again(first, 600_000, 10)
    lanes.done(first, 200)  # dropped by the operator
    assert given(lanes, 200) == [2]
    assert given(lanes, 600_000) == []


def test_the_middle_of_a_lane_may_be_ended(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    second = put(lanes, "a", 2)
    put(lanes, "a", 3)
    assert lanes.done(second, 0) is None
    assert given(lanes, 0) == [1]
    lanes.done(first, 0)
    assert given(lanes, GAP) == [3]


def test_held_entries_keep_their_place_and_are_not_given(lanes: Lanes[Numbered]) -> None:
    first, second = Numbered(1), Numbered(2)
    lanes.push("a", first)
    lanes.push("a", second)
    lanes.release(second, 0)
    assert given(lanes, 0) == []
    lanes.release(first, 0)
    assert given(lanes, 0) == [1]


def test_behind_a_head_that_is_finished_a_held_one_waits_for_its_release(lanes: Lanes[Numbered]) -> None:
    first, second = put(lanes, "a", 1), Numbered(2)
    lanes.push("a", second)
    given(lanes, 0)
    lanes.done(first, 0)
    assert given(lanes, 500) == []
    lanes.release(second, 500)
    assert given(lanes, 500) == [2]


def test_seizing_needs_an_idle_lane_and_nobody_who_waits(lanes: Lanes[Numbered]) -> None:
    first, second, third = Numbered(1), Numbered(2), Numbered(3)
    lanes.push("a", first)
    lanes.push("a", second)
    assert not lanes.seize(second, 0)  # not the head
    assert lanes.seize(first, 0)
    assert not lanes.seize(first, 0)  # taken
    put(lanes, "b", 4)
    lanes.push("c", third)
    assert not lanes.seize(third, 0)  # b is ready, and came first
    assert given(lanes, 0) == [4]
    assert lanes.seize(third, 0)


def test_a_sleeping_lane_is_empty_and_wakes_in_time(lanes: Lanes[Numbered]) -> None:
    first, second = put(lanes, "a", 1), put(lanes, "a", 2)
    given(lanes, 0)
    lanes.again(first, 900, 10)
    assert lanes.sleep("a", 900) == [first, second]
    assert lanes.size == 0
    lane = lanes.lane("a")
    assert lane is not None
    assert lane.more
    assert lanes.next_wakeup() == 900
    assert lanes.waking(899) == []
    assert given(lanes, 899) == []
    assert lanes.waking(900) == [lane]
    assert not lane.asleep
    lanes.drained(lane, 900)
    assert len(lanes) == 0


def test_a_lane_that_runs_dry_is_said_when_the_store_holds_more(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    lane = first.lane
    assert lane is not None
    lane.more = True
    given(lanes, 0)
    assert lanes.done(first, 0) is lane
    lanes.advance(10_000)
    assert lanes.lane("a") is lane  # it is remembered for what the store holds
    lanes.drained(lane, 10_000)
    assert len(lanes) == 0


def test_a_filled_lane_waits_for_the_time_of_its_new_head(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    lane = first.lane
    assert lane is not None
    lane.more = True
    lanes.done(first, 0)  # ended while it was ready
    second = Numbered(2)
    lanes.push("a", second)
    lanes.wait(lane, 700)
    lanes.release(second, 0)
    assert given(lanes, 0) == []
    assert given(lanes, 700) == [2]


def test_memory_returns_to_nothing(lanes: Lanes[Numbered]) -> None:
    for number in range(50):
        put(lanes, f"k{number % 7}", number)
    now = 0
    while lanes.size:
        for entry in lanes.take(3, now):
            lanes.submitted(entry, now)
            lanes.done(entry, now)
        now += 50
    lanes.advance(now + GAP)
    assert len(lanes) == 0
    assert lanes.next_wakeup() is None
    assert lanes.sleeping == 0
