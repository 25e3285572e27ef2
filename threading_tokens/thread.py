"""The values of this package: threads, what happened to them, who had them.

A `Thread` is a row of its table, field for field and in the same order: the registry makes one from a row without
looking at it. Everything is immutable; a change is a new value. Times are integer microseconds since the epoch, UTC.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from threading_tokens.designation import Designation


class Channel(StrEnum):
    """The mechanisms that one token spans (H27)."""

    SMS = "sms"  # and MMS, EMS: what comes and goes by the number's text side
    VOICE = "voice"
    CHAT = "chat"


class OpenedBecause(StrEnum):
    """Why a thread is new. The first five are H18's; with `MAX_AGE` they are what `decide_thread` answers."""

    NEW_ADDRESS = "new-address"
    ELAPSED = "elapsed"
    KEY_PHRASE = "key-phrase"
    PRODUCT = "product"
    MAX_AGE = "max-age"
    OUTBOUND = "outbound"  # the desk wrote first
    CALL = "call"  # a voice call came first (H28)


class EventKind(StrEnum):
    """What is written into a thread's history."""

    OPENED = "opened"
    CLOSED = "closed"  # by what the customer wrote: `detail` says key-phrase or product
    EXPIRED = "expired"  # by the call centre's times: `detail` says elapsed or max-age
    RELEASED = "released"  # by the desk, or because the number went
    DESIGNATED = "designated"
    TRANSFERRED = "transferred"
    PRODUCT = "product"  # the first product that was mentioned in a thread that had none
    CHANNEL = "channel"
    CALL = "call"


class Thread(msgspec.Struct, frozen=True, gc=False):
    """One conversation of a customer and a call centre.

    Attributes:
        id: the hub's id: 63 bits, time-ordered.
        call_centre: the tenant that it belongs to (H13).
        number: the E.164 that the customer texted: the published one, be it an alias.
        customer: the customer's address.
        token: its opaque name; dead as soon as the thread is closed.
        network_endpoint: name of the endpoint that the customer last came through (H22); empty before any text came,
            and again when the thread is closed (H20: routing data are released).
        opened_us: when it began.
        last_us: when the last message or call of either side was seen.
        closed_us: when it ended, 0 while it is open.
        close_reason: why it ended, empty while it is open.
        opened_because: one of `OpenedBecause`.
        product: the product that it is about, as the rules spell it; empty while none was mentioned.
        channel: one of `Channel`: the mechanism in use.
        designation_kind, designation_value: the CSR that has it (H21), both empty when none was designated.
        desk_label: the CSR's name for people to read.
    """

    id: int
    call_centre: str
    number: str
    customer: str
    token: str
    network_endpoint: str
    opened_us: int
    last_us: int
    closed_us: int = 0
    close_reason: str = ""
    opened_because: str = OpenedBecause.NEW_ADDRESS.value
    product: str = ""
    channel: str = Channel.SMS.value
    designation_kind: str = ""
    designation_value: str = ""
    desk_label: str = ""

    @property
    def is_open(self) -> bool:
        """Whether its token may be used."""
        return self.closed_us == 0

    @property
    def designation(self) -> Designation | None:
        """The CSR that has it, or None."""
        return Designation(self.designation_kind, self.designation_value) if self.designation_kind else None

    @property
    def address(self) -> str:
        """The CSR's communications address, empty when there is none or the CSR is named in another way."""
        return self.designation_value if self.designation_kind == "address" else ""


class ThreadArrival(msgspec.Struct, frozen=True, gc=False):
    """What the registry has to know of one message to find its thread.

    Attributes:
        call_centre, number, customer: whose thread; see `Thread`.
        network_endpoint: where the customer came through, or, outbound, will be reached through.
        text: what was written: key phrases and products are looked for. Not kept.
        outbound: the desk wrote it, without a token. Its words decide nothing: an open thread goes on, else one opens.
        designation: outbound: the CSR who wrote. A thread that this opens is designated to them, so that the answer
            reaches them (H26).
        desk_label: outbound: the CSR's name for people.
        channel: how it came, one of `Channel`.
    """

    call_centre: str
    number: str
    customer: str
    network_endpoint: str
    text: str = ""
    outbound: bool = False
    designation: Designation | None = None
    desk_label: str = ""
    channel: str = Channel.SMS.value


class Resolution(msgspec.Struct, frozen=True, gc=False):
    """The thread of one arrival.

    Attributes:
        thread: the thread as it is after the arrival.
        news: ``"new:<reason>"`` when the arrival opened it, else empty.
        closed: the thread that the arrival closed, as it is now, or None.
    """

    thread: Thread
    news: str = ""
    closed: Thread | None = None


class ThreadEvent(msgspec.Struct, frozen=True, gc=False):
    """One line of a thread's history. Never changed once written.

    Attributes:
        id: time-ordered, the key to page by.
        thread_id, call_centre: whose.
        at_us: when.
        kind: one of `EventKind`.
        by: who did it: a CSR's or director's address, ``"customer"``, or ``"hub"``.
        designation_kind, designation_value, desk_label: the CSR that it is about.
        product, channel, place: what the thread was about, how, and where (H24), as far as the event says so.
        detail: the reason or outcome, one word where it can be.
        direction: of a call: ``"in"`` or ``"out"``; else empty.
        started_us, duration_s: of a call.
    """

    id: int
    thread_id: int
    call_centre: str
    at_us: int
    kind: str
    by: str = ""
    designation_kind: str = ""
    designation_value: str = ""
    desk_label: str = ""
    product: str = ""
    channel: str = ""
    place: str = ""
    detail: str = ""
    direction: str = ""
    started_us: int = 0
    duration_s: int = 0


class Pairing(msgspec.Struct, frozen=True, gc=False):
    """A CSR and a customer were together (H24).

    Attributes:
        thread_id: in which thread.
        number, customer: the customer's side.
        designation: the CSR.
        desk_label: the CSR's name for people.
        product: what about.
        place: where, as the director said.
        since_us, until_us: from when to when, 0 when it lasts.
    """

    thread_id: int
    number: str
    customer: str
    designation: Designation
    desk_label: str
    product: str
    place: str
    since_us: int
    until_us: int


class History(msgspec.Struct, frozen=True, gc=False):
    """What happened between a customer and a call centre, without the messages (the hub has those, by thread id).

    Attributes:
        threads: the threads that the events are of, newest first.
        events: newest first.
        pairings: who had the customer when, newest first; those that began in the events given.
    """

    threads: list[Thread]
    events: list[ThreadEvent]
    pairings: list[Pairing]


def pairings_of(threads: list[Thread], events: list[ThreadEvent]) -> list[Pairing]:
    """Read who had a customer when from the events of their threads.

    Args:
        threads: the threads that events are of.
        events: in any order. A pairing whose beginning is not among them is left out.

    Returns: newest first.

    Source: H24.
    """
    known = {thread.id: thread for thread in threads}
    until: dict[int, int] = {}  # of each thread, when the pairing ended that began before the event in hand
    found: list[Pairing] = []
    for event in sorted(events, key=lambda event: event.id, reverse=True):
        thread = known.get(event.thread_id)
        if thread is None or event.kind not in (EventKind.DESIGNATED, EventKind.TRANSFERRED):
            continue
        found.append(
            Pairing(
                thread_id=thread.id,
                number=thread.number,
                customer=thread.customer,
                designation=Designation(event.designation_kind, event.designation_value),
                desk_label=event.desk_label,
                product=event.product or thread.product,
                place=event.place,
                since_us=event.at_us,
                until_us=until.get(thread.id, thread.closed_us),
            )
        )
        until[thread.id] = event.at_us
    return found
