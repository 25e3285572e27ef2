"""Hand-tuned reading and writing of the PDUs that come by the million.

submit_sm, deliver_sm, their responses and enquire_link are nearly all of the traffic, so they have code of their own,
some five times faster than the interpreter of ``smpp.generic``. Its rule: do only what is clean, and answer None to
all else (an over-long string, a cut TLV, a value out of range, a wrong type). The caller then asks the generic codec,
which knows what to forgive and what to say. So no rule of leniency is written twice, and a property test can hold the
two equal for any octets and any values.

What makes it fast, measured: one ``decode`` of the octets up to the last address and slices of that str, instead of a
``decode`` for each; ``find`` instead of loops; one f-string and one ``encode`` for the whole head; one ``|`` of all
one-octet integers, which is within 0…255 exactly when each of them is; positional construction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from smpp.constants import MAX_TLVS
from smpp.generic import encode_tlvs
from smpp.pdu import (
    PDU,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    SubmitSm,
    SubmitSmResp,
    TLVs,
)

_unpack_header: Final = struct.Struct(">IIII").unpack_from
_pack_header: Final = struct.Struct(">IIII").pack
_unpack_tlv: Final = struct.Struct(">HH").unpack_from

_LEAST_MESSAGE: Final = 33
"""Octets of a submit_sm whose strings and text are all empty."""

_MESSAGE_PAYLOAD: Final = 0x0424
_CHARACTERS: Final = tuple(chr(octet) for octet in range(256))

Decoder = Callable[[bytes], PDU | None]
Encoder = Callable[[PDU, int | None], bytes | None]


def _read_clean_tlvs(frame: bytes, position: int, size: int) -> TLVs | None:
    """The TLVs, when they fill the frame exactly."""
    found: list[tuple[int, bytes]] = []
    while position + 4 <= size and len(found) < MAX_TLVS:
        tag, length = _unpack_tlv(frame, position)
        end = position + 4 + length
        found.append((tag, frame[position + 4 : end]))
        position = end
    return tuple(found) if position == size else None


def _message_decoder(pdu_class: type[SubmitSm] | type[DeliverSm]) -> Decoder:
    # Longer than a function should be: a call for each field would cost more than reading it.
    def decode_message(frame: bytes) -> PDU | None:
        size = len(frame)
        if size < _LEAST_MESSAGE:
            return None
        command_length, _, status, sequence = _unpack_header(frame)
        if command_length != size:
            return None
        find = frame.find
        # Where the NUL of each string is. A find that fails (-1) breaks the order that is checked below.
        a = find(b"\0", 16)  # service_type
        b = find(b"\0", a + 3)  # source_addr
        c = find(b"\0", b + 3)  # destination_addr
        if frame[c + 4 : c + 6] == b"\0\0":
            schedule = validity = ""
            e = c + 5
        else:
            d = find(b"\0", c + 4)  # schedule_delivery_time
            e = find(b"\0", d + 1)  # validity_period
            schedule_octets = d - c - 4
            validity_octets = e - d - 1
            if (schedule_octets and schedule_octets != 16) or (validity_octets and validity_octets != 16):
                return None
            schedule = frame[c + 4 : d].decode("latin-1")
            validity = frame[d + 1 : e].decode("latin-1")
        text = e + 6
        if not (15 < a < 22 and a + 2 < b < a + 24 and b + 2 < c < b + 24 and text <= size):
            return None
        end = text + frame[e + 5]
        tlvs: TLVs = ()
        if end != size:
            if end > size:
                return None
            clean = _read_clean_tlvs(frame, end, size)
            if clean is None:
                return None
            tlvs = clean
            if end != text:
                for tlv in tlvs:
                    if tlv[0] == _MESSAGE_PAYLOAD:
                        return None
        strings = frame[16:c].decode("latin-1")
        return pdu_class(
            sequence,
            status,
            tlvs,
            strings[: a - 16],
            frame[a + 1],
            frame[a + 2],
            strings[a - 13 : b - 16],
            frame[b + 1],
            frame[b + 2],
            strings[b - 13 :],
            frame[c + 1],
            frame[c + 2],
            frame[c + 3],
            schedule,
            validity,
            frame[e + 1],
            frame[e + 2],
            frame[e + 3],
            frame[e + 4],
            frame[text:end],
        )

    return decode_message


def _response_decoder(pdu_class: type[SubmitSmResp] | type[DeliverSmResp]) -> Decoder:
    def decode_response(frame: bytes) -> PDU | None:
        size = len(frame)
        if size < 16:
            return None
        command_length, _, status, sequence = _unpack_header(frame)
        if command_length != size:
            return None
        if 16 < size <= 81 and frame.find(b"\0", 16) == size - 1:
            return pdu_class(sequence, status, (), frame[16:-1].decode("latin-1"))
        if size == 16 and status:
            return pdu_class(sequence, status)
        return None

    return decode_response


def _empty_decoder(pdu_class: type[EnquireLink] | type[EnquireLinkResp]) -> Decoder:
    def decode_empty(frame: bytes) -> PDU | None:
        if len(frame) != 16:
            return None
        command_length, _, status, sequence = _unpack_header(frame)
        return pdu_class(sequence, status) if command_length == 16 else None

    return decode_empty


def _message_encoder(pdu_class: type[SubmitSm] | type[DeliverSm]) -> Encoder:
    command_id = pdu_class.command_id

    # Longer than a function should be, for the same reason as its counterpart.
    def encode_message(pdu: PDU, sequence_number: int | None) -> bytes | None:
        if not isinstance(pdu, pdu_class):
            return None
        service_type = pdu.service_type
        source_addr = pdu.source_addr
        destination_addr = pdu.destination_addr
        schedule = pdu.schedule_delivery_time
        validity = pdu.validity_period
        text = pdu.short_message
        i1, i2 = pdu.source_addr_ton, pdu.source_addr_npi
        i3, i4 = pdu.dest_addr_ton, pdu.dest_addr_npi
        i5, i6, i7 = pdu.esm_class, pdu.protocol_id, pdu.priority_flag
        i8, i9 = pdu.registered_delivery, pdu.replace_if_present_flag
        i10, i11 = pdu.data_coding, pdu.sm_default_msg_id
        try:
            if (
                not 0 <= i1 | i2 | i3 | i4 | i5 | i6 | i7 | i8 | i9 | i10 | i11 <= 255
                or "\0" in service_type + source_addr + destination_addr + schedule + validity
                or len(service_type) > 5
                or len(source_addr) > 20
                or len(destination_addr) > 20
                or (schedule and len(schedule) != 16)
                or (validity and len(validity) != 16)
                or len(text) > 254
            ):
                return None
            of = _CHARACTERS
            head = (
                f"{service_type}\0{of[i1]}{of[i2]}{source_addr}\0{of[i3]}{of[i4]}{destination_addr}\0"
                f"{of[i5]}{of[i6]}{of[i7]}{schedule}\0{validity}\0"
                f"{of[i8]}{of[i9]}{of[i10]}{of[i11]}{of[len(text)]}"
            ).encode("latin-1")
            body = head + text
            if pdu.tlvs:
                body += encode_tlvs(pdu.tlvs)
            number = pdu.sequence_number if sequence_number is None else sequence_number
            return _pack_header(16 + len(body), command_id, pdu.command_status, number) + body
        except (TypeError, UnicodeEncodeError, struct.error):
            return None

    return encode_message


def _response_encoder(pdu_class: type[SubmitSmResp] | type[DeliverSmResp], *, bodyless_error: bool) -> Encoder:
    command_id = pdu_class.command_id

    def encode_response(pdu: PDU, sequence_number: int | None) -> bytes | None:
        if not isinstance(pdu, pdu_class):
            return None
        message_id = pdu.message_id
        number = pdu.sequence_number if sequence_number is None else sequence_number
        try:
            if pdu.tlvs or len(message_id) > 64 or "\0" in message_id:
                return None
            if bodyless_error and pdu.command_status and message_id == "":
                return _pack_header(16, command_id, pdu.command_status, number)
            body = f"{message_id}\0".encode("latin-1")
            return _pack_header(16 + len(body), command_id, pdu.command_status, number) + body
        except (TypeError, UnicodeEncodeError, struct.error):
            return None

    return encode_response


def _empty_encoder(pdu_class: type[EnquireLink] | type[EnquireLinkResp]) -> Encoder:
    command_id = pdu_class.command_id

    def encode_empty(pdu: PDU, sequence_number: int | None) -> bytes | None:
        if pdu.tlvs:
            return None
        number = pdu.sequence_number if sequence_number is None else sequence_number
        try:
            return _pack_header(16, command_id, pdu.command_status, number)
        except struct.error:
            return None

    return encode_empty


DECODERS: Final[dict[bytes, Decoder]] = {
    SubmitSm.command_id.to_bytes(4, "big"): _message_decoder(SubmitSm),
    DeliverSm.command_id.to_bytes(4, "big"): _message_decoder(DeliverSm),
    SubmitSmResp.command_id.to_bytes(4, "big"): _response_decoder(SubmitSmResp),
    DeliverSmResp.command_id.to_bytes(4, "big"): _response_decoder(DeliverSmResp),
    EnquireLink.command_id.to_bytes(4, "big"): _empty_decoder(EnquireLink),
    EnquireLinkResp.command_id.to_bytes(4, "big"): _empty_decoder(EnquireLinkResp),
}
"""Readers of a whole frame by the four octets of its command_id. None: ask the generic codec."""

ENCODERS: Final[dict[type[PDU], Encoder]] = {
    SubmitSm: _message_encoder(SubmitSm),
    DeliverSm: _message_encoder(DeliverSm),
    SubmitSmResp: _response_encoder(SubmitSmResp, bodyless_error=True),
    DeliverSmResp: _response_encoder(DeliverSmResp, bodyless_error=False),
    EnquireLink: _empty_encoder(EnquireLink),
    EnquireLinkResp: _empty_encoder(EnquireLinkResp),
}
"""Writers by class. None: ask the generic codec."""
