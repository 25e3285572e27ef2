"""The gap of a source, rule by rule. The whole of it against a model: tests/property/hub/test_sources_model.py."""

from __future__ import annotations

import pytest

from hub.lanes import Lane, Lanes
from hub.sources import CROWD
from tests.unit.hub.test_lanes import Numbered, given

SOURCE_GAP = 1_000


@pytest.fixture
def lanes() -> Lanes[Numbered]:
    return Lanes(0, SOURCE_GAP)


def put(lanes: Lanes[Numbered], key: str, number: int, now_us: int = 0, source: str = "x") -> Numbered:
    entry = Numbered(number)
    lanes.push(key, entry, source)
    lanes.release(entry, now_us)
    return entry


def test_lanes_of_one_source_take_turns(lanes: Lanes[Numbered]) -> None:
    for number, key in enumerate("abc"):
        put(lanes, key, number)
    assert given(lanes, 0) == [0]
    assert given(lanes, 999) == []
    assert lanes.next_wakeup() == 1_000
    assert given(lanes, 1_000) == [1]
    assert given(lanes, 2_500) == [2]
    assert given(lanes, 10_000) == []


def test_other_sources_pass(lanes: Lanes[Numbered]) -> None:
    put(lanes, "a", 1)
    put(lanes, "b", 2)
    put(lanes, "c", 3, source="y")
    put(lanes, "d", 4, source="")
    put(lanes, "e", 5, source="")
    assert given(lanes, 0) == [1, 3, 4, 5]


def test_without_a_gap_sources_share_nothing() -> None:
    lanes: Lanes[Numbered] = Lanes(0)
    for number in range(5):
        put(lanes, f"k{number}", number)
    assert given(lanes, 0) == [0, 1, 2, 3, 4]
    assert lanes.sources == 0
    assert not lanes.is_crowded("x")


def test_a_turn_that_is_not_used_passes_at_once(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    put(lanes, "b", 2)
    assert lanes.take(9, 0) == [first]
    assert lanes.take(9, 0) == []
    lanes.done(first, 0)  # expired
    assert given(lanes, 0) == [2]


def test_who_could_not_be_submitted_has_the_turn_again_first(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    put(lanes, "b", 2)
    lanes.take(9, 0)
    lanes.again(first, 0, 0)  # there was no room
    assert given(lanes, 0) == [1]


def test_who_waits_for_its_own_time_lets_the_others_go(lanes: Lanes[Numbered]) -> None:
    first = put(lanes, "a", 1)
    put(lanes, "b", 2)
    put(lanes, "c", 3)
    assert given(lanes, 0) == [1]
    lanes.again(first, 1_500, 10)  # a retry
    assert given(lanes, 1_000) == [2]
    assert given(lanes, 2_000) == [3]
    assert given(lanes, 3_000) == [1]


def test_seizing_takes_the_turn(lanes: Lanes[Numbered]) -> None:
    first, second = Numbered(1), Numbered(2)
    lanes.push("a", first, "x")
    lanes.push("b", second, "x")
    assert lanes.seize(first, 0)
    assert not lanes.seize(second, 0)
    lanes.release(second, 0)
    assert given(lanes, 0) == []
    lanes.submitted(first, 5)
    first.held = False
    third = Numbered(3)
    lanes.push("c", third, "x")
    assert not lanes.seize(third, 1_005)  # the second was there before
    assert given(lanes, 1_005) == [2]


def test_a_crowd_rests_until_the_queue_is_short(lanes: Lanes[Numbered]) -> None:
    waiting = [put(lanes, f"k{number}", number) for number in range(CROWD + 1)]  # one of them has the turn
    assert lanes.is_crowded("x")
    lane = lanes.rest("late", "x", 0)
    assert lanes.sleeping == 1
    assert lanes.waking(0) == []
    assert given(lanes, 0) == [0]
    assert lanes.waking(0) == []
    assert given(lanes, 1_000) == [1]
    assert lanes.next_wakeup() == 1  # a past time: there is something to read
    assert lanes.waking(1_000) == [lane]
    assert lanes.sleeping == 0
    late = put(lanes, "late", 99, 1_000)
    order = [number for n in range(2, CROWD + 2) for number in given(lanes, n * 1_000)]
    assert order == [*(entry.number for entry in waiting[2:]), late.number]


def test_none_that_rests_is_forgotten_when_those_before_it_come_to_nothing(lanes: Lanes[Numbered]) -> None:
    """Each lane that is read has a head that waits for its own time, and is dropped before it comes."""
    for number in range(CROWD + 1):
        put(lanes, f"k{number}", number)
    resting = [lanes.rest(f"late{number}", "x", 0) for number in range(4 * CROWD)]
    woken: list[Lane] = []
    now = 0
    while len(woken) < len(resting):
        wakeup = lanes.next_wakeup()
        assert wakeup is not None, "the rest is never read"
        now = max(now, wakeup)
        for entry in lanes.take(9, now):
            lanes.submitted(entry, now)
            lanes.done(entry, now)
        for lane in lanes.waking(now):
            woken.append(lane)
            late = Numbered(99)
            lanes.push(lane.key, late, "x")
            lanes.wait(lane, now + 1_000_000)
            lanes.release(late, now)
            lanes.drained(lane, now)
            lanes.done(late, now)
    assert woken == resting
    assert now <= 5 * CROWD * SOURCE_GAP
    lanes.advance(now + SOURCE_GAP)
    assert (len(lanes), lanes.sources, lanes.size) == (0, 0, 0)
