"""The hub's messages as SMPP's. Pure: a message that is written again, after a restart, is cut at the same places.

One writer serves both directions: a submit_sm towards a carrier and a deliver_sm towards an ESME say the same in the
same fields (SMPP 3.4 §4.4.1, §4.6.1). What goes as data_sm is written as submit_sm first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from hub.errors import Unsplittable
from hub.model import ELEMENT, Kind, Message, ReceiptState, ReceiptWanted
from smpp import receipt as smpp_receipt
from smpp.alphabet import UnencodableText
from smpp.constants import EsmClass, RegisteredDelivery
from smpp.errors import BadTime
from smpp.pdu import DataSm, DeliverSm, SubmitSm, TLVs
from smpp.segmentation import MAX_OCTETS, MAX_SHORT_MESSAGE, Method, Segments, TooManyParts, sar_tlvs, segment
from smpp.timeformat import format_absolute
from smpp.tlv import Tag
from smpp.tlv import make as make_tlv
from smpp.transliteration import segment_to_fit
from translators.smpp_addresses import address_by_rules
from translators.smpp_dialect import DATA_SM, TO_FIT, Dialect, MessagePdu, ShortMessage
from translators.smpp_elements import element_tlvs

MAX_RECEIPT_ID: Final = 64  # SMPP 3.4 §5.2.23: message_id, without its NUL
MAX_SERVICE_TYPE: Final = 5  # likewise (§5.2.11)
TRANSLITERATED: Final = "transliterated"
"""What is counted, and noted on a message, when its peer was sent another text than its author wrote."""

_UDHI: Final = int(EsmClass.UDHI)
_PAYLOAD_TAG: Final = int(Tag.MESSAGE_PAYLOAD)
_REFERENCE_TAG: Final = int(Tag.USER_MESSAGE_REFERENCE)
_TIME_TO_LIVE_TAG: Final = int(Tag.QOS_TIME_TO_LIVE)
_SHARED: Final = (
    "service_type",
    "source_addr_ton",
    "source_addr_npi",
    "source_addr",
    "dest_addr_ton",
    "dest_addr_npi",
    "destination_addr",
    "esm_class",
    "registered_delivery",
    "data_coding",
)


def registered_delivery_of(wanted: ReceiptWanted, asked: str) -> int:
    """The value of registered_delivery that a link's setting and the sender's wish come to."""
    if asked == "always":
        return int(RegisteredDelivery.FINAL)
    if asked == "never" or wanted is ReceiptWanted.NONE:
        return 0
    return int(RegisteredDelivery.FAILURE if asked == "failure" else RegisteredDelivery.FINAL)


def reference_of(message_id: int) -> int:
    """The concatenation reference of a message: the same whenever it is split, different for neighbours."""
    return (message_id ^ message_id >> 22 ^ message_id >> 38) & 0xFFFF


def write_messages(message: Message, dialect: Dialect, make: type[SubmitSm] | type[DeliverSm]) -> Sequence[MessagePdu]:
    """The PDUs of a message, in order.

    Args:
        message: a text or receipt.
        dialect: the peer's.
        make: SubmitSm towards a carrier, DeliverSm towards an ESME.

    Returns: submit_sm, or data_sm where the dialect says so; or deliver_sm.

    Raises: Unsplittable.
    """
    rules = dialect.ton_npi_rules
    source_ton, source_npi, source = address_by_rules(
        message.source, dialect.plus, dialect.source_ton, dialect.source_npi, rules
    )
    dest_ton, dest_npi, destination = address_by_rules(
        message.destination, dialect.plus, dialect.destination_ton, dialect.destination_npi, rules, of_source=False
    )
    if message.kind is Kind.RECEIPT:
        return [_write_receipt(message, make, (source_ton, source_npi, source), (dest_ton, dest_npi, destination))]
    registered = registered_delivery_of(message.receipt_wanted, dialect.ask_receipts)
    service_type = message.attributes.get("service_type", dialect.service_type)
    if len(service_type) > MAX_SERVICE_TYPE:  # it was forgiven where it came in; no peer can have asked for it
        service_type = dialect.service_type
    to_carrier = make is SubmitSm
    validity = _until(message.expires_us) if to_carrier and dialect.send_validity else ""
    told = element_tlvs(message.attributes.get(ELEMENT, ""), dialect.element_tlv) if dialect.element_tlv else ()

    def build(
        esm_class: int, data_coding: int, short_message: bytes, tlvs: tuple[tuple[int, bytes], ...]
    ) -> ShortMessage:
        return make(
            service_type=service_type,
            source_addr_ton=source_ton,
            source_addr_npi=source_npi,
            source_addr=source,
            dest_addr_ton=dest_ton,
            dest_addr_npi=dest_npi,
            destination_addr=destination,
            esm_class=esm_class,
            validity_period=validity,
            registered_delivery=registered,
            data_coding=data_coding,
            short_message=short_message,
            tlvs=(*tlvs, *told) if told else tlvs,
        )

    if message.data is not None:
        pdus = [_write_octets(message, dialect, build)]
    else:
        pdus = [build(s.esm_class, s.data_coding, s.short_message, s.tlvs) for s in _segments(message, dialect)]
    if to_carrier and dialect.submit_with == DATA_SM:
        wishes = (make_tlv(Tag.SET_DPF, 1),) if "set_dpf" in message.attributes else ()
        return [_as_data_sm(pdu, wishes) for pdu in pdus]
    return pdus


def as_submit_sm(pdu: MessagePdu, message: Message, dialect: Dialect) -> MessagePdu:
    """A data_sm as the submit_sm that says the same, for an SMSC of 3.3, which has no data_sm.

    What is in TLVs stays there: the session writes it as 3.3 knows it (``smpp.downgrade``).
    """
    if not isinstance(pdu, DataSm):
        return pdu
    validity_period = _until(message.expires_us) if dialect.send_validity else ""
    return SubmitSm(**_shared(pdu), validity_period=validity_period, tlvs=pdu.tlvs)


def _until(expires_us: int) -> str:
    """validity_period: when a message expires. Absolute: it may wait here before it is sent, and is cut but once."""
    try:
        return format_absolute(expires_us)
    except BadTime:  # in a century that the format cannot name: as long as the SMSC likes
        return ""


def _as_data_sm(pdu: ShortMessage, wishes: TLVs) -> DataSm:
    """The same message in a data_sm, which has its octets in message_payload and no times (SMPP 3.4 §4.7.1)."""
    tlvs = pdu.tlvs
    if pdu.short_message or all(tag != _PAYLOAD_TAG for tag, _ in tlvs):
        tlvs = (*tlvs, (_PAYLOAD_TAG, pdu.short_message))
    return DataSm(**_shared(pdu), tlvs=(*tlvs, *wishes))


def _shared(pdu: MessagePdu) -> dict[str, Any]:
    """The fields that data_sm has in common with the other messages."""
    return {name: getattr(pdu, name) for name in _SHARED}


def _segments(message: Message, dialect: Dialect) -> Segments:
    """The parts of a text. Raises: Unsplittable."""
    try:
        if dialect.transliterate == TO_FIT:
            return _fitted(message, dialect)[1]
        return segment(
            message.text,
            method=dialect.method,
            default=dialect.default,
            allowed=dialect.allowed,
            reference=reference_of(message.id),
            packed=dialect.packed,
        )
    except TooManyParts as error:
        raise Unsplittable("too-long") from error
    except UnencodableText as error:
        raise Unsplittable("alphabet") from error


def _fitted(message: Message, dialect: Dialect) -> tuple[str, Segments]:
    return segment_to_fit(
        message.text,
        method=dialect.method,
        default=dialect.default,
        allowed=dialect.allowed,
        reference=reference_of(message.id),
        packed=dialect.packed,
    )


def is_transliterated(message: Message, dialect: Dialect) -> bool:
    """Whether a peer is sent another text than its author wrote. Told by writing it again: a PDU does not say so."""
    if dialect.transliterate != TO_FIT or message.data is not None or message.kind is not Kind.TEXT:
        return False
    try:
        return _fitted(message, dialect)[0] != message.text
    except (TooManyParts, UnencodableText):
        return False


def with_time_to_live(pdu: MessagePdu, message: Message, now_us: int) -> MessagePdu:
    """A data_sm with the time that its message has left; what has a validity_period of its own is left as it is.

    data_sm knows a duration only (qos_time_to_live, SMPP 3.4 §5.3.2.30), which begins when the SMSC has it: it is
    written when the part is given to a session, and is no part of ``split``.
    """
    if not isinstance(pdu, DataSm):
        return pdu
    seconds = min(max(1, -(-(message.expires_us - now_us) // 1_000_000)), 0xFFFFFFFF)
    return msgspec.structs.replace(pdu, tlvs=(*pdu.tlvs, (_TIME_TO_LIVE_TAG, seconds.to_bytes(4, "big"))))


def _write_octets(message: Message, dialect: Dialect, build: Callable[..., ShortMessage]) -> ShortMessage:
    """A message that is no text, as it came. A part by TLVs becomes one by a header where the peer wants that."""
    data, attributes = message.data or b"", message.attributes
    data_coding = int(attributes.get("data_coding", "4"))
    esm_class = int(attributes.get("esm_class", "0"))
    tlvs: tuple[tuple[int, bytes], ...] = ()
    if "ports" in attributes:
        pairs = [port.split(":") for port in attributes["ports"].split(",")]
        tlvs = tuple((int(tag, 16), bytes.fromhex(value)) for tag, value in pairs)
    if "sar" in attributes:
        reference, total, number = map(int, attributes["sar"].split(","))
        header = _concatenation_header(dialect.method, reference, total, number)
        if header and len(header) + len(data) <= MAX_OCTETS:
            data, esm_class = header + data, esm_class | _UDHI
        else:
            tlvs = (*tlvs, *sar_tlvs(reference, total, number))
    if len(data) <= MAX_SHORT_MESSAGE:
        return build(esm_class, data_coding, data, tlvs)
    if len(data) > 0xFFFF:
        raise Unsplittable("too-long")
    return build(esm_class, data_coding, b"", (*tlvs, (_PAYLOAD_TAG, data)))


def _concatenation_header(method: Method, reference: int, total: int, number: int) -> bytes:
    """The user data header of a part, empty where the peer does not want one."""
    if method not in (Method.UDH8, Method.UDH16):
        return b""
    if method is Method.UDH16 or reference > 0xFF:
        return bytes((6, 8, 4, reference >> 8 & 0xFF, reference & 0xFF, total, number))
    return bytes((5, 0, 3, reference, total, number))


def _write_receipt(
    message: Message,
    make: type[SubmitSm] | type[DeliverSm],
    source: tuple[int, int, str],
    destination: tuple[int, int, str],
) -> ShortMessage:
    """A receipt: deliver_sm with a delivery receipt, or submit_sm with an SME's delivery acknowledgement (§5.2.12)."""
    receipt = message.receipt
    if receipt is None or not receipt.message_id or len(receipt.message_id) > MAX_RECEIPT_ID:
        raise Unsplittable("receipt-without-id")
    delivered = receipt.state is ReceiptState.DELIVERED
    body, tlvs = smpp_receipt.write(
        smpp_receipt.Receipt(
            receipt.message_id,
            smpp_receipt.ReceiptState(receipt.state.value),
            receipt.submitted_us,
            receipt.done_us,
            receipt.error,
            1,
            int(delivered),
            receipt.text,
        )
    )
    to_esme = make is DeliverSm
    reference = message.attributes.get("user_message_reference", "")
    if reference:  # what the sender itself called the message: a carrier learns no id of ours from deliver_sm_resp
        tlvs = (*tlvs, (_REFERENCE_TAG, bytes.fromhex(reference)))
    return make(
        source_addr_ton=source[0],
        source_addr_npi=source[1],
        source_addr=source[2],
        dest_addr_ton=destination[0],
        dest_addr_npi=destination[1],
        destination_addr=destination[2],
        esm_class=int(EsmClass.DELIVERY_RECEIPT if to_esme else EsmClass.DELIVERY_ACKNOWLEDGEMENT),
        short_message=body,
        tlvs=tlvs,
    )
