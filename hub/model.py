"""The values that travel the one road: arrivals, messages, parts, outcomes, verdicts.

Everything here is immutable and knows no protocol. The hot ones are ``msgspec.Struct`` (frozen, slotted, untracked by
the garbage collector): a million messages an hour make no garbage-collection pauses and cost a fraction of a frozen
dataclass to build.

Addresses are plain strings. ``+`` and digits is an E.164 number (H10); digits alone are a short code or a national
number that the endpoint could not complete; anything else is an alphanumeric sender. Times are integer microseconds
since the epoch, UTC.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import msgspec

NO_ATTRIBUTES: dict[str, str] = {}

ELEMENT = "element"
"""Attribute of a message: the identification element (H8) of the call centre's number that it is to or from; in transit
of its destination, when that is known."""
REMOTE_ELEMENT = "remote_element"
"""Attribute: the element that the sender's own network names for the sender."""

SEAM_OPEN = "seam_open"
"""Attribute of a part: its last character stands for half of one that was cut in two."""
SEAM_FIRST = "seam_first"
"""Attribute of a part: what its first character is, should the part before it be open at its end."""


class Kind(IntEnum):
    """What a message is: somebody's text, or news of one."""

    TEXT = 0
    RECEIPT = 1


class State(IntEnum):
    """Where a message stands. The first two are pending: a restart takes them up again.

    QUEUED → SUBMITTING → (QUEUED on a retry) → ACCEPTED → DELIVERED | UNDELIVERABLE, or DEAD, or DROPPED.
    """

    QUEUED = 0
    SUBMITTING = 1
    ACCEPTED = 2
    DELIVERED = 3
    UNDELIVERABLE = 4
    DEAD = 5
    DROPPED = 6


class Result(IntEnum):
    """What became of one part that an endpoint was given."""

    ACCEPTED = 0  # the next system has answered for it: the hand-over
    RETRY = 1  # a temporary refusal of this part: back off, try again
    THROTTLED = 2  # the endpoint is asked to go slower: the part keeps the head of its lane, no attempt is counted
    REFUSED = 3  # refused for good: a dead letter
    IN_DOUBT = 4  # submitted, never answered: journalled as such, sent again with the same identity
    UNSENT = 5  # given, but never written to the wire: queued again, no doubt
    REROUTED = 6  # refused for good here, but another way is open: the same head, at once, no attempt is counted


class ReceiptState(StrEnum):
    """The states of a receipt, in the words of SMPP 3.4 Appendix B."""

    ENROUTE = "ENROUTE"
    DELIVERED = "DELIVRD"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    UNDELIVERABLE = "UNDELIV"
    ACCEPTED = "ACCEPTD"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTD"

    @property
    def is_final(self) -> bool:
        """True when no later receipt may change it."""
        return self not in (ReceiptState.ENROUTE, ReceiptState.ACCEPTED, ReceiptState.UNKNOWN)


class ReceiptWanted(IntEnum):
    """Which news the sender asked for."""

    NONE = 0
    FINAL = 1  # delivered or failed
    FAILURE = 2  # only when it failed


class Reason(StrEnum):
    """Why intake refuses. Each translator maps these to its protocol's own error."""

    BAD_SOURCE = "bad-source"
    BAD_DESTINATION = "bad-destination"
    NO_ROUTE = "no-route"
    NOT_ALLOWED = "not-allowed"
    UNKNOWN_TOKEN = "unknown-token"  # noqa: S105 - a reason, not a secret
    EXPIRED_TOKEN = "expired-token"  # noqa: S105
    FOREIGN_TOKEN = "foreign-token"  # noqa: S105
    TOO_LONG = "too-long"
    BAD_TEXT = "bad-text"
    NO_SPACE = "no-space"
    OPTED_OUT = "opted-out"
    FILTERED = "filtered"
    TOO_MUCH = "too-much"


class Concatenation(msgspec.Struct, frozen=True, gc=False):
    """An arriving text says that it is one of several.

    Attributes:
        reference: the sender's number for the whole, 8 or 16 bits.
        total: how many parts there are, 1…255.
        number: which one this is, 1…total.
    """

    reference: int
    total: int
    number: int


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """News of a message.

    Attributes:
        message_id: the id that the endpoint which is told knows the message by.
        state: the news.
        error: three characters or more of network error code, ``"000"`` when none.
        submitted_us: when the message came in.
        done_us: when the state was reached.
        text: at most the first 20 characters of the message, or empty.
    """

    message_id: str
    state: ReceiptState
    error: str = "000"
    submitted_us: int = 0
    done_us: int = 0
    text: str = ""


