"""SMPP messages to the hub's model and back. Pure; serves links and accounts alike.

What a peer does in its own way is its ``Dialect``. A submit_sm of an account and a deliver_sm of a carrier say the same
in the same fields (SMPP 3.4 §4.4.1, §4.6.1), so one reader and one writer serve both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hub.errors import Unsplittable
from hub.model import (
    NO_ATTRIBUTES,
    Arrival,
    Concatenation,
    Kind,
    Message,
    Reason,
    Receipt,
    ReceiptState,
    ReceiptWanted,
    Result,
)
from smpp import receipt as smpp_receipt
from smpp import tlv
from smpp.alphabet import GSM7, UCS2, Alphabet, UnencodableText, alphabet_of, looks_like_ucs2, shifted
from smpp.constants import (
    REGISTERED_RECEIPT_MASK,
    CommandStatus,
    EsmClass,
    RegisteredDelivery,
    is_intermediate,
    is_receipt,
)
from smpp.errors import BadTime
from smpp.pdu import DataSm, DeliverSm, SubmitSm
from smpp.reassembly import BadHeader, message_octets, user_data
from smpp.segmentation import Method, TooManyParts, segment
from smpp.timeformat import parse_time
from translators.smpp_addresses import TonNpiRule, address_by_rules, address_of

ShortMessage = SubmitSm | DeliverSm
MessagePdu = SubmitSm | DeliverSm | DataSm

_UDHI: Final = int(EsmClass.UDHI)
# A carrier that wants to hear what became of a handset's text asks the SME, not the SMSC (SMPP 3.4 §5.2.17).
_SME_ACKNOWLEDGEMENT: Final = int(RegisteredDelivery.SME_DELIVERY_ACKNOWLEDGEMENT)
_PAYLOAD_TAG: Final = int(tlv.Tag.MESSAGE_PAYLOAD)
_REFERENCE_TAG: Final = int(tlv.Tag.USER_MESSAGE_REFERENCE)
_REFERENCE_OCTETS: Final = 2
LEAST_UCS2: Final = 8  # octets: "@a@b" is a text of GSM, four such pairs in a row are none
MAX_RECEIPT_ID: Final = 64  # SMPP 3.4 §5.2.23: message_id, without its NUL

_WANTED: Final = {
    0: ReceiptWanted.NONE,
    int(RegisteredDelivery.FINAL): ReceiptWanted.FINAL,
    int(RegisteredDelivery.FAILURE): ReceiptWanted.FAILURE,
    int(RegisteredDelivery.SUCCESS): ReceiptWanted.FINAL,
}


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How one peer writes and wants SMPP.

    Attributes:
        default: what data_coding 0 means to it.
        allowed: alphabets it takes, the first that carries a text in fewest parts wins.
        method: how it wants long texts.
        ask_receipts: which receipts are asked of it: ``"always"``, ``"wanted"`` (by the sender), ``"failure"``,
            ``"never"``.
        id_form: how the ids in its receipts differ from those it answered with.
        country_code: digits put before its national numbers, empty to leave them as they are.
        service_type: what is written into service_type.
        plus: whether E.164 addresses keep their ``+``.
        source_ton, source_npi, destination_ton, destination_npi: what is written there, -1 to let the address decide.
        ton_npi_rules: what is written there for some addresses; the first that fits wins over the four above.
        packed: septets of the GSM alphabet travel packed, both ways.
        transliterate: ``"to-fit"`` to transliterate what would make a text UCS-2, ``"never"``.
        send_validity: whether the peer is told until when a text is worth trying.
        submit_with: the PDU that a carrier is sent: ``"submit_sm"`` or ``"data_sm"``.
    """

    default: Alphabet = GSM7
    allowed: tuple[Alphabet, ...] = (GSM7, UCS2)
    method: Method = Method.UDH8
    ask_receipts: str = "wanted"
    id_form: smpp_receipt.IdForm = smpp_receipt.IdForm.EXACT
    country_code: str = ""
    service_type: str = ""
    plus: bool = False
    source_ton: int = -1
    source_npi: int = -1
    destination_ton: int = -1
    destination_npi: int = -1
    ton_npi_rules: tuple[TonNpiRule, ...] = ()
    packed: bool = False
    transliterate: str = "never"
    send_validity: bool = False
    submit_with: str = "submit_sm"


class BadMessage(Exception):
    """A message cannot be taken as it is.

    Attributes:
        command_status: what to answer.
    """

    def __init__(self, command_status: int) -> None:
        super().__init__(f"command_status 0x{command_status:08x}")
        self.command_status = command_status


