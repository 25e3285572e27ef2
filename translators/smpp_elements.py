"""Identification elements in TLVs (H8). Pure.

SMPP has no parameter for who stands behind a number. Peers that want to say it, or to hear it, agree on a tag of those
that the standard leaves to vendors (SMPP 3.4 §5.3.2: 0x1400 to 0x3FFF). What the TLV holds is the element's canonical
text, ``SPID:6006``, without a NUL.

What a peer says of its sender decides nothing in the hub. It is kept beside the text, so it must be short and must be
an element; what is neither is as if it were not there, and counts as a fault of the peer's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from provisioning import ProvisioningError, parse_element
from smpp import tlv
from smpp.pdu import TLVs
from translators.smpp_dialect import MessagePdu

MAX_ELEMENT_OCTETS: Final = 256  # SIP URIs have no length of their own (RFC 3261); nobody's number needs more
REMEMBERED: Final = 1024  # values of peers', a few hundred octets each
BAD_ELEMENT: Final = "BAD_ELEMENT_TLV"
"""What is counted when a peer's TLV holds no identification element."""


@lru_cache(maxsize=REMEMBERED)
def read_octets(octets: bytes) -> str:
    """The canonical element that a TLV's value spells; empty when it spells none."""
    if len(octets) > MAX_ELEMENT_OCTETS:
        return ""
    try:
        return str(parse_element(octets.removesuffix(b"\0").decode("ascii")))
    except (UnicodeDecodeError, ProvisioningError):
        return ""


def remote_element(pdu: MessagePdu, tag: int) -> str:
    """The element that a message's sender names.

    Args:
        pdu: a message.
        tag: of the TLV that was agreed on, 0 for none.

    Returns: the canonical text; empty when there is none, or none that can be read.
    """
    octets = tlv.raw(pdu, tag) if tag else None
    return read_octets(octets) if octets is not None else ""


def is_bad(pdu: MessagePdu, tag: int) -> bool:
    """Whether a message has the TLV, and no element in it."""
    octets = tlv.raw(pdu, tag)
    return octets is not None and not read_octets(octets)


def element_tlvs(element: str, tag: int) -> TLVs:
    """The TLV that tells a peer a number's element; none when there is no element, or it was not agreed on."""
    return ((tag, element.encode()),) if element and tag else ()
