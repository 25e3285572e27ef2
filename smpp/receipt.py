"""Delivery receipts: read leniently, written strictly.

The theory
    That a message is a receipt is said by bits 5-2 of esm_class and by nothing else: a customer may text the very
    words of one. What it says stands in TLVs (receipted_message_id, message_state, network_error_code), in a text, or
    partly in either; the TLVs are believed first. The text has a form (SMPP 3.4 Appendix B) that every SMSC departs
    from in its own way: fields are missing, in another order or case, dates have seconds or a century, error codes
    are no numbers. So the usual form is read by one expression, and everything else field by field.

    A field that is not there is None or empty, never a word that looks like a value.

    The id in a receipt is not always the id of the response: one of them may be hexadecimal, padded, or in another
    case. ``id_forms`` says under which names to look, the exact one first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from smpp.constants import EsmClass, MessageState, is_intermediate, is_receipt
from smpp.reassembly import BadHeader, parse_udh
from smpp.tlv import Tag

__all__ = [
    "IdForm",
    "Receipt",
    "ReceiptState",
    "canonical_id",
    "id_forms",
    "is_receipt",
    "read",
    "same_id",
    "state_number",
    "state_of_number",
    "state_of_word",
    "write",
]

NO_ERROR: Final = "000"
MAX_TEXT: Final = 20
"""Characters of the message that a receipt repeats (Appendix B)."""

GSM_NETWORK: Final = 3
"""The network type in network_error_code (§5.3.2.31)."""

TLVs = Sequence[tuple[int, bytes]]

_RECEIPTED_MESSAGE_ID: Final = int(Tag.RECEIPTED_MESSAGE_ID)
_MESSAGE_STATE: Final = int(Tag.MESSAGE_STATE)
_NETWORK_ERROR_CODE: Final = int(Tag.NETWORK_ERROR_CODE)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class ReceiptState(StrEnum):
    """The states of a message in the words of Appendix B."""

    ENROUTE = "ENROUTE"
    DELIVERED = "DELIVRD"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    UNDELIVERABLE = "UNDELIV"
    ACCEPTED = "ACCEPTD"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTD"


_STATE_OF_NUMBER: Final[dict[int, ReceiptState]] = {
    MessageState.SCHEDULED: ReceiptState.ENROUTE,
    MessageState.ENROUTE: ReceiptState.ENROUTE,
    MessageState.DELIVERED: ReceiptState.DELIVERED,
    MessageState.EXPIRED: ReceiptState.EXPIRED,
    MessageState.DELETED: ReceiptState.DELETED,
    MessageState.UNDELIVERABLE: ReceiptState.UNDELIVERABLE,
    MessageState.ACCEPTED: ReceiptState.ACCEPTED,
    MessageState.UNKNOWN: ReceiptState.UNKNOWN,
    MessageState.REJECTED: ReceiptState.REJECTED,
    MessageState.SKIPPED: ReceiptState.UNDELIVERABLE,
}
_NUMBER_OF_STATE: Final = {state: int(MessageState[state.name]) for state in ReceiptState}

# The words seen in the field beside Appendix B's own. ACKED and BUFFRED mean that an SMSC on the way has it.
_STATE_OF_WORD: Final[dict[str, ReceiptState]] = {state.value: state for state in ReceiptState} | {
    state.name: state for state in ReceiptState
}
_STATE_OF_WORD.update(
    dict.fromkeys(("ACKED", "ACK", "BUFFRED", "BUFFERED", "ACCEPT"), ReceiptState.ACCEPTED)
    | dict.fromkeys(("SENT", "QUEUED", "SCHEDULED", "PENDING", "DELAYED", "RETRY"), ReceiptState.ENROUTE)
    | dict.fromkeys(("DELIVERD", "DELIVER", "DELIVRED"), ReceiptState.DELIVERED)
    | dict.fromkeys(
        ("UNDELIVRD", "UNDELIVERED", "UNDELIVERD", "UNDELVRD", "FAILED", "FAIL"), ReceiptState.UNDELIVERABLE
    )
    | dict.fromkeys(("UNDLVRD", "NOTDELIVERED", "SKIPPED", "ERROR"), ReceiptState.UNDELIVERABLE)
    | dict.fromkeys(("REJECT", "REJECTE", "REJCTED"), ReceiptState.REJECTED)
    | dict.fromkeys(("EXPIRD", "EXPIRE"), ReceiptState.EXPIRED)
    | dict.fromkeys(("DELETE", "CANCELED", "CANCELLED"), ReceiptState.DELETED)
)


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What a receipt says.

    Attributes:
        message_id: the id of the message it is about, or None when it does not say.
        state: UNKNOWN when it does not say.
        submitted_us, done_us: microseconds since the epoch, its clock taken as UTC; None when it does not say.
        err: the network's error code, as it stands there; ``"000"`` when none.
        sub, dlvrd: how many short messages were submitted and delivered, or None.
        text: the begin of the message, or empty.
        intermediate: True for an intermediate notification, which is never final whatever its state.
    """

    message_id: str | None
    state: ReceiptState
    submitted_us: int | None = None
    done_us: int | None = None
    err: str = NO_ERROR
    sub: int | None = None
    dlvrd: int | None = None
    text: str = ""
    intermediate: bool = False


