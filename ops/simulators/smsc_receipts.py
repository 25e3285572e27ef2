"""The receipts that a simulated SMSC gives, in the shapes that real ones give them. Pure.

Written apart from ``smpp.receipt`` on purpose: what the hub reads must not come from the hub's own writer.

Source: SMPP 3.4 Appendix B, §5.2.12, §5.3.2.12, §5.3.2.35.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from ops.simulators.smsc_behaviour import Carries, Dlr, IdStyle, Wording
from smpp.constants import EsmClass, MessageState, RegisteredDelivery
from smpp.receipt import ReceiptState
from smpp.tlv import Tag, make

PADDED_DIGITS: Final = 16
SNIPPET: Final = 20
"""Characters of the message that a receipt repeats (Appendix B)."""

_UUID_BASE: Final = 0x5EED_0000_0000_4000_8000_0000_0000_0000

_NUMBERS: Final = {
    ReceiptState.ENROUTE: MessageState.ENROUTE,
    ReceiptState.DELIVERED: MessageState.DELIVERED,
    ReceiptState.EXPIRED: MessageState.EXPIRED,
    ReceiptState.DELETED: MessageState.DELETED,
    ReceiptState.UNDELIVERABLE: MessageState.UNDELIVERABLE,
    ReceiptState.ACCEPTED: MessageState.ACCEPTED,
    ReceiptState.UNKNOWN: MessageState.UNKNOWN,
    ReceiptState.REJECTED: MessageState.REJECTED,
}
_FAILED: Final = frozenset(
    (ReceiptState.EXPIRED, ReceiptState.DELETED, ReceiptState.UNDELIVERABLE, ReceiptState.REJECTED)
)
_DATE_FORMS: Final = {10: "%y%m%d%H%M", 12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"}


class News(msgspec.Struct, frozen=True, gc=False):
    """What a receipt is to say.

    Attributes:
        message_id: as it will stand there.
        state: of the message.
        submitted_us, done_us: microseconds since the epoch.
        text: of the message; its begin is repeated.
    """

    message_id: str
    state: ReceiptState
    submitted_us: int
    done_us: int
    text: str = ""


class Written(msgspec.Struct, frozen=True, gc=False):
    """A receipt as it goes into a deliver_sm."""

    esm_class: int
    data_coding: int
    short_message: bytes
    tlvs: tuple[tuple[int, bytes], ...]


def write_id(number: int, style: IdStyle) -> str:
    """A message's number as a message_id."""
    if style is IdStyle.DECIMAL:
        return str(number)
    if style is IdStyle.PADDED:
        return str(number).zfill(PADDED_DIGITS)
    if style is IdStyle.HEX:
        return format(number, "x")
    if style is IdStyle.HEX_UPPER:
        return format(number, "X")
    if style is IdStyle.HEX_PADDED:
        return format(number, "x").zfill(PADDED_DIGITS)
    written = str(UUID(int=_UUID_BASE | number & (1 << 62) - 1))
    return written.upper() if style is IdStyle.UUID_UPPER else written


def is_asked(registered_delivery: int, state: ReceiptState) -> bool:
    """Whether a message's sender asked for a receipt of its final state.

    Source: SMPP 3.4 §5.2.17 and 5.0 §4.7.21: 1 for every final state, 2 for failures only, 3 for successes only.
    """
    asked = registered_delivery & 0x03
    if asked == RegisteredDelivery.FAILURE:
        return state in _FAILED
    if asked == RegisteredDelivery.SUCCESS:
        return state is ReceiptState.DELIVERED
    return bool(asked)


def write_receipt(news: News, dlr: Dlr, *, intermediate: bool = False) -> Written:
    """Write a receipt in the shape that a behaviour has.

    Args:
        news: what it says.
        dlr: its shape.
        intermediate: make it an intermediate notification.
    """
    esm_class = EsmClass.INTERMEDIATE_NOTIFICATION if intermediate else EsmClass.DELIVERY_RECEIPT
    data_coding, body = 0, b""
    if dlr.carries is not Carries.TLVS:
        body = _text(news, dlr).encode("ascii", "replace")
        if dlr.wording is Wording.UCS2:
            data_coding, body = 8, body.decode("ascii").encode("utf-16-be")[:254]
    tlvs: tuple[tuple[int, bytes], ...] = ()
    if dlr.carries is not Carries.TEXT:
        tlvs = (
            make(Tag.RECEIPTED_MESSAGE_ID, news.message_id),
            make(Tag.MESSAGE_STATE, int(_NUMBERS[news.state])),
        )
    return Written(int(esm_class), data_coding, body, tlvs)


def _text(news: News, dlr: Dlr) -> str:
    error = dlr.error if news.state in _FAILED else "000"
    if dlr.wording is Wording.SHORT:
        return f"id:{news.message_id} stat:{news.state.value} err:{error}"
    delivered = int(news.state is ReceiptState.DELIVERED)
    submitted, done = _date(news.submitted_us, dlr.date_digits), _date(news.done_us, dlr.date_digits)
    if dlr.wording is Wording.SHOUTED:
        return (
            f"STAT:{news.state.value.lower()} ID:{news.message_id} DONE DATE:{done} SUBMIT DATE:{submitted} "
            f"Text:{news.text[:SNIPPET]} SUB:001 DLVRD:{delivered:03d} ERR:{error}"
        )
    return (
        f"id:{news.message_id} sub:001 dlvrd:{delivered:03d} submit date:{submitted} done date:{done} "
        f"stat:{news.state.value} err:{error} text:{news.text[:SNIPPET]}"
    )


def _date(moment_us: int, digits: int) -> str:
    return _second(moment_us // 1_000_000, digits)


@lru_cache(maxsize=4096)  # the receipts of one second share their dates
def _second(second: int, digits: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime(_DATE_FORMS[digits])
