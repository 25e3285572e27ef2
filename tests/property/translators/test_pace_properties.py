"""Whatever is asked and spent when: no more than was agreed, and never asleep for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from translators.pace import BURST_S, LONGEST_REST_US, Pace

NOW = 1_767_225_600_000_000


@given(
    per_s=st.floats(0.05, 5_000),
    steps=st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 500)), min_size=1, max_size=60),
)
def test_no_more_goes_than_was_agreed(per_s: float, steps: list[tuple[int, int]]) -> None:
    pace, now, went = Pace(per_s), NOW, 0
    for wait_us, wanted in steps:
        now += wait_us
        go = min(pace.allowance(now), wanted)
        assert go >= 0
        pace.spend(go)
        went += go
        assert went <= (now - NOW) * per_s / 1e6 + max(1.0, per_s * BURST_S) + 1e-6


@given(
    per_s=st.one_of(st.just(0.0), st.floats(0.05, 5_000)),
    steps=st.lists(
        st.tuples(st.integers(-10_000_000, 10_000_000), st.sampled_from(["go", "throttled", "accepted", "look"])),
        max_size=40,
    ),
)
def test_the_time_that_it_says_is_the_time_when_it_goes_on(per_s: float, steps: list[tuple[int, str]]) -> None:
    """A clock may be set back, too."""
    pace, now = Pace(per_s), NOW
    for wait_us, what in steps:
        now += wait_us
        if what == "go":
            pace.spend(min(pace.allowance(now), 7))
        elif what == "throttled":
            pace.throttled(now)
        elif what == "accepted":
            pace.accepted(now)
        pace.allowance(now)
        at = pace.next_us(now)
        assert now <= at <= now + LONGEST_REST_US + (1e6 / per_s if per_s else 0) + 2
        if at > now + 1:
            assert pace.allowance(now) == 0
    for _ in range(3):  # a rest first, then perhaps the wait for a token
        now = pace.next_us(now)
        pace.allowance(now)
    assert pace.allowance(now) >= 1
