"""Octets to PDUs and back, and a stream to frames.

``encode`` is strict: what the standard does not allow is an ``EncodeError`` with the field's name. ``decode`` is
lenient: what can be understood is a PDU, whatever else is ``UnparsablePDU`` with the status to answer with, and nothing
else is ever raised for any octets. ``split_frames`` refuses a senseless length before anything is buffered for it.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Final

from smpp.constants import DEFAULT_MAX_COMMAND_LENGTH, HEADER_OCTETS
from smpp.errors import BadFrame
from smpp.generic import decode_generic, encode_generic
from smpp.hotpath import DECODERS, ENCODERS
from smpp.pdu import PDU

_MESSAGE_PAYLOAD: Final = 0x0424

_FOREIGN: Final[dict[bytes, str]] = {
    **dict.fromkeys(
        (b"GET ", b"POST", b"PUT ", b"HEAD", b"HTTP", b"OPTI", b"DELE", b"PATC", b"CONN", b"TRAC", b"PRI "), "http"
    ),
    **dict.fromkeys((b"\x16\x03\x00", b"\x16\x03\x01", b"\x16\x03\x02", b"\x16\x03\x03"), "tls"),
    b"SSH-": "ssh",
    b"<?xm": "xml",
    b"<str": "xml",
}
"""What scanners and misconfigured clients begin with. All read as lengths far beyond any bound."""


def encode(pdu: PDU, sequence_number: int | None = None) -> bytes:
    """Write a PDU.

    Args:
        pdu: any PDU. Each field is checked by itself; combinations are the caller's affair.
        sequence_number: written instead of the PDU's own, so that a connection need not rebuild it.

    Raises:
        EncodeError: a value is longer or larger than the standard allows.
    """
    hot = ENCODERS.get(type(pdu))
    if hot is not None:
        octets = hot(pdu, sequence_number)
        if octets is not None:
            return octets
    return encode_generic(pdu, sequence_number)


def decode(frame: bytes | bytearray | memoryview, faults: list[str] | None = None) -> PDU:
    """Read one whole frame, command_length included.

    Args:
        frame: exactly one PDU.
        faults: when given, a word is appended for each thing that was forgiven; ``smpp.generic`` lists them.

    Raises:
        UnparsablePDU: and nothing else.
    """
    octets = frame if type(frame) is bytes else bytes(frame)
    hot = DECODERS.get(octets[4:8])
    if hot is not None:
        pdu = hot(octets)
        if pdu is not None:
            return pdu
    return decode_generic(octets, faults)


def split_frames(
    buffer: bytes | bytearray | memoryview, max_length: int = DEFAULT_MAX_COMMAND_LENGTH
) -> tuple[list[bytes], int]:
    """Cut what has been received into whole frames.

    Args:
        buffer: octets of a stream, from the begin of a frame.
        max_length: the longest command_length to take, octets.

    Returns: the whole frames in order, and how many octets they took; the caller keeps the rest and adds to it.

    Raises:
        BadFrame: a command_length under 16 or over the bound. It carries the frames before it.
    """
    data = buffer if type(buffer) is bytes else bytes(buffer)
    frames: list[bytes] = []
    position = 0
    size = len(data)
    while position + 4 <= size:
        length = int.from_bytes(data[position : position + 4], "big")
        if not HEADER_OCTETS <= length <= max_length:
            head = data[position : position + 4]
            raise BadFrame(length, _FOREIGN.get(head) or _FOREIGN.get(head[:3], ""), frames, position)
        end = position + length
        if end > size:
            break
        frames.append(data[position:end])
        position = end
    return frames, position


def message_body(pdu: PDU) -> bytes:
    """The octets of a message: short_message, or message_payload when that is empty.

    Both set is an error by the standard (§5.3.2.32); ``decode`` counts it as "both payloads", and short_message wins.
    With UDHI set the user data header is at the begin of whichever it is.
    """
    body: bytes = getattr(pdu, "short_message", b"")
    if body or not pdu.tlvs:
        return body
    for tag, value in pdu.tlvs:
        if tag == _MESSAGE_PAYLOAD:
            return value
    return b""
