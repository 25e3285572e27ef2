"""The opt-out ledger as comma-separated values: read, checked, written. Pure.

```
number,customer,state,since,how
+18005550100,+12025550143,out,2026-02-03T04:05:06.789012Z,keyword
call-centre:acme,+12025550143,out,2026-02-03,operator
```

``number`` is an E.164 number, a short code, a sender's name, or ``call-centre:NAME`` for all numbers of a call centre;
``customer`` an E.164 number or a short code. ``state`` is ``out`` or ``in``. ``since`` is ISO 8601, UTC where no zone
is written; it may be empty for who is out. ``how`` may be empty or any of what the ledger writes. Columns may stand in
any order, and others beside them are passed over: other systems' exports need only their head line changed. Each line
stands for itself: a quotation mark that is not closed costs one line, not all that follow.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from hub.opt_out import Entry, scope_of
from provisioning import ProvisioningError, parse_number

HEAD: Final = ("number", "customer", "state", "since", "how")
NEEDED: Final = ("number", "customer", "state")
WAYS: Final = ("keyword", "desk", "operator", "import")
CALL_CENTRE: Final = "call-centre:"
AHEAD_US: Final = 300_000_000  # clocks may differ; what lies in the future would beat every START until then

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE = re.compile(r"[0-9]{3,8}", re.ASCII)
_SENDER_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&-]{1,11}", re.ASCII)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", re.ASCII)


class BadLine(msgspec.Struct, frozen=True):
    """A line that cannot be taken.

    Attributes:
        line: its number in the file, the head line being 1.
        why: in words.
    """

    line: int
    why: str


class BadFile(Exception):
    """The head line is missing or lacks columns: nothing can be read."""


def read_number(text: str) -> str:
    """Read what a customer is out of.

    Returns: as the ledger writes it.
    Raises: ValueError.
    """
    if text.startswith(CALL_CENTRE):
        name = text[len(CALL_CENTRE) :]
        if not _NAME.fullmatch(name):
            raise ValueError(f"{text!r} names no call centre")
        return scope_of(name)
    if _SENDER_NAME.fullmatch(text):
        return text
    return read_customer(text)


def read_customer(text: str) -> str:
    """Read a customer's address.

    Returns: as the ledger writes it.
    Raises: ValueError.
    """
    if _E164.fullmatch(text) or _SHORT_CODE.fullmatch(text):
        return text
    if not text.startswith("+"):
        raise ValueError(f"{text!r} is neither a short code nor a number with '+' and country code")
    try:
        return parse_number(text)
    except ProvisioningError as error:
        raise ValueError(str(error)) from None


def shown_number(number: str) -> str:
    """A number of the ledger as people write it."""
    return CALL_CENTRE + number[1:] if number[:1] == "*" else number


def shown_time(at_us: int) -> str:
    """A time of the ledger, to the microsecond."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_us % 1_000_000:06}Z"


def read_time(text: str) -> int:
    """Read a time; UTC where no zone is written. Raises: ValueError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write for example 2026-02-03T04:05:06Z") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    whole = int(at.replace(microsecond=0).timestamp())
    if whole < 0:
        raise ValueError(f"{text!r} is before 1970")
    return whole * 1_000_000 + at.microsecond


def row_of(entry: Entry) -> tuple[str, str, str, str, str]:
    """A line for an entry, in the order of ``HEAD``."""
    state = "out" if entry.is_out else "in"
    return shown_number(entry.number), entry.customer, state, shown_time(entry.since_us), entry.how


def read_lines(lines: Iterable[str], now_us: int, who: str) -> Iterator[tuple[int, Entry] | BadLine]:
    """Read a file.

    Args:
        lines: its lines.
        now_us: now; no line may be later.
        who: who imports it.

    Returns: for each line its number and entry, or why it cannot be taken.
    Raises: BadFile.
    """
    places: dict[str, int] | None = None
    for line, words in enumerate(lines, 1):
        try:
            cells = next(csv.reader([words.rstrip("\r\n")], strict=True), [])
        except csv.Error as error:
            if places is None:
                raise BadFile(f"the head line is no line of comma-separated values ({error})") from None
            yield BadLine(line, f"is no line of comma-separated values ({error})")
            continue
        if places is None:
            places = _places(cells)
        elif any(cell.strip() for cell in cells):
            yield _read(cells, places, line, now_us, who)
    if places is None:
        raise BadFile("is empty: it lacks even the head line")


def _places(cells: Sequence[str]) -> dict[str, int]:
    head = [cell.strip().lower() for cell in cells]
    missing = [name for name in NEEDED if name not in head]
    if missing:
        raise BadFile(f"the head line lacks {', '.join(missing)}: it shall be {','.join(HEAD)}")
    return {name: head.index(name) for name in HEAD if name in head}


def _read(
    cells: Sequence[str], places: dict[str, int], line: int, now_us: int, who: str
) -> tuple[int, Entry] | BadLine:
    values = {name: cells[place].strip() if place < len(cells) else "" for name, place in places.items()}
    try:
        state, how, since = values["state"].lower(), values.get("how", ""), values.get("since", "")
        if state not in ("out", "in"):
            raise ValueError(f"state is {values['state']!r}: write 'out' or 'in'")
        if how and how not in WAYS:
            raise ValueError(f"how is {how!r}: write one of {', '.join(WAYS)}, or nothing")
        if state == "in" and not since:
            raise ValueError("says 'in' and not since when: it could undo a later STOP")
        since_us = read_time(since) if since else 0
        if since_us > now_us + AHEAD_US:
            raise ValueError(f"since is {since}, which is in the future")
        number, customer = read_number(values["number"]), read_customer(values["customer"])
    except ValueError as error:
        return BadLine(line, str(error))
    return line, Entry(number, customer, state == "out", since_us, how or "import", who)
