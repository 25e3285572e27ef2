"""What a desk may ask of the hub about its threads, as the translator sees it.

The daemon provides it over the registry of threads and the journal. Every call names the desk's own call centre: an
implementation answers about no other (H13). What is asked about is a ``Subject``: a token, or a customer and a number.

Errors are those of ``threading_tokens``: ``UnknownToken``, ``ExpiredToken``, ``ForeignToken``, ``BadDesignation``,
``AlreadyDesignated``. ``Busy`` says "not now" (the store is full or away).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from threading_tokens.designation import Designation
from translators.xmpp.errors import XmppError


class Busy(XmppError):
    """Not now; nothing was changed.

    Attributes:
        after_s: a hint, seconds.
    """

    def __init__(self, after_s: float = 1.0) -> None:
        super().__init__(f"try again in {after_s:g} s")
        self.after_s = after_s


class Subject(msgspec.Struct, frozen=True):
    """Which thread is meant: ``token``, or else the open thread of ``customer`` and ``number``.

    Attributes:
        token: the token, or empty.
        customer, number: addresses, both given when the token is empty.
    """

    token: str = ""
    customer: str = ""
    number: str = ""


class Assignment(msgspec.Struct, frozen=True):
    """To whom a thread goes, and how.

    Attributes:
        designation: the CSR (H21).
        label: the CSR's name for people to read, or empty.
        place: where, as the director says, or empty (H24).
        channel: ``"sms"``, ``"voice"``, ``"chat"``, or empty to leave it (H27, H28).
    """

    designation: Designation
    label: str = ""
    place: str = ""
    channel: str = ""


class Call(msgspec.Struct, frozen=True):
    """A voice call that belongs to a thread (H28).

    Attributes:
        direction: ``"in"`` (the customer called) or ``"out"``.
        started_us: when, microseconds UTC; 0 for now.
        duration_s: how long, seconds.
        outcome: one word, or empty.
    """

    direction: str
    started_us: int = 0
    duration_s: int = 0
    outcome: str = ""


class ThreadView(msgspec.Struct, frozen=True):
    """A thread as a desk sees it.

    Attributes:
        thread_id: the hub's id.
        token, number, customer: its name and its two sides.
        channel, product: the mechanism in use; what it is about, or empty.
        opened_us, closed_us: when it began and ended; 0 while it is open.
        designation: the CSR, or None.
        label: the CSR's name for people, or empty.
    """

    thread_id: int
    token: str
    number: str
    customer: str
    channel: str = "sms"
    product: str = ""
    opened_us: int = 0
    closed_us: int = 0
    designation: Designation | None = None
    label: str = ""


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a customer's history with a call centre: a text, or something that happened (H24, H25, H36).

    Attributes:
        id: time-ordered; ``before`` of the next page is the id of this page's last entry.
        at_us: when.
        kind: ``"text"``, or the kind of the event (``"designated"``, ``"call"``…).
        direction: ``"in"`` (from the customer), ``"out"``, or empty.
        text: what was written; empty for events.
        state: of a text: how it stands (``"delivered"``…), else empty.
        by: who did or wrote it: an address, ``"customer"`` or ``"hub"``.
        csr: the CSR that an event is about, or empty.
        channel, product, place, detail: as far as known, else empty.
        duration_s: of a call.
    """

    id: int
    at_us: int
    kind: str
    direction: str = ""
    text: str = ""
    state: str = ""
    by: str = ""
    csr: str = ""
    channel: str = ""
    product: str = ""
    place: str = ""
    detail: str = ""
    duration_s: int = 0


class DeskServices(Protocol):
    """What the commands of a desk do. ``by`` is the bare JID of who asks."""

    async def designate(self, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        """Name the CSR of a thread that has none (H23). Naming the same again is no error."""
        ...

    async def transfer(self, call_centre: str, token: str, assignment: Assignment, by: str) -> ThreadView:
        """Give a thread to another CSR, or switch its channel (H25, H28)."""
        ...

    async def release(self, call_centre: str, token: str, by: str) -> ThreadView:
        """End a thread: its token and routing data are gone (H20)."""
        ...

    async def history(self, call_centre: str, subject: Subject, limit: int, before: int) -> Sequence[HistoryEntry]:
        """Texts both ways and events of a customer with this call centre.

        Args:
            limit: at most so many.
            before: only entries with a smaller id; 0 for the newest.

        Returns: newest first.
        """
        ...

    async def note_call(self, call_centre: str, subject: Subject, call: Call, by: str) -> ThreadView:
        """Write a voice call into its thread; by addresses it finds the open thread or opens one (H28)."""
        ...
