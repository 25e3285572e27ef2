"""SMPP messages to the hub's model and back. Pure; serves links and accounts alike.

What a peer does in its own way is its ``Dialect``. A submit_sm of an account and a deliver_sm of a carrier say the same
in the same fields (SMPP 3.4 §4.4.1, §4.6.1), so one reader and one writer serve both directions. The reader is here,
beside what statuses mean; the writer is ``smpp_writing``, and is to be had from here too.
"""

from __future__ import annotations

from typing import Final

from hub.model import (
    NO_ATTRIBUTES,
    REMOTE_ELEMENT,
    SEAM_FIRST,
    SEAM_OPEN,
    Arrival,
    Concatenation,
    Reason,
    Receipt,
    ReceiptState,
    ReceiptWanted,
    Result,
)
from smpp import receipt as smpp_receipt
from smpp import tlv
from smpp.alphabet import UCS2, SeptetAlphabet, alphabet_of, fill_bits, looks_like_ucs2, shifted, unpack
from smpp.constants import (
    REGISTERED_RECEIPT_MASK,
    CommandStatus,
    EsmClass,
    RegisteredDelivery,
    is_intermediate,
    is_receipt,
)
from smpp.errors import BadTime
from smpp.pdu import DataSm
from smpp.reassembly import BadHeader, UserData, message_octets, user_data
from smpp.timeformat import parse_time
from translators.smpp_addresses import address_of
from translators.smpp_dialect import Dialect, MessagePdu, ShortMessage
from translators.smpp_elements import remote_element
from translators.smpp_writing import (
    MAX_RECEIPT_ID,
    TRANSLITERATED,
    as_submit_sm,
    is_transliterated,
    reference_of,
    registered_delivery_of,
    with_time_to_live,
    write_messages,
)

__all__ = [
    "LEAST_UCS2",
    "MAX_RECEIPT_ID",
    "STATUS_OF_REASON",
    "TEMPORARY",
    "THROTTLES",
    "TRANSLITERATED",
    "BadMessage",
    "Dialect",
    "MessagePdu",
    "ShortMessage",
    "as_submit_sm",
    "is_transliterated",
    "read_message",
    "reference_of",
    "registered_delivery_of",
    "result_of",
    "with_time_to_live",
    "write_messages",
]

_UDHI: Final = int(EsmClass.UDHI)
# A carrier that wants to hear what became of a handset's text asks the SME, not the SMSC (SMPP 3.4 §5.2.17).
_SME_ACKNOWLEDGEMENT: Final = int(RegisteredDelivery.SME_DELIVERY_ACKNOWLEDGEMENT)
_REFERENCE_TAG: Final = int(tlv.Tag.USER_MESSAGE_REFERENCE)
_REFERENCE_OCTETS: Final = 2
_TIME_TO_LIVE_TAG: Final = int(tlv.Tag.QOS_TIME_TO_LIVE)
_TIME_TO_LIVE_OCTETS: Final = 4
_PORT_TAGS: Final = (int(tlv.Tag.SOURCE_PORT), int(tlv.Tag.DESTINATION_PORT))
_PORT_OCTETS: Final = 2
LEAST_UCS2: Final = 8  # octets: "@a@b" is a text of GSM, four such pairs in a row are none

_WANTED: Final = {
    0: ReceiptWanted.NONE,
    int(RegisteredDelivery.FINAL): ReceiptWanted.FINAL,
    int(RegisteredDelivery.FAILURE): ReceiptWanted.FAILURE,
    int(RegisteredDelivery.SUCCESS): ReceiptWanted.FINAL,
}