class IdForm(StrEnum):
    """How the ids of a link's receipts differ from those of its responses: the link's setting.

    EXACT: not at all. FOLDED: in case or leading zeros. RESPONSE_HEX: hexadecimal in submit_sm_resp, decimal in the
    receipt. RECEIPT_HEX: the other way round. The latter two forgive case and zeros as well.
    """

    EXACT = "exact"
    FOLDED = "folded"
    RESPONSE_HEX = "response-hex"
    RECEIPT_HEX = "receipt-hex"


def state_of_number(number: int) -> ReceiptState | None:
    """The state that a message_state means, or None when it is none of the standard's."""
    return _STATE_OF_NUMBER.get(number)


def state_number(state: ReceiptState) -> int:
    """The message_state of a state."""
    return _NUMBER_OF_STATE[state]


def state_of_word(word: str) -> ReceiptState:
    """The state that the word after ``stat:`` means; UNKNOWN for words nobody knows."""
    return _STATE_OF_WORD.get(word) or _STATE_OF_WORD.get(word.upper(), ReceiptState.UNKNOWN)


# ---- reading ----

# Appendix B as most SMSCs write it: all fields, in order. Case and the fixed widths are left open.
_USUAL = re.compile(
    r"id:(?P<id>[^\s:]+) sub:(?P<sub>\d{1,9}) dlvrd:(?P<dlvrd>\d{1,9}) submit date:(?P<submitted>\d{1,20}) "
    r"done date:(?P<done>\d{1,20}) stat:(?P<stat>\w+) err:(?P<err>\w+)(?: text:(?P<text>.*))?\Z",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
_FIELD = re.compile(
    r"(?<![\w-])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat(?:us)?|err(?:or)?|text)[ \t]*:",
    re.IGNORECASE | re.ASCII,
)
_FIELD_NAMES: Final = {"submitdate": "submitted", "donedate": "done", "status": "stat", "error": "err"}
# A field after the message's text, when that text might have been all the rest: only one that can do no harm.
_HARMLESS_VALUE = re.compile(r"[ \t]*[0-9]+(?![^\s,;])")
_HARMLESS_NAMES: Final = ("sub", "dlvrd", "submitted", "done", "err")
_DIGITS = re.compile(r"[0-9]{10,}")
_LONGEST_DATE: Final = 32  # what a stranger sends must not fill the cache
_NOT_DIGITS = re.compile(r"[^0-9]")


def read(esm_class: int, body: bytes | str, data_coding: int = 0, tlvs: TLVs = (), now_us: int = 0) -> Receipt | None:
    """Read a receipt, whatever its SMSC makes of the standard. Never fails.

    Args:
        esm_class: of the PDU; its bits alone say whether it is a receipt.
        body: short_message or message_payload.
        data_coding: of the PDU. It is a hint only: 8 with ASCII text happens, and UCS-2 under 0.
        tlvs: of the PDU.
        now_us: microseconds since the epoch, to choose between two readings of a date.

    Returns: what it says, or None when the PDU is no receipt.
    """
    if not is_receipt(esm_class):
        return None
    text = body if isinstance(body, str) else _characters(body, esm_class)
    usual = _USUAL.match(text)
    if usual is not None:
        message_id, sub, dlvrd, submitted, done, stat, err, rest = usual.groups("")
    else:
        fields = _fields(text)
        message_id, sub, dlvrd = fields.get("id", ""), fields.get("sub", ""), fields.get("dlvrd", "")
        submitted, done = fields.get("submitted", ""), fields.get("done", "")
        stat, err, rest = fields.get("stat", ""), fields.get("err", ""), fields.get("text", "")
    state: ReceiptState | None = None
    for tag, value in tlvs:
        if tag == _RECEIPTED_MESSAGE_ID:
            message_id = value.split(b"\0", 1)[0].decode("latin-1").strip() or message_id
        elif tag == _MESSAGE_STATE:
            state = _state_of_tlv(value)
        elif tag == _NETWORK_ERROR_CODE:
            err = _error_of_tlv(value) or err
    return Receipt(
        message_id or None,
        state or state_of_word(stat),
        _date(submitted, now_us),
        _date(done, now_us),
        err or NO_ERROR,
        int(sub) if sub else None,
        int(dlvrd) if dlvrd else None,
        rest,
        is_intermediate(esm_class),
    )


def _characters(body: bytes, esm_class: int) -> str:
    """The characters of a receipt. What it is written in shows at once: in UCS-2 every other octet of "id:" is zero."""
    if esm_class & EsmClass.UDHI and body[:1] < b" ":  # 0x44 comes with a header, and comes without one
        try:
            udh = parse_udh(body)
        except BadHeader:
            pass
        else:
            body = body[udh.header_octets :] if udh.elements else body
    if body[:2] == b"\xfe\xff" or 0 in body[:4:2]:
        return body.decode("utf-16-be", "replace").lstrip("\ufeff").replace("\0", "")
    return body.rstrip(b"\0").decode("latin-1").replace("\0", "@")  # a zero among letters is GSM's '@'


def _fields(text: str) -> dict[str, str]:
    """The fields of a receipt text in any order; of several with one name the first counts.

    The message's own text may hold anything, also what looks like fields. Once id and state have been seen, only
    dates and numbers are looked for behind it; before, a later ``id:`` or ``stat:`` is taken for the receipt's.
    """
    found: dict[str, str] = {}
    name, begin = "", 0
    for match in _FIELD.finditer(text):
        next_name = match[1].lower().replace(" ", "").replace("_", "")
        next_name = _FIELD_NAMES.get(next_name, next_name)
        if next_name in found or next_name == name:
            continue
        rest_is_text = name == "text" and "id" in found and "stat" in found
        if rest_is_text and not (next_name in _HARMLESS_NAMES and _HARMLESS_VALUE.match(text, match.end())):
            continue
        if name:
            found[name] = text[begin : match.start()]
        name, begin = next_name, match.end()
    if name:
        found[name] = text[begin:]
    return {name: _value(name, value) for name, value in found.items()}


def _value(name: str, value: str) -> str:
    """A field's value without what surrounds it."""
    if name == "text":
        return value[1:] if value.startswith(" ") else value
    value = value.strip(" \t\r\n\0,;")
    if name in ("submitted", "done"):
        return value
    word = (value.split(maxsplit=1) or [""])[0]
    if name in ("sub", "dlvrd") and not (word.isascii() and word.isdigit() and len(word) <= 9):
        return ""
    return word


def _state_of_tlv(value: bytes) -> ReceiptState | None:
    number = int.from_bytes(value, "big") if value else -1
    if 0x30 <= number <= 0x39:  # an ASCII digit
        number -= 0x30
    return _STATE_OF_NUMBER.get(number)


def _error_of_tlv(value: bytes) -> str:
    """The error code of network_error_code, or empty when it says none.

    One octet of network type and two of code, by the standard; three ASCII digits, by some SMSCs. As network types end
    at 8, the two cannot be taken for each other.
    """
    if len(value) == 3 and value.isdigit():
        return "" if value == b"000" else value.decode("ascii")
    code = int.from_bytes(value[1:3], "big") if len(value) >= 3 else 0
    return f"{code:03d}" if code else ""


def _date(value: str, now_us: int) -> int | None:
    """The time that a date means; of two readings the one nearer to now."""
    if not value:
        return None
    readings = _readings(value[:_LONGEST_DATE])
    if len(readings) > 1:
        return min(readings, key=lambda reading: abs(reading - now_us))
    return readings[0] if readings else None


@lru_cache(maxsize=4096)
def _readings(value: str) -> tuple[int, ...]:
    """All the times that a date may mean. Cached: the receipts of a minute share their dates."""
    run = _DIGITS.match(value)
    digits = run[0] if run is not None else _NOT_DIGITS.sub("", value)  # 2023-11-14 22:14
    if len(digits) == 15:  # SMPP's own absolute time (§7.1.1): tenths of a second and a zone after the seconds
        digits = digits[:12]
    forms: tuple[str, ...] = ()
    if len(digits) == 10:
        forms = (f"20{digits}00",)
    elif len(digits) == 12:
        forms = (f"20{digits}", f"{digits}00")  # with seconds, or with a century
    elif len(digits) == 14:
        forms = (digits,)
    return tuple(reading for reading in map(_calendar_us, forms) if reading is not None)


def _calendar_us(form: str) -> int | None:
    """Microseconds of YYYYMMDDhhmmss, or None when there is no such time."""
    try:
        moment = datetime(
            int(form[:4]), int(form[4:6]), int(form[6:8]), int(form[8:10]), int(form[10:12]), int(form[12:]), tzinfo=UTC
        )
    except ValueError:
        return None
    return (moment - _EPOCH) // _MICROSECOND


# ---- writing ----


_WRITABLE_ID = re.compile(r"[!-~]{1,64}")  # a C-octet string of 65 (§5.3.2.12), one word in the text


def write(receipt: Receipt) -> tuple[bytes, tuple[tuple[int, bytes], ...]]:
    """Write a receipt by Appendix B.

    The widths are the standard's: three digits of ``sub``, ``dlvrd`` and ``err``, ten of the dates, seven letters of
    ``stat``, twenty characters of text at most. An ``err`` longer than three is cut there; when it is a number, the
    network_error_code TLV has all of it. Characters that are not printable ASCII become '?'.

    Returns: short_message, for data_coding 0, and the TLVs for peers of 3.4 and later (leave them out for 3.3).

    Raises: ValueError: there is no message_id, or it is not visible ASCII of 1…64 characters.
    """
    message_id = receipt.message_id
    if not message_id or not _WRITABLE_ID.fullmatch(message_id):
        raise ValueError(f"no message_id that a receipt can name: {message_id!r}")
    delivered = receipt.state is ReceiptState.DELIVERED
    sub = 1 if receipt.sub is None else min(receipt.sub, 999)
    dlvrd = (sub if delivered else 0) if receipt.dlvrd is None else min(receipt.dlvrd, 999)
    err = receipt.err or NO_ERROR
    text = receipt.text[:MAX_TEXT]
    body = (
        f"id:{message_id} sub:{sub:03d} dlvrd:{dlvrd:03d} submit date:{_minute_of(receipt.submitted_us)} "
        f"done date:{_minute_of(receipt.done_us)} stat:{receipt.state.value} err:{_three(err)} text:{_printable(text)}"
    )
    tlvs: tuple[tuple[int, bytes], ...] = (
        (_RECEIPTED_MESSAGE_ID, message_id.encode("ascii") + b"\0"),
        (_MESSAGE_STATE, bytes((_NUMBER_OF_STATE[receipt.state],))),
    )
    if err != NO_ERROR and err.isascii() and err.isdigit() and 0 < int(err) <= 0xFFFF:
        tlvs = ((_NETWORK_ERROR_CODE, bytes((GSM_NETWORK,)) + int(err).to_bytes(2, "big")), *tlvs)
    return body.encode("ascii"), tlvs


@lru_cache(maxsize=4096)
def _format_minute(minute: int) -> str:
    return (_EPOCH + timedelta(minutes=minute)).strftime("%y%m%d%H%M")


def _minute_of(moment_us: int | None) -> str:
    """YYMMDDhhmm in UTC; zeros when the moment is not known."""
    return "0000000000" if moment_us is None else _format_minute(moment_us // 60_000_000)


def _three(err: str) -> str:
    """Three visible characters of an error code, numbers with leading zeros."""
    return _printable(err)[:3].replace(" ", "0").rjust(3, "0")


def _printable(text: str) -> str:
    """ASCII that can be printed, '?' for the rest."""
    if text.isascii() and text.isprintable():
        return text
    return "".join([character if " " <= character <= "~" else "?" for character in text])


# ---- ids ----

_DECIMAL = re.compile(r"[0-9]{1,64}")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{1,64}")
# How wide SMSCs pad ids: Appendix B's ten digits, and the widths of 32 and 64 bits.
_PADDED_WIDTHS: Final = (8, 10, 16, 20)


def canonical_id(message_id: str, form: IdForm, *, of_receipt: bool) -> str:
    """The one string under which the id of a response and the id of its receipt are equal.

    An id that is not what the form expects (a UUID on a link of decimals) is folded only.

    Args:
        message_id: as it came.
        form: the link's setting.
        of_receipt: True when it came in a receipt, False in a response.
    """
    if form is IdForm.EXACT:
        return message_id
    if of_receipt and form is IdForm.RESPONSE_HEX and _DECIMAL.fullmatch(message_id):
        return format(int(message_id), "x")
    if of_receipt and form is IdForm.RECEIPT_HEX and _HEXADECIMAL.fullmatch(message_id):
        return str(int(message_id, 16))
    return message_id.lower().lstrip("0") or "0"


def same_id(response_id: str, receipt_id: str, form: IdForm) -> bool:
    """True when a response's id and a receipt's id name one message, by the link's setting or exactly."""
    return response_id == receipt_id or (
        canonical_id(response_id, form, of_receipt=False) == canonical_id(receipt_id, form, of_receipt=True)
    )


def id_forms(message_id: str, form: IdForm) -> tuple[str, ...]:
    """The ids that the response may have had for this receipt, likeliest first; the exact one is always the first.

    For look-ups in a store of ids as they came. They cover the widths that SMSCs pad to; a store that keeps
    ``canonical_id`` beside the id finds any width.
    """
    if form is IdForm.EXACT:
        return (message_id,)
    bare = canonical_id(message_id, form, of_receipt=True)
    lower = message_id.lower()
    # Where the two differ in base, what the receipt says may be another message's id in a response.
    as_it_came = (lower, message_id.upper()) if (lower.lstrip("0") or "0") == bare else ()
    padded = [bare.rjust(width, "0") for width in _PADDED_WIDTHS]
    folded = (bare, *padded)
    if not bare.isdigit():
        folded += tuple([each.upper() for each in folded])
    forms = tuple(dict.fromkeys((message_id, *as_it_came, *folded)))
    if message_id.isascii():
        return forms
    return tuple([each for each in forms if same_id(each, message_id, form)])  # beyond ASCII, case is no simple matter
