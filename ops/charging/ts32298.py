"""Charging records of SMS in ASN.1: what the hub fills of 3GPP TS 32.298's module SMSChargingDataTypes. Pure.

The names and tags are the standard's. Whoever has its module reads what is written by these types, without a word from
us; a test does that with somebody else's compiler.

What the standard has no field for (call centre, elements, our reasons) goes where it says that such things go, into
``recordExtensions``, under an object identifier of our own: made of a UUID (X.667), which nobody had to register.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from pyasn1.type import char, namedtype, tag, univ

from ops.charging.records import MessageType, is_msisdn

SC_SMO: Final = 93  # RecordType of TS 32.298 §5.2.2.0, and the tag of the record in SMSRecordType
SC_SMT: Final = 94
EXTENSION: Final = (2, 25, 0x6F1A4C0E_7D52_4B39_9E0B_5C8D2A417F63)
"""The object identifier of ``HubInformation``; docs/reference/charging-records.md."""

_INTERNATIONAL: Final = 0x91  # extension bit, international number, E.164 numbering plan: TS 29.002 §17.7.8
_NO_ADDRESS: Final = 0x80
_NUMERIC_SHORT_CODE: Final = 4  # SMAddressType
_ALPHANUMERIC_SHORT_CODE: Final = 5
MESSAGE_TYPES: Final = {MessageType.SUBMISSION: 0, MessageType.DELIVERY_REPORT: 1, MessageType.DELIVERY: 3}
"""SMMessageType."""


# --- the types -------------------------------------------------------------------------------------------------------


def _at(number: int, kind: Any) -> Any:
    """A type under a context tag; IMPLICIT, as the module says."""
    constructed = isinstance(kind, univ.SequenceAndSetBase | univ.SequenceOfAndSetOfBase)
    form = tag.tagFormatConstructed if constructed else tag.tagFormatSimple
    return kind.subtype(implicitTag=tag.Tag(tag.tagClassContext, form, number))


def _choice_at(number: int, kind: Any) -> Any:
    """A CHOICE, or an open type, under a context tag: these have no tag of their own to put another in the place of."""
    return kind.subtype(explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number))


def _record_tag(number: int) -> tag.TagSet:
    """The tag of a record, in the place of SET's."""
    only = tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number)
    return tag.TagSet(only, only)


def _fields(**kinds: Any) -> Any:
    return namedtype.NamedTypes(*(namedtype.OptionalNamedType(name, kind) for name, kind in kinds.items()))


def _always(**kinds: Any) -> Any:
    """Fields that are optional in the standard and always filled here.

    A sequence of nothing but optional ones would count as there for pyasn1, and be written, empty, wherever it may be.
    """
    return namedtype.NamedTypes(*(namedtype.NamedType(name, kind) for name, kind in kinds.items()))


class SMAddressInfo(univ.Sequence):
    """An address that is no MSISDN."""

    componentType = _always(sMAddressType=_at(0, univ.Enumerated()), sMAddressData=_at(1, char.GraphicString()))


class SMInterface(univ.Sequence):
    """What a message came or went by."""

    componentType = _always(interfaceId=_at(0, char.GraphicString()))


class OriginatorInfo(univ.Sequence):
    """Who submitted."""

    componentType = _fields(
        originatorMSISDN=_at(1, univ.OctetString()),
        originatorOtherAddress=_at(2, SMAddressInfo()),
        sMOriginatorInterface=_at(5, SMInterface()),
    )


class RecipientInfo(univ.Sequence):
    """Who is to get it."""

    componentType = _fields(
        recipientMSISDN=_at(1, univ.OctetString()),
        recipientOtherAddress=_at(2, SMAddressInfo()),
        sMDestinationInterface=_at(5, SMInterface()),
    )


class RecipientInfos(univ.SequenceOf):
    """A submission may be to several; ours is to one."""

    componentType = RecipientInfo()


class SMSResult(univ.Choice):
    """Why not."""

    componentType = _fields(gsm0902MapErrorValue=_at(1, univ.Integer()))


class HubInformation(univ.Sequence):
    """Ours: what the standard has no field for."""

    componentType = _fields(
        callCentre=_at(0, char.UTF8String()),
        element=_at(1, char.UTF8String()),
        remoteElement=_at(2, char.UTF8String()),
        reason=_at(3, char.UTF8String()),
        thread=_at(4, univ.Integer()),
    )


