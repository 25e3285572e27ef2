"""What the hub does to threads by itself as time passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy
from sqlalchemy import select

from store import Op, Transaction
from threading_tokens.rows import IS_OPEN, SEE, THREAD, end_threads, threads_of
from threading_tokens.rules import ThreadRules
from threading_tokens.tables import event_table, thread_table
from threading_tokens.thread import EventKind, OpenedBecause, Thread


def expire(
    tx: Transaction,
    rules_by_call_centre: Mapping[str, ThreadRules],
    now_us: int,
    limit: int,
    new_id: Callable[[], int],
) -> list[Thread]:
    """Close threads whose call centre's times have passed, the oldest first.

    Args:
        rules_by_call_centre: the call centres to look at. With both times 0 a call centre's threads never end so.
        limit: how many to close at most. About four times as many are looked at, at most, for each call centre.

    Returns: the threads, closed. As many as the limit: there may be more, call again.

    Source: H20, H38.
    """
    due: list[tuple[Thread, str]] = []
    for call_centre, rules in rules_by_call_centre.items():
        if rules.max_age_us and len(due) < limit:
            taken = {thread.id for thread, _ in due}
            due += [
                (thread, OpenedBecause.MAX_AGE.value)
                for thread in _oldest(tx, call_centre, limit - len(due))
                if thread.id not in taken and now_us - thread.opened_us > rules.max_age_us
            ]
        if rules.idle_us and len(due) < limit:
            taken = {thread.id for thread, _ in due}
            idle = _idle(tx, call_centre, now_us - rules.idle_us, limit - len(due), taken)
            due += [(thread, OpenedBecause.ELAPSED.value) for thread in idle]
    return end_threads(tx, due, EventKind.EXPIRED, "hub", now_us, new_id)


def forget(tx: Transaction, call_centre: str, closed_before_us: int, limit: int) -> int:
    """Remove threads that ended before a time, with their events: what retention asks for.

    Args:
        limit: how many at most.

    Returns: how many were removed. As many as the limit: there may be more.

    Source: H36.
    """
    statement = (
        select(thread_table.c.id)
        .where(
            thread_table.c.call_centre == call_centre,
            thread_table.c.closed_us > sqlalchemy.literal_column("0"),
            thread_table.c.closed_us < closed_before_us,
        )
        .order_by(thread_table.c.closed_us)
        .limit(limit)
    )
    ids = list(tx.sql.execute(statement).scalars())
    if ids:
        tx.sql.execute(event_table.delete().where(event_table.c.thread_id.in_(ids)))
        tx.sql.execute(thread_table.delete().where(thread_table.c.id.in_(ids)))
    return len(ids)


def _oldest(tx: Transaction, call_centre: str, limit: int) -> list[Thread]:
    """The open threads that were opened first. Ids rise with time, so their order is the order of age."""
    statement = THREAD.where(thread_table.c.call_centre == call_centre, IS_OPEN)
    return threads_of(tx, statement.order_by(thread_table.c.id).limit(limit).with_for_update(key_share=True))


def _idle(tx: Transaction, call_centre: str, said_before_us: int, limit: int, taken: set[int]) -> list[Thread]:
    """Open threads in which nothing was said since a time; of others met on the way, notes when they were last seen.

    See `tables` on ``seen_us``: it is never later than ``last_us``, so no idle thread has it later than that time.
    """
    found: list[Thread] = []
    statement = (
        THREAD.where(thread_table.c.call_centre == call_centre, IS_OPEN, thread_table.c.seen_us < said_before_us)
        .order_by(thread_table.c.seen_us)
        .limit(limit)
        .with_for_update(key_share=True)
    )
    for _ in range(4):
        candidates = [t for t in threads_of(tx, statement) if t.id not in taken]
        busy = [(thread.id, thread.last_us) for thread in candidates if thread.last_us >= said_before_us]
        if busy:
            tx.write(Op(SEE, busy))
        for thread in candidates:
            if thread.last_us < said_before_us and len(found) < limit:
                found.append(thread)
                taken.add(thread.id)
        if not busy or len(found) >= limit:
            break
    return found