class Arrival(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a translator hands to intake: one text, part of a text, or receipt, as its endpoint said it.

    Attributes:
        source, destination: addresses (see the module's head).
        text: the characters, already decoded. Empty when ``data`` is set.
        data: octets that are no text (binary SMS), or None.
        concatenation: set when this is one part of several; intake waits for the others.
        receipt: set when this is a receipt from downstream; ``message_id`` in it is the downstream's id.
        receipt_wanted: what the sender wants to hear.
        upstream_id: the sender's own id of it (a stanza id), or empty when the hub's id will be its name (SMPP).
        token: the thread's token that the desk gave, or empty.
        validity_us: how long the sender wants it tried, 0 for the endpoint's default.
        not_before_us: do not deliver before this time, 0 for at once (schedule_delivery_time).
        attributes: the rest, in words: ``udh``, ``service_type``, ``data_coding``, ``nick`` …
    """

    source: str
    destination: str
    text: str = ""
    data: bytes | None = None
    concatenation: Concatenation | None = None
    receipt: Receipt | None = None
    receipt_wanted: ReceiptWanted = ReceiptWanted.NONE
    upstream_id: str = ""
    token: str = ""
    validity_us: int = 0
    not_before_us: int = 0
    attributes: dict[str, str] = NO_ATTRIBUTES


class Message(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A text as its author wrote it, or a receipt on its way to who asked for it.

    Attributes:
        id: the hub's id: 63 bits, time-ordered; the order of ids is the order in a lane.
        kind: text or receipt.
        origin: name of the endpoint it came from.
        endpoint: name of the endpoint it goes to.
        source, destination: addresses as the destination shall see them.
        received_us, expires_us: when it came; when trying ends.
        call_centre: the tenant, empty in transit.
        thread_id, token: its thread, 0 and empty in transit.
        designation: the CSR's communications address that the thread is designated to, or empty.
        thread_news: ``"new:<reason>"`` on the first message of a thread, else empty.
    """

    id: int
    kind: Kind
    origin: str
    endpoint: str
    source: str
    destination: str
    text: str = ""
    data: bytes | None = None
    receipt: Receipt | None = None
    receipt_wanted: ReceiptWanted = ReceiptWanted.NONE
    upstream_id: str = ""
    received_us: int
    expires_us: int
    not_before_us: int = 0
    call_centre: str = ""
    thread_id: int = 0
    token: str = ""
    designation: str = ""
    thread_news: str = ""
    attributes: dict[str, str] = NO_ATTRIBUTES


class Part(msgspec.Struct, frozen=True, gc=False):
    """One segment of a message as it travels: what lanes carry and endpoints deliver.

    Attributes:
        message: the whole it belongs to.
        number: 1…total.
        total: how many the endpoint's ``split`` made.
        payload: the endpoint's own, from its ``split``.
        attempt: 1 on the first try.
        in_doubt: True when an earlier try may have arrived: send with the same identity.
    """

    message: Message
    number: int
    total: int
    payload: Any
    attempt: int = 1
    in_doubt: bool = False


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a part.

    Attributes:
        part: the part.
        result: what became of it.
        carrier_id: the id that the next system gave it, or empty.
        reason: one word or a protocol's status name, for dead letters and metrics; never text of the message. With the
            last part ACCEPTED, a word on how the message was sent (``transliterated``), or empty.
        retry_after_us: with RETRY or THROTTLED, the least wait, 0 for the endpoint's policy.
        receipt_expected: True when the next system will send a receipt for it.
        via: the endpoint that ``carrier_id`` is an id of, when it is not the one that reports: a link of a group.
    """

    part: Part
    result: Result
    carrier_id: str = ""
    reason: str = ""
    retry_after_us: int = 0
    receipt_expected: bool = False
    via: str = ""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """It is in the journal: the sender may be told so.

    Attributes:
        message_id: the hub's id of it (for one part of several: of this part). 0 for a receipt.
        token: the thread's token, empty in transit and for parts of an incomplete text.
    """

    message_id: int
    token: str = ""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """It is refused for good.

    Attributes:
        reason: why.
        since_us: with OPTED_OUT, since when the customer is out; else 0.
    """

    reason: Reason
    since_us: int = 0


class TryLater(msgspec.Struct, frozen=True, gc=False):
    """It is not taken now; nothing was written.

    Attributes:
        after_s: a hint, seconds.
    """

    after_s: float = 1.0


Verdict = Accepted | Rejected | TryLater


class Name(msgspec.Struct, frozen=True, gc=False):
    """Which of its texts a sender means.

    Attributes:
        message_id: an id that the hub gave to the sender.
        source, destination: must be those of the text, when they are not empty.
    """

    message_id: int
    source: str = ""
    destination: str = ""


class Fate(msgspec.Struct, frozen=True, gc=False):
    """How a text stands.

    Attributes:
        state: what a receipt would say; ``ENROUTE`` while it is under way.
        scheduled: it waits for the time that its sender named.
        done_us: when it reached a final state, 0 while it has not.
        error: the network's error code, ``"000"`` when there is none.
    """

    state: ReceiptState
    scheduled: bool = False
    done_us: int = 0
    error: str = "000"


class Effect(IntEnum):
    """What came of a sender's request to cancel or replace a text."""

    DONE = 0
    UNKNOWN = 1  # the sender gave no such text
    IMPOSSIBLE = 2  # it did, but it is too late, or cannot be done
