"""The brakes of an endpoint. Properties: tests/property/translators/test_pace_properties.py."""

from __future__ import annotations

import pytest

from translators.pace import FIRST_REST_US, LONGEST_REST_US, Pace

NOW = 1_767_225_600_000_000
SECOND = 1_000_000


def test_without_limit_there_is_no_end() -> None:
    pace = Pace()
    assert pace.allowance(NOW) > 1_000_000
    pace.spend(1_000_000)
    assert pace.allowance(NOW) > 1_000_000
    assert pace.next_us(NOW) == NOW


def test_a_burst_is_a_tenth_of_a_second() -> None:
    pace = Pace(200)
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
        pace.throttled(now)
        assert pace.allowance(now) == 0
        rests.append(pace.next_us(now) - now)
        now = pace.next_us(now)
        assert pace.allowance(now) > 0
    assert rests == [FIRST_REST_US << n for n in range(4)] + [LONGEST_REST_US] * 3
    pace.accepted(now)
    pace.throttled(now)
    assert pace.next_us(now) - now == FIRST_REST_US


def test_answers_of_one_window_count_once() -> None:
    pace = Pace()
    for late in range(10):
        pace.throttled(NOW + late)
    assert pace.next_us(NOW + 10) == NOW + FIRST_REST_US
    pace.accepted(NOW + 11)  # an answer to what was sent before: no word that the rest was enough
    pace.throttled(NOW + FIRST_REST_US)
    assert pace.next_us(NOW + FIRST_REST_US) == NOW + 3 * FIRST_REST_US


@pytest.mark.parametrize("back_us", [SECOND, 3_600 * SECOND])
def test_a_clock_that_is_set_back_stops_nothing(back_us: int) -> None:
    pace = Pace(10)
    pace.spend(pace.allowance(NOW))
    pace.throttled(NOW)
    earlier = NOW - back_us
    at = pace.next_us(earlier)
    assert at - earlier <= LONGEST_REST_US
    assert pace.allowance(at) >= 0
    assert pace.allowance(at + SECOND) == 1
