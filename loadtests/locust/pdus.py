"""The few PDUs that scenarios need, written and read without the hub's own codec. Pure.

Independent on purpose: a mistake that the hub's codec makes both ways would be seen here. Each text begins with the
letter of its flow, four hexadecimal digits of its run and eight of its key: letters and digits are the same in every
alphabet.
Source: SMPP 3.4 §4.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from loadtests.wire import HEADER, RESPONSE

ESME_ROK, ESME_RTHROTTLED = 0x00, 0x58
STATUSES = {
    0x04: "ESME_RINVBNDSTS",
    0x05: "ESME_RALYBND",
    0x08: "ESME_RSYSERR",
    0x0A: "ESME_RINVSRCADR",
    0x0B: "ESME_RINVDSTADR",
    0x0D: "ESME_RBINDFAIL",
    0x0E: "ESME_RINVPASWD",
    0x0F: "ESME_RINVSYSID",
    0x14: "ESME_RMSGQFUL",
    0x45: "ESME_RSUBMITFAIL",
    0x58: "ESME_RTHROTTLED",
    0x64: "ESME_RX_T_APPN",
    0x65: "ESME_RX_P_APPN",
    0x66: "ESME_RX_R_APPN",
}
TEMPORARY = frozenset((0x08, 0x14, 0x58, 0x64))  # a carrier tries again later
DELIVERED = b"DELIVRD"
MAX_PDU_OCTETS = 65_536
TEXT, QUESTION, ANSWER = b"t", b"q", b"a"  # an application's, a customer's, a CSR's
_LABEL = re.compile(rb"([tqa])([0-9a-f]{4})([0-9a-f]{8})")
_FILLING = b" Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore " * 2


class SenselessFrame(ValueError):
    """A command_length that cannot be."""


class Text(NamedTuple):
    """What a submit_sm or deliver_sm says.

    Attributes:
        source, destination: addresses as they were written.
        esm_class, registered_delivery: as in the standard.
        octets: of short_message.
    """

    source: bytes
    destination: bytes
    esm_class: int
    registered_delivery: int
    octets: bytes


def cut_frames(buffer: bytearray) -> list[bytes]:
    """Take the whole frames off the front of a buffer. Raises: SenselessFrame."""
    frames: list[bytes] = []
    position, size = 0, len(buffer)
    while size - position >= 16:
        length = int.from_bytes(buffer[position : position + 4], "big")
        if not 16 <= length <= MAX_PDU_OCTETS:
            raise SenselessFrame(f"command_length {length}")
        if size - position < length:
            break
        frames.append(bytes(buffer[position : position + length]))
        position += length
    del buffer[:position]
    return frames


def write_text(source: bytes, destination: bytes, octets: bytes, *, receipt: bool) -> bytes:
    """The body of a submit_sm or deliver_sm between two international numbers."""
    return (
        b"\0\1\1" + source + b"\0\1\1" + destination + b"\0\0\0\0\0\0" + bytes((receipt, 0, 0, 0, len(octets))) + octets
    )


def read_text(frame: bytes) -> Text:
    """Read a submit_sm or deliver_sm. Raises: ValueError, IndexError: it is cut short."""
    at = frame.index(b"\0", 16) + 3
    end = frame.index(b"\0", at)
    source = frame[at:end]
    at = end + 3
    end = frame.index(b"\0", at)
    destination = frame[at:end]
    esm_class = frame[end + 1]
    at = frame.index(b"\0", end + 4) + 1  # behind schedule_delivery_time
    at = frame.index(b"\0", at) + 1  # behind validity_period
    length = frame[at + 4]
    octets = frame[at + 5 : at + 5 + length]
    if len(octets) != length:
        raise ValueError("sm_length goes beyond the PDU")
    return Text(source, destination, esm_class, frame[at], octets)


def write_request(command_id: int, sequence: int, body: bytes) -> bytes:
    """A whole request."""
    return HEADER.pack(16 + len(body), command_id, 0, sequence) + body


def write_response(request: bytes, status: int = ESME_ROK, body: bytes = b"") -> bytes:
    """The response to a request's frame."""
    command_id = RESPONSE | int.from_bytes(request[4:8], "big")
    return HEADER.pack(16 + len(body), command_id, status, int.from_bytes(request[12:16], "big")) + body


def write_bind(system_id: str, password: str) -> bytes:
    """The body of a bind_transceiver of version 3.4."""
    return system_id.encode() + b"\0" + password.encode() + b"\0\0\x34\0\0\0"


def name_of(status: int) -> str:
    """What a command_status is called, or its number."""
    return STATUSES.get(status, f"command_status {status:#x}")


def message_id_of(response: bytes) -> bytes:
    """The message_id in a submit_sm_resp."""
    return response[16:].partition(b"\0")[0]


def receipted_id_of(octets: bytes) -> bytes:
    """The message id that a delivery receipt's text names, empty when it names none. Source: SMPP 3.4 Appendix B."""
    return octets[3:].partition(b" ")[0] if octets[:3] == b"id:" else b""


def receipt_state_of(octets: bytes) -> bytes:
    """The state that a delivery receipt's text names, empty when it names none. Source: SMPP 3.4 Appendix B."""
    return octets.partition(b" stat:")[2].partition(b" ")[0]


def write_label(flow: bytes, run: int, key: int) -> bytes:
    """What a text is known by, 13 characters."""
    return b"%s%04x%08x" % (flow, run, key)


def fill(label: bytes, length: int) -> bytes:
    """A text of so many characters that begins so."""
    return (label + _FILLING)[:length]


def read_label(octets: bytes) -> tuple[bytes, int, int] | None:
    """The flow, run and key of a text; None when it is none of ours."""
    found = _LABEL.match(octets)
    return (found[1], int(found[2], 16), int(found[3], 16)) if found is not None else None