# --- reading and writing fields ---------------------------------------------------------------------------------------


def registered_delivery_of(wanted: ReceiptWanted, asked: str) -> int:
    """The value of registered_delivery that a link's setting and the sender's wish come to."""
    if asked == "always":
        return int(RegisteredDelivery.FINAL)
    if asked == "never" or wanted is ReceiptWanted.NONE:
        return 0
    return int(RegisteredDelivery.FAILURE if asked == "failure" else RegisteredDelivery.FINAL)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_message(pdu: MessagePdu, dialect: Dialect, now_us: int) -> Arrival:
    """What a message PDU says.

    Raises: BadMessage.
    """
    country_code = dialect.country_code
    source = address_of(pdu.source_addr_ton, pdu.source_addr, country_code)
    destination = address_of(pdu.dest_addr_ton, pdu.destination_addr, country_code)
    esm_class = pdu.esm_class
    if is_receipt(esm_class):
        return _read_receipt(pdu, dialect, source, destination, now_us)
    wanted = _WANTED[pdu.registered_delivery & REGISTERED_RECEIPT_MASK]
    if pdu.registered_delivery & _SME_ACKNOWLEDGEMENT and wanted is ReceiptWanted.NONE:
        wanted = ReceiptWanted.FINAL
    validity_us = not_before_us = 0
    octets = b"" if isinstance(pdu, DataSm) else pdu.short_message
    if not isinstance(pdu, DataSm) and (pdu.validity_period or pdu.schedule_delivery_time):
        validity_us, not_before_us = _times(pdu, now_us)
    alphabet = alphabet_of(pdu.data_coding, dialect.default)
    concatenation = None
    if esm_class & _UDHI or pdu.tlvs:
        try:
            data = user_data(octets, esm_class, pdu.tlvs)
        except BadHeader as error:
            raise BadMessage(error.command_status) from error
        if data.concatenation is not None and alphabet is not None:
            c = data.concatenation
            concatenation = Concatenation(c.reference, c.total, c.number)
        # Octets that are no text pass with their header; of a text, the header has been read.
        octets = message_octets(octets, pdu.tlvs) if alphabet is None else data.octets
        if alphabet is not None and data.udh is not None:
            alphabet = shifted(alphabet, data.udh.elements)
    if alphabet is None:
        return Arrival(
            source=source,
            destination=destination,
            data=octets,
            receipt_wanted=wanted,
            validity_us=validity_us,
            not_before_us=not_before_us,
            attributes={"data_coding": str(pdu.data_coding), "esm_class": str(esm_class & _UDHI)},
        )
    if (
        pdu.data_coding == 0
        and len(octets) >= LEAST_UCS2
        and looks_like_ucs2(octets)
        and not alphabet.shift_elements  # who names septet tables sends septets
    ):
        alphabet = UCS2
    text = alphabet.decode(octets) if concatenation is None else alphabet.decode_part(octets)
    return Arrival(
        source=source,
        destination=destination,
        text=text,
        concatenation=concatenation,
        receipt_wanted=wanted,
        validity_us=validity_us,
        not_before_us=not_before_us,
        attributes=_attributes(pdu) if pdu.service_type or pdu.tlvs else NO_ATTRIBUTES,
    )


def _attributes(pdu: MessagePdu) -> dict[str, str]:
    attributes = {"service_type": pdu.service_type} if pdu.service_type else {}
    reference = tlv.raw(pdu, _REFERENCE_TAG)
    if reference is not None and len(reference) == _REFERENCE_OCTETS:
        attributes["user_message_reference"] = reference.hex()
    return attributes


def _times(pdu: ShortMessage, now_us: int) -> tuple[int, int]:
    """Validity (a duration) and schedule (a time), 0 where the PDU names none."""
    try:
        expires_us = parse_time(pdu.validity_period, now_us) or 0
    except BadTime as error:
        raise BadMessage(CommandStatus.ESME_RINVEXPIRY) from error
    try:
        start_us = parse_time(pdu.schedule_delivery_time, now_us) or 0
    except BadTime as error:
        raise BadMessage(CommandStatus.ESME_RINVSCHED) from error
    if expires_us and expires_us <= max(now_us, start_us):
        raise BadMessage(CommandStatus.ESME_RINVEXPIRY)
    return (expires_us - max(now_us, start_us) if expires_us else 0), (start_us if start_us > now_us else 0)


