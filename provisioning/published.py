"""What is wished to be in external directories, for those who must not pull the ground from under it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy

from provisioning.authority import Loa, is_valid
from provisioning.carrier_directory import CarrierDirectory, identity_of
from provisioning.coverage import Span, coverage_of, joined, spans_of, told, without
from provisioning.desk_side import Block, Number
from provisioning.e164 import digits_of
from provisioning.errors import BadValue
from provisioning.tables import block_table, number_table, publication_table
from store import Transaction

_PAGE = 1_000  # numbers read at a time
_MOST = 100_000  # numbers counted, to be told of


def published_within(tx: Transaction, call_centre: str, spans: Sequence[Span], most: int) -> list[int]:
    """The numbers of a call centre that are published, or shall be, within spans: the lowest ``most`` of them.

    Both sides may be long: it goes along the index, and leaps over what lies between two spans.

    Args:
        tx: where from.
        call_centre: whose.
        spans: where to look.
        most: at most so many.
    """
    found: list[int] = []
    rows = publication_table.c
    wanted = joined(spans)
    at = 0
    low = wanted[0][0] if wanted else 0
    while at < len(wanted) and len(found) < most:
        statement = (
            sqlalchemy.select(rows.digits)
            .distinct()
            .where(rows.call_centre == call_centre, rows.wanted == 1, rows.digits.between(low, wanted[-1][1]))
            .order_by(rows.digits)
            .limit(_PAGE)
        )
        page = list(tx.sql.execute(statement).scalars())
        for digits in page:
            while at < len(wanted) and wanted[at][1] < digits:
                at += 1
            if at < len(wanted) and wanted[at][0] <= digits:
                found.append(digits)
        if len(page) < _PAGE:
            break
        while at < len(wanted) and wanted[at][1] <= page[-1]:
            at += 1
        low = max(page[-1] + 1, wanted[at][0]) if at < len(wanted) else 0
    return found[:most]


def spans_of_call_centre(tx: Transaction, call_centre: str) -> list[Span]:
    """The numbers and blocks of a call centre, suspended ones too, in normal form."""
    numbers, blocks = number_table.c, block_table.c
    singles = tx.sql.execute(sqlalchemy.select(numbers.digits).where(numbers.call_centre == call_centre)).scalars()
    spans = [(digits, digits) for digits in singles]
    found = tx.sql.execute(sqlalchemy.select(blocks.first, blocks.last).where(blocks.call_centre == call_centre))
    spans += [(first, last) for first, last in found]
    return joined(spans)


def left_behind(tx: Transaction, entry: Number | Block) -> Iterator[str]:
    """What directories would go on listing when a number or block has gone, in words. Call it after the removal.

    A publisher takes numbers that are gone out of the directories. But a block that is removed to be added with other
    bounds would so be withdrawn from them all, unasked, and nobody would know.

    Args:
        tx: where from.
        entry: what was removed.
    """
    if isinstance(entry, Block):
        span = (digits_of(entry.first), digits_of(entry.last))
    else:
        span = (digits_of(entry.number), digits_of(entry.number))
    if not published_within(tx, entry.call_centre, [span], 1):
        return
    gone = without([span], spans_of_call_centre(tx, entry.call_centre))
    yield from _publications(published_within(tx, entry.call_centre, gone, _MOST))


def left_uncovered(tx: Transaction, loa: Loa, others: Sequence[Loa], today: str) -> Iterator[str]:
    """Who relies on a letter: published numbers that no other letter covers today, in words.

    Args:
        tx: where from.
        loa: the letter that is to go.
        others: the other letters.
        today: the day, UTC.
    """
    if not is_valid(loa, today):
        return
    alone = coverage_of(others, loa.call_centre, today).missing(spans_of(loa.numbers))
    yield from _publications(published_within(tx, loa.call_centre, alone, _MOST))


def check_stays_itself(tx: Transaction, old: CarrierDirectory, new: CarrierDirectory) -> None:
    """Refuse settings that make another directory of one that has been told numbers: nobody would take them out there.

    Args:
        tx: where from.
        old, new: a directory as it is and as it is to be.

    Raises: BadValue.
    """
    before, after = identity_of(old), identity_of(new)
    # The owner's name may stand in another setting from now on: who we are is its value.
    if before == after or list(before.values()) == list(after.values()):
        return
    rows = publication_table.c
    knows = sqlalchemy.select(sqlalchemy.func.count()).where(rows.directory == old.name, rows.content != "")
    count = tx.sql.execute(knows).scalar() or 0
    if count:
        field = next(name for name, value in after.items() if before.get(name) != value)
        why = (
            f"cannot change while directory {old.name!r} may have {count:,} numbers of ours, which would stay there: "
            "withdraw them first, or add a directory of another name"
        )
        raise BadValue(field, after[field], why)


def _publications(numbers: Sequence[int]) -> Iterator[str]:
    if numbers:
        count = (
            f"{'at least ' if len(numbers) == _MOST else ''}{len(numbers):,} number{'s' if len(numbers) > 1 else ''}"
        )
        yield f"the publication of {told(joined([(digits, digits) for digits in numbers]))} ({count})"
