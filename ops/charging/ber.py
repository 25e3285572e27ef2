"""Charging records to octets and back (BER). Pure.

*Two ways.* The types are pyasn1's, and it reads the files. It writes some thousand records a second, an object for each
field, while the message path waits for the interpreter's lock; so ``encode`` puts the octets of the same records
together by itself, in a tenth of the time. A property holds it to pyasn1, octet for octet: BER leaves nothing to choose
when fields are in the order of their tags and lengths are the shortest.

A file is one record behind the other, each a ``SMSRecordType``, with nothing before, between or behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from pyasn1.codec.ber import decoder as ber_decoder
from pyasn1.codec.ber import encoder as ber_encoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import univ

from ops.charging.records import MessageType, Record, RecordType, is_msisdn
from ops.charging.ts32298 import (
    EXTENSION,
    MESSAGE_TYPES,
    SC_SMO,
    SC_SMT,
    SMSRecordType,
    address_string,
    address_type,
    read_address_string,
    read_time_stamp,
    time_stamp,
)


class Unreadable(Exception):
    """Octets that are no file of charging records.

    Attributes:
        at: where they stop being one.
    """

    def __init__(self, at: int, why: str) -> None:
        super().__init__(f"no charging record at octet {at}: {why}")
        self.at = at


# --- writing ---------------------------------------------------------------------------------------------------------


def _tlv(identifier: bytes, content: bytes) -> bytes:
    """One field: identifier octets, the shortest definite length, contents."""
    size = len(content)
    if size < 0x80:
        return identifier + bytes((size,)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return identifier + bytes((0x80 | len(length),)) + length + content


def _simple(number: int) -> bytes:
    return bytes((0x80 | number,))


def _constructed(number: int) -> bytes:
    return bytes((0xA0 | number,))


def _integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


_OBJECT_IDENTIFIER: Final = ber_encoder.encode(univ.ObjectIdentifier(EXTENSION))
_RECORD: Final = {
    RecordType.SC_SMO: (b"\xbf\x5d", _tlv(_simple(0), _integer(SC_SMO))),
    RecordType.SC_SMT: (b"\xbf\x5e", _tlv(_simple(0), _integer(SC_SMT))),
}


@lru_cache(maxsize=65_536)
def _party(address: str, interface: str) -> bytes:
    """The fields of OriginatorInfo and of RecipientInfo, which have the same tags."""
    if is_msisdn(address):
        who = _tlv(_simple(1), address_string(address))
    else:
        data = _tlv(_simple(1), address.encode())
        who = _tlv(_constructed(2), _tlv(_simple(0), _integer(address_type(address))) + data)
    return who + _tlv(_constructed(5), _tlv(_simple(0), interface.encode()))


@lru_cache(maxsize=4096)
def _small(number: int, value: int) -> bytes:
    return _tlv(_simple(number), _integer(value))


@lru_cache(maxsize=4096)
def _extensions(call_centre: str, element: str, remote_element: str, reason: str) -> bytes:
    """The fields of HubInformation that many records have in common."""
    values = (call_centre, element, remote_element, reason)
    return b"".join(_tlv(_simple(number), text.encode()) for number, text in enumerate(values) if text)


def encode(records: Sequence[Record]) -> bytes:
    """The records, one behind the other."""
    return b"".join([_encode(record) for record in records])


def _encode(record: Record) -> bytes:
    identifier, record_type = _RECORD[record.record]
    own = _extensions(record.call_centre, record.element, record.remote_element, record.reason)
    if record.thread_id:
        own += _tlv(_simple(4), _integer(record.thread_id))
    extension = _tlv(b"\x30", _OBJECT_IDENTIFIER + _tlv(_constructed(2), _tlv(b"\x30", own))) if own else b""
    originator = _party(record.originator, record.originator_interface)
    recipient = _party(record.recipient, record.recipient_interface)
    reference = record.message_id.to_bytes(8, "big")
    wanted = b"\x01\x01" if record.report_requested else b"\x01\x00"
    node = _tlv(_simple(1), address_string(record.node))
    message_type = MESSAGE_TYPES[record.message_type]
    if record.record is RecordType.SC_SMO:
        fields = [
            record_type,
            node,
            _tlv(_constructed(2), originator),
            _tlv(_constructed(3), _tlv(b"\x30", recipient)),
            b"\x85\x09" + time_stamp(record.event_s),
            b"\x86\x08" + reference,
            _small(9, record.size_octets),
            b"\x8b" + wanted,
            _small(12, record.data_coding),
            _small(13, message_type),
            _tlv(_simple(22), _integer(record.sequence)),
            _tlv(_constructed(23), extension) if extension else b"",
        ]
    else:
        fields = [
            record_type,
            node,
            _tlv(_constructed(2), recipient),
            _tlv(_constructed(3), originator),
            b"\x85\x09" + time_stamp(record.submitted_s),
            b"\x86\x09" + time_stamp(record.event_s),
            b"\x88\x08" + reference,
            _small(9, record.parts) if record.parts else b"",
            _small(11, record.size_octets),
            b"\x8d" + wanted,
            _small(14, record.data_coding),
            _small(15, message_type),
            bytes((0x92, 1, record.status)) if record.status >= 0 else b"",
            b"\x93\x09" + time_stamp(record.discharged_s) if record.discharged_s else b"",
            _tlv(_constructed(23), _small(1, record.result)) if record.result else b"",
            _tlv(_simple(26), _integer(record.sequence)),
            _tlv(_constructed(27), extension) if extension else b"",
        ]
    return _tlv(identifier, b"".join(fields))


# --- reading ---------------------------------------------------------------------------------------------------------

_KINDS: Final[dict[int, MessageType]] = {number: kind for kind, number in MESSAGE_TYPES.items()}


def decode(octets: bytes) -> Iterator[Record]:
    """The records of a file. Raises: Unreadable."""
    at = 0
    while at < len(octets):
        end = _end_of(octets, at)
        try:
            choice, rest = ber_decoder.decode(octets[at:end], asn1Spec=SMSRecordType())
            record = _record_of(choice[choice.getName()])
        except (PyAsn1Error, ValueError, KeyError) as error:
            raise Unreadable(at, str(error).partition("\n")[0][:200] or type(error).__name__) from error
        if rest:
            raise Unreadable(at, "it is longer than its fields")
        yield record
        at = end


def _end_of(octets: bytes, at: int) -> int:
    """Where the record that begins at ``at`` ends. Each gets its own octets: pyasn1 would copy the rest of the file."""
    if octets[at : at + 2] not in (b"\xbf\x5d", b"\xbf\x5e"):
        raise Unreadable(at, f"{octets[at : at + 2].hex()} begins no SC-SMO or SC-SMT record")
    first = octets[at + 2] if len(octets) > at + 2 else 0x80
    head, size = at + 3, first
    if first >= 0x80:
        head += first & 0x7F
        size = int.from_bytes(octets[at + 3 : head], "big")
        if first == 0x80 or head > len(octets):
            raise Unreadable(at, "its length is missing")
    if head + size > len(octets):
        raise Unreadable(at, f"{head + size - len(octets)} octets are missing at its end")
    return head + size


def _record_of(fields: Any) -> Record:
    """A record from its decoded fields."""

    def value(name: str, otherwise: Any) -> Any:
        there = name in fields and fields[name].isValue
        return fields[name] if there else otherwise

    number = int(fields["recordType"])
    recipient = fields["recipientInfo"]
    if number == SC_SMO:
        recipient = recipient[0]
    originator_address, originator_interface = _party_of(
        fields["originatorInfo"], "originator", "sMOriginatorInterface"
    )
    recipient_address, recipient_interface = _party_of(recipient, "recipient", "sMDestinationInterface")
    extensions = value("recordExtensions", ())
    own = extensions[0]["information"] if len(extensions) else {}
    event_s = read_time_stamp(bytes(fields["eventtimestamp"]))
    discharge = bytes(value("sMDischargeTime", b""))
    status, result = bytes(value("sMSStatus", b"")), value("sMSResult", None)
    return Record(
        sequence=int(fields["localSequenceNumber"]),
        record={SC_SMO: RecordType.SC_SMO, SC_SMT: RecordType.SC_SMT}[number],
        message_type=_KINDS[int(fields["sMMessageType"])],
        node=read_address_string(bytes(fields["sMSNodeAddress"])),
        message_id=int.from_bytes(bytes(fields["messageReference"]), "big"),
        submitted_s=event_s if number == SC_SMO else read_time_stamp(bytes(fields["submissionTime"])),
        event_s=event_s,
        originator=originator_address,
        originator_interface=originator_interface,
        recipient=recipient_address,
        recipient_interface=recipient_interface,
        size_octets=int(fields["messageSize"]),
        parts=int(value("sMTotalNumber", 0)),
        report_requested=bool(fields["sMdeliveryReportRequested"]),
        data_coding=int(fields["sMDataCodingScheme"]),
        status=status[0] if status else -1,
        discharged_s=read_time_stamp(discharge) if discharge else 0,
        result=int(result["gsm0902MapErrorValue"]) if result is not None else 0,
        reason=_text(own, "reason"),
        call_centre=_text(own, "callCentre"),
        element=_text(own, "element"),
        remote_element=_text(own, "remoteElement"),
        thread_id=int(own["thread"]) if own and own["thread"].isValue else 0,
    )


def _text(own: Any, name: str) -> str:
    return str(own[name]) if own and own[name].isValue else ""


def _party_of(party: Any, side: str, interface: str) -> tuple[str, str]:
    """Address and interface of an OriginatorInfo or RecipientInfo."""
    number = party[f"{side}MSISDN"]
    address = (
        read_address_string(bytes(number)) if number.isValue else str(party[f"{side}OtherAddress"]["sMAddressData"])
    )
    return address, str(party[interface]["interfaceId"])
