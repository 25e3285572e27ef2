"""What happened: history of threads and lists of them, read only."""

from __future__ import annotations

from sqlalchemy import and_, select

from store import Transaction
from threading_tokens.rows import EVENT_COLUMNS, IS_OPEN, THREAD, thread_of_token, threads_of
from threading_tokens.tables import event_table, thread_table
from threading_tokens.thread import EventKind, History, Thread, ThreadEvent, pairings_of


def history(
    tx: Transaction,
    call_centre: str,
    *,
    token: str = "",
    customer: str = "",
    number: str = "",
    limit: int = 100,
    before: int = 0,
) -> History:
    """What happened in a thread, or with a customer over all threads.

    Args:
        call_centre: who asks.
        token: of an open thread: its history. Else:
        customer: the customer's address: the history of all threads, closed ones too.
        number: with a customer: only threads of this number.
        limit: how many events at most.
        before: the id of the oldest event already seen, 0 for the newest.

    Returns: events, their threads, and all the pairings of these threads.

    Raises:
        TokenError: the token names no thread that may be used.
        ValueError: neither token nor customer is given.

    Source: H24, H25, H28.
    """
    if token:
        which = [thread_table.c.id == thread_of_token(tx, call_centre, token).id]
    elif customer:
        which = [thread_table.c.call_centre == call_centre, thread_table.c.customer == customer]
        if number:
            which.append(thread_table.c.number == number)
    else:
        raise ValueError("history is asked of a token or of a customer")
    statement = (
        select(*(event_table.c[name] for name in EVENT_COLUMNS))
        .join(thread_table, thread_table.c.id == event_table.c.thread_id)
        .where(and_(*which))
        .order_by(event_table.c.id.desc())
    )
    recent = statement.where(event_table.c.id < before) if before else statement
    events = [ThreadEvent(*row) for row in tx.sql.execute(recent.limit(limit))]
    ids = {event.thread_id for event in events}
    threads = threads_of(tx, THREAD.where(thread_table.c.id.in_(ids)).order_by(thread_table.c.id.desc()))
    given = statement.where(
        event_table.c.thread_id.in_(ids),
        event_table.c.kind.in_([EventKind.DESIGNATED.value, EventKind.TRANSFERRED.value]),
    )
    pairings = pairings_of(threads, [ThreadEvent(*row) for row in tx.sql.execute(given)])
    return History(threads, events, pairings)


def list_threads(
    tx: Transaction, call_centre: str | None, *, open_only: bool = True, limit: int = 100, before: int = 0
) -> list[Thread]:
    """The newest threads.

    Args:
        call_centre: whose; None for all, which only an operator may ask.
        open_only: leave out closed ones.
        limit: how many at most.
        before: the id of the oldest thread already seen, 0 for the newest.
    """
    statement = THREAD.order_by(thread_table.c.id.desc()).limit(limit)
    if call_centre is not None:
        statement = statement.where(thread_table.c.call_centre == call_centre)
    if open_only:
        statement = statement.where(IS_OPEN)
    if before:
        statement = statement.where(thread_table.c.id < before)
    return threads_of(tx, statement)


def thread_by_id(tx: Transaction, thread_id: int) -> Thread | None:
    """A thread by its id, for operators; desks name threads by token."""
    found = threads_of(tx, THREAD.where(thread_table.c.id == thread_id))
    return found[0] if found else None
