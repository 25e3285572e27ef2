"""Publications: what is wished for of external directories, and how it stands. Functions over a store transaction (H5).

``publish`` and ``withdraw`` write wishes; the publisher (``publisher``) carries them out, and ``publishing_rules`` says
how. All are idempotent: a wish that is there already is left alone, one that was refused is tried again.

A command over many numbers goes in pages, one transaction each, so that the store's other writers do not wait: it is
given the cursor that the page before answered. The first page checks all of the wish, and refuses it whole; a letter
that lapses between two pages is found when the publisher comes to the number.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec
import sqlalchemy

from provisioning.coverage import Span, coverage_of, joined, size_of, told, without
from provisioning.errors import BadValue, ProvisioningError, UnknownEntry
from provisioning.model import CallCentre, CarrierDirectory, Loa
from provisioning.publishing_rules import UNCOVERED, Publication, State, unwished, wished
from provisioning.rows import TABLES, read_all
from provisioning.tables import block_table, number_table, publication_table
from store import Op, SelectByKeys, Transaction, Upsert
from store.audit import AuditEntry, append

MAX_NUMBERS = 1_000_000  # of one command: a slip of the pen must not fill the disk
PAGE_ROWS = 2_000  # rows of one transaction: some 50 ms of the store's writer

COLUMNS = Publication.__struct_fields__
put_publications = Upsert(publication_table, COLUMNS, conflict=("directory", "digits"), update=COLUMNS[2:])
select_publications = SelectByKeys(publication_table, COLUMNS, key=("directory", "digits"))
_rows = publication_table.c
_US_PER_DAY = 86_400_000_000
_EPOCH = datetime.date(1970, 1, 1)
_ALL: Span = (0, 10**15 - 1)  # E.164 §6.2.1: at most 15 digits
_SPANS_A_QUERY = 200
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


class StatusRow(msgspec.Struct, frozen=True):
    """How the publications of one directory, call centre and state stand.

    Attributes:
        directory, call_centre, state: whose; the state's word.
        count: how many.
        oldest_since_us: since when the oldest is in this state.
        next_us: when the next of them is due; 0 when none is.
        reason: one of the reasons given, or empty.
        uncovered: how many of them no valid letter covers any more; they stay published.
    """

    directory: str
    call_centre: str
    state: str
    count: int
    oldest_since_us: int
    next_us: int
    reason: str
    uncovered: int


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

    Raises: NotCovered, NotOwned, PublishedByAnother; UnknownEntry; BadValue when there is nothing to publish, or too
        much. Nothing is written then.
    """
    names = _directories(tx, directories)
    own = _own(tx, call_centre)
    wanted = own if spans is None else joined(spans)
    if after is None:
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
) -> Published:
    """Wish that numbers of a call centre be in directories no more. What was never published stays so.

    Args:
        tx, call_centre, who, now_us, after, limit: as for ``publish``.
        directories: names; all that are provisioned when empty.
        spans: which numbers; None for all that the call centre has published.

    Raises: UnknownEntry.
    """
    names = _directories(tx, directories)
    if after is None:
        _check_centre(tx, call_centre)
        _note(tx, "withdrawn", names, spans, call_centre, who, now_us)
    wanted = joined(spans) if spans is not None else [_ALL]
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
    ended = [(row, unwished(row, now_us)) for row in rows]
    changed = [new for row, new in ended if new is not row]
    write(tx, changed)
    return Published(len({row.digits for row in rows}), len(changed), len(rows) - len(changed), cursor)


def write(tx: Transaction, rows: Sequence[Publication]) -> None:
    """Put publications into the store as they are now."""
    rows = sorted(rows, key=lambda row: (row.directory, row.digits))  # two writers lock rows in one order
    tx.write(Op(put_publications, [msgspec.structs.astuple(row) for row in rows]))


