"""The codec that interprets the table of fields: every PDU, every odd case.

``smpp.hotpath`` does the clean cases of the frequent PDUs; for all else this one's word is final, and a property test
holds the two equal.

Reading is lenient where real peers are sloppy. What was forgiven is told by words in ``faults``:

====================  ===============================================================================================
word                  what came, and what is made of it
====================  ===============================================================================================
over-long <field>     a string longer than the standard's size; taken whole
odd <field>           a time that is neither empty nor 16 characters; taken as it is
extra NUL             one NUL between the body and the TLVs; skipped
truncated TLV         the last TLV says more octets than are there; dropped (a message_payload: refused, RINVPARLEN)
trailing octets       one to three octets after the last TLV; dropped
both payloads         short_message and message_payload; both are kept, ``message_body`` prefers the former
omitted <field>       a response's TLVs begin where its first field should
missing <field>       a response ends before this field, and others perhaps; they take their defaults
unterminated <field>  a response ends in a string without its NUL; taken
====================  ===============================================================================================

A response with an error status and no body is no fault: the standard leaves it open (§4.1.2 note, §4.4.2).

Requests get no such leave for a missing field: guessing what a message says is worse than refusing it. More than
``MAX_TLVS`` optional parameters are not read either: 64 KiB hold 16,000 empty ones, which cost a hundred times what a
message does.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from smpp.constants import HEADER_OCTETS, MAX_TLVS, RESPONSE_BIT, CommandStatus
from smpp.errors import EncodeError, UnparsablePDU
from smpp.layout import BODYLESS_ERRORS, LAYOUTS, CString, Field, Malformed
from smpp.pdu import PDU, PDU_CLASSES, TLVs
from smpp.tlv import DEFINITIONS

_HEADER: Final = struct.Struct(">IIII")
_TLV_HEADER: Final = struct.Struct(">HH")
_MESSAGE_PAYLOAD: Final = 0x0424


def encode_generic(pdu: PDU, sequence_number: int | None = None) -> bytes:
    """Write any PDU. See ``smpp.codec.encode``."""
    fields = LAYOUTS.get(type(pdu))
    if fields is None:
        raise EncodeError("command_id", f"a {type(pdu).__name__} is no PDU of the table")
    body = b"".join(field.write(getattr(pdu, field.name)) for field in fields)
    if pdu.tlvs:
        body += encode_tlvs(pdu.tlvs)
    elif pdu.command_status and body == b"\0" and type(pdu) in BODYLESS_ERRORS:
        body = b""
    number = pdu.sequence_number if sequence_number is None else sequence_number
    return encode_header(len(body), pdu.command_id, pdu.command_status, number) + body


def encode_header(body_octets: int, command_id: int, command_status: int, sequence_number: int) -> bytes:
    """The 16 octets before a body. Raises: EncodeError."""
    try:
        return _HEADER.pack(HEADER_OCTETS + body_octets, command_id, command_status, sequence_number)
    except struct.error:
        for name, value in (("command_status", command_status), ("sequence_number", sequence_number)):
            if not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF:
                raise EncodeError(name, f"{value!r} is not within 0…4294967295") from None
        raise EncodeError("command_length", "the body is too long") from None


def encode_tlvs(tlvs: TLVs) -> bytes:
    """The octets of optional parameters. Raises: EncodeError."""
    out: list[bytes] = []
    for tag, value in tlvs:
        try:
            out += (_TLV_HEADER.pack(tag, len(value)), value)
        except (struct.error, TypeError):
            raise EncodeError("tlvs", f"tag {tag!r}: no 16-bit tag with at most 65535 octets") from None
    try:
        return b"".join(out)
    except TypeError:
        raise EncodeError("tlvs", "a value that is no bytes") from None


def decode_generic(frame: bytes, faults: list[str] | None = None) -> PDU:
    """Read any frame. See ``smpp.codec.decode``."""
    if len(frame) < HEADER_OCTETS:
        raise UnparsablePDU(CommandStatus.ESME_RINVCMDLEN, 0, 0, f"{len(frame)} octets are no PDU")
    command_length, command_id, command_status, sequence_number = _HEADER.unpack_from(frame)
    if command_length != len(frame):
        problem = f"command_length is {command_length} in a frame of {len(frame)} octets"
        raise UnparsablePDU(CommandStatus.ESME_RINVCMDLEN, command_id, sequence_number, problem)
    pdu_class = PDU_CLASSES.get(command_id)
    if pdu_class is None:
        raise UnparsablePDU(CommandStatus.ESME_RINVCMDID, command_id, sequence_number, "unknown command_id")
    found: list[str] = []
    try:
        if command_id & RESPONSE_BIT:
            values, tlvs = _read_response(LAYOUTS[pdu_class], frame, command_status, found)
        else:
            values, tlvs = _read_request(LAYOUTS[pdu_class], frame, found)
    except Malformed as malformed:
        raise UnparsablePDU(malformed.status, command_id, sequence_number, malformed.problem) from None
    if faults is not None:
        faults += found
    return pdu_class(sequence_number, command_status, tlvs, *values)


def _read_request(fields: tuple[Field, ...], frame: bytes, faults: list[str]) -> tuple[list[Any], TLVs]:
    position = HEADER_OCTETS
    values = []
    for field in fields:
        value, position = field.read(frame, position, faults)
        values.append(value)
    tlvs, cut_tag = _read_tail(frame, position, faults)
    if cut_tag == _MESSAGE_PAYLOAD:
        # To take it would acknowledge a text of which a part is lost.
        raise Malformed(CommandStatus.ESME_RINVPARLEN, "message_payload is cut short")
    if fields and fields[-1].name == "short_message" and values[-1] and any(tag == _MESSAGE_PAYLOAD for tag, _ in tlvs):
        faults.append("both payloads")
    return values, tlvs


def _read_response(
    fields: tuple[Field, ...], frame: bytes, command_status: int, faults: list[str]
) -> tuple[list[Any], TLVs]:
    if len(frame) == HEADER_OCTETS:
        if fields and command_status == 0:
            faults.append(f"missing {fields[0].name}")
        return [], ()
    found: list[str] = []
    failure: Malformed | None = None
    result: tuple[list[Any], TLVs] = ([], ())
    try:
        result = _read_response_fields(fields, frame, found)
    except Malformed as malformed:
        failure = malformed
    if fields and (failure is not None or found):
        # Not a clean read. Perhaps the body was left out and TLVs were not. Believe it when they fill the frame and
        # begin with a tag of the standard: many a short text makes a TLV by chance ("id", 0, 1, 1).
        tlvs, end = _read_tlvs(frame, HEADER_OCTETS)
        if end == len(frame) and tlvs[0][0] in DEFINITIONS:
            faults.append(f"omitted {fields[0].name}")
            return [], tlvs
    if failure is not None:
        raise failure
    faults += found
    return result


def _read_response_fields(fields: tuple[Field, ...], frame: bytes, faults: list[str]) -> tuple[list[Any], TLVs]:
    position = HEADER_OCTETS
    values: list[Any] = []
    for field in fields:
        try:
            value, position = field.read(frame, position, faults)
        except Malformed as malformed:
            if malformed.at_end and position == len(frame):
                faults.append(f"missing {field.name}")
                return values, ()
            if isinstance(field, CString) and b"\0" not in frame[position:]:
                faults.append(f"unterminated {field.name}")
                values.append(str(frame[position:], "latin-1"))
                return values, ()
            raise
        values.append(value)
    tlvs, _ = _read_tail(frame, position, faults)
    return values, tlvs


def _read_tail(frame: bytes, position: int, faults: list[str]) -> tuple[TLVs, int]:
    """Read what follows the mandatory fields.

    Returns: the TLVs, and the tag of the one that was cut short, or -1.
    """
    if position == len(frame):
        return (), -1
    tlvs, end = _read_tlvs(frame, position)
    if end == len(frame):
        return tlvs, -1
    if frame[position] == 0:
        shifted, shifted_end = _read_tlvs(frame, position + 1)
        if shifted_end == len(frame):
            faults.append("extra NUL")
            return shifted, -1
    if len(frame) - end < _TLV_HEADER.size:
        faults.append("trailing octets")
        return tlvs, -1
    faults.append("truncated TLV")
    return tlvs, int.from_bytes(frame[end : end + 2], "big")


def _read_tlvs(frame: bytes, position: int) -> tuple[TLVs, int]:
    """Read TLVs as long as they fit.

    Returns: them, and where the first octet is that belongs to none.
    Raises: Malformed: there are more than ``MAX_TLVS``.
    """
    found: list[tuple[int, bytes]] = []
    size = len(frame)
    while position + 4 <= size:
        if len(found) == MAX_TLVS:
            raise Malformed(CommandStatus.ESME_RINVOPTPARSTREAM, f"more than {MAX_TLVS} optional parameters")
        tag, length = _TLV_HEADER.unpack_from(frame, position)
        end = position + 4 + length
        if end > size:
            break
        found.append((tag, frame[position + 4 : end]))
        position = end
    return tuple(found), position
