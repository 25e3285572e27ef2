"""The brakes of an endpoint. Properties and a simulated carrier: tests/property/translators/test_pace_properties.py."""

from __future__ import annotations

import itertools

import pytest

from translators.pace import CLIMB_S, FALL, FIRST_REST_US, KNEE, LEAST_PER_S, LONGEST_REST_US, OFF_S, RETURN_S, Pace

NOW = 1_767_225_600_000_000
SECOND = 1_000_000


def busy(per_s: float = 0.0, took: int = 100) -> Pace:
    """A pace whose peer took so many messages just now."""
    pace = Pace(per_s)
    pace.answered(took, 0, NOW)
    return pace


def test_without_limit_there_is_no_end() -> None:
    pace = Pace()
    assert not pace.is_on
    assert pace.allowance(NOW) > 1_000_000
    pace.spend(1_000_000)
    assert pace.allowance(NOW) > 1_000_000
    assert pace.next_us(NOW) == NOW
    assert pace.limit(NOW) == 0


def test_a_burst_is_a_tenth_of_a_second() -> None:
    pace = Pace(200)
    assert pace.is_on
    assert pace.allowance(NOW) == 20
    pace.spend(20)
    assert pace.allowance(NOW) == 0
    assert pace.next_us(NOW) == pytest.approx(NOW + 5_000, abs=2)
    assert pace.allowance(NOW + 50_000) == 10
    assert pace.allowance(NOW + 3_600 * SECOND) == 20


def test_slower_than_one_a_second() -> None:
    pace = Pace(0.1)
    assert pace.allowance(NOW) == 1
    pace.spend(1)
    at = pace.next_us(NOW)
    assert at == pytest.approx(NOW + 10 * SECOND, abs=2)
    assert pace.allowance(at - 1_000) == 0
    assert pace.allowance(at) == 1


def test_a_throttled_peer_rests_and_each_repetition_doubles_it() -> None:
    pace = Pace()
    now, rests = NOW, []
    for _ in range(7):
        pace.answered(0, 1, now)
        assert pace.is_on
        assert pace.allowance(now) == 0
        rests.append(pace.next_us(now) - now)
        now = pace.next_us(now)
        assert pace.allowance(now) == 1
    assert rests == [FIRST_REST_US << n for n in range(4)] + [LONGEST_REST_US] * 3
    pace.answered(1, 0, now)
    pace.answered(0, 1, now)
    assert pace.next_us(now) - now == FIRST_REST_US


def test_answers_of_one_window_count_once() -> None:
    pace = busy()
    for late in range(10):
        pace.answered(0, 1, NOW + late)
    assert pace.next_us(NOW + 10) == NOW + FIRST_REST_US
    pace.answered(1, 0, NOW + 11)  # an answer to what was sent before: no word that the rest was enough
    pace.answered(0, 1, NOW + FIRST_REST_US)
    assert pace.next_us(NOW + FIRST_REST_US) == NOW + 3 * FIRST_REST_US


def test_what_was_on_the_way_is_no_news_however_late_its_answers_come() -> None:
    pace = busy()
    pace.answered(0, 1, NOW, in_flight=30)
    later = NOW + 3 * SECOND
    limit = pace.limit(later)
    pace.answered(5, 15, later)
    pace.answered(0, 5, later, lost=5)
    assert pace.limit(later) == limit
    assert pace.next_us(later) == later
    pace.answered(0, 1, later)
    assert pace.next_us(later) > later


def test_the_rate_falls_to_half_of_what_was_taken_and_rises_to_where_it_was_refused() -> None:
    pace = busy(took=100)
    pace.answered(0, 1, NOW)
    rested = NOW + FIRST_REST_US
    assert pace.limit(rested) == pytest.approx(100 * FALL)
    half_way = rested + round(CLIMB_S * SECOND / 2)
    assert pace.limit(half_way) == pytest.approx(100 * (FALL + KNEE) / 2)
    knee = rested + round(CLIMB_S * SECOND)
    assert pace.limit(knee) == pytest.approx(100 * KNEE)
    rise = [pace.limit(knee + n * SECOND) for n in range(10)]
    steps = [later - earlier for earlier, later in itertools.pairwise(rise)]
    assert steps == sorted(steps)
    assert steps[0] < 0.01 * 100
    assert 100 < pace.limit(knee + round(RETURN_S * SECOND)) < 1.1 * 100


