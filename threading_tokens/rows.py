"""The statements over threads, and the steps that several parts of the registry take.

A row is the fields of `Thread` or `ThreadEvent` in their order. Every statement that changes a thread asks that it is
still open, so that none can bring a closed one back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy
from msgspec.structs import astuple, fields
from sqlalchemy import bindparam, select

from store import Insert, Op, SelectByKeys, Transaction, Update, Upsert
from threading_tokens.errors import ExpiredToken, ForeignToken, TokenError, UnknownToken
from threading_tokens.planning import closed_thread
from threading_tokens.tables import OPEN, event_table, thread_table
from threading_tokens.thread import EventKind, Thread, ThreadEvent
from threading_tokens.token import is_token, same_token

THREAD_COLUMNS = tuple(field.name for field in fields(Thread))
EVENT_COLUMNS = tuple(field.name for field in fields(ThreadEvent))
PAIR = ("customer", "number", "call_centre")

# All open threads of a customer, those with other numbers and call centres too: who reads must look at the pair.
OPEN_OF_CUSTOMER = SelectByKeys(thread_table, THREAD_COLUMNS, key="customer", where=OPEN)
BY_TOKEN = SelectByKeys(thread_table, THREAD_COLUMNS, key="token")

ADD = Insert(thread_table, (*THREAD_COLUMNS, "seen_us"))
ADD_UNLESS_OPEN = Upsert(
    thread_table, (*THREAD_COLUMNS, "seen_us"), conflict=PAIR, conflict_where=OPEN, update="nothing"
)
# Two statements, because SQLite rewrites an index whenever a column of it is named, changed or not.
CHANGED = (
    "network_endpoint",
    "last_us",
    "product",
    "channel",
    "designation_kind",
    "designation_value",
    "desk_label",
)
CHANGE = Update(thread_table, key="id", set=CHANGED, where=OPEN)
CLOSE = Update(thread_table, key="id", set=(*CHANGED, "closed_us", "close_reason"), where=OPEN)
TOUCH = Update(thread_table, key="id", set=("last_us",), where=OPEN)
SEE = Update(thread_table, key="id", set=("seen_us",), where=OPEN)

ADD_OPENING = Insert(
    event_table, ("id", "thread_id", "call_centre", "at_us", "kind", "by", "product", "channel", "detail")
)
ADD_EVENT = Insert(event_table, EVENT_COLUMNS)

THREAD = select(*(thread_table.c[name] for name in THREAD_COLUMNS))
IS_OPEN = thread_table.c.closed_us == sqlalchemy.literal_column("0")
LOCKED_BY_TOKEN = THREAD.where(thread_table.c.token == bindparam("token")).with_for_update(key_share=True)
LOCKED_OF_PAIRS = sqlalchemy.text(
    f"SELECT {', '.join(THREAD_COLUMNS)} FROM thread"  # noqa: S608 - names of columns
    " WHERE (call_centre, number, customer) IN"
    " (SELECT * FROM unnest(CAST(:call_centres AS text[]), CAST(:numbers AS text[]), CAST(:customers AS text[])))"
    f" AND {OPEN} ORDER BY id FOR NO KEY UPDATE"
)


def threads_of(tx: Transaction, statement: sqlalchemy.Select[Any], **values: Any) -> list[Thread]:
    """The threads that a query of `THREAD` answers with."""
    return [Thread(*row) for row in tx.sql.execute(statement, values)]


def change_row(thread: Thread) -> tuple[Any, ...]:
    """A thread as a row of `CHANGE`."""
    return (
        thread.id,
        thread.network_endpoint,
        thread.last_us,
        thread.product,
        thread.channel,
        thread.designation_kind,
        thread.designation_value,
        thread.desk_label,
    )


def usable(thread: Thread | None, call_centre: str, token: str) -> Thread | TokenError:
    """What a desk may have of a thread that was found by its token."""
    # The index found it; that it is the whole token is compared again in constant time.
    if thread is None or not same_token(thread.token, token):
        return UnknownToken(token)
    if thread.call_centre != call_centre:
        return ForeignToken(token)
    return thread if thread.is_open else ExpiredToken(token)


def thread_of_token(tx: Transaction, call_centre: str, token: str) -> Thread:
    """The open thread of a token, to look at. Raises TokenError."""
    rows = tx.select(BY_TOKEN, [token]) if is_token(token) else []
    return _found(Thread(*rows[0]) if rows else None, call_centre, token)


def locked_by_token(tx: Transaction, call_centre: str, token: str) -> Thread:
    """The open thread of a token, to change: nobody else does before the transaction ends. Raises TokenError."""
    rows = threads_of(tx, LOCKED_BY_TOKEN, token=token) if is_token(token) else []
    return _found(rows[0] if rows else None, call_centre, token)


def _found(thread: Thread | None, call_centre: str, token: str) -> Thread:
    found = usable(thread, call_centre, token)
    if isinstance(found, TokenError):
        raise found
    return found


def record(
    tx: Transaction, thread: Thread, kind: EventKind, new_id: Callable[[], int], now_us: int, **facts: Any
) -> None:
    """Write one event of a thread."""
    event = ThreadEvent(
        id=new_id(),
        thread_id=thread.id,
        call_centre=thread.call_centre,
        at_us=now_us,
        kind=kind.value,
        product=thread.product,
        channel=thread.channel,
        **facts,
    )
    tx.write(Op(ADD_EVENT, [astuple(event)]))


def end_threads(
    tx: Transaction,
    threads: Sequence[tuple[Thread, str]],
    kind: EventKind,
    by: str,
    now_us: int,
    new_id: Callable[[], int],
) -> list[Thread]:
    """Close threads that are open and locked, each for its reason."""
    closed = [closed_thread(thread, reason, now_us) for thread, reason in threads]
    if closed:
        tx.write(Op(CLOSE, [(*change_row(thread), thread.closed_us, thread.close_reason) for thread in closed]))
        events = [
            ThreadEvent(
                new_id(),
                thread.id,
                thread.call_centre,
                now_us,
                kind.value,
                by,
                designation_kind=thread.designation_kind,
                designation_value=thread.designation_value,
                desk_label=thread.desk_label,
                product=thread.product,
                channel=thread.channel,
                detail=thread.close_reason,
            )
            for thread in closed
        ]
        tx.write(Op(ADD_EVENT, [astuple(event) for event in events]))
    return closed
