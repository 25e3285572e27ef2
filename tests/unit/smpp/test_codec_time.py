"""The time formats of SMPP 3.4 §7.1.1."""

from datetime import UTC, datetime

import pytest

from smpp.errors import BadTime
from smpp.timeformat import format_absolute, format_relative, parse_time


def us(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000


NOW = us(2024, 1, 31, 12, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("240229120000000+", us(2024, 2, 29, 12)),
        ("240229120000004+", us(2024, 2, 29, 11)),  # local time is one hour ahead of UTC
        ("240229120000020-", us(2024, 2, 29, 17)),  # New York in winter: five hours behind
        ("240229120000548+", us(2024, 2, 29, 0) + 500_000),
        ("991231235959000-", us(2099, 12, 31, 23, 59, 59)),
        # The standard's example: two years, six months, ten days, 23 hours, 34 minutes, 29 seconds from now.
        ("020610233429000R", us(2026, 8, 11, 11, 34, 29)),
        ("000000000000000R", NOW),
        ("000000010000000R", us(2024, 1, 31, 13)),
        ("000100000000000R", us(2024, 2, 29, 12)),  # a shorter month: its last day
        ("010100000000000R", us(2025, 2, 28, 12)),
        ("001200000000000R", us(2025, 1, 31, 12)),
        ("000099999999000R", NOW + ((99 * 24 + 99) * 3600 + 99 * 60 + 99) * 1_000_000),
    ],
)
def test_read(text: str, expected: int | None) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "240229",
        "240229120000000",
        "240229120000000Z",
        "240229120000000++",
        "240229120000000r",
        "230229120000000+",
        "241301120000000+",
        "240100120000000+",
        "240101240000000+",
        "240101006000000+",
        "240101000060000+",
        "240101000000049+",
        "24010100000000 +",
        "²40101000000000+",
        "tomorrow at noon",
    ],
)
def test_no_time(text: str) -> None:
    with pytest.raises(BadTime) as caught:
        parse_time(text, NOW)
    assert caught.value.text == text


def test_a_clock_at_the_end_of_the_calendar() -> None:
    with pytest.raises(BadTime):
        parse_time("990000000000000R", us(9950, 1, 1))


def test_written_absolute() -> None:
    assert format_absolute(us(2024, 2, 29, 12, 1, 2) + 599_999) == "240229120102500+"
    for wrong in (us(1999, 12, 31, 23, 59, 59), us(2100, 1, 1), -(1 << 70)):
        with pytest.raises(BadTime):
            format_absolute(wrong)


SECOND = 1_000_000
DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    ("duration_us", "text"),
    [
        (0, "000000000000000R"),
        (1, "000000000001000R"),
        (90 * SECOND, "000000000130000R"),
        (DAY, "000001000000000R"),
        (28 * DAY, "000028000000000R"),
        (29 * DAY, "000100000000000R"),  # from 31 January to the last day of February 2024
        (366 * DAY, "010000000000000R"),
    ],
)
def test_written_relative(duration_us: int, text: str) -> None:
    assert format_relative(duration_us, NOW) == text


@pytest.mark.parametrize("duration_us", [-1, 36_600 * DAY, 1 << 80])
def test_a_period_that_cannot_be_written(duration_us: int) -> None:
    with pytest.raises(BadTime):
        format_relative(duration_us, NOW)
