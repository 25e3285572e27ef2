"""Hours of the week, by the clock of a place: ``Mon-Fri 08:00-18:00``. Pure.

A span is of wall clock, not of elapsed time: 08:00 is what the clocks of the time zone show, before and after they are
changed. The hour that a clock shows twice in autumn is open both times, the one it skips in spring never comes. A span
whose end is not after its beginning goes on into the next day, and belongs to the day on which it begins: ``Fri
22:00-06:00`` ends on Saturday morning. All of it is decided by the minute.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

import msgspec

from provisioning.errors import BadValue, did_you_mean

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTE_US = 60_000_000
_DAY_MINUTES = 1440
_WEEK_MINUTES = 7 * _DAY_MINUTES
_SPAN = re.compile(
    r"(?:([A-Za-z]+)(?: ?- ?([A-Za-z]+))? )?([0-9]{1,2}):([0-9]{2}) ?- ?([0-9]{1,2}):([0-9]{2})", re.ASCII
)


class Span(msgspec.Struct, frozen=True):
    """One entry of ``hours``.

    Attributes:
        first, last: days, Monday is 0; ``last`` may be before ``first``: over the end of the week.
        begin, end: minutes of the day; ``end`` not above ``begin`` is on the next day.
    """

    first: int
    last: int
    begin: int
    end: int

    def __str__(self) -> str:
        days = DAYS[self.first] if self.first == self.last else f"{DAYS[self.first]}-{DAYS[self.last]}"
        return f"{days} {_clock(self.begin)}-{_clock(self.end)}"

    @property
    def minutes(self) -> tuple[tuple[int, int], ...]:
        """Where it is open, as bounds in minutes of the week: the first that is open, the first that is not."""
        length = self.end - self.begin if self.end > self.begin else self.end - self.begin + _DAY_MINUTES
        found = []
        for number in range((self.last - self.first) % 7 + 1):
            begin = (self.first + number) % 7 * _DAY_MINUTES + self.begin
            end = begin + length
            found.append((begin, min(end, _WEEK_MINUTES)))
            if end > _WEEK_MINUTES:
                found.append((0, end - _WEEK_MINUTES))
        return tuple(found)


def parse_hours(text: str, field: str = "hours") -> Span:
    """Read one span.

    Args:
        text: ``"Mon-Fri 08:00-18:00"``, ``"Sat 09:00-12:30"``, ``"08:00-18:00"`` for every day; 24:00 is the day's end.
        field: the name that an error shall carry.

    Raises: BadValue.
    """
    found = _SPAN.fullmatch(" ".join(text.split()))
    if found is None:
        raise BadValue(field, text, "write days and times: 'Mon-Fri 08:00-18:00', 'Sat 09:00-12:00'")
    first = 0 if found[1] is None else _day(found[1], text, field)
    last = first if found[2] is None else _day(found[2], text, field)
    if found[1] is None:
        last = 6
    begin, end = (int(found[3]), int(found[4])), (int(found[5]), int(found[6]))
    if begin > (23, 59) or end > (24, 0) or begin[1] > 59 or end[1] > 59:
        raise BadValue(field, text, "times are 00:00 to 23:59, and 24:00 as an end")
    if begin == end:
        raise BadValue(field, text, "begins when it ends: for a whole day write 00:00-24:00")
    return Span(first, last, begin[0] * 60 + begin[1], end[0] * 60 + end[1])


def read_hours(text: str, field: str) -> str:
    """Bring a span into its canonical text."""
    return str(parse_hours(text, field))


def read_time_zone(text: str, field: str) -> str:
    """Check the name of a time zone."""
    if text not in _time_zones():
        raise BadValue(field, text, f"is no time zone{did_you_mean(text, _time_zones()) or ': write Area/City'}")
    return text


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def minute_of_week(now_us: int, time_zone: str) -> int:
    """What the clocks of a place show, in minutes since Monday 00:00.

    Args:
        now_us: the time, microseconds UTC.
        time_zone: its name; one that this machine does not know counts as UTC.
    """
    return _minute_of_week(now_us // MINUTE_US, time_zone)


@lru_cache(maxsize=256)
def _minute_of_week(minute: int, time_zone: str) -> int:
    local = datetime.fromtimestamp(minute * 60, _zone(time_zone))
    return local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute


@lru_cache(maxsize=256)
def _zone(time_zone: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


@lru_cache(maxsize=4096)
def _bounds(hours: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(bounds for text in hours for bounds in parse_hours(text).minutes)


def is_open(hours: Sequence[str], time_zone: str, now_us: int) -> bool:
    """Whether a time is within one of some spans; always, when there is none.

    Args:
        hours: canonical texts.
        time_zone: whose clock they are read by.
        now_us: the time, microseconds UTC.
    """
    if not hours:
        return True
    minute = minute_of_week(now_us, time_zone)
    return any(begin <= minute < end for begin, end in _bounds(tuple(hours)))


def _day(word: str, text: str, field: str) -> int:
    short = word[:3].capitalize()
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    if short in DAYS and full[DAYS.index(short)].startswith(word.lower()):
        return DAYS.index(short)
    raise BadValue(field, text, f"{word!r} is no day: {', '.join(DAYS)}")


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