def test_half_of_what_was_taken_and_not_of_what_was_allowed() -> None:
    pace = busy(per_s=1_000, took=40)
    pace.answered(0, 1, NOW)
    assert pace.limit(NOW + FIRST_REST_US) == pytest.approx(20)


def test_what_was_taken_long_ago_does_not_count() -> None:
    pace = busy(took=1_000)
    pace.answered(0, 1, NOW + 60 * SECOND)
    assert pace.limit(NOW + 60 * SECOND) == LEAST_PER_S


def test_the_rest_does_not_count_as_idleness() -> None:
    pace = busy(took=100)
    pace.answered(0, 1, NOW)
    rested = NOW + FIRST_REST_US
    pace.answered(0, 1, rested)
    assert pace.limit(rested) == pytest.approx(100 * FALL * FALL)


def test_a_peer_that_was_closed_for_a_while_is_soon_sent_as_much_as_before() -> None:
    """Refusals in a row with nothing taken between them say nothing of its rate; others do."""
    closed, slower = busy(took=400), busy(took=400)
    closed_at = slower_at = NOW
    for _ in range(4):
        closed.answered(0, 1, closed_at)
        slower.answered(1, 1, slower_at)
        closed_at, slower_at = closed.next_us(closed_at), slower.next_us(slower_at)
    assert closed.limit(closed_at) < 40
    assert slower.limit(slower_at) < 40
    climbed_us = round(CLIMB_S * SECOND)
    assert closed.limit(closed_at + climbed_us) == pytest.approx(400 * KNEE)
    assert slower.limit(slower_at + climbed_us) < 80


def test_one_handsets_full_queue_does_not_stop_the_others() -> None:
    pace = busy(took=100)
    for at in range(10):
        pace.answered(50, 0, NOW + at * 100_000, full=1)
        assert not pace.is_on
    pace.answered(0, 0, NOW + SECOND, full=50)
    assert pace.is_on
    assert pace.allowance(NOW + SECOND) == 0


def test_a_full_queue_is_all_there_is() -> None:
    pace = Pace()
    pace.answered(0, 0, NOW, full=1)
    assert pace.next_us(NOW) == NOW + FIRST_REST_US


def test_a_peer_that_was_slow_for_a_while_has_its_old_rate_within_seconds() -> None:
    pace, now = busy(took=500), NOW
    for _ in range(5):  # it takes 20 in a second, and refuses more
        pace.answered(20, 5, now)
        now += SECOND
    assert pace.limit(now) < 100
    assert pace.limit(now + round((CLIMB_S + RETURN_S) * SECOND)) > 480


def test_without_an_agreed_limit_the_brake_comes_off_after_half_a_minute() -> None:
    pace = busy()
    pace.answered(0, 1, NOW)
    end = NOW + FIRST_REST_US + round(OFF_S * SECOND)
    assert 0 < pace.allowance(end - 1) < 1_000
    assert pace.allowance(end) > 1_000_000
    assert not pace.is_on


def test_with_an_agreed_limit_the_brake_comes_off_when_it_is_reached() -> None:
    pace = busy(per_s=50, took=50)
    pace.answered(0, 1, NOW)
    assert pace.limit(NOW + FIRST_REST_US) == pytest.approx(25)
    assert pace.limit(NOW + 30 * SECOND) == 50
    assert pace.is_on
    pace.spend(pace.allowance(NOW + 30 * SECOND))
    assert pace.allowance(NOW + 40 * SECOND) == 5


@pytest.mark.parametrize("back_us", [SECOND, 3_600 * SECOND])
def test_a_clock_that_is_set_back_stops_nothing(back_us: int) -> None:
    pace = Pace(10)
    pace.spend(pace.allowance(NOW))
    pace.answered(0, 1, NOW)
    earlier = NOW - back_us
    at = pace.next_us(earlier)
    assert at - earlier <= LONGEST_REST_US
    assert pace.allowance(at) >= 0
    assert pace.allowance(at + SECOND) == 1
    assert pace.limit(at + 60 * SECOND) == 10
