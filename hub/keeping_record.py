"""What is archived of a message: itself, how it ended, and the conversation it was part of (H36). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from hub import journal
from hub.keeping_rules import Subject, class_of, type_of
from hub.model import NO_ATTRIBUTES, Kind, Message, Receipt, State

VERSION = 1  # of a record; raised when a field changes its meaning


class Conversation(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The thread of a message, as it stood when the message was archived.

    Attributes:
        id, number, customer, token, product, channel, opened_us, closed_us: the thread's.
        csr_kind, csr, csr_label: to whom it is designated.
    """

    id: int
    number: str
    customer: str
    token: str
    product: str = ""
    channel: str = ""
    opened_us: int = 0
    closed_us: int = 0
    csr_kind: str = ""
    csr: str = ""
    csr_label: str = ""


CONVERSATION_COLUMNS = (
    "id",
    "number",
    "customer",
    "token",
    "product",
    "channel",
    "opened_us",
    "closed_us",
    "designation_kind",
    "designation_value",
    "desk_label",
)


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of the archive. Fields are only ever added; ``v`` is raised when one changes its meaning.

    Attributes:
        v: version of the form.
        id, origin, endpoint, source, destination, call_centre, text, data, receipt: the message's (data in Base64).
        received, done: times, microseconds since 1970.
        type: ``text``, ``binary``, ``receipt``.
        ended: how it ended: ``delivered``, ``undeliverable``, ``dead``, ``handed-over``, ``dropped``.
        reason: why, where there is a word for it.
        token, designation: of its thread, as they were when it came.
        attributes: the rest that the translators wrote down, such as ``from``, the CSR's address.
        thread: its thread.
    """

    v: int
    id: int
    type: str
    ended: str
    origin: str
    endpoint: str
    source: str
    destination: str
    received: int
    done: int
    call_centre: str = ""
    text: str = ""
    data: bytes | None = None
    receipt: Receipt | None = None
    reason: str = ""
    token: str = ""
    designation: str = ""
    attributes: dict[str, str] = NO_ATTRIBUTES
    thread: Conversation | None = None


def conversation_of(row: Sequence[Any]) -> Conversation:
    """A thread from its row, in the order of ``CONVERSATION_COLUMNS``."""
    return Conversation(*row)


def subject_of(row: Sequence[Any], message: Message, thread: Conversation | None) -> Subject:
    """What rules ask of a message, from its row."""
    return Subject(
        message.id,
        State(row[2]),
        message.source,
        message.destination,
        message.call_centre,
        type_of(message.kind, message.data is not None),
        len(message.text),
        message.received_us,
        message.expires_us,
        row[12],
        thread.customer if thread is not None else "",
        thread.product if thread is not None else "",
    )


def record_of(row: Sequence[Any], thread: Conversation | None) -> Record:
    """What is archived of a message, from its row in the order of ``journal.MESSAGE_COLUMNS``."""
    m = journal.message_of(row)
    return Record(
        v=VERSION,
        id=m.id,
        type=type_of(Kind(row[1]), m.data is not None),
        ended=class_of(State(row[2])),
        origin=m.origin,
        endpoint=m.endpoint,
        source=m.source,
        destination=m.destination,
        received=m.received_us,
        done=row[12],
        call_centre=m.call_centre,
        text=m.text,
        data=m.data,
        receipt=m.receipt,
        reason=row[19],
        token=m.token,
        designation=m.designation,
        attributes=m.attributes,
        thread=thread,
    )


def day_of(at_us: int) -> str:
    """The day of a time, UTC: ``2026-11-22``."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d")


def object_name(call_centre: str, day: str, first_id: int, last_id: int) -> str:
    """What an object of the archive is called, without its form's suffix: ``acme/2026/11/22/17-23``."""
    return f"{call_centre or '_transit'}/{day.replace('-', '/')}/{first_id}-{last_id}"
