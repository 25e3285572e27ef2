"""SMPP 3.4, with what 5.0 adds: a library that knows nothing of the hub.

Pure: ``pdu`` (the values), ``layout`` and ``codec`` (their octets), ``tlv`` (optional parameters), ``timeformat``,
``constants``, ``errors``; ``connection`` (the session machine) over ``states``, ``events``, ``window``, ``congestion``,
``versions`` and ``downgrade`` (what a peer of an earlier version is sent); ``alphabet``,
``selection``, ``segmentation``, ``transliteration``, ``reassembly`` and ``receipt`` (what a text is on the wire).
Shells over trio: ``session``, ``client``, ``server``, ``outbind``, ``testing``. They are imported by their own names
and are not offered here, so that whoever wants octets only loads no network.
"""

from smpp.codec import decode, encode, message_body, split_frames
from smpp.connection import Connection
from smpp.constants import CommandId, CommandStatus, status_name
from smpp.errors import (
    BadFrame,
    BadTime,
    BadTLV,
    EncodeError,
    LocalProtocolError,
    RemoteProtocolError,
    SmppError,
    UnparsablePDU,
)
from smpp.pdu import PDU

__all__ = [
    "BadFrame",
    "BadTLV",
    "BadTime",
    "CommandId",
    "CommandStatus",
    "Connection",
    "EncodeError",
    "LocalProtocolError",
    "PDU",
    "RemoteProtocolError",
    "SmppError",
    "UnparsablePDU",
    "decode",
    "encode",
    "message_body",
    "split_frames",
    "status_name",
]
