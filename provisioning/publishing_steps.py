"""The steps of publishing as the store sees them: functions over a store transaction (H5).

One round is ``due`` (a batch of rows of one state), ``claim`` (they are written as told), the call, and ``settle``
(what came of it). ``claim`` and ``settle`` read their rows again, locked, and pass over those that were changed
meanwhile: the call may take a minute, and a command in another process need not wait for it.

A wish is ended, or held, only by a view that is as new as the catalog: numbers, letter and wish may have been added a
moment ago, and the snapshot follows within seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy

from provisioning.carrier_directory import CarrierDirectory
from provisioning.catalog import revision
from provisioning.directories.adapter import Answer, Listing, Task
from provisioning.listings import Listings, bare_listing
from provisioning.publication_rows import status, write
from provisioning.publishing_rules import (
    DUE,
    ON_ITS_WAY_OUT,
    SLACK_US,
    Publication,
    Standing,
    State,
    Step,
    Waits,
    answered,
    content_of,
    key_of,
    reconciled,
    step_of,
    told,
)
from provisioning.publishing_tally import Counted
from provisioning.tables import publication_table
from store import Transaction

KEPT_US = 30 * 86_400_000_000  # a withdrawn publication is shown so long
_rows = publication_table.c
_TOLD = (int(State.SUBMITTING), int(State.WITHDRAWING))
_HAVE_CONTENT = frozenset(State) - {*ON_ITS_WAY_OUT, State.WANTED, State.HELD}
_KEYS_A_QUERY = 500


class Claimed(msgspec.Struct, frozen=True):
    """A batch that its directory is to be asked about.

    Attributes:
        step: what to call.
        rows: as they stand in the store now.
        tasks: what to call it with; beside ``rows``.
        moved: rows that were due and came into another state instead: held, ended, or to be told anew. With none of
            these and no task, the view is too old for what is due.
    """

    step: Step
    rows: list[Publication]
    tasks: list[Task]
    moved: int = 0


def resume(tx: Transaction, directory: str, now_us: int) -> int:
    """Make due what was being told when the publisher ended.

    Returns: how many publications that are.
    """
    mine = sqlalchemy.and_(_rows.directory == directory, _rows.state.in_(_TOLD))
    done = tx.sql.execute(sqlalchemy.update(publication_table).where(mine).values(next_us=now_us))
    return int(done.rowcount)


def due(tx: Transaction, directory: str, waits: Waits, now_us: int, limit: int) -> tuple[list[Publication], int]:
    """Read the batch that is due the longest: rows of one state, and of one submission when they are told again.

    Returns: the rows, in the order of their numbers; and when the next is due, in microseconds, when there are none: 0
        for never.
    """
    ahead_us = now_us + waits.longest_us + SLACK_US  # a clock that jumped wrote these
    oldest: list[tuple[int, int]] = []
    next_us = 0
    for state in DUE:
        mine = sqlalchemy.and_(_rows.directory == directory, _rows.state == int(state))
        first = tx.sql.execute(sqlalchemy.select(sqlalchemy.func.min(_rows.next_us)).where(mine)).scalar()
        if first is None:
            continue
        if first <= now_us or first > ahead_us:
            oldest.append((first if first <= now_us else now_us, int(state)))
            continue
        next_us = min(next_us or first, first)
        last = tx.sql.execute(sqlalchemy.select(sqlalchemy.func.max(_rows.next_us)).where(mine)).scalar()
        if last is not None and last > ahead_us:
            oldest.append((now_us, int(state)))
    if not oldest:
        return [], next_us
    _, chosen = min(oldest)
    statement = (
        sqlalchemy.select(publication_table)
        .where(
            _rows.directory == directory,
            _rows.state == chosen,
            sqlalchemy.or_(_rows.next_us <= now_us, _rows.next_us > ahead_us),
        )
        .order_by(_rows.next_us, _rows.digits)
        .limit(limit)
    )
    rows = [Publication(*row) for row in tx.sql.execute(statement)]
    if chosen in _TOLD:
        rows = [row for row in rows if row.submission == rows[0].submission]
    return sorted(rows, key=lambda row: row.digits), now_us


def next_submission(batch: Sequence[Publication], now_us: int) -> int:
    """The name of the next telling of some rows: it rises, whatever the clock does."""
    return max([now_us, *(row.submission + 1 for row in batch)])


def claim(
    tx: Transaction,
    batch: Sequence[Publication],
    listings: Listings,
    carrier: CarrierDirectory,
    submission: int,
    until_us: int,
    now_us: int,
    only: Step | None = None,
) -> Claimed:
    """Write a batch, or a piece of one, as told, before its directory is.

    Args:
        tx: the transaction.
        batch: what ``due`` answered, or some of it.
        listings: the view.
        carrier: the directory.
        submission: ``next_submission`` of all of the batch.
        until_us: when the rows are due again if nothing is heard of the call.
        now_us: now.
        only: the step that the pieces before have; of any other no row is taken.
    """
    is_fresh = revision(tx) == listings.revision
    moved: list[Publication] = []
    steps: dict[Step, list[Publication]] = {step: [] for step in Step}
    for row in _again(tx, batch):
        new = _reconciled(row, listings, carrier, now_us)
        step = step_of(new, listings.is_covered(new))
        if not is_fresh and _ends(row, new):
            continue  # the next view knows
        if new.state != row.state:
            moved.append(new)
        elif step is not None:
            steps[step].append(new)
    # Of one submission, what a letter covers is told again and the rest is looked up: one call is of one kind.
    step = only or max(steps, key=lambda each: len(steps[each]))
    rows = steps[step]
    listed = [_listing(row, listings, carrier) for row in rows]
    if step is not Step.CONFIRM:
        rows = [
            told(row, content_of(listing, carrier), submission, until_us, now_us)
            for row, listing in zip(rows, listed, strict=True)
        ]
    write(tx, moved if step is Step.CONFIRM else [*moved, *rows])
    tasks = [Task(key_of(row), listing, row.remote_id) for row, listing in zip(rows, listed, strict=True)]
    return Claimed(step, rows, tasks, len(moved))


def settle(
    tx: Transaction,
    asked: Sequence[Publication],
    answers: Sequence[Answer],
    listings: Listings,
    carrier: CarrierDirectory,
    waits: Waits,
    now_us: int,
) -> int:
    """Write what a directory said.

    Args:
        tx: the transaction.
        asked: the rows as ``claim`` answered them.
        answers: beside them.
        listings, carrier: as for ``claim``.
        waits: of the directory, with a jitter.
        now_us: now.

    Returns: how many answers counted: others were asked of rows that have changed since.
    """
    said = {row.digits: answer for row, answer in zip(asked, answers, strict=True)}
    is_fresh = revision(tx) == listings.revision
    changed = []
    for row in _again(tx, asked):
        new = answered(row, said[row.digits], waits, now_us)
        brought = _reconciled(new, listings, carrier, now_us)
        changed.append(new if not is_fresh and _ends(new, brought) else brought)
    write(tx, changed)
    return len(changed)


def differing(
    tx: Transaction, listings: Listings, carrier: CarrierDirectory, after: int, limit: int, now_us: int
) -> tuple[list[Publication], int | None]:
    """Look through a page of a directory's publications for those that what is provisioned has moved on from.

    Returns: these, for ``reconcile``; and the cursor of the next page, None when this was the last.
    """
    statement = (
        sqlalchemy.select(publication_table)
        .where(_rows.directory == carrier.name, _rows.digits > after)
        .order_by(_rows.digits)
        .limit(limit)
    )
    rows = [Publication(*row) for row in tx.sql.execute(statement)]
    found = [row for row in rows if _reconciled(row, listings, carrier, now_us) is not row]
    return found, rows[-1].digits if len(rows) == limit else None


def reconcile(
    tx: Transaction, rows: Sequence[Publication], listings: Listings, carrier: CarrierDirectory, now_us: int
) -> int:
    """Bring publications to what is provisioned now.

    Returns: how many changed.
    """
    is_fresh = revision(tx) == listings.revision
    changed = []
    for row in _again(tx, rows):
        new = _reconciled(row, listings, carrier, now_us)
        if new is not row and (is_fresh or not _ends(row, new)):
            changed.append(new)
    write(tx, changed)
    return len(changed)


def forgettable(tx: Transaction, now_us: int, limit: int) -> list[tuple[str, int]]:
    """Find what was withdrawn long ago, for ``sweep``. Returns: directories and numbers, so many at most."""
    statement = sqlalchemy.select(_rows.directory, _rows.digits).where(_withdrawn_before(now_us - KEPT_US))
    return [(directory, digits) for directory, digits in tx.sql.execute(statement.limit(limit))]


def sweep(tx: Transaction, keys: Sequence[tuple[str, int]], now_us: int) -> int:
    """Forget what was withdrawn long ago, and not wished for again since. Returns: how many publications."""
    found: dict[str, list[int]] = {}
    for directory, digits in keys:
        found.setdefault(directory, []).append(digits)
    old = _withdrawn_before(now_us - KEPT_US)
    count = 0
    for directory, numbers in found.items():
        these = sqlalchemy.and_(_rows.directory == directory, _rows.digits.in_(numbers), old)
        count += int(tx.sql.execute(sqlalchemy.delete(publication_table).where(these)).rowcount)
    return count


def _withdrawn_before(at_us: int) -> sqlalchemy.ColumnElement[bool]:
    return sqlalchemy.and_(_rows.state == int(State.WITHDRAWN), _rows.wanted == 0, _rows.since_us < at_us)


def counts(tx: Transaction, confirm_s: Mapping[str, float], now_us: int) -> list[Counted]:
    """How many publications there are, by directory and state.

    Args:
        tx: the transaction.
        confirm_s: of each directory.
        now_us: now.
    """
    found: dict[tuple[str, str], Counted] = {}
    for row in status(tx):
        key = row.directory, row.state
        old = found.get(key) or Counted(*key, 0, row.oldest_since_us, 0, 0)
        oldest_us = min(old.oldest_since_us, row.oldest_since_us)
        found[key] = Counted(*key, old.count + row.count, oldest_us, old.uncovered + row.uncovered, 0)
    for name, longest_s in confirm_s.items():
        before_us = now_us - round(longest_s * 1e6)
        for state in (State.SUBMITTING, State.SUBMITTED):
            counted = found.get((name, state.word))
            if counted is not None and counted.oldest_since_us < before_us:
                late = sqlalchemy.select(sqlalchemy.func.count()).where(
                    _rows.directory == name, _rows.state == int(state), _rows.since_us < before_us
                )
                overdue = int(tx.sql.execute(late).scalar() or 0)
                found[name, state.word] = msgspec.structs.replace(counted, overdue=overdue)
    return list(found.values())


def _again(tx: Transaction, rows: Sequence[Publication]) -> list[Publication]:
    """Those rows that stand as they did, read again and held until the transaction ends."""
    before = {(row.directory, row.digits): row for row in rows}
    found: list[Publication] = []
    for at in range(0, len(rows), _KEYS_A_QUERY):
        digits = [row.digits for row in rows[at : at + _KEYS_A_QUERY]]
        statement = (
            sqlalchemy.select(publication_table)
            .where(_rows.directory == rows[0].directory, _rows.digits.in_(digits))
            .order_by(_rows.digits)
            .with_for_update()
        )
        found += [Publication(*row) for row in tx.sql.execute(statement)]
    return [row for row in found if _is_as_before(row, before[row.directory, row.digits])]


def _is_as_before(row: Publication, before: Publication) -> bool:
    return row.state == before.state and row.submission == before.submission and row.call_centre == before.call_centre


def _reconciled(row: Publication, listings: Listings, carrier: CarrierDirectory, now_us: int) -> Publication:
    """A publication measured by the view."""
    standing = listings.standing(row)
    covered = listings.is_covered(row)
    needs_content = covered and standing is Standing.SERVED and row.wanted and row.state in _HAVE_CONTENT
    content = content_of(listings.listing(row, carrier), carrier) if needs_content else ""
    return reconciled(row, standing, content, covered, now_us)


def _ends(row: Publication, new: Publication) -> bool:
    """Whether a publication is worse off: what a view that is too old must not do."""
    return new is not row and (new.state in ON_ITS_WAY_OUT or new.state == State.HELD)


def _listing(row: Publication, listings: Listings, carrier: CarrierDirectory) -> Listing:
    return bare_listing(row) if row.state in ON_ITS_WAY_OUT else listings.listing(row, carrier)
