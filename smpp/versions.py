"""Which version of SMPP a session speaks, and what the versions have.

A bind says what the ESME speaks, its response what the SMSC speaks; the session speaks the lower of the two. Source:
SMPP 3.4 §3.4, SMPP 5.0 §2.11:

- interface_version below 0x34, 0 included, is a 3.3 peer; so is an SMSC whose bind response has no
  sc_interface_version;
- a 3.3 peer is sent no TLV, and no PDU that came with 3.4: data_sm, alert_notification. bind_transceiver and outbind
  came with it too, but are said before anything is known of the peer;
- broadcast_sm and its kin came with 5.0;
- nothing of an older version was taken away by a later one, so what *arrives* is read whatever the session speaks: a
  peer that sends a 3.4 PDU knows what it means.

What bind responses of ours say is the session's version, not the highest we know: there are ESMEs of 3.4 that take a
version they have never heard of for an error.

Pure.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from smpp.constants import VERSION_3_4, VERSION_5_0
from smpp.errors import EncodeError
from smpp.pdu import (
    PDU,
    AlertNotification,
    BroadcastSm,
    CancelBroadcastSm,
    DataSm,
    QueryBroadcastSm,
)

OUR_VERSION: Final = VERSION_5_0
"""The highest that we speak."""

TAG_SC_INTERFACE_VERSION: Final = 0x0210
TAG_MESSAGE_PAYLOAD: Final = 0x0424

SINCE: Final[dict[type[PDU], int]] = {
    DataSm: VERSION_3_4,
    AlertNotification: VERSION_3_4,
    BroadcastSm: VERSION_5_0,
    QueryBroadcastSm: VERSION_5_0,
    CancelBroadcastSm: VERSION_5_0,
}
"""Requests that not every version has."""

_NAMES: Final = {VERSION_3_4: "3.4", VERSION_5_0: "5.0"}

_P = TypeVar("_P", bound=PDU)


def agreed_version(ours: int, theirs: int) -> int:
    """What two ends speak with each other."""
    return min(ours, theirs, OUR_VERSION)


def has_tlvs(version: int) -> bool:
    """Whether a peer of this version may be sent TLVs."""
    return version >= VERSION_3_4


def check_version(pdu_type: type[PDU], version: int) -> None:
    """Raises: EncodeError: a session of this version has no such PDU."""
    since = SINCE.get(pdu_type, 0)
    if version < since:
        raise EncodeError(pdu_type.__name__, f"is of SMPP {_NAMES[since]}, but the session speaks {version:#04x}")


def without_tlvs(pdu: _P) -> _P:
    """The same for a 3.3 peer. Raises: EncodeError: the text is in a TLV."""
    if any(tag == TAG_MESSAGE_PAYLOAD for tag, _ in pdu.tlvs):
        raise EncodeError("tlv 0x0424", "message_payload, but the peer speaks SMPP 3.3 and knows no TLVs")
    return msgspec.structs.replace(pdu, tlvs=())
