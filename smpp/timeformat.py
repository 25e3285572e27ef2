"""The time formats of SMPP and integer microseconds.

A time is 16 characters ``YYMMDDhhmmsstnnp`` or empty (SMPP 3.4 §7.1.1). With ``p`` ``+`` or ``-`` it is absolute: local
time and its distance from UTC in ``nn`` quarters of an hour (``+``: local time is ahead). With ``p`` ``R`` it is
relative to the SMSC's clock: so many years, months, days, hours, minutes and seconds from now.

A relative month is a calendar month, since the standard counts years and months and does not say how long they are;
where the target month is shorter, its last day is taken.

Years are 2000…2099.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from smpp.errors import BadTime

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FORM: Final = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9])([0-9]{2})([+\-R])")
_MAX_QUARTERS: Final = 48
_LAST_YEAR: Final = 2099


def parse_time(text: str, now_us: int) -> int | None:
    """Read a schedule_delivery_time, validity_period or final_date.

    Args:
        text: as it came.
        now_us: what relative times are relative to.

    Returns: microseconds since the epoch, UTC; None for an empty text, which asks for the SMSC's default.

    Raises:
        BadTime: it is no such time.
    """
    if not text:
        return None
    form = _FORM.fullmatch(text)
    if form is None:
        raise BadTime(text, "not YYMMDDhhmmsstnnp")
    year, month, day, hour, minute, second, tenth, quarters = (int(group) for group in form.groups()[:-1])
    try:
        if form[9] == "R":
            then = _add_months(_from_us(now_us), 12 * year + month)
            return _to_us(then + timedelta(days=day, hours=hour, minutes=minute, seconds=second))
        if quarters > _MAX_QUARTERS:
            raise BadTime(text, f"{quarters} quarters of an hour from UTC, at most {_MAX_QUARTERS} allowed")
        local = datetime(2000 + year, month, day, hour, minute, second, tenth * 100_000, tzinfo=UTC)
        distance = timedelta(minutes=15 * quarters)
        return _to_us(local - distance if form[9] == "+" else local + distance)
    except (ValueError, OverflowError) as error:
        raise BadTime(text, str(error)) from None


def format_absolute(time_us: int) -> str:
    """Write a time, in UTC, to the tenth of a second below.

    Args:
        time_us: microseconds since the epoch.

    Raises:
        BadTime: it is not in 2000…2099.
    """
    try:
        time = _from_us(time_us)
    except OverflowError:
        raise BadTime(str(time_us), "no date") from None
    if not 2000 <= time.year <= _LAST_YEAR:
        raise BadTime(time.isoformat(), f"not in 2000…{_LAST_YEAR}")
    return f"{time:%y%m%d%H%M%S}{time.microsecond // 100_000}00+"


def format_relative(duration_us: int, now_us: int) -> str:
    """Write a period from now, rounded up to a second.

    Args:
        duration_us: microseconds, 0 or more.
        now_us: decides how long the months in it are, when it is longer than 28 days.

    Raises:
        BadTime: it is negative, or over 99 years.
    """
    if duration_us < 0:
        raise BadTime(str(duration_us), "a negative period")
    seconds = -(-duration_us // 1_000_000)
    months = 0
    rest = timedelta(seconds=0)
    try:
        rest = timedelta(seconds=seconds)
        if rest >= timedelta(days=29):
            now = _from_us(now_us)
            target = now + rest
            months = 12 * (target.year - now.year) + target.month - now.month
            if _add_months(now, months) > target:
                months -= 1
            rest = target - _add_months(now, months)
    except (ValueError, OverflowError):
        raise BadTime(f"{seconds} s", "too long a period") from None
    years, months = divmod(months, 12)
    if years > 99:
        raise BadTime(f"{seconds} s", "too long a period")
    minutes, second = divmod(rest.seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{years:02}{months:02}{rest.days:02}{hour:02}{minute:02}{second:02}000R"


def _add_months(time: datetime, months: int) -> datetime:
    year, month = divmod(12 * time.year + time.month - 1 + months, 12)
    month += 1
    if year > datetime.max.year:
        raise OverflowError("year out of range")
    return time.replace(year=year, month=month, day=min(time.day, calendar.monthrange(year, month)[1]))


def _from_us(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)


def _to_us(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND
