"""What happened to a text, as charging records. Pure.

The hub is what 3GPP TS 32.274 calls the SMS node, so it reports what such a node does (§5.2): that it took a message,
that it delivered it or failed to, and what the report of the delivery said. Each is a record of its own, made when it
happens; nothing is ever added to one.

| event of the feed | record | message type |
| --- | --- | --- |
| ``message`` | SC-SMO, in whichever direction: somebody submitted it to the hub | submission |
| ``handed-over`` | SC-SMT: the next system has answered for all of it | delivery |
| ``dead`` | SC-SMT with a result: the hub gave it up | delivery |
| ``delivered``, ``undeliverable`` | SC-SMT: a receipt came | delivery report |

A record is made of what its event says and of what no longer changes of the message by then, so that making it again,
a day later or after a crash, gives the same. It never holds a text, a part of one, or a token.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from hub.model import ELEMENT, REMOTE_ELEMENT, Message, ReceiptState, ReceiptWanted
from smpp.alphabet import GSM7

MAX_SEQUENCE: Final = 2**32  # TS 32.298: LocalSequenceNumber is 0…4294967295, and begins again
MAX_E164_DIGITS: Final = 15
_SECOND_US: Final = 1_000_000


class RecordType(StrEnum):
    """The record types of an SMS service centre."""

    SC_SMO = "SC-SMO"
    SC_SMT = "SC-SMT"


class MessageType(StrEnum):
    """What a record tells of."""

    SUBMISSION = "submission"
    DELIVERY = "delivery"
    DELIVERY_REPORT = "delivery-report"


class Record(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One charging record. What it has not is 0, -1 where 0 means something, or empty.

    Attributes:
        sequence: the node's running number of records, modulo 2³².
        record: its type.
        message_type: what it tells of.
        node: the hub's own address, E.164.
        message_id: the hub's id of the message: what its records have in common.
        submitted_s: when the hub took the message; seconds since the epoch, UTC.
        event_s: when what it tells of happened; likewise.
        originator, recipient: their addresses.
        originator_interface, recipient_interface: the endpoint that the message came by, and goes by.
        size_octets: of the text, in the smallest alphabet of SMS that carries it; headers are not counted.
        parts: how many the next system answered for.
        report_requested: the sender asked to hear of it.
        data_coding: 0 for the GSM alphabet, 8 for UCS-2, else as it came.
        status: TP-Status (3GPP TS 23.040 §9.2.3.15), -1 in a submission.
        discharged_s: when it reached its recipient, or when it was known that it will not; seconds.
        result: MAP's error (3GPP TS 29.002 §17.6.6), 0 for none.
        reason: the hub's own word for it.
        call_centre: the tenant; empty in transit.
        element, remote_element: identification elements: the number's, and the one that the sender's network named.
        thread_id: the conversation, 0 for none.
    """

    sequence: int
    record: RecordType
    message_type: MessageType
    node: str
    message_id: int
    submitted_s: int
    event_s: int
    originator: str
    originator_interface: str
    recipient: str
    recipient_interface: str
    size_octets: int
    parts: int = 0
    report_requested: bool = False
    data_coding: int = 0
    status: int = -1
    discharged_s: int = 0
    result: int = 0
    reason: str = ""
    call_centre: str = ""
    element: str = ""
    remote_element: str = ""
    thread_id: int = 0


class Fate(msgspec.Struct, frozen=True):
    """What went wrong, in two tongues.

    Attributes:
        status: TP-Status.
        result: MAP's error.
    """

    status: int
    result: int


RECEIVED: Final = 0x00
FORWARDED: Final = 0x01  # "forwarded by the SC to the SME but the SC is unable to confirm delivery"
_FAILED: Final = Fate(0x40, 32)  # remote procedure error; sm-DeliveryFailure
_REFUSED: Final = Fate(0x42, 13)  # connection rejected by SME; callBarred
_UNKNOWN: Final = Fate(0x43, 1)  # not obtainable; unknownSubscriber
_EXPIRED: Final = Fate(0x46, 6)  # validity period expired; absentSubscriberSM
_BY_SENDER: Final = Fate(0x47, 32)  # deleted by originating SME
_BY_OPERATOR: Final = Fate(0x48, 32)  # deleted by SC administration

FATES: Final[dict[str, Fate]] = {
    "expired": _EXPIRED,
    "cancelled": _BY_SENDER,
    "dropped": _BY_OPERATOR,
    "opted-out": _REFUSED,
    "filtered": _REFUSED,
    "no-route": _UNKNOWN,
    "bad-destination": _UNKNOWN,
    "too-long": Fate(0x41, 21),  # incompatible destination; facilityNotSupported
    "alphabet": Fate(0x41, 21),
    "ESME_RINVDSTADR": _UNKNOWN,
    ReceiptState.EXPIRED.value: _EXPIRED,
    ReceiptState.DELETED.value: _BY_OPERATOR,
    ReceiptState.REJECTED.value: _REFUSED,
}
"""By the first word of a reason; all others failed somewhere behind us."""

CHARGED: Final = frozenset({"message", "handed-over", "dead", "delivered", "undeliverable"})
"""The events that make a record."""


def fate_of(reason: str) -> Fate:
    """What a reason is in the words of the standards."""
    return FATES.get(reason.partition(":")[0], _FAILED)


def record_of(
    event: tuple[str, str], at_us: int, message: Message, parts: int, settled: str, node: str, sequence: int
) -> Record:
    """The record of an event.

    Args:
        event: its word, one of ``CHARGED``, and the reason that it names, or empty.
        at_us: when it happened; microseconds UTC.
        message: what it happened to.
        parts: how many of its parts the next system has answered for.
        settled: the reason that a receipt left with the message.
        node: the hub's own address.
        sequence: the record's number.
    """
    word, reason = event
    if word == "message":
        at_us = message.received_us
    kind, status, result, discharged_us = MessageType.DELIVERY, FORWARDED, 0, 0
    if word == "message":
        kind, status, parts = MessageType.SUBMISSION, -1, 0
    elif word == "dead":
        fate = fate_of(reason)
        status, result = fate.status, fate.result
    elif word != "handed-over":
        kind, status, discharged_us = MessageType.DELIVERY_REPORT, RECEIVED, at_us
        if word == "undeliverable":
            reason = settled
            fate = fate_of(reason)
            status, result = fate.status, fate.result
    size, coding = size_of(message)
    attributes = message.attributes
    return Record(
        sequence=sequence % MAX_SEQUENCE,
        record=RecordType.SC_SMO if kind is MessageType.SUBMISSION else RecordType.SC_SMT,
        message_type=kind,
        node=node,
        message_id=message.id,
        submitted_s=message.received_us // _SECOND_US,
        event_s=at_us // _SECOND_US,
        originator=plain(message.source),
        originator_interface=plain(message.origin),
        recipient=plain(message.destination),
        recipient_interface=plain(message.endpoint),
        size_octets=size,
        parts=parts,
        report_requested=message.receipt_wanted is not ReceiptWanted.NONE,
        data_coding=coding,
        status=status,
        discharged_s=discharged_us // _SECOND_US,
        result=result,
        reason=reason,
        call_centre=message.call_centre,
        element=attributes.get(ELEMENT, ""),
        remote_element=attributes.get(REMOTE_ELEMENT, ""),
        thread_id=message.thread_id,
    )


def size_of(message: Message) -> tuple[int, int]:
    """The octets of a message's user data, without headers, and its data coding."""
    if message.data is not None:
        return len(message.data), int(message.attributes.get("data_coding", "4"))
    septets = GSM7.try_encode(message.text)
    if septets is not None:
        return (len(septets) * 7 + 7) // 8, 0
    return 2 * len(message.text) + 2 * sum(character > "\uffff" for character in message.text), 8


@lru_cache(maxsize=4096)
def plain(address: str) -> str:
    """An address in visible ASCII, which every reader of a GraphicString takes; what is not is escaped."""
    if address.isascii() and address.isprintable():
        return address
    return "".join(c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}" for c in address)


def is_msisdn(address: str) -> bool:
    """Whether an address is an E.164 number."""
    digits = address[1:]
    return address[:1] == "+" and 0 < len(digits) <= MAX_E164_DIGITS and digits.isascii() and digits.isdecimal()
