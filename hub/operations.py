"""What operators ask of the queue: list, show, count, retry, drop.

The command line runs beside the daemon and must not move rows that the daemon holds in memory. What changes something
is therefore a request in the store, which the daemon carries out within a second (or when it starts).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import delete, func, insert, select, text, update

from hub import journal
from hub.model import State
from hub.receipts import PARKED_US
from hub.tables import arrived_part, message, operator_request, parked_receipt
from store import Transaction
from threading_tokens.tables import event_table, thread_table

FORGET_PAGE = 5_000  # parked receipts forgotten in one write
MAX_PARKED = 100_000  # rows; a receipt overtakes its answer by seconds, and no carrier sends that many in these
REQUESTS_PAGE = 100  # requests carried out between two looks at what else came
PENDING = (State.QUEUED, State.SUBMITTING)


class Request(msgspec.Struct, frozen=True):
    """Something an operator asked for.

    Attributes:
        id: the request's id.
        verb: ``"retry"`` or ``"drop"``.
        message_id: which message.
        who: who asked.
        at_us: when.
    """

    id: int
    verb: str
    message_id: int
    who: str
    at_us: int


class Listed(msgspec.Struct, frozen=True):
    """A line of the queue's listing. Never the text.

    Attributes:
        id, origin, endpoint, source, destination, call_centre: see ``hub.model.Message``.
        kind, state: as words.
        received_us, expires_us, next_us: times.
        next_part, attempts, in_doubt, reason: see ``hub.tables.message``.
        characters: length of the text.
    """

    id: int
    kind: str
    state: str
    origin: str
    endpoint: str
    source: str
    destination: str
    call_centre: str
    received_us: int
    expires_us: int
    next_us: int
    next_part: int
    attempts: int
    in_doubt: int
    reason: str
    characters: int


def ask(tx: Transaction, request: Request) -> None:
    """Ask the daemon for something."""
    tx.sql.execute(insert(operator_request).values(**msgspec.structs.asdict(request)))


def requests(tx: Transaction) -> list[Request]:
    """What was asked for and not carried out yet, oldest first."""
    rows = tx.sql.execute(select(operator_request).order_by(operator_request.c.id).limit(REQUESTS_PAGE)).all()
    return [Request(*row) for row in rows]


def done(tx: Transaction, request: Request) -> None:
    """It was carried out."""
    tx.sql.execute(delete(operator_request).where(operator_request.c.id == request.id))


def standing(tx: Transaction, message_id: int) -> journal.Standing | None:
    """A message and where it stands, or None."""
    rows = tx.select(journal.select_messages, [(message_id,)])
    return journal.standing_of(rows[0]) if rows else None


def standings(tx: Transaction, message_ids: Sequence[int]) -> list[journal.Standing]:
    """Those of some messages that are pending, and where they stand."""
    rows = tx.select(journal.select_messages, [(message_id,) for message_id in message_ids])
    return [journal.standing_of(row) for row in rows if row[2] in PENDING]


def newest_id(tx: Transaction) -> int:
    """The greatest id that was given out for anything that is kept, 0 when nothing is."""
    columns = (message.c.id, arrived_part.c.id, parked_receipt.c.id, thread_table.c.id, event_table.c.id)
    return max(int(tx.sql.execute(select(func.max(column))).scalar() or 0) for column in columns)


def revive(tx: Transaction, message_id: int, expires_us: int) -> journal.Standing | None:
    """Queue a dead letter again, with new attempts and a new validity. Returns: it, or None when it is not dead."""
    changed = tx.sql.execute(
        update(message)
        .where(message.c.id == message_id, message.c.state == State.DEAD.value)
        .values(state=State.QUEUED.value, attempts=0, next_us=0, done_us=0, reason="", expires_us=expires_us)
    )
    return standing(tx, message_id) if changed.rowcount else None


def drop_dead(tx: Transaction, message_id: int) -> bool:
    """Take a dead letter off the list. Returns: whether it was one."""
    changed = tx.sql.execute(
        update(message)
        .where(message.c.id == message_id, message.c.state == State.DEAD.value)
        .values(state=State.DROPPED.value)
    )
    return bool(changed.rowcount)


def forget_parked(tx: Transaction, now_us: int, limit: int = FORGET_PAGE) -> int:
    """Forget parked receipts that nothing will match any more, and the oldest of too many.

    Ids rise with time, so that the oldest are found by the primary key however many there are. A storm of receipts for
    ids that nobody gave out (another system's, a replay, an attack) costs so much room and no more.

    Args:
        tx: a transaction.
        now_us: now.
        limit: at most so many at once: intake waits for this write.

    Returns: how many.
    """
    c = parked_receipt.c
    beyond = tx.sql.execute(select(c.id).order_by(c.id.desc()).limit(1).offset(MAX_PARKED)).scalar() or 0
    oldest = tx.sql.execute(select(c.id, c.parked_us).order_by(c.id).limit(limit)).all()
    last = max((row.id for row in oldest if row.id <= beyond or row.parked_us < now_us - PARKED_US), default=None)
    if last is None:
        return 0
    return int(tx.sql.execute(delete(parked_receipt).where(c.id <= last)).rowcount)


def listing(
    tx: Transaction,
    *,
    states: Sequence[State] = PENDING,
    endpoint: str = "",
    call_centre: str = "",
    after_id: int = 0,
    limit: int = 100,
) -> list[Listed]:
    """Messages in some states, in order of id.

    Args:
        tx: a transaction.
        states: which states.
        endpoint, call_centre: only of these, when given.
        after_id: the page after this id.
        limit: at most so many.
    """
    columns = [message.c[name] for name in journal.MESSAGE_COLUMNS]
    query = select(*columns).where(message.c.id > after_id).order_by(message.c.id).limit(limit)
    if tuple(states) == PENDING:
        query = query.where(text("message.state < 2"))
    else:
        query = query.where(message.c.state.in_([state.value for state in states]))
    if endpoint:
        query = query.where(message.c.endpoint == endpoint)
    if call_centre:
        query = query.where(message.c.call_centre == call_centre)
    return [_listed(row) for row in tx.sql.execute(query).all()]


def show(tx: Transaction, message_id: int) -> Listed | None:
    """One message, or None."""
    rows = tx.select(journal.select_messages, [(message_id,)])
    return _listed(rows[0]) if rows else None


def counts(tx: Transaction) -> dict[tuple[str, str], int]:
    """How many messages there are by (endpoint, state's word)."""
    rows = tx.sql.execute(
        select(message.c.endpoint, message.c.state, func.count()).group_by(message.c.endpoint, message.c.state)
    ).all()
    return {(endpoint, State(state).name.lower()): count for endpoint, state, count in rows}


def pending_counts(tx: Transaction) -> dict[str, int]:
    """How many messages are pending, by endpoint."""
    rows = tx.sql.execute(
        select(message.c.endpoint, func.count()).where(text("message.state < 2")).group_by(message.c.endpoint)
    ).all()
    return {row[0]: row[1] for row in rows}


def _listed(row: Sequence[Any]) -> Listed:
    m = journal.message_of(row)
    return Listed(
        id=m.id,
        kind=m.kind.name.lower(),
        state=State(row[2]).name.lower(),
        origin=m.origin,
        endpoint=m.endpoint,
        source=m.source,
        destination=m.destination,
        call_centre=m.call_centre,
        received_us=m.received_us,
        expires_us=m.expires_us,
        next_us=row[11],
        next_part=row[13],
        attempts=row[14],
        in_doubt=row[15],
        reason=row[19],
        characters=len(m.text),
    )
