"""Hours of the week, and the days on which clocks are changed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning import BadValue
from provisioning.hours import DAYS, is_open, minute_of_week, parse_hours, read_hours, read_time_zone


def us(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Mon-Fri 08:00-18:00", "Mon-Fri 08:00-18:00"),
        ("mon - fri 8:00 - 18:00", "Mon-Fri 08:00-18:00"),
        ("Monday-Friday 8:00-18:00", "Mon-Fri 08:00-18:00"),
        ("Sat 09:30-12:00", "Sat 09:30-12:00"),
        ("00:00-24:00", "Mon-Sun 00:00-24:00"),
        ("Fri-Mon 22:00-06:00", "Fri-Mon 22:00-06:00"),
        ("Tues 1:00-2:00", "Tue 01:00-02:00"),
    ],
)
def test_spans_and_their_canonical_text(text, canonical):
    assert read_hours(text, "hours") == canonical
    assert read_hours(canonical, "hours") == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("", "Mon", "08:00", "Mon 8-18", "Mon 24:00-25:00", "Mon 08:60-09:00", "Mon 24:00-01:00", "Mon 08:00-08:00"),
        *("Mo 08:00-18:00 x", "Xyz 08:00-18:00", "Mondays 08:00-18:00", "Mon-Fri,Sat 08:00-18:00", "Mon 08:00-24:01"),
    ],
)
def test_what_is_no_span(text):
    with pytest.raises(BadValue, match="hours"):
        parse_hours(text)


@pytest.mark.parametrize("name", ["UTC", "America/New_York", "Asia/Kolkata", "Europe/London"])
def test_time_zones(name):
    assert read_time_zone(name, "time_zone") == name


@pytest.mark.parametrize("name", ["America", "EDT", "america/new_york", "../../etc/passwd", "America/New York"])
def test_what_is_no_time_zone(name):
    with pytest.raises(BadValue, match="time_zone"):
        read_time_zone(name, "time_zone")


def test_a_time_zone_misspelt_is_answered_with_the_nearest():
    with pytest.raises(BadValue, match="did you mean 'America/New_York'"):
        read_time_zone("America/NewYork", "time_zone")


@pytest.mark.parametrize(
    ("at", "is_so"),
    [
        ("2024-01-08T12:59:59", False),  # a Monday; New York is five hours behind in winter
        ("2024-01-08T13:00:00", True),
        ("2024-01-08T22:59:59", True),
        ("2024-01-08T23:00:00", False),
        ("2024-07-08T11:59:59", False),  # and four in summer
        ("2024-07-08T12:00:00", True),
        ("2024-07-08T22:00:00", False),
        ("2024-01-13T15:00:00", False),  # a Saturday
        ("2024-01-06T01:00:00", False),  # Friday evening there
    ],
)
def test_hours_are_by_the_clock_of_the_place(at, is_so):
    assert is_open(["Mon-Fri 08:00-18:00"], "America/New_York", us(at)) == is_so


def test_the_hour_that_is_skipped_never_comes_and_the_doubled_one_is_open_twice():
    half = timedelta(minutes=30)
    hours = ["Sun 02:00-03:00"]
    spring = datetime(2024, 3, 10, tzinfo=UTC)  # 02:00 becomes 03:00
    assert not any(is_open(hours, "America/New_York", round((spring + n * half).timestamp() * 1e6)) for n in range(48))
    hours, autumn = ["Sun 01:00-02:00"], datetime(2024, 11, 3, 5, tzinfo=UTC)  # 01:00 EDT; 02:00 becomes 01:00
    opened = [is_open(hours, "America/New_York", round((autumn + n * half).timestamp() * 1e6)) for n in range(-1, 6)]
    assert opened == [False, True, True, True, True, False, False]


def test_a_night_belongs_to_the_day_on_which_it_begins():
    assert is_open(["Fri 22:00-06:00"], "UTC", us("2024-01-05T23:00"))
    assert is_open(["Fri 22:00-06:00"], "UTC", us("2024-01-06T05:59"))
    assert not is_open(["Fri 22:00-06:00"], "UTC", us("2024-01-06T06:00"))
    assert not is_open(["Fri 22:00-06:00"], "UTC", us("2024-01-05T05:00"))
    assert is_open(["Sun 22:00-06:00"], "UTC", us("2024-01-08T05:00"))  # over the end of the week


def test_without_hours_it_is_always_open():
    assert is_open([], "UTC", 0)


def test_a_zone_this_machine_does_not_know_counts_as_utc():
    """A store may come from another machine: texts go on, by the plain clock."""
    assert minute_of_week(us("2024-01-01T01:05"), "Mars/Olympus") == 65


clocks = st.integers(0, 1439)


@given(st.integers(0, 6), st.integers(0, 6), clocks, st.integers(1, 1440), st.integers(0, 7 * 1440 - 1))
def test_a_span_is_open_where_its_days_say(first, last, begin, end, minute):
    if begin == end:
        return
    text = f"{DAYS[first]}-{DAYS[last]} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    length = (end - begin) % 1440 or 1440
    starts = [(first + n) % 7 * 1440 + begin for n in range((last - first) % 7 + 1)]
    expected = any((minute - start) % (7 * 1440) < length for start in starts)
    assert is_open([text], "UTC", us("2024-01-01T00:00") + minute * 60_000_000) == expected
