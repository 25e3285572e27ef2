"""Whatever is asked and spent when: no more than was agreed, and never asleep for ever. And a carrier that refuses."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.pace import BURST_S, LEAST_PER_S, LONGEST_REST_US, Pace

NOW = 1_767_225_600_000_000
SECOND = 1_000_000


@given(
    per_s=st.floats(0.05, 5_000),
    steps=st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 500), st.booleans()), min_size=1, max_size=60),
)
def test_no_more_goes_than_was_agreed(per_s: float, steps: list[tuple[int, int, bool]]) -> None:
    pace, now, went = Pace(per_s), NOW, 0
    for wait_us, wanted, throttled in steps:
        now += wait_us
        go = min(pace.allowance(now), wanted)
        assert go >= 0
        pace.spend(go)
        went += go
        pace.answered(go, int(throttled), now)
        assert went <= (now - NOW) * per_s / 1e6 + max(1.0, per_s * BURST_S) + 1e-6


STEPS = st.lists(
    st.tuples(st.integers(-10_000_000, 10_000_000), st.sampled_from(["go", "throttled", "taken", "lost", "look"])),
    max_size=40,
)


@given(per_s=st.one_of(st.just(0.0), st.floats(0.05, 5_000)), steps=STEPS, in_flight=st.integers(0, 20))
def test_the_time_that_it_says_is_the_time_when_it_goes_on(
    per_s: float, steps: list[tuple[int, str]], in_flight: int
) -> None:
    """A clock may be set back, too."""
    pace, now = Pace(per_s), NOW
    for wait_us, what in steps:
        now += wait_us
        if what == "go":
            pace.spend(min(pace.allowance(now), 7))
        elif what == "throttled":
            pace.answered(0, 3, now, in_flight=in_flight)
        elif what == "taken":
            pace.answered(7, 0, now)
        elif what == "lost":
            pace.answered(0, 0, now, lost=5)
        pace.allowance(now)
        at = pace.next_us(now)
        slowest = min(per_s, LEAST_PER_S) if per_s else LEAST_PER_S
        assert now <= at <= now + LONGEST_REST_US + 1e6 / slowest + 2
        if at > now + 1:
            assert pace.allowance(now) == 0
    for _ in range(3):  # a rest first, then perhaps the wait for a token
        now = pace.next_us(now)
        pace.allowance(now)
    assert pace.allowance(now) >= 1


@given(
    per_s=st.one_of(st.just(0.0), st.floats(1, 5_000)),
    took=st.integers(0, 10_000),
    waits=st.lists(st.integers(0, 5_000_000), min_size=1, max_size=30),
)
def test_between_two_refusals_the_rate_only_rises_and_keeps_its_bounds(
    per_s: float, took: int, waits: list[int]
) -> None:
    pace = Pace(per_s)
    pace.answered(took, 0, NOW)
    pace.answered(0, 1, NOW)
    now = pace.next_us(NOW)
    before = pace.limit(now)
    assert before >= min(per_s, LEAST_PER_S) if per_s else before >= LEAST_PER_S
    for wait_us in waits:
        now += wait_us
        rate = pace.limit(now)
        if not rate:
            assert not per_s
            assert not pace.is_on
            break
        assert rate >= before
        assert rate <= per_s if per_s else True
        before = rate


class Carrier:
    """An SMSC that takes so many messages a second and answers the rest ESME_RTHROTTLED."""

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s = per_s
        self.burst = self.tokens = burst
        self.at_us = NOW

    def takes(self, now_us: int) -> bool:
        self.tokens = min(self.burst, self.tokens + (now_us - self.at_us) * self.per_s / 1e6)
        self.at_us = now_us
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def drive(
    pace: Pace, carrier: Carrier, seconds: int, *, window: int = 100, latency_us: int = 40_000
) -> list[list[int]]:
    """A link that always has something to send. Returns: (taken, refused) of each second."""
    now, end, unanswered = NOW, NOW + seconds * SECOND, 0
    answers: list[tuple[int, int, bool]] = []
    number = 0
    seconds_of: list[list[int]] = [[0, 0] for _ in range(seconds + 1)]
    while now < end:
        while answers and answers[0][0] <= now:
            at_us = answers[0][0]
            batch = []
            while answers and answers[0][0] == at_us:
                batch.append(heapq.heappop(answers)[2])
            unanswered -= len(batch)
            pace.answered(sum(batch), len(batch) - sum(batch), now, in_flight=unanswered)
        go = min(pace.allowance(now), window - unanswered)
        pace.spend(go)
        unanswered += go
        for _ in range(go):
            number += 1
            taken = carrier.takes(now + latency_us // 2)
            seconds_of[(now - NOW) // SECOND][not taken] += 1
            heapq.heappush(answers, (now + latency_us, number, taken))
        times = [answers[0][0]] if answers else []
        if unanswered < window:
            times.append(max(now + 1, pace.next_us(now)))
        now = min(times)
    return seconds_of


@pytest.mark.parametrize("burst", [1, 50])
@pytest.mark.parametrize("agreed", [0, 400])
@pytest.mark.parametrize("latency_us", [5_000, 200_000])
def test_a_link_settles_near_what_its_carrier_takes(burst: int, agreed: int, latency_us: int) -> None:
    """A carrier that takes 50 a second: after half a minute, a link that could send thousands is close to that."""
    went = drive(Pace(agreed), Carrier(50, burst), 150, latency_us=latency_us)[30:150]
    taken, refused = sum(t for t, _ in went) / 120, sum(r for _, r in went) / 120
    assert 0.75 * 50 <= taken <= 50.5
    assert refused <= 0.03 * taken


def test_a_link_comes_back_when_its_carrier_does() -> None:
    """A bad quarter of a minute, in which next to nothing is taken, is forgotten within half a minute."""
    pace, carrier = Pace(200), Carrier(200, 20)
    before = drive(pace, carrier, 10)
    assert sum(t for t, _ in before[2:10]) / 8 == pytest.approx(200, rel=0.05)
    carrier.per_s, carrier.burst, carrier.tokens, carrier.at_us = 1, 1, 0, NOW
    drive(pace, carrier, 15)
    carrier.per_s, carrier.burst, carrier.at_us = 200, 20, NOW
    after = drive(pace, carrier, 40)
    assert sum(t for t, _ in after[30:40]) / 10 == pytest.approx(200, rel=0.05)