def _read_receipt(pdu: MessagePdu, dialect: Dialect, source: str, destination: str, now_us: int) -> Arrival:
    body = message_octets(b"" if isinstance(pdu, DataSm) else pdu.short_message, pdu.tlvs)
    read = smpp_receipt.read(pdu.esm_class, body, pdu.data_coding, pdu.tlvs, now_us)
    if read is None or not read.message_id:
        raise BadMessage(CommandStatus.ESME_RINVMSGID)
    state = ReceiptState(read.state.value) if read.state.value in _RECEIPT_WORDS else ReceiptState.UNKNOWN
    if is_intermediate(pdu.esm_class) and state.is_final:
        state = ReceiptState.ENROUTE
    forms = smpp_receipt.id_forms(read.message_id, dialect.id_form)
    return Arrival(
        source=source,
        destination=destination,
        receipt=Receipt(read.message_id[:80], state, read.err[:16], read.submitted_us or 0, read.done_us or now_us),
        attributes={"ids": "|".join(form[:80] for form in forms)} if len(forms) > 1 else NO_ATTRIBUTES,
    )


_RECEIPT_WORDS: Final = frozenset(state.value for state in ReceiptState)


# --- writing ---------------------------------------------------------------------------------------------------------


def reference_of(message_id: int) -> int:
    """The concatenation reference of a message: the same whenever it is split, different for neighbours."""
    return (message_id ^ message_id >> 22 ^ message_id >> 38) & 0xFFFF


def write_messages(message: Message, dialect: Dialect, make: type[SubmitSm] | type[DeliverSm]) -> list[ShortMessage]:
    """The PDUs of a message, in order.

    Args:
        message: a text or receipt.
        dialect: the peer's.
        make: SubmitSm towards a carrier, DeliverSm towards an ESME.

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
            registered_delivery=registered,
            data_coding=data_coding,
            short_message=short_message,
            tlvs=tlvs,
        )

    if message.data is not None:
        return [_write_octets(message, build)]
    try:
        segments = segment(
            message.text,
            method=dialect.method,
            default=dialect.default,
            allowed=dialect.allowed,
            reference=reference_of(message.id),
        )
    except TooManyParts as error:
        raise Unsplittable("too-long") from error
    except UnencodableText as error:
        raise Unsplittable("alphabet") from error
    return [build(s.esm_class, s.data_coding, s.short_message, s.tlvs) for s in segments]


def _write_octets(message: Message, build: Callable[..., ShortMessage]) -> ShortMessage:
    data = message.data or b""
    data_coding = int(message.attributes.get("data_coding", "4"))
    esm_class = int(message.attributes.get("esm_class", "0"))
    if len(data) <= 254:
        return build(esm_class, data_coding, data, ())
    if len(data) > 0xFFFF:
        raise Unsplittable("too-long")
    return build(esm_class, data_coding, b"", ((_PAYLOAD_TAG, data),))


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


# --- statuses --------------------------------------------------------------------------------------------------------

STATUS_OF_REASON: Final[dict[Reason, int]] = {
    Reason.BAD_SOURCE: CommandStatus.ESME_RINVSRCADR,
    Reason.BAD_DESTINATION: CommandStatus.ESME_RINVDSTADR,
    Reason.NO_ROUTE: CommandStatus.ESME_RINVDSTADR,
    Reason.NOT_ALLOWED: CommandStatus.ESME_RINVSRCADR,
    Reason.TOO_LONG: CommandStatus.ESME_RINVMSGLEN,
    Reason.BAD_TEXT: CommandStatus.ESME_RX_R_APPN,
    Reason.NO_SPACE: CommandStatus.ESME_RMSGQFUL,
    Reason.OPTED_OUT: CommandStatus.ESME_RINVDSTADR,
    Reason.FILTERED: CommandStatus.ESME_RX_P_APPN,  # ESME_RSUBMITFAIL would be tried again by many
    Reason.TOO_MUCH: CommandStatus.ESME_RTHROTTLED,
}

THROTTLES: Final = frozenset({int(CommandStatus.ESME_RTHROTTLED), int(CommandStatus.ESME_RMSGQFUL)})
TEMPORARY: Final = frozenset(
    {
        int(CommandStatus.ESME_RSYSERR),
        int(CommandStatus.ESME_RX_T_APPN),
        int(CommandStatus.ESME_RSUBMITFAIL),  # many SMSCs say this while they have no way to the handset
        int(CommandStatus.ESME_RINVBNDSTS),  # the session is going: another will take it
        int(CommandStatus.ESME_RUNKNOWNERR),
    }
)


def result_of(command_status: int) -> Result:
    """What a response's status means for the part that it answers."""
    if command_status == 0:
        return Result.ACCEPTED
    if command_status in THROTTLES:
        return Result.THROTTLED
    return Result.RETRY if command_status in TEMPORARY else Result.REFUSED