def status(tx: Transaction, *, call_centre: str = "", directory: str = "") -> list[StatusRow]:
    """How publications stand: one row for each directory, call centre and state, in that order.

    Args:
        tx: the transaction.
        call_centre, directory: only of these, when given.
    """
    flagged = sqlalchemy.case((_rows.reason == UNCOVERED, 1), else_=0)
    due = sqlalchemy.func.min(sqlalchemy.case((_rows.next_us > 0, _rows.next_us)))
    columns = (
        _rows.directory,
        _rows.call_centre,
        _rows.state,
        sqlalchemy.func.count(),
        sqlalchemy.func.min(_rows.since_us),
        sqlalchemy.func.coalesce(due, 0),
        sqlalchemy.func.max(_rows.reason),
        sqlalchemy.func.sum(flagged),
    )
    grouped = (_rows.directory, _rows.call_centre, _rows.state)
    statement = sqlalchemy.select(*columns).group_by(*grouped).order_by(*grouped)
    if call_centre:
        statement = statement.where(_rows.call_centre == call_centre)
    if directory:
        statement = statement.where(_rows.directory == directory)
    return [
        StatusRow(row[0], row[1], State(row[2]).word, int(row[3]), row[4], row[5], row[6] or "", int(row[7]))
        for row in tx.sql.execute(statement)
    ]


def numbers(
    tx: Transaction,
    *,
    call_centre: str = "",
    directories: Sequence[str] = (),
    spans: Sequence[Span] = (),
    states: Sequence[State] = (),
    after: int | None = None,
    limit: int | None = 1_000,
    locked: bool = False,
) -> list[Publication]:
    """Read publications in the order of their numbers, then directories.

    Args:
        tx: the transaction.
        call_centre, directories, spans, states: only of these, when given.
        after: only of greater numbers.
        limit: at most so many rows; None for all.
        locked: hold the rows until the transaction ends, for who is going to change them.
    """
    found: list[Publication] = []
    statement = sqlalchemy.select(publication_table).order_by(_rows.digits, _rows.directory)
    if call_centre:
        statement = statement.where(_rows.call_centre == call_centre)
    if directories:
        statement = statement.where(_rows.directory.in_(directories))
    if states:
        statement = statement.where(_rows.state.in_([int(state) for state in states]))
    if locked:
        statement = statement.with_for_update()
    low = _ALL[0] if after is None else after + 1
    rest = [(max(first, low), last) for first, last in spans or [_ALL] if last >= low]
    for at in range(0, len(rest), _SPANS_A_QUERY):
        part = statement.where(_within(rest[at : at + _SPANS_A_QUERY]))
        if limit is not None:
            part = part.limit(limit - len(found))
        found += [Publication(*row) for row in tx.sql.execute(part)]
        if limit is not None and len(found) >= limit:
            break
    return found


def read(tx: Transaction, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Publication]:
    """Read publications by directory and number, those that there are."""
    return {(row[0], row[1]): Publication(*row) for row in tx.select(select_publications, keys)}


def users_of(tx: Transaction, directory: str) -> Iterator[str]:
    """Who would be left behind in a directory that is removed, in words."""
    for row in status(tx, directory=directory):
        if row.state != State.WITHDRAWN.word:
            yield f"{row.count:,} {row.state} publications of call centre {row.call_centre!r}"


def _within(spans: Sequence[Span]) -> sqlalchemy.ColumnElement[bool]:
    return sqlalchemy.or_(*[_rows.digits.between(first, last) for first, last in spans])


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
    there = sqlalchemy.select(_rows.directory, _rows.digits).where(
        _rows.directory.in_(names), _rows.call_centre != call_centre, _rows.state != int(State.WITHDRAWN)
    )
    for at in range(0, len(wanted), _SPANS_A_QUERY):
        part = there.where(_within(wanted[at : at + _SPANS_A_QUERY])).order_by(_rows.directory, _rows.digits)
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
    count = 0 if spans is None else size_of(spans)
    detail = {"call_centre": call_centre, "numbers": "all" if spans is None else told(spans), "count": count}
    words = msgspec.json.encode(detail).decode()
    append(tx, [AuditEntry(now_us, who, action, "publication", name, words) for name in names])


def _page(spans: Iterable[Span], after: int | None, limit: int | None) -> tuple[list[int], int | None]:
    """The next numbers of spans in normal form, and the cursor behind them, None at the end."""
    low = -1 if after is None else after
    rest = (digits for first, last in spans if last > low for digits in range(max(first, low + 1), last + 1))
    found = list(islice(rest, limit))
    more = limit is not None and next(rest, None) is not None
    return found, found[-1] if more else None
