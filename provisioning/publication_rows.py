"""The rows of publications: read, counted, written. Functions over a store transaction (H5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy

from provisioning.coverage import Span
from provisioning.publishing_rules import UNCOVERED, Publication, State
from provisioning.tables import publication_table
from store import Op, SelectByKeys, Transaction, Upsert

ALL_NUMBERS: Span = (0, 10**15 - 1)  # E.164 §6.2.1: at most 15 digits

_COLUMNS = Publication.__struct_fields__
_SPANS_A_QUERY = 200
_rows = publication_table.c
_put = Upsert(publication_table, _COLUMNS, conflict=("directory", "digits"), update=_COLUMNS[2:])
_select = SelectByKeys(publication_table, _COLUMNS, key=("directory", "digits"))


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


def write(tx: Transaction, rows: Sequence[Publication]) -> None:
    """Put publications into the store as they are now."""
    rows = sorted(rows, key=lambda row: (row.directory, row.digits))  # two writers lock rows in one order
    tx.write(Op(_put, [msgspec.structs.astuple(row) for row in rows]))


def status(
    tx: Transaction,
    *,
    call_centre: str = "",
    directory: str = "",
    directories: Sequence[str] = (),
    spans: Sequence[Span] = (),
) -> list[StatusRow]:
    """How publications stand: one row for each directory, call centre and state, in that order.

    Args:
        tx: the transaction.
        call_centre, directory, directories, spans: only of these, when given.
    """
    # What is held for the same reason is in no directory: it waits.
    flagged = sqlalchemy.case(
        (sqlalchemy.and_(_rows.reason == UNCOVERED, _rows.state == int(State.ACTIVE)), 1), else_=0
    )
    columns = (
        *(_rows.directory, _rows.call_centre, _rows.state),
        sqlalchemy.func.count(),
        sqlalchemy.func.min(_rows.since_us),
        sqlalchemy.func.min(sqlalchemy.case((_rows.next_us > 0, _rows.next_us))),
        sqlalchemy.func.max(_rows.reason),
        sqlalchemy.func.sum(flagged),
    )
    statement = sqlalchemy.select(*columns).group_by(_rows.directory, _rows.call_centre, _rows.state)
    if call_centre:
        statement = statement.where(_rows.call_centre == call_centre)
    if directory or directories:
        statement = statement.where(_rows.directory.in_({*directories, directory} - {""}))
    found: dict[tuple[str, str, int], StatusRow] = {}
    for part in in_parts(statement, spans):
        for name, centre, state, count, since_us, next_us, reason, uncovered in tx.sql.execute(part):
            key = name, centre, state
            word = State(state).word
            row = StatusRow(name, centre, word, int(count), since_us, next_us or 0, reason or "", int(uncovered))
            found[key] = _joined(found[key], row) if key in found else row
    return [found[key] for key in sorted(found)]


def _joined(one: StatusRow, other: StatusRow) -> StatusRow:
    due = [row.next_us for row in (one, other) if row.next_us]
    return msgspec.structs.replace(
        one,
        count=one.count + other.count,
        oldest_since_us=min(one.oldest_since_us, other.oldest_since_us),
        next_us=min(due, default=0),
        reason=max(one.reason, other.reason),
        uncovered=one.uncovered + other.uncovered,
    )


def in_parts(statement: sqlalchemy.Select[Any], spans: Sequence[Span]) -> Iterator[sqlalchemy.Select[Any]]:
    """A query of the numbers in spans, as so many queries as it takes; as it is when there are none."""
    if not spans:
        yield statement
    for at in range(0, len(spans), _SPANS_A_QUERY):
        yield statement.where(_within(spans[at : at + _SPANS_A_QUERY]))


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
    low = ALL_NUMBERS[0] if after is None else after + 1
    rest = [(max(first, low), last) for first, last in spans or [ALL_NUMBERS] if last >= low]
    for part in in_parts(statement, rest) if rest else ():
        if limit is not None:
            part = part.limit(limit - len(found))
        found += [Publication(*row) for row in tx.sql.execute(part)]
        if limit is not None and len(found) >= limit:
            break
    return found


def read(tx: Transaction, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Publication]:
    """Read publications by directory and number, those that there are."""
    return {(row[0], row[1]): Publication(*row) for row in tx.select(_select, keys)}


def users_of(tx: Transaction, directory: str) -> Iterator[str]:
    """Who would be left behind in a directory that is removed, in words."""
    for row in status(tx, directory=directory):
        if row.state != State.WITHDRAWN.word:
            yield f"{row.count:,} {row.state} publications of call centre {row.call_centre!r}"


def _within(spans: Sequence[Span]) -> sqlalchemy.ColumnElement[bool]:
    return sqlalchemy.or_(*[_rows.digits.between(first, last) for first, last in spans])