class ManagementExtension(univ.Sequence):
    """X.721's box for what a standard does not know."""

    componentType = _fields(
        identifier=univ.ObjectIdentifier(),
        significance=_at(1, univ.Boolean()),
        information=_choice_at(2, HubInformation()),
    )


class ManagementExtensions(univ.SetOf):
    """Of these, one."""

    componentType = ManagementExtension()


class SCSMORecord(univ.Set):
    """TS 32.298: a message was submitted."""

    tagSet = _record_tag(SC_SMO)
    componentType = _fields(
        recordType=_at(0, univ.Integer()),
        sMSNodeAddress=_at(1, univ.OctetString()),
        originatorInfo=_at(2, OriginatorInfo()),
        recipientInfo=_at(3, RecipientInfos()),
        eventtimestamp=_at(5, univ.OctetString()),
        messageReference=_at(6, univ.OctetString()),
        messageSize=_at(9, univ.Integer()),
        sMdeliveryReportRequested=_at(11, univ.Boolean()),
        sMDataCodingScheme=_at(12, univ.Integer()),
        sMMessageType=_at(13, univ.Enumerated()),
        localSequenceNumber=_at(22, univ.Integer()),
        recordExtensions=_at(23, ManagementExtensions()),
    )


class SCSMTRecord(univ.Set):
    """TS 32.298: a message was delivered, or was not, or a report of it came."""

    tagSet = _record_tag(SC_SMT)
    componentType = _fields(
        recordType=_at(0, univ.Integer()),
        sMSNodeAddress=_at(1, univ.OctetString()),
        recipientInfo=_at(2, RecipientInfo()),
        originatorInfo=_at(3, OriginatorInfo()),
        submissionTime=_at(5, univ.OctetString()),
        eventtimestamp=_at(6, univ.OctetString()),
        messageReference=_at(8, univ.OctetString()),
        sMTotalNumber=_at(9, univ.Integer()),
        messageSize=_at(11, univ.Integer()),
        sMdeliveryReportRequested=_at(13, univ.Boolean()),
        sMDataCodingScheme=_at(14, univ.Integer()),
        sMMessageType=_at(15, univ.Enumerated()),
        sMSStatus=_at(18, univ.OctetString()),
        sMDischargeTime=_at(19, univ.OctetString()),
        sMSResult=_choice_at(23, SMSResult()),
        localSequenceNumber=_at(26, univ.Integer()),
        recordExtensions=_at(27, ManagementExtensions()),
    )


class SMSRecordType(univ.Choice):
    """What a file is a row of."""

    componentType = namedtype.NamedTypes(
        namedtype.NamedType("sCSMORecord", SCSMORecord()), namedtype.NamedType("sCSMTRecord", SCSMTRecord())
    )


# --- their values ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def time_stamp(at_s: int) -> bytes:
    """TimeStamp: YYMMDDhhmmss in BCD, then the offset from UTC as a sign in ASCII and hhmm in BCD; 9 octets."""
    return bytes.fromhex(f"{datetime.fromtimestamp(at_s, UTC):%y%m%d%H%M%S}") + b"+\0\0"


def read_time_stamp(octets: bytes) -> int:
    """Seconds since the epoch. Raises: ValueError."""
    digits, sign, offset = octets[:6].hex(), octets[6:7].decode("latin-1"), octets[7:].hex()
    return int(datetime.strptime(f"20{digits}{sign}{offset}", "%Y%m%d%H%M%S%z").timestamp())


def address_string(address: str) -> bytes:
    """AddressString of an E.164 number: what kind of number it is, then its digits, two swapped in each octet."""
    if not is_msisdn(address):
        return bytes((_NO_ADDRESS,))
    digits = address[1:] + "f" * (len(address) % 2 == 0)
    swapped = "".join(digits[at + 1] + digits[at] for at in range(0, len(digits), 2))
    return bytes((_INTERNATIONAL,)) + bytes.fromhex(swapped)


def read_address_string(octets: bytes) -> str:
    """The number that an AddressString spells, empty when it has no digits."""
    digits = "".join(pair[1] + pair[0] for pair in (f"{octet:02x}" for octet in octets[1:])).rstrip("f")
    return f"+{digits}" if digits else ""


def address_type(address: str) -> int:
    """SMAddressType of an address that is no MSISDN."""
    return _NUMERIC_SHORT_CODE if address.isdecimal() else _ALPHANUMERIC_SHORT_CODE