class BadMessage(Exception):
    """A message cannot be taken as it is.

    Attributes:
        command_status: what to answer.
    """

    def __init__(self, command_status: int) -> None:
        super().__init__(f"command_status 0x{command_status:08x}")
        self.command_status = command_status


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
    if not isinstance(pdu, DataSm):
        if pdu.validity_period or pdu.schedule_delivery_time:
            validity_us, not_before_us = _times(pdu, now_us)
    elif pdu.tlvs:
        validity_us = _time_to_live_us(pdu)
    alphabet = alphabet_of(pdu.data_coding, dialect.default)
    concatenation = None
    header_octets = 0
    if esm_class & _UDHI or pdu.tlvs:
        try:
            data = user_data(octets, esm_class, pdu.tlvs)
        except BadHeader as error:
            raise BadMessage(error.command_status) from error
        if alphabet is None:
            # Octets that are no text pass with their header.
            octets = message_octets(octets, pdu.tlvs)
        else:
            octets = data.octets  # of a text, the header has been read
            if data.concatenation is not None:
                c = data.concatenation
                concatenation = Concatenation(c.reference, c.total, c.number)
            if data.udh is not None:
                header_octets = data.udh.header_octets
                alphabet = shifted(alphabet, data.udh.elements)
    else:
        data = UserData(octets)
    if alphabet is None:
        return Arrival(
            source=source,
            destination=destination,
            data=octets,
            receipt_wanted=wanted,
            validity_us=validity_us,
            not_before_us=not_before_us,
            attributes=_attributes_of_octets(pdu, data, dialect),
        )
    if dialect.packed and isinstance(alphabet, SeptetAlphabet):
        octets = unpack(octets, fill_bits(header_octets))
    if (
        pdu.data_coding == 0
        and not dialect.packed
        and len(octets) >= LEAST_UCS2
        and looks_like_ucs2(octets)
        and not alphabet.shift_elements  # who names septet tables sends septets
    ):
        alphabet = UCS2
    attributes = _attributes(pdu, dialect) if pdu.service_type or pdu.tlvs else NO_ATTRIBUTES
    if concatenation is None:
        text = alphabet.decode(octets)
    else:
        text = alphabet.decode_part(octets)
        if isinstance(alphabet, SeptetAlphabet):
            attributes = attributes | _seams(alphabet, octets)
    return Arrival(
        source=source,
        destination=destination,
        text=text,
        concatenation=concatenation,
        receipt_wanted=wanted,
        validity_us=validity_us,
        not_before_us=not_before_us,
        attributes=attributes,
    )


def _seams(alphabet: SeptetAlphabet, octets: bytes) -> dict[str, str]:
    """What a part says of its ends, where its sender may have cut a pair of escape and septet in two."""
    seams = {SEAM_OPEN: "1"} if alphabet.ends_in_escape(octets) else {}
    behind = alphabet.behind_escape(octets)
    return seams | {SEAM_FIRST: behind} if behind else seams


def _attributes(pdu: MessagePdu, dialect: Dialect) -> dict[str, str]:
    attributes = {"service_type": pdu.service_type} if pdu.service_type else {}
    reference = tlv.raw(pdu, _REFERENCE_TAG)
    if reference is not None and len(reference) == _REFERENCE_OCTETS:
        attributes["user_message_reference"] = reference.hex()
    element = remote_element(pdu, dialect.element_tlv)
    if element:
        attributes[REMOTE_ELEMENT] = element
    return attributes


def _attributes_of_octets(pdu: MessagePdu, data: UserData, dialect: Dialect) -> dict[str, str]:
    """What a message that is no text needs to be written again as it came: it passes part by part, never put together.

    ``esm_class`` says by UDHI that a header is in front; ``sar`` which of how many parts it is and ``ports`` which
    applications it is between, where TLVs say so.
    """
    attributes = _attributes(pdu, dialect) | {
        "data_coding": str(pdu.data_coding),
        "esm_class": str(pdu.esm_class & _UDHI),
    }
    c = data.concatenation
    if c is not None and data.udh is None:
        attributes["sar"] = f"{c.reference},{c.total},{c.number}"
    ports = {tag: value for tag, value in pdu.tlvs if tag in _PORT_TAGS and len(value) == _PORT_OCTETS}
    if ports:
        attributes["ports"] = ",".join(f"{tag:x}:{value.hex()}" for tag, value in sorted(ports.items()))
    return attributes


def _time_to_live_us(pdu: MessagePdu) -> int:
    """The validity that a data_sm names, as a duration, 0 when it names none (SMPP 3.4 §5.3.2.30).

    A value of more octets than the standard's four is none: no time of the journal's has room for it.
    """
    seconds = tlv.raw(pdu, _TIME_TO_LIVE_TAG)
    return int.from_bytes(seconds, "big") * 1_000_000 if seconds and len(seconds) <= _TIME_TO_LIVE_OCTETS else 0


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
    if dialect.packed and isinstance(alphabet_of(pdu.data_coding, dialect.default), SeptetAlphabet):
        unpacked = unpack(body)
        if b"id:" in unpacked.lower():  # the octets decide: few that send packed texts pack their receipts
            body = unpacked
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
