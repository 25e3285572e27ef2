"""What a session keeps to, and what it tells: settings, events, and what became of requests.

Values only; the rules are in ``smpp.connection``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from smpp.constants import DEFAULT_MAX_COMMAND_LENGTH, VERSION_3_3
from smpp.errors import RemoteProtocolError
from smpp.pdu import (
    PDU,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    Outbind,
)

Bind = BindReceiver | BindTransmitter | BindTransceiver
BindResp = BindReceiverResp | BindTransmitterResp | BindTransceiverResp


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection keeps to. Durations are seconds; 0 switches the first three timers off.

    Attributes:
        window: how many requests of ours may be unanswered at once.
        session_init_s: from the start until bound.
        enquire_link_s: silence after which we ask whether the peer lives.
        inactivity_s: without a message for so long, unbind.
        response_s: how long an answer is waited for.
        linger_s: after unbind_resp, how long the peer may take to close.
        max_command_length: octets; a longer frame ends the session before it is buffered.
        silent_version: the version of a peer that names none.
    """

    window: int = 100
    session_init_s: float = 10.0
    enquire_link_s: float = 30.0
    inactivity_s: float = 0.0
    response_s: float = 30.0
    linger_s: float = 2.0
    max_command_length: int = DEFAULT_MAX_COMMAND_LENGTH
    silent_version: int = VERSION_3_3


DEFAULT_SETTINGS: Final = Settings()


class Lost(StrEnum):
    """Why a request of ours has no readable response."""

    ON_WIRE = "on the wire"  # the session ended: in doubt
    UNSENT = "unsent"  # the session ended before it left: no doubt
    TIMEOUT = "timeout"  # in doubt
    UNREADABLE = "unreadable"  # answered, but nobody can tell what: in doubt
    NOT_BOUND = "not bound"  # the SMSC refused it since it has forgotten our bind: not taken, no doubt
    UNENCODABLE = "unencodable"  # the standard, or the peer's version, has no form for it: it never left


class Ending(StrEnum):
    """Why a session ended: one word or two for the log and the metrics."""

    UNBOUND = "unbound"
    UNBOUND_BY_PEER = "unbound by peer"
    CLOSED = "closed"  # by us
    CLOSED_BY_PEER = "closed by peer"
    CUT = "cut"
    BIND_REFUSED = "bind refused"
    SESSION_INIT = "no bind in time"
    NOT_ANSWERING = "not answering"
    INACTIVE = "inactive"
    STALLED = "stalled"  # the peer does not read
    FORGOTTEN = "bind forgotten"  # the SMSC holds us for unbound
    PROTOCOL = "protocol error"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What became of one request of ours.

    Attributes:
        key: what the request was sent with.
        request: the request, with the sequence number it had before it was sent.
        response: the response (which may be a generic_nack), or None.
        lost: why there is no response, or None.
    """

    key: Any
    request: PDU
    response: PDU | None
    lost: Lost | None = None


class Requests(msgspec.Struct, frozen=True):
    """PDUs for the business, in the order of arrival: requests to be answered, and alert_notification."""

    pdus: list[PDU]


class Answers(msgspec.Struct, frozen=True):
    """What became of requests of ours, in the order in which it was known."""

    answers: list[Answer]


class BindRequested(msgspec.Struct, frozen=True):
    """SMSC: somebody asks to bind. Answer with ``accept_bind`` or ``refuse_bind``."""

    bind: Bind


class Bound(msgspec.Struct, frozen=True):
    """ESME: the SMSC has accepted our bind.

    Attributes:
        response: its answer; ``system_id`` is the SMSC's name.
    """

    response: BindResp


class BindDenied(msgspec.Struct, frozen=True):
    """ESME: the SMSC has refused our bind. ``Ended`` follows."""

    command_status: int


class OutbindReceived(msgspec.Struct, frozen=True):
    """ESME: the SMSC asks us to bind as a receiver."""

    outbind: Outbind


class PeerUnbinding(msgspec.Struct, frozen=True):
    """The peer has unbound. Answer what is owed; nothing more may be asked."""


class Ended(msgspec.Struct, frozen=True):
    """The session is over; nothing follows.

    Attributes:
        ending: why.
        detail: a word more, e.g. ``"http"`` or the name of a timer; never text of a message.
        error: set when the peer broke the protocol.
    """

    ending: Ending
    detail: str = ""
    error: RemoteProtocolError | None = None


Event = Requests | Answers | BindRequested | Bound | BindDenied | OutbindReceived | PeerUnbinding | Ended
