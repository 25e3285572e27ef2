"""What holds for any time."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from smpp.errors import BadTime
from smpp.timeformat import format_absolute, format_relative, parse_time

SECOND = 1_000_000
YEAR_2000, YEAR_2100 = 946_684_800 * SECOND, 4_102_444_800 * SECOND

moment = st.integers(YEAR_2000, YEAR_2100 - 1)


@given(moment, st.integers())
def test_an_absolute_time_is_read_back_to_the_tenth(time_us: int, now_us: int) -> None:
    text = format_absolute(time_us)
    assert len(text) == 16
    assert parse_time(text, now_us) == time_us // 100_000 * 100_000


@given(moment, st.integers(0, 99 * 365 * 86_400 * SECOND))
def test_a_period_is_read_back_to_the_second(now_us: int, duration_us: int) -> None:
    text = format_relative(duration_us, now_us)
    assert len(text) == 16
    assert parse_time(text, now_us) == now_us - -duration_us // SECOND * SECOND


@given(st.text() | st.from_regex(r"[0-9]{15}[+\-R]", fullmatch=True), st.integers(-(1 << 63), 1 << 63))
def test_any_text_is_a_time_or_a_bad_time(text: str, now_us: int) -> None:
    try:
        time_us = parse_time(text, now_us)
    except BadTime:
        return
    assert (time_us is None) is (text == "")


@given(st.integers(), st.integers(-(1 << 63), 1 << 63))
def test_any_period_is_written_or_a_bad_time(duration_us: int, now_us: int) -> None:
    if duration_us < 0:
        with pytest.raises(BadTime):
            format_relative(duration_us, now_us)
        return
    try:
        text = format_relative(duration_us, now_us)
    except BadTime:
        return
    assert len(text) == 16
