"""What operators ask of the queue: list, show, count, retry, drop, export.

The command line runs beside the daemon and must not move rows that the daemon holds in memory. What changes something
is therefore a request in the store, which the daemon carries out within a second (or when it starts):
``hub.operator_requests``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, or_, select, text, update

from hub import journal
from hub.model import Kind, Message, State
from hub.receipts import PARKED_US
from hub.tables import IS_DEAD, IS_PENDING, arrived_part, message, operator_request, parked_receipt
from store import Transaction
from threading_tokens.tables import event_table, thread_table

FORGET_PAGE = 5_000  # parked receipts forgotten in one write
MAX_PARKED = 100_000  # rows; a receipt overtakes its answer by seconds, and no carrier sends that many in these
REQUESTS_PAGE = 200  # requests carried out in one write: intake waits for it
PENDING = (State.QUEUED, State.SUBMITTING)
MOVABLE = ("link:", "group:")  # what one of these has not taken may go by another of them


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


class Selection(msgspec.Struct, frozen=True):
    """Which messages are meant. What is empty or zero leaves nothing out.

    Attributes:
        states: in one of these.
        endpoint, call_centre, reason, source, destination: exactly these.
        received_before_us: received earlier than then.
        from_id, to_id: with an id from … to.
        ids: only these.
        movable: only what has not left in part and may go by another endpoint than its own.
    """

    states: tuple[State, ...] = PENDING
    endpoint: str = ""
    call_centre: str = ""
    reason: str = ""
    source: str = ""
    destination: str = ""
    received_before_us: int = 0
    from_id: int = 0
    to_id: int = 0
    ids: tuple[int, ...] = ()
    movable: bool = False


class Tally(msgspec.Struct, frozen=True):
    """How many messages of a selection are alike.

    Attributes:
        endpoint, state, reason: what they have in common.
        count: how many.
        first_id, last_id: the least and the greatest of their ids.
        oldest_us: when the first of them was received.
    """

    endpoint: str
    state: str
    reason: str
    count: int
    first_id: int
    last_id: int
    oldest_us: int


def ask(tx: Transaction, request: Request) -> None:
    """Ask the daemon for something."""
    ask_all(tx, [request])


def ask_all(tx: Transaction, asked: Sequence[Request]) -> None:
    """Ask the daemon for several things, in order of id."""
    if asked:
        tx.sql.execute(insert(operator_request), [msgspec.structs.asdict(request) for request in asked])


def requests(tx: Transaction, after_id: int = 0, limit: int = REQUESTS_PAGE) -> list[Request]:
    """What was asked for and not carried out yet, oldest first."""
    c = operator_request.c
    rows = tx.sql.execute(select(operator_request).where(c.id > after_id).order_by(c.id).limit(limit)).all()
    return [Request(*row) for row in rows]


def asked_of(tx: Transaction, message_ids: Sequence[int]) -> set[int]:
    """Those of some messages that something was asked of and not carried out yet."""
    query = select(operator_request.c.message_id).where(operator_request.c.message_id.in_(message_ids))
    return set(tx.sql.execute(query).scalars())


def waiting_requests(tx: Transaction, from_id: int = 0, to_id: int = 0) -> int:
    """How many requests were not carried out yet, of those with an id from … to."""
    query = select(func.count()).select_from(operator_request).where(operator_request.c.id >= from_id)
    if to_id:
        query = query.where(operator_request.c.id <= to_id)
    return int(tx.sql.execute(query).scalar() or 0)


def done(tx: Transaction, carried_out: Sequence[Request]) -> None:
    """They were carried out."""
    ids = [request.id for request in carried_out]
    tx.sql.execute(delete(operator_request).where(operator_request.c.id.in_(ids)))


def endpoints_of(tx: Transaction, message_ids: Sequence[int]) -> dict[int, str]:
    """Where messages go, by id; those that are gone are not in it."""
    rows = tx.sql.execute(select(message.c.id, message.c.endpoint).where(message.c.id.in_(message_ids))).all()
    return {row[0]: row[1] for row in rows}


def standing(tx: Transaction, message_id: int) -> journal.Standing | None:
    """A message and where it stands, or None."""
    rows = tx.select(journal.select_messages, [(message_id,)])
    return journal.standing_of(rows[0]) if rows else None


def standings(tx: Transaction, message_ids: Sequence[int], states: Sequence[State] = PENDING) -> list[journal.Standing]:
    """Those of some messages that are pending (or in other states), and where they stand, in order of id."""
    rows = tx.select(journal.select_messages, [(message_id,) for message_id in message_ids])
    return [journal.standing_of(row) for row in sorted(rows, key=_id_of) if row[2] in states]


def newest_id(tx: Transaction) -> int:
    """The greatest id that was given out for anything that is kept, 0 when nothing is."""
    columns = (message.c.id, arrived_part.c.id, parked_receipt.c.id, thread_table.c.id, event_table.c.id)
    return max(int(tx.sql.execute(select(func.max(column))).scalar() or 0) for column in columns)


def revive(tx: Transaction, message_ids: Sequence[int], expires_us: int) -> list[journal.Standing]:
    """Queue dead letters again, with new attempts and a new validity. Returns: those that were dead, as they stand."""
    changed = tx.sql.execute(
        update(message)
        .where(message.c.id.in_(message_ids), message.c.state == State.DEAD.value)
        .values(state=State.QUEUED.value, attempts=0, next_us=0, done_us=0, reason="", expires_us=expires_us)
        .returning(message.c.id)
    ).scalars()
    return standings(tx, sorted(changed))


def drop_dead(tx: Transaction, message_ids: Sequence[int]) -> int:
    """Take dead letters off the list. Returns: how many of them were some."""
    changed = tx.sql.execute(
        update(message)
        .where(message.c.id.in_(message_ids), message.c.state == State.DEAD.value)
        .values(state=State.DROPPED.value, next_us=0)
    )
    return int(changed.rowcount)


def move(tx: Transaction, message_ids: Sequence[int], via: str) -> list[int]:
    """Let dead letters belong to another endpoint. Nobody holds these, so that this needs no daemon.

    Args:
        tx: a transaction.
        message_ids: which; those of which something has left, or that no link or group had, stay.
        via: the other endpoint, a link or a group.

    Returns: ids of those that belong to it now.
    """
    changed = tx.sql.execute(
        update(message)
        .where(message.c.id.in_(message_ids), message.c.state == State.DEAD.value, *_movable())
        .values(endpoint=via)
        .returning(message.c.id)
    ).scalars()
    return sorted(changed)


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


def listing(tx: Transaction, selection: Selection, *, after_id: int = 0, limit: int = 100) -> list[Listed]:
    """Messages in order of id.

    Args:
        tx: a transaction.
        selection: which.
        after_id: the page after this id.
        limit: at most so many.
    """
    return [_listed(journal.message_of(row), row) for row in _rows(tx, selection, after_id, limit)]


def written(tx: Transaction, selection: Selection, *, after_id: int = 0, limit: int = 100) -> list[tuple[Listed, str]]:
    """As ``listing``, each with its text: for who may read them. Who asks writes that into the audit."""
    messages = [(journal.message_of(row), row) for row in _rows(tx, selection, after_id, limit)]
    return [(_listed(m, row), m.text) for m, row in messages]


def ids_of(tx: Transaction, selection: Selection, *, after_id: int = 0, limit: int = 100) -> list[int]:
    """The ids of messages, in order."""
    query = select(message.c.id).where(message.c.id > after_id, *_meant(selection)).order_by(message.c.id).limit(limit)
    return list(tx.sql.execute(query).scalars())


def tally(tx: Transaction, selection: Selection) -> list[Tally]:
    """What a selection comes to, the most first."""
    c, count = message.c, func.count()
    rows = tx.sql.execute(
        select(c.endpoint, c.state, c.reason, count, func.min(c.id), func.max(c.id), func.min(c.received_us))
        .where(*_meant(selection))
        .group_by(c.endpoint, c.state, c.reason)
        .order_by(count.desc(), c.endpoint, c.state, c.reason)
    ).all()
    return [Tally(row[0], State(row[1]).name.lower(), *row[2:]) for row in rows]


def show(tx: Transaction, message_id: int) -> Listed | None:
    """One message, or None."""
    rows = tx.select(journal.select_messages, [(message_id,)])
    return _listed(journal.message_of(rows[0]), rows[0]) if rows else None


def counts(tx: Transaction) -> dict[tuple[str, str], int]:
    """How many messages there are by (endpoint, state's word)."""
    rows = tx.sql.execute(
        select(message.c.endpoint, message.c.state, func.count()).group_by(message.c.endpoint, message.c.state)
    ).all()
    return {(endpoint, State(state).name.lower()): count for endpoint, state, count in rows}


def pending_counts(tx: Transaction) -> dict[str, int]:
    """How many messages are pending, by endpoint."""
    rows = tx.sql.execute(
        select(message.c.endpoint, func.count()).where(text(IS_PENDING)).group_by(message.c.endpoint)
    ).all()
    return {row[0]: row[1] for row in rows}


def _id_of(row: Sequence[Any]) -> int:
    return int(row[0])


def _movable() -> list[ColumnElement[bool]]:
    c = message.c
    fitting = or_(*(c.endpoint.startswith(prefix) for prefix in MOVABLE))
    return [c.kind == Kind.TEXT.value, c.next_part == 0, c.in_doubt == 0, fitting]


def _meant(selection: Selection) -> list[ColumnElement[bool]]:
    """A selection as conditions. The indexes over pending and dead rows are found by the words of theirs."""
    c, states = message.c, selection.states
    conditions: list[ColumnElement[bool]] = []
    if set(states) == set(PENDING):
        conditions.append(text(IS_PENDING))  # type: ignore[arg-type]
    elif states == (State.DEAD,):
        conditions.append(text(IS_DEAD))  # type: ignore[arg-type]
    else:
        conditions.append(c.state.in_([state.value for state in states]))
    conditions += [
        c[name] == value
        for name in ("endpoint", "call_centre", "reason", "source", "destination")
        if (value := getattr(selection, name))
    ]
    if selection.received_before_us:
        conditions.append(c.received_us < selection.received_before_us)
    if selection.from_id:
        conditions.append(c.id >= selection.from_id)
    if selection.to_id:
        conditions.append(c.id <= selection.to_id)
    if selection.ids:
        conditions.append(c.id.in_(selection.ids))
    return conditions + (_movable() if selection.movable else [])


def _rows(tx: Transaction, selection: Selection, after_id: int, limit: int) -> Sequence[Any]:
    columns = [message.c[name] for name in journal.MESSAGE_COLUMNS]
    query = select(*columns).where(message.c.id > after_id, *_meant(selection)).order_by(message.c.id).limit(limit)
    return tx.sql.execute(query).all()


def _listed(m: Message, row: Sequence[Any]) -> Listed:
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
        next_us=max(row[11], 0),
        next_part=row[13],
        attempts=row[14],
        in_doubt=row[15],
        reason=row[19],
        characters=len(m.text),
    )
