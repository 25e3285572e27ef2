"""What a PDU of ours becomes when the peer speaks an earlier version of the standard.

The version that counts is the peer's: interface_version in its bind, sc_interface_version in its bind response; a peer
that says neither speaks 3.3 (3.4 §3.4). A PDU is written as that version knows it, or not at all:

==========================  ===========================================  ===============================================
what the PDU has            for a peer of 3.4                            for a peer of 3.3 or earlier
==========================  ===========================================  ===============================================
a command of a later        refused: the peer has no such command        refused
version
TLVs that 5.0 brought       left out                                     left out
other TLVs, vendors' too    stay                                         left out
sar_* TLVs                  stay                                         become a user data header of the same meaning
message_payload             stays (in replace_sm: as at the right)       becomes short_message; refused when too long
registered_delivery 3       becomes 1                                    becomes 1
(only on success: 5.0)
other bits of it            stay                                         1 when a receipt is asked for at all
message mode in esm_class   stays                                        left out: 3.3 stores and forwards
interface_version of a      stays                                        stays: it says what we speak
bind
==========================  ===========================================  ===============================================

Left out is what a peer must ignore anyway, or what only adds. Refused is what would change or lose a text: an
``EncodeError`` that names the field.

The size of an id is not looked at: 3.3 has eight hexadecimal digits, and whoever gives out ids must give such a peer
ids that fit (3.4 §3.4).

Source: SMPP 3.4 §3.4, 5.0 §2.11.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from smpp import pdu
from smpp.constants import ESM_MODE_MASK, REGISTERED_RECEIPT_MASK, VERSION_3_3, VERSION_3_4, VERSION_5_0, EsmClass
from smpp.errors import EncodeError
from smpp.pdu import PDU, TLVs
from smpp.tlv import DEFINITIONS, Tag

SUCCESS_ONLY: Final = 0x03
ANY_RECEIPT: Final = 0x01

LONGEST_SHORT_MESSAGE: Final = 254
"""Octets (3.4 §5.2.22)."""

_NEW_TAGS: Final[frozenset[int]] = frozenset(tag for tag, each in DEFINITIONS.items() if each.since > VERSION_3_4)
_SAR: Final = frozenset((Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM))

_P = TypeVar("_P", bound=PDU)

_SINCE: Final[dict[type[PDU], int]] = {
    **dict.fromkeys(
        (
            pdu.BindTransceiver,
            pdu.BindTransceiverResp,
            pdu.Outbind,
            pdu.DataSm,
            pdu.DataSmResp,
            pdu.AlertNotification,
        ),
        VERSION_3_4,
    ),
    **dict.fromkeys(
        (
            pdu.BroadcastSm,
            pdu.BroadcastSmResp,
            pdu.QueryBroadcastSm,
            pdu.QueryBroadcastSmResp,
            pdu.CancelBroadcastSm,
            pdu.CancelBroadcastSmResp,
        ),
        VERSION_5_0,
    ),
}


def since(pdu_class: type[PDU]) -> int:
    """The version of the standard that brought a PDU: 0x33 (or earlier), 0x34 or 0x50."""
    return _SINCE.get(pdu_class, VERSION_3_3)


def downgrade(pdu: _P, version: int) -> _P:
    """Make a PDU one that a peer of an earlier version knows.

    Args:
        pdu: any PDU.
        version: the peer's, 0x00…0xFF; those below 0x34 count as 3.3.

    Returns: the PDU itself when nothing is to be changed, as always for 5.0.

    Raises:
        EncodeError: that version has no word for it: the command, or a text too long for it.
    """
    if version >= VERSION_5_0:
        return pdu
    if since(type(pdu)) > max(version, VERSION_3_3):
        raise EncodeError("command_id", f"{type(pdu).__name__} is not in the version 0x{version:02x} of the peer")
    changes: dict[str, Any] = {}
    if version < VERSION_3_4:
        _to_3_3(pdu, changes)
    else:
        _to_3_4(pdu, changes)
    if not changes:
        return pdu
    changes = {name: value for name, value in changes.items() if value != getattr(pdu, name)}
    return msgspec.structs.replace(pdu, **changes) if changes else pdu


def _to_3_4(message: PDU, changes: dict[str, Any]) -> None:
    tlvs = message.tlvs
    if tlvs:
        unknown = _NEW_TAGS
        if type(message) is pdu.ReplaceSm:
            changes["short_message"] = _whole_text(message, tlvs)
            unknown |= {Tag.MESSAGE_PAYLOAD}
        for tag, _ in tlvs:
            if tag in unknown:  # seldom: then it may cost a little
                changes["tlvs"] = tuple([tlv for tlv in tlvs if tlv[0] not in unknown])
                break
    asked = getattr(message, "registered_delivery", 0)
    if asked & REGISTERED_RECEIPT_MASK == SUCCESS_ONLY:
        changes["registered_delivery"] = asked & ~REGISTERED_RECEIPT_MASK | ANY_RECEIPT


def _to_3_3(message: PDU, changes: dict[str, Any]) -> None:
    changes["tlvs"] = ()
    if hasattr(message, "registered_delivery"):
        changes["registered_delivery"] = int(message.registered_delivery & REGISTERED_RECEIPT_MASK != 0)
    if not hasattr(message, "short_message"):
        return
    text = _whole_text(message, message.tlvs)
    if hasattr(message, "esm_class"):
        esm_class = message.esm_class
        header = b"" if esm_class & EsmClass.UDHI else _concatenation(message.tlvs)
        if header:
            text = header + text
            esm_class |= EsmClass.UDHI
            if len(text) > LONGEST_SHORT_MESSAGE:
                problem = f"{len(text)} octets with its header, at most {LONGEST_SHORT_MESSAGE} allowed"
                raise EncodeError("short_message", problem)
        changes["esm_class"] = esm_class & ~ESM_MODE_MASK
    changes["short_message"] = text


def _whole_text(message: Any, tlvs: TLVs) -> bytes:
    """The text, wherever it is: short_message first. Raises: EncodeError: message_payload is too long for it."""
    text: bytes = message.short_message
    if text:
        return text
    for tag, value in tlvs:
        if tag == Tag.MESSAGE_PAYLOAD:
            if len(value) > LONGEST_SHORT_MESSAGE:
                problem = f"{len(value)} octets, but the peer's version has no message_payload here"
                raise EncodeError("tlv 0x0424", problem)
            return value
    return b""


def _concatenation(tlvs: TLVs) -> bytes:
    """The user data header that says what the sar_* TLVs say, or nothing (3GPP TS 23.040 §9.2.3.24.1 and .8)."""
    found = {tag: int.from_bytes(value, "big") for tag, value in tlvs if tag in _SAR}
    if len(found) < len(_SAR) or found[Tag.SAR_TOTAL_SEGMENTS] < 2:
        return b""
    reference = found[Tag.SAR_MSG_REF_NUM] & 0xFFFF
    place = bytes((found[Tag.SAR_TOTAL_SEGMENTS] & 0xFF, found[Tag.SAR_SEGMENT_SEQNUM] & 0xFF))
    if reference > 0xFF:
        return b"\x06\x08\x04" + reference.to_bytes(2, "big") + place
    return b"\x05\x00\x03" + bytes((reference,)) + place
