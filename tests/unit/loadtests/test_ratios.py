"""The judging of the regression guard: what is worse, what is missing, and that it can say both."""

from __future__ import annotations

import pytest

from loadtests.ratios import AS_THEY_ARE, GROWTHS, QUOTIENTS, judge, ratios_of, watched, words_of

FIGURES = {
    "cpu_s_per_1000_msgs": 0.05,
    "echo_cpu_s_per_1000_msgs": 0.002,
    "ack_p99_ms_half_load": 12.0,
    "ack_p50_ms_half_load": 6.0,
    "nine_links_beside_a_slow_one": 0.95,
    "account_to_link_msgs_per_s": 20_000.0,
}
LOWER, HIGHER = "hub_cpu_over_echo", "nine_links_beside_a_slow_one"


def test_ratios_come_of_what_was_measured_alone() -> None:
    assert ratios_of(FIGURES, {}) == {
        "hub_cpu_over_echo": pytest.approx(25.0),
        "half_load_p99_over_p50": 2.0,
        "nine_links_beside_a_slow_one": 0.95,
    }
    assert ratios_of({}, {}) == {}


def test_a_divisor_of_nothing_makes_no_ratio() -> None:
    assert ratios_of({"cpu_s_per_1000_msgs": 0.05, "echo_cpu_s_per_1000_msgs": 0.0}, {}) == {}


def test_growth_is_the_largest_over_the_smallest_with_both_sizes_in_its_name() -> None:
    rows = [
        {"size": 1, "cpu_s_per_1000": 0.05},
        {"size": 10, "cpu_s_per_1000": 9.0},
        {"size": 100, "cpu_s_per_1000": 0.1},
    ]
    assert ratios_of({}, {"links": rows}) == {"links_cpu_s_per_1000_100_over_1": 2.0}


def test_growth_needs_two_sizes_that_have_the_figure() -> None:
    rows = [
        {"size": 10, "cpu_s_per_1000": 0.05},
        {"size": 10_000, "cpu_s_per_1000": 0.06, "known_cpu_s_per_1000": 0.07},
    ]
    assert ratios_of({}, {"threads": rows}) == {"threads_cpu_s_per_1000_10000_over_10": pytest.approx(1.2)}
    assert ratios_of({}, {"threads": rows[:1]}) == {}


@pytest.mark.parametrize(
    ("name", "was", "now", "is_worse"),
    [
        (LOWER, 20.0, 20.0, False),
        (LOWER, 20.0, 27.9, False),  # its tolerance is 40 %
        (LOWER, 20.0, 28.1, True),
        (LOWER, 20.0, 2.0, False),
        (HIGHER, 0.8, 0.8, False),
        (HIGHER, 0.8, 0.61, False),  # 25 %
        (HIGHER, 0.8, 0.59, True),
        (HIGHER, 0.8, 5.0, False),
        (LOWER, 20.0, float("nan"), True),
        (HIGHER, 0.8, float("nan"), True),
    ],
)
def test_worse_is_beyond_the_tolerance_on_the_worse_side(name: str, was: float, now: float, is_worse: bool) -> None:
    (verdict,) = judge({name: now}, {name: was})
    assert (verdict.name, verdict.was, verdict.is_worse) == (name, was, is_worse)
    assert words_of(verdict).startswith("WORSE" if is_worse else "as good")


def test_what_was_not_measured_is_worse() -> None:
    (verdict,) = judge({}, {LOWER: 20.0})
    assert verdict.is_worse
    assert words_of(verdict).startswith("MISSING")


def test_what_the_baseline_does_not_know_is_told_and_no_fault() -> None:
    (verdict,) = judge({LOWER: 20.0}, {})
    assert not verdict.is_worse
    assert words_of(verdict).startswith("new")


def test_a_ratio_that_is_watched_no_more_is_passed_over() -> None:
    assert judge({}, {"of_another_age": 1.0}) == []


def test_every_ratio_is_known_by_its_name() -> None:
    names = [*QUOTIENTS, *AS_THEY_ARE, *(f"{curve}_{key}_9_over_1" for curve, keys in GROWTHS.items() for key in keys)]
    for name in names:
        known = watched(name)
        assert 0 < known.tolerance < 10
        assert known.says
    with pytest.raises(KeyError):
        watched("of_another_age")


def test_no_name_begins_like_another() -> None:
    """`threads_cpu_…` and `threads_known_cpu_…` are different ratios."""
    one, other = watched("threads_cpu_s_per_1000_9_over_1"), watched("threads_known_cpu_s_per_1000_9_over_1")
    assert one is GROWTHS["threads"]["cpu_s_per_1000"]
    assert other is GROWTHS["threads"]["known_cpu_s_per_1000"]
