"""Token buckets: never more than a minute's worth at once, never more than the rate for long, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from ops.api.limits import MINUTE_US, Buckets, source_of


def test_a_bucket_empties_and_fills() -> None:
    buckets = Buckets()
    first = [buckets.take("a", 3, 0) for _ in range(4)]
    assert [ruling.is_allowed for ruling in first] == [True, True, True, False]
    assert [ruling.left for ruling in first] == [2, 1, 0, 0]
    assert first[-1].wait_s == 20
    assert not buckets.take("a", 3, MINUTE_US // 3 - 1).is_allowed
    assert buckets.take("a", 3, MINUTE_US // 3 + 1).is_allowed
    assert buckets.take("b", 3, 0).is_allowed  # another's


@given(
    st.integers(1, 1000),
    st.lists(st.integers(-MINUTE_US, MINUTE_US), max_size=200),
)
def test_never_more_than_the_rate_whatever_the_clock_does(per_minute: int, steps: list[int]) -> None:
    buckets = Buckets()
    now_us = 10 * MINUTE_US
    forward_us = allowed = 0
    for step in steps:
        now_us += step
        forward_us += max(0, step)
        ruling = buckets.take("a", per_minute, now_us)
        allowed += ruling.is_allowed
        assert 0 <= ruling.left <= per_minute
        assert ruling.is_allowed or ruling.wait_s >= 1
    assert allowed <= per_minute + forward_us * per_minute / MINUTE_US + 1


def test_who_was_silent_longest_is_forgotten() -> None:
    buckets = Buckets(most=3)
    for name in "abcad":
        buckets.take(name, 1, 0)
    assert len(buckets) == 3
    assert not buckets.take("a", 1, 0).is_allowed  # it asked again meanwhile
    assert buckets.take("b", 1, 0).is_allowed


def test_a_subscriber_is_one_source() -> None:
    assert source_of("192.0.2.1") == "192.0.2.1"
    assert source_of("2001:db8:1:2:3:4:5:6") == source_of("2001:db8:1:2::") == "2001:db8:1:2::"
    assert source_of("2001:db8:1:3::") != source_of("2001:db8:1:2::")
    assert source_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert source_of("fe80::1%eth0") == "fe80::"
    assert source_of("") == ""
