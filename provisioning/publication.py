"""Publications: what is wished for of external directories, and how it stands. Functions over a store transaction (H5).

``publish`` and ``withdraw`` write wishes; the publisher (``publisher``) carries them out, and ``publishing_rules`` says
how. All are idempotent: a wish that is there already is left alone, one that was refused is tried again.

A command over many numbers goes in pages, one transaction each, so that the store's other writers do not wait: it is
given the cursor that the page before answered. The first page checks all of the wish, and refuses it whole; a letter
that lapses between two pages is found when the publisher comes to the number.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy

from provisioning.catalog import hold
from provisioning.coverage import Span, coverage_of, joined, size_of, told, without
from provisioning.errors import BadValue, ProvisioningError, UnknownEntry
from provisioning.model import CallCentre, CarrierDirectory, Loa
from provisioning.publication_rows import ALL_NUMBERS, StatusRow, in_parts, numbers, read, status, users_of, write
from provisioning.publishing_rules import Publication, State, forgotten, unwished, wished
from provisioning.rows import TABLES, read_all
from provisioning.tables import block_table, number_table, publication_table
from store import Transaction
from store.audit import AuditEntry, append

__all__ = [
    "NotCovered",
    "NotOwned",
    "Published",
    "PublishedByAnother",
    "StatusRow",
    "day_of",
    "numbers",
    "publish",
    "read",
    "status",
    "users_of",
    "withdraw",
]

MAX_NUMBERS = 1_000_000  # of one command: a slip of the pen must not fill the disk
PAGE_ROWS = 2_000  # rows of one transaction: some 50 ms of the store's writer

_rows = publication_table.c
_US_PER_DAY = 86_400_000_000
_EPOCH = datetime.date(1970, 1, 1)
_MOST_NAMED = 10  # in a message


class NotCovered(ProvisioningError):
    """No valid, signed letter of authorization covers some of the numbers: none was published (H9).

    Attributes:
        call_centre: whose numbers.
        missing: the numbers, as spans of integers.
    """

    def __init__(self, call_centre: str, missing: Sequence[Span]) -> None:
        super().__init__(
            f"no valid, signed letter of authorization of call centre {call_centre!r} covers {told(missing)} "
            f"({size_of(missing):,} numbers): add one (`smshub provision loa add`), or publish only what is covered"
        )
        self.call_centre = call_centre
        self.missing = tuple(missing)


class NotOwned(ProvisioningError):
    """Some of the numbers are not the call centre's.

    Attributes:
        call_centre: who asked.
        missing: the numbers, as spans of integers.
    """

    def __init__(self, call_centre: str, missing: Sequence[Span]) -> None:
        super().__init__(
            f"{told(missing)} ({size_of(missing):,} numbers) are not provisioned for call centre {call_centre!r}: "
            "add them first, or correct the range"
        )
        self.call_centre = call_centre
        self.missing = tuple(missing)


class PublishedByAnother(ProvisioningError):
    """A directory still has the numbers for the call centre that had them before.

    Attributes:
        directory: which.
        numbers: the numbers, as integers, in order; the first of them.
    """

    def __init__(self, directory: str, numbers: Sequence[int]) -> None:
        super().__init__(
            f"directory {directory!r} still lists {told(joined([(n, n) for n in numbers]))} for another call centre: "
            "wait until they are withdrawn there (`smshub provision status`), then publish"
        )
        self.directory = directory
        self.numbers = tuple(numbers)


class Published(msgspec.Struct, frozen=True):
    """What ``publish`` or ``withdraw`` did.

    Attributes:
        numbers: so many numbers were looked at, in this page.
        changed: wishes, one for each directory and number, that are new or tried again.
        unchanged: wishes that stood already.
        after: the cursor of the next page; None when this was the last.
    """

    numbers: int
    changed: int
    unchanged: int
    after: int | None = None


def day_of(now_us: int) -> str:
    """The day of an instant, UTC, as letters are dated: ``"2026-11-22"``."""
    return (_EPOCH + datetime.timedelta(days=now_us // _US_PER_DAY)).isoformat()


def publish(
    tx: Transaction,
    *,
    directories: Sequence[str] = (),
    spans: Sequence[Span] | None = None,
    call_centre: str,
    who: str,
    now_us: int,
    after: int | None = None,
    limit: int | None = None,
    goes_on: bool = False,
) -> Published:
    """Wish that numbers of a call centre be in directories.

    Args:
        tx: the transaction.
        directories: names; all that are provisioned when empty.
        spans: which numbers; None for all numbers and blocks of the call centre.
        call_centre: whose numbers.
        who: for the audit.
        now_us: now.
        after: the cursor that the page before answered; None for the first.
        limit: at most so many rows of this page; None for all in one.
        goes_on: the same caller's first page, a moment ago, has checked all of the wish and noted it. A cursor that
            somebody else brings says nothing of that.

    Raises: NotCovered, NotOwned, PublishedByAnother; UnknownEntry; BadValue when there is nothing to publish, or too
        much. Nothing is written then.
    """
    if not goes_on:
        hold(tx)  # a directory that another command removes meanwhile would leave wishes that nobody carries out
    names = _directories(tx, directories)
    own = _own(tx, call_centre)
    wanted = own if spans is None else joined(spans)
    if not goes_on:
        _check(tx, call_centre, wanted, own, day_of(now_us))
        _check_strangers(tx, names, call_centre, wanted)
        _note(tx, "published", names, wanted, call_centre, who, now_us)
    found, cursor = _page(wanted, after, limit and max(1, limit // len(names)))
    if not found:
        return Published(0, 0, 0)
    keys = [(name, digits) for name in names for digits in found]
    there = read(tx, keys)
    changed: list[Publication] = []
    for key in keys:
        row = there.get(key)
        if row is not None and row.call_centre != call_centre and row.state != State.WITHDRAWN:
            raise PublishedByAnother(key[0], [key[1]])
        fresh = wished(row, *key, call_centre, now_us)
        if fresh is not row:
            changed.append(fresh)
    write(tx, changed)
    return Published(len(found), len(changed), len(keys) - len(changed), cursor)


def withdraw(
    tx: Transaction,
    *,
    directories: Sequence[str] = (),
    spans: Sequence[Span] | None = None,
    call_centre: str,
    who: str,
    now_us: int,
    after: int | None = None,
    limit: int | None = None,
    goes_on: bool = False,
    forget: bool = False,
) -> Published:
    """Wish that numbers of a call centre be in directories no more. What was never published stays so.

    Args:
        tx, call_centre, who, now_us, after, limit, goes_on: as for ``publish``.
        directories: names; all that are provisioned when empty.
        spans: which numbers; None for all that the call centre has published.
        forget: tell no directory: for one that is no more.

    Raises: UnknownEntry; BadValue when there are spans, and no number in them: that is not all numbers.
    """
    names = _directories(tx, directories)
    if spans is not None and not spans:
        raise BadValue("numbers", [], "name one number or range at least, or leave it out for all")
    if not goes_on:
        _check_centre(tx, call_centre)
        _note(tx, "forgotten" if forget else "withdrawn", names, spans, call_centre, who, now_us)
    wanted = joined(spans) if spans is not None else [ALL_NUMBERS]
    rows = numbers(tx, call_centre=call_centre, directories=names, spans=wanted, after=after, limit=limit, locked=True)
    cursor = None
    if limit is not None and len(rows) == limit:
        cursor = rows[-1].digits
        # A number's rows go in one page, for the cursor is a number: the last may not be whole.
        whole = [row for row in rows if row.digits != cursor]
        if whole:
            rows, cursor = whole, whole[-1].digits
        else:
            rows = numbers(tx, call_centre=call_centre, directories=names, spans=[(cursor, cursor)], locked=True)
    ended = [(row, forgotten(row, now_us) if forget else unwished(row, now_us)) for row in rows]
    changed = [new for row, new in ended if new is not row]
    write(tx, changed)
    return Published(len({row.digits for row in rows}), len(changed), len(rows) - len(changed), cursor)


def _names(tx: Transaction, kind: str) -> list[str]:
    return list(tx.sql.execute(sqlalchemy.select(TABLES[kind].c.name)).scalars())


def _directories(tx: Transaction, wanted: Sequence[str]) -> list[str]:
    known = _names(tx, CarrierDirectory.KIND)
    for name in wanted:
        if name not in known:
            raise UnknownEntry(CarrierDirectory.KIND, name, known)
    if not known:
        raise BadValue("directories", [], "no directory is provisioned: `smshub provision directory add` makes one")
    return sorted(set(wanted or known))


def _check_centre(tx: Transaction, call_centre: str) -> None:
    known = _names(tx, CallCentre.KIND)
    if call_centre not in known:
        raise UnknownEntry(CallCentre.KIND, call_centre, known)


def _own(tx: Transaction, call_centre: str) -> list[Span]:
    """The numbers and blocks of a call centre as spans."""
    numbers, blocks = number_table.c, block_table.c
    single = sqlalchemy.select(numbers.digits).where(numbers.call_centre == call_centre)
    ranges = sqlalchemy.select(blocks.first, blocks.last).where(blocks.call_centre == call_centre)
    spans: list[Span] = [(digits, digits) for digits in tx.sql.execute(single).scalars()]
    spans += [(first, last) for first, last in tx.sql.execute(ranges)]
    return joined(spans)


def _check(tx: Transaction, call_centre: str, wanted: Sequence[Span], own: Sequence[Span], today: str) -> None:
    _check_centre(tx, call_centre)
    foreign = without(wanted, own)
    if foreign:
        raise NotOwned(call_centre, foreign)
    if not wanted:
        raise BadValue("call_centre", call_centre, "has no numbers to publish: add numbers or blocks first")
    if size_of(wanted) > MAX_NUMBERS:
        raise BadValue("numbers", told(wanted), f"at most {MAX_NUMBERS:,} numbers at a time: publish ranges of them")
    missing = coverage_of(read_all(tx, Loa), call_centre, today).missing(wanted)
    if missing:
        raise NotCovered(call_centre, missing)


def _check_strangers(tx: Transaction, names: Sequence[str], call_centre: str, wanted: Sequence[Span]) -> None:
    """What was another call centre's may still be on its way out of a directory."""
    there = (
        sqlalchemy.select(_rows.directory, _rows.digits)
        .where(_rows.directory.in_(names), _rows.call_centre != call_centre, _rows.state != int(State.WITHDRAWN))
        .order_by(_rows.directory, _rows.digits)
    )
    for part in in_parts(there, wanted):
        found = tx.sql.execute(part.limit(_MOST_NAMED)).all()
        if found:
            first: str = found[0][0]
            raise PublishedByAnother(first, [digits for name, digits in found if name == first])


def _note(
    tx: Transaction,
    action: str,
    names: Sequence[str],
    spans: Sequence[Span] | None,
    call_centre: str,
    who: str,
    now_us: int,
) -> None:
    """Write in the audit what is wished, one line for each directory."""
    which: dict[str, Any] = {"numbers": "all"} if spans is None else {"numbers": told(spans), "count": size_of(spans)}
    words = msgspec.json.encode({"call_centre": call_centre, **which}).decode()
    append(tx, [AuditEntry(now_us, who, action, "publication", name, words) for name in names])


def _page(spans: Iterable[Span], after: int | None, limit: int | None) -> tuple[list[int], int | None]:
    """The next numbers of spans in normal form, and the cursor behind them, None at the end."""
    low = -1 if after is None else after
    rest = (digits for first, last in spans if last > low for digits in range(max(first, low + 1), last + 1))
    found = list(islice(rest, limit))
    more = limit is not None and next(rest, None) is not None
    return found, found[-1] if more else None
