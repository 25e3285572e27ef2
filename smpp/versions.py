"""Which version of SMPP a session speaks, and what it may therefore send.

A bind says what the ESME speaks, its response what the SMSC speaks; the session speaks the lower of the two. Source:
SMPP 3.4 §3.4, SMPP 5.0 §2.11:

- interface_version below 0x34, 0 included, is a 3.3 peer; so is an SMSC whose bind response has no
  sc_interface_version;
- a request is written as that version knows it, or not at all (``smpp.downgrade``): no TLV for a 3.3 peer, no data_sm
  or alert_notification; no broadcast_sm for one of 3.4. bind_transceiver and outbind, too, came with 3.4, but are said
  before anything is known of the peer;
- a response loses the TLVs that the version does not have, and is sent even where the version has no such request: the
  peer has asked, so it knows the answer;
- nothing of an older version was taken away by a later one, so what *arrives* is read whatever the session speaks.

What bind responses of ours say is the session's version, not the highest we know: there are ESMEs of 3.4 that take a
version they have never heard of for an error.

Pure.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from smpp.constants import REGISTERED_RECEIPT_MASK, VERSION_3_3, VERSION_3_4, VERSION_5_0
from smpp.downgrade import SUCCESS_ONLY, downgrade, since
from smpp.errors import EncodeError
from smpp.pdu import PDU, TLVs
from smpp.tlv import DEFINITIONS

OUR_VERSION: Final = VERSION_5_0
"""The highest that we speak."""

TAG_SC_INTERFACE_VERSION: Final = 0x0210

_NEW_TAGS: Final = frozenset(tag for tag, tlv in DEFINITIONS.items() if tlv.since > VERSION_3_4)

_P = TypeVar("_P", bound=PDU)


def agreed_version(ours: int, theirs: int) -> int:
    """What two ends speak with each other."""
    return min(ours, theirs, OUR_VERSION)


def told(version: int) -> TLVs:
    """What our bind response says of the version: sc_interface_version, or nothing to a peer that knows no TLVs."""
    return ((TAG_SC_INTERFACE_VERSION, bytes((version,))),) if version >= VERSION_3_4 else ()


def check_version(pdu_type: type[PDU], version: int) -> None:
    """Raises: EncodeError: a session of this version has no such request."""
    if since(pdu_type) > max(version, VERSION_3_3):
        raise EncodeError("command_id", f"{pdu_type.__name__} is not in the version {version:#04x} of the session")


def request_for(pdu: _P, version: int) -> _P:
    """A request as a session of a version below 5.0 sends it.

    It costs nearly nothing where there is nothing to change: most requests have no TLV, and most peers speak 3.4.

    Raises: EncodeError: it cannot be said in that version.
    """
    if version >= VERSION_3_4 and not pdu.tlvs:
        asked: int = getattr(pdu, "registered_delivery", 0)
        if asked & REGISTERED_RECEIPT_MASK != SUCCESS_ONLY:
            return pdu
    return downgrade(pdu, version)


def response_for(pdu: _P, version: int) -> _P:
    """A response as a session of a version below 5.0 sends it."""
    if not pdu.tlvs:
        return pdu
    kept = tuple([tlv for tlv in pdu.tlvs if tlv[0] not in _NEW_TAGS]) if version >= VERSION_3_4 else ()
    return msgspec.structs.replace(pdu, tlvs=kept)
