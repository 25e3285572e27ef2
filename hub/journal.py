"""The journal: messages to rows and back, and the statements that move them.

``body`` is versioned JSON with what no query asks for. Version 1 is ``BodyV1``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, func, or_, select, text

from hub.model import NO_ATTRIBUTES, Arrival, Kind, Message, Receipt, ReceiptWanted, State
from hub.tables import IS_PENDING, IS_UNTRIED, NEVER_US, arrived_part, carrier_part, message, parked_receipt
from store import Delete, Insert, Op, SelectByKeys, Update, Upsert


class BodyV1(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a message row carries beside its columns."""

    v: int
    text: str = ""
    data: bytes | None = None
    receipt: Receipt | None = None
    upstream_id: str = ""
    token: str = ""
    thread_news: str = ""
    designation: str = ""
    attributes: dict[str, str] = NO_ATTRIBUTES
    not_before_us: int = 0


class ParkedV1(msgspec.Struct, frozen=True, gc=False):
    """A parked receipt.

    Attributes:
        v: version of the form.
        receipt: the receipt.
        rows: the ids of all rows that it is parked in, one for each form of its id.
    """

    v: int
    receipt: Receipt
    rows: list[int]


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A pending message as it was read back: itself, and where it stands.

    Attributes:
        message: the message.
        state: queued or submitting.
        next_part: parts already answered for.
        attempts: temporary refusals so far.
        next_us: not before this time.
        in_doubt: times that an answer was lost so far.
    """

    message: Message
    state: State
    next_part: int
    attempts: int
    next_us: int
    in_doubt: int


MESSAGE_COLUMNS = (
    "id",
    "kind",
    "state",
    "origin",
    "endpoint",
    "source",
    "destination",
    "call_centre",
    "thread_id",
    "received_us",
    "expires_us",
    "next_us",
    "done_us",
    "next_part",
    "attempts",
    "in_doubt",
    "receipt_wanted",
    "receipts_settled",
    "receipts_failed",
    "reason",
    "body",
)

insert_message = Insert(message, MESSAGE_COLUMNS)
claim_message = Update(message, key=("id",), set=("state", "in_doubt"))
move_message = Update(
    message,
    key=("id",),
    set=("state", "next_part", "attempts", "in_doubt", "next_us", "done_us", "reason"),
)
settle_message = Update(message, key=("id",), set=("state", "receipts_settled", "receipts_failed", "done_us", "reason"))
select_messages = SelectByKeys(message, MESSAGE_COLUMNS, key=("id",))

insert_arrived_part = Insert(
    arrived_part,
    ("id", "message_id", "origin", "source", "destination", "reference", "total", "number", "deadline_us", "body"),
)
complete_arrived_part = Update(arrived_part, key=("id",), set=("message_id",))
select_waiting_parts = SelectByKeys(
    arrived_part,
    ("id", "origin", "source", "destination", "reference", "total", "number", "body"),
    key=("source", "destination", "reference"),
    where="message_id = 0",
)

# A part that was in doubt may be answered twice with one id.
insert_carrier_part = Upsert(
    carrier_part,
    ("endpoint", "carrier_id", "message_id", "part", "state"),
    conflict=("endpoint", "carrier_id", "message_id", "part"),
    update="nothing",
)
settle_carrier_part = Update(carrier_part, key=("endpoint", "carrier_id", "message_id", "part"), set=("state",))
select_carrier_parts = SelectByKeys(
    carrier_part, ("endpoint", "carrier_id", "message_id", "part", "state"), key=("endpoint", "carrier_id")
)

insert_parked_receipt = Insert(parked_receipt, ("id", "endpoint", "carrier_id", "parked_us", "body"))
select_parked_receipts = SelectByKeys(
    parked_receipt, ("id", "endpoint", "carrier_id", "body"), key=("endpoint", "carrier_id")
)
delete_parked_receipt = Delete(parked_receipt, key=("id",))

# A look into a dictionary costs a tenth of calling the enumeration.
_KINDS = {each.value: each for each in Kind}
_STATES = {each.value: each for each in State}
_WANTED = {each.value: each for each in ReceiptWanted}

_HALVES = "utf16"  # the attribute of a text that ends in half a surrogate pair
_encode = msgspec.json.Encoder().encode
_decode_body = msgspec.json.Decoder(BodyV1).decode
_decode_arrival = msgspec.json.Decoder(Arrival).decode
_decode_parked = msgspec.json.Decoder(ParkedV1).decode


def row_of(m: Message, state: State) -> tuple[Any, ...]:
    """The row of a new message, in the order of ``MESSAGE_COLUMNS``."""
    body = BodyV1(1, m.text, m.data, m.receipt, m.upstream_id, m.token, m.thread_news, m.designation, m.attributes)
    if m.not_before_us:
        body = msgspec.structs.replace(body, not_before_us=m.not_before_us)
    return (
        m.id,
        int(m.kind),
        int(state),
        m.origin,
        m.endpoint,
        m.source,
        m.destination,
        m.call_centre,
        m.thread_id,
        m.received_us,
        m.expires_us,
        m.not_before_us if state is not State.DEAD else NEVER_US,
        0,
        0,
        0,
        0,
        int(m.receipt_wanted),
        0,
        0,
        "",
        _encode(body).decode(),
    )


def message_of(row: Sequence[Any]) -> Message:
    """A message from its row."""
    # Taken apart at once: a backlog is read at the pace of this function, and each look at a row by index costs.
    (
        message_id,
        kind,
        _,
        origin,
        endpoint,
        source,
        destination,
        call_centre,
        thread_id,
        received_us,
        expires_us,
        *_,
        receipt_wanted,
        _,
        _,
        _,
        body_json,
    ) = row
    body = _decode_body(body_json)
    return Message(
        id=message_id,
        kind=_KINDS[kind],
        origin=origin,
        endpoint=endpoint,
        source=source,
        destination=destination,
        text=body.text,
        data=body.data,
        receipt=body.receipt,
        receipt_wanted=_WANTED[receipt_wanted],
        upstream_id=body.upstream_id,
        received_us=received_us,
        expires_us=expires_us,
        not_before_us=body.not_before_us,
        call_centre=call_centre,
        thread_id=thread_id,
        token=body.token,
        designation=body.designation,
        thread_news=body.thread_news,
        attributes=body.attributes,
    )


def standing_of(row: Sequence[Any]) -> Standing:
    """A pending message from its row."""
    return Standing(message_of(row), _STATES[row[2]], row[13], row[14], row[11], row[15])


def insert_messages(messages: Sequence[tuple[Message, State]]) -> Op:
    """The write that journals new messages."""
    return Op(insert_message, [row_of(m, state) for m, state in messages])


def claim(entries: Sequence[tuple[int, int]]) -> Op:
    """The write that must be on disk before a part of these messages may be on the wire.

    Args:
        entries: (message's id, times that an answer was lost, what a restart found unanswered included).
    """
    return Op(claim_message, [(i, State.SUBMITTING.value, in_doubt) for i, in_doubt in entries])


def pending_page(endpoint: str, kind: Kind, after_id: int, limit: int, last_id: int = 0) -> Select[Any]:
    """Pending messages of an endpoint in order of id, those after ``last_id`` left out when it is given."""
    columns = [message.c[name] for name in MESSAGE_COLUMNS]
    query = (
        select(*columns)
        .where(
            message.c.endpoint == endpoint,
            message.c.kind == kind.value,
            message.c.id > after_id,
            text(IS_PENDING),
        )
        .order_by(message.c.id)
        .limit(limit)
    )
    return query.where(message.c.id <= last_id) if last_id else query


def pending_between(source: str, destination: str, after_id: int, limit: int) -> Select[Any]:
    """Pending messages of one source to one destination, at any endpoint, in order of id."""
    columns = [message.c[name] for name in MESSAGE_COLUMNS]
    return (
        select(*columns)
        .where(
            message.c.destination == destination,
            message.c.id > after_id,
            message.c.source == source,
            text(IS_PENDING),
        )
        .order_by(message.c.id)
        .limit(limit)
    )


def lane_page(endpoint: str, source: str, destination: str, after_id: int, limit: int) -> Select[Any]:
    """Pending texts of one lane in order of id."""
    # The endpoint is compared as an expression, which no index serves: by it, and by the kind, ix_message_pending looks
    # as good to SQLite as ix_message_lane, and it would take the one that was made last.
    return pending_between(source, destination, after_id, limit).where(
        message.c.endpoint.concat("") == endpoint, message.c.kind == Kind.TEXT.value
    )


def alone(message_id: int) -> Select[Any]:
    """One message, when it is pending."""
    columns = [message.c[name] for name in MESSAGE_COLUMNS]
    return select(*columns).where(message.c.id == message_id, text(IS_PENDING))


def due_page(endpoint: str, after: tuple[int, int], limit: int) -> Select[Any]:
    """Texts that wait for their time and were never tried, in the order of their times.

    Args:
        endpoint: whose.
        after: (time, id) of the last that was seen.
        limit: at most so many.
    """
    columns = [message.c[name] for name in MESSAGE_COLUMNS]
    c = message.c
    return (
        select(*columns)
        .where(
            c.endpoint == endpoint,
            c.kind == Kind.TEXT.value,
            text(IS_UNTRIED),
            c.next_us >= after[0],
            or_(c.next_us > after[0], c.id > after[1]),
        )
        .order_by(c.next_us, c.id)
        .limit(limit)
    )


def arrival_body(arrival: Arrival) -> str:
    """An arrival as versioned JSON (the version is the struct's: fields are only ever added).

    A part may end in half a surrogate pair whose other half comes with the next part. No JSON carries that, so such a
    text travels as UTF-16 in an attribute.
    """
    try:
        return _encode(arrival).decode()
    except UnicodeEncodeError:
        octets = base64.b64encode(arrival.text.encode("utf-16-le", "surrogatepass")).decode()
        halves = msgspec.structs.replace(arrival, text="", attributes={**arrival.attributes, _HALVES: octets})
        return _encode(halves).decode()


def arrival_of(body: str) -> Arrival:
    """An arrival from its JSON."""
    arrival = _decode_arrival(body)
    octets = arrival.attributes.get(_HALVES)
    if octets is None:
        return arrival
    text = base64.b64decode(octets).decode("utf-16-le", "surrogatepass")
    attributes = {name: value for name, value in arrival.attributes.items() if name != _HALVES}
    return msgspec.structs.replace(arrival, text=text, attributes=attributes)


def parked_body(receipt: Receipt, rows: Sequence[int]) -> str:
    """A parked receipt as versioned JSON."""
    return _encode(ParkedV1(1, receipt, list(rows))).decode()


def parked_of(body: str) -> ParkedV1:
    """A parked receipt from its JSON."""
    return _decode_parked(body)


def overdue_parts(now_us: int, limit: int, *, shared: bool = False) -> Select[Any]:
    """One row for each text whose wait for missing parts has ended: any of its parts.

    Args:
        now_us: now.
        limit: at most so many.
        shared: several nodes write. The last two parts of a text may then be journalled at once, neither seeing the
            other: such a text is complete, and nobody has said so.
    """
    c = arrived_part.c
    is_overdue = func.max(c.deadline_us) < now_us
    key = (c.origin, c.source, c.destination, c.reference, c.total)
    # The last part to come sets the end of the wait.
    return (
        select(func.max(c.id), *key, func.max(c.body))
        .where(text("arrived_part.message_id = 0"))
        .group_by(*key)
        .having(or_(is_overdue, func.count(c.number.distinct()) == c.total) if shared else is_overdue)
        .limit(limit)
    )


def overdue_messages(now_us: int, after: tuple[int, int], limit: int) -> Select[Any]:
    """Pending messages whose validity has ended, in the order of their ends.

    Args:
        now_us: now.
        after: (end, id) of the last that was seen.
        limit: at most so many.
    """
    c = message.c
    columns = [c[name] for name in MESSAGE_COLUMNS]
    return (
        select(*columns)
        .where(
            text(IS_PENDING),
            c.expires_us <= now_us,
            c.expires_us >= after[0],
            or_(c.expires_us > after[0], c.id > after[1]),
        )
        .order_by(c.expires_us, c.id)
        .limit(limit)
    )
